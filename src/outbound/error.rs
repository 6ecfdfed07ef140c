//! Reasons for which no client for outbound HTTP can be made.

use crate::tls::PemError;

/// The reason for which no client could be made.
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
        /// The reason, in words that follow the name.
        problem: &'static str,
    },
    /// The check of certificates cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Check(rustls::client::VerifierBuilderError),
    /// The client itself cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[source] reqwest::Error),
}
