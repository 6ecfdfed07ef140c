//! TLS of our own listeners, for those without a proxy: certificate, key and, when asked for, the
//! authorities that clients' certificates must come from.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest as _, Sha256};

use super::{
    pem::{Passphrase, Pem, PemError},
    trust::Trusted,
};
use crate::config::EndpointTls;

/// The reason for which a listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ListenerTlsError {
    /// A file has not what it should have.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The authorities of clients cannot be used.
    #[error("{variable} cannot be used: {error}")]
    ClientAuthorities {
        /// The variable that names the file.
        variable: &'static str,
        /// The fault.
        error: VerifierBuilderError,
    },
    /// Certificate and key do not go together.
    #[error(
        "{variable} and …_TLS_KEY cannot be used together: {error}; the key must be that of the \
         first certificate in the file"
    )]
    Pair {
        /// The variable that names the certificate.
        variable: &'static str,
        /// The fault.
        error: rustls::Error,
    },
}

/// The variables that name a listener's files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsVariables {
    certificate: &'static str,
    key: &'static str,
    client_authorities: &'static str,
    /// Protocol to agree on, for clients that name any (ALPN).
    protocol: Option<&'static str>,
}

impl TlsVariables {
    /// The variable that names the certificate.
    pub(crate) fn certificate(self) -> &'static str {
        self.certificate
    }

    fn protocols(self) -> Vec<Vec<u8>> {
        self.protocol.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
    }
}

/// Those of the endpoint.
pub(crate) const WEBHOOK: TlsVariables = TlsVariables {
    certificate: "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT",
    key: "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY",
    client_authorities: "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA",
    protocol: Some("http/1.1"),
};

/// Those of the listener for syslog.
pub(crate) const SYSLOG: TlsVariables = TlsVariables {
    certificate: "HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT",
    key: "HARFANGLAB_INCIDENTS_SYSLOG_TLS_KEY",
    client_authorities: "HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA",
    protocol: None,
};

/// The content of a listener's files.
pub(crate) struct ListenerFiles {
    variables: TlsVariables,
    certificate: Pem,
    key: Pem,
    client_authorities: Option<Pem>,
}

impl ListenerFiles {
    pub(crate) fn read(settings: &EndpointTls, variables: TlsVariables) -> Result<Self, PemError> {
        let clients = settings.client_authorities.as_deref();
        let clients = clients.map(|path| Pem::file(variables.client_authorities, path));
        Ok(Self {
            variables,
            certificate: Pem::file(variables.certificate, &settings.certificate)?,
            key: Pem::file(variables.key, &settings.key)?,
            client_authorities: clients.transpose()?,
        })
    }

    /// Returns what tells other files from these, without the key.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for pem in [&self.certificate, &self.key].into_iter().chain(&self.client_authorities) {
            digest.update(pem.fingerprint());
        }
        digest.finalize().into()
    }
}

/// Returns TLS 1.2 and 1.3 as `files` ask for.
pub(crate) fn server_config(files: &ListenerFiles) -> Result<ServerConfig, ListenerTlsError> {
    let variables = files.variables;
    let chain = files.certificate.certificates()?;
    let key = files.key.private_key(Passphrase::NotTaken)?;
    let clients = match &files.client_authorities {
        Some(pem) => known_clients(variables.client_authorities, pem)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let pair = |error| ListenerTlsError::Pair { variable: variables.certificate, error };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = variables.protocols();
    Ok(config)
}

fn known_clients(
    variable: &'static str,
    authorities: &Pem,
) -> Result<Arc<dyn ClientCertVerifier>, ListenerTlsError> {
    let mut clients = Trusted::nobody();
    clients.add(authorities)?;
    clients.client_check().map_err(|error| ListenerTlsError::ClientAuthorities { variable, error })
}
