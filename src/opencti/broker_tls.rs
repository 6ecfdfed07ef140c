//! TLS to RabbitMQ: whom we trust, what we show, and what a refusal means for the operator.
//!
//! The system's certificate authorities always count; `MQ_USE_SSL_CA` adds to them. The broker's
//! host name is checked against its certificate. `MQ_USE_SSL_REJECT_UNAUTHORIZED=false` turns both
//! checks off, as the Python connectors have it by default; signatures are verified all the same,
//! so that the connection at least ends at whoever holds the key that was shown.
//!
//! Does not live here: the connection and its life (`broker`).

use std::{io::ErrorKind, sync::Arc};

use lapin::tcp::RustlsConnector;
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument, der::pem::PemLabel};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject,
    },
};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{BrokerVerification, MqOverrides};

/// Why TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum BrokerTlsError {
    /// A certificate or key from the configuration cannot be read.
    #[error("cannot read {variable}: {source}")]
    File {
        /// The variable that names the file.
        variable: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no certificate.
    #[error("{variable} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// The variable.
        variable: &'static str,
    },
    /// A client certificate needs its key, and a key its certificate.
    #[error("MQ_USE_SSL_CERT and MQ_USE_SSL_KEY belong together: set both or neither")]
    HalfAnIdentity,
    /// The key is encrypted and the passphrase missing.
    #[error("the key in MQ_USE_SSL_KEY is encrypted: set MQ_USE_SSL_PASSPHRASE")]
    PassphraseMissing,
    /// The key cannot be decrypted.
    #[error("MQ_USE_SSL_PASSPHRASE does not open the key in MQ_USE_SSL_KEY: {0}")]
    PassphraseWrong(String),
    /// The key is encrypted in a way of before PKCS #8, whose protection is weak.
    #[error(
        "the key in MQ_USE_SSL_KEY is encrypted in OpenSSL's old format: convert it by `openssl \
         pkcs8 -topk8 -in OLD -out NEW`"
    )]
    OldKeyFormat,
    /// The text is no private key.
    #[error("MQ_USE_SSL_KEY holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// Certificate and key do not fit together, or are of a kind that TLS does not use.
    #[error("MQ_USE_SSL_CERT and MQ_USE_SSL_KEY cannot be used together: {0}")]
    Identity(rustls::Error),
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    SetUp(rustls::Error),
}

/// What makes a plain connection to the broker an encrypted one.
pub(super) async fn connector(overrides: &MqOverrides) -> Result<RustlsConnector, BrokerTlsError> {
    let identity = identity(overrides).await?;
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(BrokerTlsError::SetUp)?;
    let builder = match overrides.verification {
        BrokerVerification::On => builder.with_root_certificates(authorities(overrides).await?),
        BrokerVerification::Off => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(&provider))),
    };
    let config = match identity {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(BrokerTlsError::Identity)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(RustlsConnector::from(config))
}

/// The system's authorities, as far as they can be read, and the operator's. None at all is no
/// fault here: the refusal of the broker's certificate then says what to do.
async fn authorities(overrides: &MqOverrides) -> Result<RootCertStore, BrokerTlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let variable = "MQ_USE_SSL_CA";
    if let Some(pem) = pem(variable, overrides.ssl_ca.as_deref()).await? {
        for certificate in certificates(variable, &pem)? {
            store
                .add(certificate)
                .map_err(|_unusable| BrokerTlsError::NoCertificate { variable })?;
        }
    }
    Ok(store)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

async fn identity(overrides: &MqOverrides) -> Result<Option<Identity>, BrokerTlsError> {
    let variable = "MQ_USE_SSL_CERT";
    let chain = pem(variable, overrides.ssl_cert.as_deref()).await?;
    let key = overrides.ssl_key.as_ref().map(ExposeSecret::expose_secret);
    match (chain, pem("MQ_USE_SSL_KEY", key).await?) {
        (Some(chain), Some(key)) => {
            let chain = certificates(variable, &chain)?;
            Ok(Some((chain, private_key(&key, overrides.ssl_passphrase.as_ref())?)))
        }
        (None, None) => Ok(None),
        _ => Err(BrokerTlsError::HalfAnIdentity),
    }
}

fn certificates(
    variable: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, BrokerTlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or(BrokerTlsError::NoCertificate { variable })
}

/// The key, decrypted where needed. A passphrase for a key that needs none is not looked at, as
/// OpenSSL has it.
fn private_key(
    pem: &str,
    passphrase: Option<&SecretString>,
) -> Result<PrivateKeyDer<'static>, BrokerTlsError> {
    if pem.contains(&format!("-----BEGIN {}-----", EncryptedPrivateKeyInfoRef::PEM_LABEL)) {
        let passphrase = passphrase.ok_or(BrokerTlsError::PassphraseMissing)?.expose_secret();
        let key = decrypted(pem, passphrase)
            .map_err(|error| BrokerTlsError::PassphraseWrong(error.to_string()))?;
        return Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into());
    }
    // The header of encrypted keys before PKCS #8 (RFC 1421).
    if pem.contains("Proc-Type:") && pem.contains("ENCRYPTED") {
        return Err(BrokerTlsError::OldKeyFormat);
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_unreadable| BrokerTlsError::NoKey)
}

fn decrypted(pem: &str, passphrase: &str) -> Result<SecretDocument, pkcs8::Error> {
    let (_label, document) = SecretDocument::from_pem(pem.trim())?;
    EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())?.decrypt(passphrase)
}

/// PEM text as it is, or the file it is in.
async fn pem(
    variable: &'static str,
    text_or_path: Option<&str>,
) -> Result<Option<String>, BrokerTlsError> {
    match text_or_path {
        None => Ok(None),
        Some(text) if text.trim_start().starts_with("-----BEGIN") => Ok(Some(text.to_owned())),
        Some(path) => tokio::fs::read_to_string(path)
            .await
            .map(Some)
            .map_err(|source| BrokerTlsError::File { variable, source }),
    }
}

/// What the operator can do about a failed connection that was to be encrypted, if TLS may be why.
pub(super) fn advice(failure: &lapin::Error) -> Option<&'static str> {
    let lapin::ErrorKind::IOError(error) = failure.kind() else { return None };
    let hung_up = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
    // With TLS 1.3 we have sent more before the broker looks at our certificate; what it says
    // then may get lost when it hangs up.
    if hung_up.contains(&error.kind()) {
        return Some(
            "the broker hung up, most likely because it demands a client certificate that it \
             trusts: set MQ_USE_SSL_CERT and MQ_USE_SSL_KEY; its log says more",
        );
    }
    let failure = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match failure {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "the broker's certificate is made out for another host: set MQ_HOST to the name in \
             the certificate"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the broker's certificate has expired: renew it there",
        rustls::Error::InvalidCertificate(_) => {
            "the broker's certificate is not trusted: set MQ_USE_SSL_CA to the certificate of the \
             authority that issued it"
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown,
        ) => {
            "the broker demands a client certificate that it trusts: set MQ_USE_SSL_CERT and \
             MQ_USE_SSL_KEY"
        }
        _ => {
            "the broker does not speak TLS as we do: check that MQ_PORT is its TLS port (5671 by \
             default) and MQ_USE_SSL"
        }
    })
}

/// Takes any certificate of any host: `MQ_USE_SSL_REJECT_UNAUTHORIZED=false`.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl AnyCertificate {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(overrides: MqOverrides) -> String {
        match connector(&overrides).await {
            Ok(_connector) => panic!("it cannot be used"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_certificate_or_key_names_the_variable() {
        let missing = MqOverrides {
            ssl_ca: Some("/does/not/exist.pem".to_owned()),
            ..MqOverrides::default()
        };
        assert!(refused(missing).await.contains("cannot read MQ_USE_SSL_CA"));

        let certificate =
            rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
        let with_key = |key: Option<&str>| MqOverrides {
            ssl_cert: Some(certificate.cert.pem()),
            ssl_key: key.map(SecretString::from),
            ..MqOverrides::default()
        };
        assert!(refused(with_key(None)).await.contains("belong together"));
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----";
        assert!(refused(with_key(Some(encrypted))).await.contains("set MQ_USE_SSL_PASSPHRASE"));
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n";
        assert!(refused(with_key(Some(old))).await.contains("openssl pkcs8 -topk8"));
        let key = certificate.signing_key.serialize_pem();
        assert!(connector(&with_key(Some(&key))).await.is_ok());
    }
}
