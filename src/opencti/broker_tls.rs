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
use rustls::{
    ClientConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use secrecy::ExposeSecret;

use crate::{
    config::{BrokerVerification, MqOverrides},
    tls::{Passphrase, Peer, Pem, PemError, Remedies, Trusted, any_server, failure_in, remedy},
};

/// The reason for which TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum BrokerTlsError {
    /// A certificate or key from the configuration cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A client certificate needs its key, and a key its certificate.
    #[error("MQ_USE_SSL_CERT and MQ_USE_SSL_KEY belong together: set both or neither")]
    HalfAnIdentity,
    /// Certificate and key do not fit together, or are of a kind that TLS does not use.
    #[error("MQ_USE_SSL_CERT and MQ_USE_SSL_KEY cannot be used together: {0}")]
    Identity(rustls::Error),
    /// The check of certificates cannot be set up.
    #[error("MQ_USE_SSL_CA cannot be used: {0}")]
    Check(rustls::client::VerifierBuilderError),
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    SetUp(rustls::Error),
    /// The program is ending.
    #[error("TLS was not set up: the service is ending")]
    Ending,
}

/// Reads the files of `overrides` and returns what makes a plain connection to the broker an encrypted one.
pub(super) async fn connector(overrides: &MqOverrides) -> Result<RustlsConnector, BrokerTlsError> {
    let overrides = overrides.clone();
    let config = tokio::task::spawn_blocking(move || config(&overrides)).await;
    config.map_err(|_ended| BrokerTlsError::Ending)?.map(RustlsConnector::from)
}

fn config(overrides: &MqOverrides) -> Result<ClientConfig, BrokerTlsError> {
    let identity = identity(overrides)?;
    let check = match overrides.verification {
        BrokerVerification::On => {
            // No authority at all is no fault here: the refusal of the certificate says what to do.
            let mut trusted = Trusted::nobody();
            trusted.add_system();
            if let Some(authorities) = &overrides.ssl_ca {
                trusted.add(&Pem::text_or_file("MQ_USE_SSL_CA", authorities)?)?;
            }
            trusted.server_check().map_err(BrokerTlsError::Check)?
        }
        BrokerVerification::Off => any_server(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(BrokerTlsError::SetUp)?
        .dangerous()
        .with_custom_certificate_verifier(check);
    match identity {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(BrokerTlsError::Identity)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(overrides: &MqOverrides) -> Result<Option<Identity>, BrokerTlsError> {
    let key = overrides.ssl_key.as_ref().map(ExposeSecret::expose_secret);
    match (&overrides.ssl_cert, key) {
        (Some(chain), Some(key)) => {
            let chain = Pem::text_or_file("MQ_USE_SSL_CERT", chain)?.certificates()?;
            let passphrase = overrides.ssl_passphrase.as_ref();
            let passphrase = Passphrase::Option("MQ_USE_SSL_PASSPHRASE", passphrase);
            let key = Pem::text_or_file("MQ_USE_SSL_KEY", key)?.private_key(passphrase)?;
            Ok(Some((chain, key)))
        }
        (None, None) => Ok(None),
        _ => Err(BrokerTlsError::HalfAnIdentity),
    }
}

/// The broker in advice on TLS.
const PEER: Peer = Peer {
    name: "the broker",
    authorities: "MQ_USE_SSL_CA",
    unchecked: "",
    remedies: Remedies::Own {
        other_host: "set MQ_HOST to the name in the certificate",
        client_certificate: "the broker demands a client certificate that it trusts: set MQ_USE_SSL_CERT and \
                         MQ_USE_SSL_KEY",
        no_tls: "the broker does not speak TLS as we do: check that MQ_PORT is its TLS port (5671 by \
             default) and MQ_USE_SSL",
    },
};

/// Tells the operator what to do about a failed connection that was to be encrypted, if TLS may be why.
pub(super) fn advice(failure: &lapin::Error) -> Option<String> {
    let lapin::ErrorKind::IOError(error) = failure.kind() else { return None };
    let hung_up = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
    // With TLS 1.3 we have sent more before the broker looks at our certificate; what it says
    // then may get lost when it hangs up.
    if hung_up.contains(&error.kind()) {
        return Some(
            "the broker hung up, most likely because it demands a client certificate that it \
             trusts: set MQ_USE_SSL_CERT and MQ_USE_SSL_KEY; its log says more"
                .to_owned(),
        );
    }
    Some(remedy(failure_in(&**error)?, &PEER))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

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
        let text = refused(missing).await;
        assert!(text.contains("MQ_USE_SSL_CA (/does/not/exist.pem) cannot be read"), "{text}");

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
