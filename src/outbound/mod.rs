//! The one way to make a client for outbound HTTP: TLS by rustls with the ring provider, timeouts,
//! proxies of the environment, and a product name that platforms can recognise.
//!
//! Does not live here: what is asked of whom, authentication, retries (`opencti`, `harfanglab`).

mod proxies;

use std::{path::PathBuf, time::Duration};

use tracing::warn;

use self::proxies::{Proxies, unquoted};
use crate::config::TlsVerification;

/// Sent as `User-Agent`. Kept stable: some platforms exempt clients from rate limits by it.
pub const USER_AGENT: &str = concat!("harfanglab-incidents/", env!("CARGO_PKG_VERSION"));

/// Longest wait for a TCP and TLS connection; the whole request has the caller's own limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for which an unused connection is kept: servers of Node.js, such as OpenCTI's, close theirs
/// after 5 s, and a request that is sent at that moment fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file with certificate authorities cannot be read.
    #[error("cannot read the certificate authorities in {path}: {source}")]
    CaFile {
        /// The file named in the configuration.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds no usable certificate.
    #[error("{place} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// The file or variable named in the configuration.
        place: String,
    },
    /// A variable of the environment that names a proxy is wrong.
    #[error("{variable} {problem}")]
    Proxy {
        /// Its name.
        variable: String,
        /// Why, in words that follow the name.
        problem: &'static str,
    },
    /// The TLS set-up itself failed, usually because the system has no certificate authorities.
    #[error("cannot set up TLS: {0} (is the package `ca-certificates` installed?)")]
    Tls(reqwest::Error),
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
    match tls {
        TlsVerification::System => {
            builder = builder.tls_certs_merge(authorities_of_environment());
        }
        TlsVerification::CaFile(path) => {
            let pem = std::fs::read(path)
                .map_err(|source| ClientError::CaFile { path: path.clone(), source })?;
            let named = || path.display().to_string();
            builder = builder.tls_certs_merge(certificates(&pem, named)?);
        }
        TlsVerification::CaPem(pem) => {
            let named = || "HTTPS_CA_CERTIFICATES".to_owned();
            builder = builder.tls_certs_merge(certificates(pem.as_bytes(), named)?);
        }
        TlsVerification::Off => builder = builder.tls_danger_accept_invalid_certs(true),
    }
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

/// Reads the authorities that `requests` takes. A path that was right in another connector's image
/// may lead nowhere in ours: that is told, and the system's authorities remain.
fn authorities_of_environment() -> Vec<reqwest::Certificate> {
    let named = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"].into_iter().find_map(|variable| {
        let path = std::env::var(variable).ok()?;
        let path = unquoted(&path);
        (!path.is_empty()).then(|| (variable, PathBuf::from(path)))
    });
    let Some((variable, path)) = named else { return Vec::new() };
    let read = std::fs::read(&path)
        .map_err(|source| ClientError::CaFile { path: path.clone(), source })
        .and_then(|pem| certificates(&pem, || path.display().to_string()));
    read.unwrap_or_else(|error| {
        warn!(%error, variable, "{variable} is not used: {error}");
        Vec::new()
    })
}

fn certificates(
    pem: &[u8],
    place: impl FnOnce() -> String,
) -> Result<Vec<reqwest::Certificate>, ClientError> {
    reqwest::Certificate::from_pem_bundle(pem)
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| ClientError::NoCertificate { place: place() })
}

/// Makes ring the crypto provider of the whole process: HTTP and the broker share it.
pub(crate) fn install_crypto_provider() {
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
        assert!(missing.contains("ca.pem"), "{missing}");
        assert!(empty.contains("holds no certificate"), "{empty}");
    }
}
