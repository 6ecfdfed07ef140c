//! The one way to make a client for outbound HTTP: TLS by rustls with the ring provider, timeouts,
//! proxies of the environment, and a product name that platforms can recognise.
//!
//! Does not live here: what is asked of whom, authentication, retries (`opencti`, `harfanglab`).

mod proxies;

use std::{path::PathBuf, time::Duration};

use rustls::ClientConfig;
use tracing::warn;

use self::proxies::{Proxies, unquoted};
use crate::{
    config::TlsVerification,
    tls::{self, Peer, Pem, PemError, Trusted},
};

/// Sent as `User-Agent`. Kept stable: some platforms exempt clients from rate limits by it.
pub const USER_AGENT: &str = concat!("harfanglab-incidents/", env!("CARGO_PKG_VERSION"));

/// Longest wait for a TCP and TLS connection; the whole request has the caller's own limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for which an unused connection is kept: servers of Node.js, such as OpenCTI's, close theirs
/// after 5 s, and a request that is sent at that moment fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The options that name a file of authorities; its path shows which one.
const FILE_OPTIONS: &str = "…_SSL_VERIFY or HTTPS_CA_CERTIFICATES";

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificate authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] PemError),
    /// There are no certificate authorities at all, so that no server could be trusted.
    #[error(
        "cannot set up TLS: the system has no certificate authorities (is the package \
         `ca-certificates` installed?)"
    )]
    NoAuthorities,
    /// A variable of the environment that names a proxy is wrong.
    #[error("{variable} {problem}")]
    Proxy {
        /// Its name.
        variable: String,
        /// Why, in words that follow the name.
        problem: &'static str,
    },
    /// The check of certificates cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Check(rustls::client::VerifierBuilderError),
    /// The client itself cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] reqwest::Error),
}

/// Makes a client whose requests take at most `timeout` each, from connecting to the last byte.
///
/// Proxies come from the environment (`proxies`), and so do further authorities where `tls` names none
/// (`REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`). Redirects are not followed: a token must not travel to a
/// host that nobody configured.
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub fn client(tls: &TlsVerification, timeout: Duration) -> Result<reqwest::Client, ClientError> {
    install_crypto_provider();
    let proxies = Proxies::read(|name| std::env::var(name).ok())?;
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .proxy(reqwest::Proxy::custom(move |server| proxies.proxy_for(server)))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none());
    builder = match tls {
        TlsVerification::Off => builder.tls_danger_accept_invalid_certs(true),
        tls => builder.tls_backend_preconfigured(checking(trusted(tls)?)?),
    };
    builder.build().map_err(ClientError::Tls)
}

/// Makes a client for this machine itself: plain HTTP, no proxy of the environment in between.
#[expect(clippy::disallowed_methods, reason = "the other place that may")]
pub fn direct_client(timeout: Duration) -> Result<reqwest::Client, ClientError> {
    install_crypto_provider();
    // No certificate is ever looked at, so none of the system's is needed.
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_only([])
        .build()
        .map_err(ClientError::Tls)
}

/// Returns why a request to `peer` got no answer: the innermost cause, with advice on TLS. The address, which
/// may hold credentials or a signature, is left out.
pub(crate) fn why_no_answer(error: reqwest::Error, peer: &Peer) -> String {
    if error.is_timeout() {
        return "time-out".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match tls::failure_in(&error) {
        Some(failure) => format!("{cause}; {}", tls::remedy(failure, peer)),
        None => cause.to_string(),
    }
}

/// Returns the system's authorities and those that `tls` names.
fn trusted(tls: &TlsVerification) -> Result<Trusted, ClientError> {
    let mut trusted = Trusted::system();
    match tls {
        TlsVerification::CaFile(path) => {
            trusted.add(&Pem::file(FILE_OPTIONS, path)?)?;
        }
        TlsVerification::CaPem(text) => trusted.add(&Pem::text("HTTPS_CA_CERTIFICATES", text))?,
        TlsVerification::System | TlsVerification::Off => {
            add_authorities_of_environment(&mut trusted);
        }
    }
    if trusted.is_empty() { Err(ClientError::NoAuthorities) } else { Ok(trusted) }
}

/// Returns TLS that connects to servers of these authorities only.
fn checking(trusted: Trusted) -> Result<ClientConfig, ClientError> {
    let check = trusted.server_check().map_err(ClientError::Check)?;
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(check)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Adds the authorities that `requests` takes. A path that was right in another connector's image may lead
/// nowhere in ours: that is told, and the system's authorities remain.
fn add_authorities_of_environment(trusted: &mut Trusted) {
    let named = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().find_map(|variable| {
        let path = std::env::var(variable).ok()?;
        let path = unquoted(&path);
        (!path.is_empty()).then(|| (variable, PathBuf::from(path)))
    });
    let Some((variable, path)) = named else { return };
    if let Err(error) = Pem::file(variable, &path).and_then(|pem| trusted.add(&pem)) {
        warn!(%error, variable, "{variable} is not used: {error}");
    }
}

/// Makes ring the crypto provider of the whole process: `reqwest` and the clients below take it.
fn install_crypto_provider() {
    // Fails only when a provider is installed already, by an earlier call.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_made_for_every_kind_of_certificate_check() {
        for tls in [TlsVerification::System, TlsVerification::Off] {
            client(&tls, Duration::from_secs(1)).unwrap();
        }
    }

    #[test]
    fn a_missing_or_empty_ca_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let tls = TlsVerification::CaFile(path.clone());
        let missing = client(&tls, Duration::from_secs(1)).unwrap_err().to_string();
        std::fs::write(&path, "no certificate").unwrap();
        let empty = client(&tls, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(missing.contains(FILE_OPTIONS) && missing.contains("ca.pem"), "{missing}");
        assert!(empty.contains("holds no certificate"), "{empty}");
    }
}
