//! `mq:`: the connection to RabbitMQ.

use secrecy::SecretString;

use super::certificates::{pem_or_path, secret_pem_or_path};
use crate::config::{
    declare::{Value, settings},
    option::{OptionSpec, secret, switch, text, whole},
    parse::{self, Refusal},
    reader::{Read, Reader},
};

settings! { BROKER "":
    /// `mq:` / `MQ_*`: each field overrides what registration answers.
    #[derive(Debug, Clone, Default)]
    pub struct MqOverrides {
        host: Option<String> = MQ_HOST: text("the host name of RabbitMQ");
        port: Option<u16> = MQ_PORT: whole(1, 65_535);
        vhost: Option<String> = MQ_VHOST: text("the name of a virtual host");
        use_ssl: Option<bool> = MQ_USE_SSL: switch();
        user: Option<String> = MQ_USER: text("a user of RabbitMQ");
        pass: Option<SecretString> = MQ_PASS: secret("the password of MQ_USER");
        /// Path or PEM text of the broker's certificate authority, or of its own certificate, as for
        /// `opencti.ssl_verify`.
        ssl_ca: Option<String> = MQ_USE_SSL_CA:
            text("the path of a PEM file, or PEM text that begins with -----BEGIN"), by pem_or_path;
        /// Path or PEM text of the certificate we show to the broker.
        ssl_cert: Option<String> = MQ_USE_SSL_CERT:
            text("the path of a PEM file, or PEM text that begins with -----BEGIN"), by pem_or_path;
        /// Path or PEM text of its key.
        ssl_key: Option<SecretString> = MQ_USE_SSL_KEY:
            secret("the path of a PEM file, or PEM text that begins with -----BEGIN"),
            by secret_pem_or_path;
        /// Opens the key when it is encrypted, as PKCS #8 (-----BEGIN ENCRYPTED PRIVATE KEY-----).
        ssl_passphrase: Option<SecretString> = MQ_USE_SSL_PASSPHRASE:
            secret("the passphrase of MQ_USE_SSL_KEY");
        /// false takes any certificate of any host, as the Python connectors do by default. For a private
        /// authority rather set `MQ_USE_SSL_CA`.
        verification: BrokerVerification = MQ_USE_SSL_REJECT_UNAUTHORIZED: switch().default("true");
    }
}

const UNVERIFIED: &str = "MQ_USE_SSL_REJECT_UNAUTHORIZED=false: RabbitMQ's certificate is NOT \
    checked, so anybody on the way can pass for it and read its password and every alert; set \
    MQ_USE_SSL_CA to its certificate authority and leave this out";

/// Check of the broker's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BrokerVerification {
    /// Authority and host name must be right.
    #[default]
    On,
    /// Any certificate is taken.
    Off,
}

impl Value for BrokerVerification {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        Ok(if parse::boolean(text)? { Self::On } else { Self::Off })
    }
}

/// Reads everything, and warns of a certificate that is not checked.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Read<MqOverrides> {
    let overrides = MqOverrides::read(reader)?;
    if overrides.verification == BrokerVerification::Off {
        reader.warnings.push(UNVERIFIED.to_owned());
    }
    Ok(overrides)
}
