//! The one way to make a client for outbound HTTP: TLS by rustls with the ring provider, timeouts,
//! proxies of the environment, and a product name that platforms can recognise.
//!
//! Does not live here: what is asked of whom, authentication, retries (`opencti`, `harfanglab`).

mod error;
mod proxies;
mod trust;

use std::time::Duration;

use self::proxies::Proxies;
pub(crate) use self::trust::{AuthorityFile, Renewed};
pub use self::{error::ClientError, trust::ServerTrust};
use crate::tls::{self, Peer};

/// Sent as `User-Agent`. Kept stable: some platforms exempt clients from rate limits by it.
pub const USER_AGENT: &str = concat!("harfanglab-incidents/", env!("CARGO_PKG_VERSION"));

/// Longest wait for a TCP and TLS connection; the whole request has the caller's own limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for which an unused connection is kept: servers of Node.js, such as OpenCTI's, close theirs
/// after 5 s, and a request that is sent at that moment fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Makes a client whose requests take at most `timeout` each, from connecting to the last byte.
///
/// Proxies come from the environment (`proxies`). Redirects are not followed: a token must not travel to a
/// host that nobody configured.
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub fn client(trust: &ServerTrust, timeout: Duration) -> Result<reqwest::Client, ClientError> {
    install_crypto_provider();
    let proxies = Proxies::read(|name| std::env::var(name).ok())?;
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .proxy(reqwest::Proxy::custom(move |server| proxies.proxy_for(server)))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none());
    builder = match trust.config() {
        Some(config) => builder.tls_backend_preconfigured(config),
        None => builder.tls_danger_accept_invalid_certs(true),
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

/// Returns the reason for which a request to `peer` got no answer: the innermost cause, and the remedy, which
/// is `otherwise` where TLS did not fail. The address, which may hold credentials, names or a signature, is
/// left out.
pub(crate) fn why_no_answer(error: reqwest::Error, peer: &Peer, otherwise: &str) -> String {
    if error.is_timeout() {
        return format!("time-out; {otherwise}");
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match tls::failure_in(&error) {
        Some(failure) => format!("{cause}; {}", tls::remedy(failure, peer)),
        None => format!("{cause}; {otherwise}"),
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
    use crate::config::TlsVerification;

    fn client_for(tls: &TlsVerification) -> Result<reqwest::Client, ClientError> {
        client(&ServerTrust::new(tls)?, Duration::from_secs(1))
    }

    #[test]
    fn a_client_is_made_for_every_kind_of_certificate_check() {
        for tls in [TlsVerification::System, TlsVerification::Off] {
            client_for(&tls).unwrap();
        }
    }

    #[test]
    fn a_missing_or_empty_ca_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let tls = TlsVerification::CaFile(path.clone());
        let missing = client_for(&tls).unwrap_err().to_string();
        std::fs::write(&path, "no certificate").unwrap();
        let empty = client_for(&tls).unwrap_err().to_string();
        assert!(
            missing.contains("…_SSL_VERIFY or HTTPS_CA_CERTIFICATES") && missing.contains("ca.pem"),
            "{missing}"
        );
        assert!(empty.contains("holds no certificate"), "{empty}");
    }
}
