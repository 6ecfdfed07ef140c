//! The own TLS of the endpoint, for those without a proxy, and of the listener for syslog: certificate,
//! key and, when asked for, the authorities that clients' certificates must come from.
//!
//! The files are read at the start. Does not live here: TLS to others (`outbound`, `opencti`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::config::EndpointTls;

/// Why a listener's TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file has not what it should have.
    #[error("{variable}: {path} {problem}")]
    File {
        /// The variable that names the file.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what it should hold.
        problem: String,
    },
    /// Certificate and key do not go together.
    #[error(
        "{variable} and …_TLS_KEY cannot be used together: {error}; the key must be that of the \
         first certificate in the file"
    )]
    Pair {
        /// The variable that names the certificate.
        variable: &'static str,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// The variables that name a listener's files.
#[derive(Debug, Clone, Copy)]
pub(super) struct TlsVariables {
    certificate: &'static str,
    key: &'static str,
    client_authorities: &'static str,
    /// Protocol to agree on, for clients that name any (ALPN).
    protocol: Option<&'static str>,
}

impl TlsVariables {
    fn protocols(self) -> Vec<Vec<u8>> {
        self.protocol.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
    }
}

/// Those of the endpoint.
pub(super) const WEBHOOK: TlsVariables = TlsVariables {
    certificate: "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT",
    key: "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY",
    client_authorities: "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA",
    protocol: Some("http/1.1"),
};

/// Those of the listener for syslog.
pub(super) const SYSLOG: TlsVariables = TlsVariables {
    certificate: "HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT",
    key: "HARFANGLAB_INCIDENTS_SYSLOG_TLS_KEY",
    client_authorities: "HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA",
    protocol: None,
};

/// TLS 1.2 and 1.3 as these settings ask for.
pub(super) fn server_config(
    settings: &EndpointTls,
    variables: TlsVariables,
) -> Result<ServerConfig, TlsError> {
    let chain = certificates(variables.certificate, &settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| TlsError::File {
        variable: variables.key,
        path: settings.key.clone(),
        problem: format!("holds no unencrypted private key in PEM form ({error})"),
    })?;
    let provider = Arc::new(ring::default_provider());
    let clients = match &settings.client_authorities {
        Some(path) => issued_by(variables.client_authorities, path, Arc::clone(&provider))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let pair = |error| TlsError::Pair { variable: variables.certificate, error };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = variables.protocols();
    Ok(config)
}

/// Demands a certificate that one of the authorities in the file issued.
fn issued_by(
    variable: &'static str,
    path: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |problem: String| TlsError::File { variable, path: path.to_owned(), problem };
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(variable, path)? {
        authorities
            .add(certificate)
            .map_err(|error| unusable(format!("holds a certificate of no authority ({error})")))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
        .build()
        .map_err(|error| unusable(format!("cannot be used ({error})")))?;
    Ok(verifier)
}

fn certificates(
    variable: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let problem = |problem: String| TlsError::File { variable, path: path.to_owned(), problem };
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates =
        certificates.map_err(|error| problem(format!("cannot be read as PEM ({error})")))?;
    if certificates.is_empty() {
        return Err(problem("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(certificates)
}
