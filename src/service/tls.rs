//! The endpoint's own TLS, for those without a proxy: certificate, key and, when asked for, the
//! authorities that clients' certificates must come from.
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

/// Why the endpoint's TLS cannot be set up.
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
        "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT and …_TLS_KEY cannot be used together: {0}; the key \
         must be that of the first certificate in the file"
    )]
    Pair(rustls::Error),
}

const CERTIFICATE: &str = "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT";
const KEY: &str = "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY";
const CLIENT_AUTHORITIES: &str = "HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA";

/// TLS 1.2 and 1.3 as these settings ask for.
pub(super) fn server_config(settings: &EndpointTls) -> Result<ServerConfig, TlsError> {
    let chain = certificates(CERTIFICATE, &settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| TlsError::File {
        variable: KEY,
        path: settings.key.clone(),
        problem: format!("holds no unencrypted private key in PEM form ({error})"),
    })?;
    let provider = Arc::new(ring::default_provider());
    let clients = match &settings.client_authorities {
        Some(path) => issued_by(path, Arc::clone(&provider))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(TlsError::Pair)
}

/// Demands a certificate that one of the authorities in the file issued.
fn issued_by(
    path: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unusable = |problem: String| TlsError::File {
        variable: CLIENT_AUTHORITIES,
        path: path.to_owned(),
        problem,
    };
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(CLIENT_AUTHORITIES, path)? {
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
