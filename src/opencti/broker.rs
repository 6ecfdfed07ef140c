//! The connection to RabbitMQ: one, long-lived, with publisher confirms on every channel.
//!
//! A channel serves one delivery at a time and is used again afterwards: a message that comes back
//! as unroutable can be told apart only by its order on its channel.
//!
//! Does not live here: what is published and what a failure means for a delivery (`queue`).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    Channel, Connection, ConnectionProperties,
    options::ConfirmSelectOptions,
    runtime::default_runtime,
    tcp::{OwnedIdentity, OwnedTLSConfig},
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::registration::BrokerConnection;
use crate::{config::MqOverrides, outbound};

/// Longest wait for a connection or a channel.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Seconds between two AMQP heartbeats, as other connectors ask for: a dead peer is noticed within
/// twice that.
const HEARTBEAT_SECONDS: u16 = 10;

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A certificate or key from the configuration cannot be read.
    #[error("cannot read {variable}: {source}")]
    TlsFile {
        /// The variable that names the file.
        variable: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A client certificate needs its key, and a key its certificate.
    #[error("MQ_USE_SSL_CERT and MQ_USE_SSL_KEY belong together: set both or neither")]
    HalfAnIdentity,
    /// Connecting, logging in or opening a channel failed.
    #[error(
        "RabbitMQ at {address} cannot be used: {reason}; check MQ_HOST, MQ_PORT, MQ_USE_SSL and \
         the network (what is not set comes from OpenCTI's registration answer)"
    )]
    Connect {
        /// Host and port.
        address: String,
        /// What went wrong.
        reason: String,
    },
}

/// An open connection.
pub(super) struct Broker {
    connection: Connection,
    details: BrokerConnection,
    idle: Mutex<Vec<Channel>>,
}

impl Broker {
    /// Connects and logs in.
    pub(super) async fn connect(
        details: BrokerConnection,
        overrides: &MqOverrides,
    ) -> Result<Self, BrokerError> {
        outbound::install_crypto_provider();
        let tls = tls_config(overrides).await?;
        let opening = async {
            let properties =
                ConnectionProperties::default().with_connection_name(outbound::USER_AGENT.into());
            Connection::connect_uri_with_config(uri(&details), properties, tls, default_runtime()?)
                .await
        };
        let connection = within_limit(&details, opening).await?;
        Ok(Self { connection, details, idle: Mutex::default() })
    }

    /// A channel with publisher confirms on.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(channel) = idle.filter(|channel| channel.status().connected()) {
            return Ok(channel);
        }
        within_limit(&self.details, async {
            let channel = self.connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        })
        .await
    }

    /// Takes a channel back on which everything was confirmed.
    pub(super) fn give_back(&self, channel: Channel) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }

    /// Whether it is open and leads where `details` say.
    pub(super) fn serves(&self, details: &BrokerConnection) -> bool {
        let ours = &self.details;
        self.connection.status().connected()
            && (&ours.host, ours.port, &ours.vhost, ours.use_ssl, &ours.user)
                == (&details.host, details.port, &details.vhost, details.use_ssl, &details.user)
            && ours.pass.expose_secret() == details.pass.expose_secret()
    }

    /// Whether the broker takes nothing at the moment, because memory or disk run short there.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }
}

/// Connects, logs in and opens a channel with confirms, then goes away again: what `check` needs.
pub async fn probe(
    connection: &BrokerConnection,
    overrides: &MqOverrides,
) -> Result<(), BrokerError> {
    let details = connection.clone().with_overrides(overrides);
    Broker::connect(details, overrides).await?.channel().await.map(drop)
}

async fn within_limit<T>(
    details: &BrokerConnection,
    opening: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    let reason = match timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok(open)) => return Ok(open),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", OPEN_TIMEOUT.as_secs()),
    };
    Err(BrokerError::Connect { address: format!("{}:{}", details.host, details.port), reason })
}

fn uri(details: &BrokerConnection) -> AMQPUri {
    AMQPUri {
        scheme: if details.use_ssl { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: details.user.clone(),
                password: details.pass.expose_secret().to_owned(),
            },
            host: details.host.clone(),
            port: details.port,
        },
        vhost: details.vhost.clone(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT_SECONDS), ..AMQPQueryString::default() },
    }
}

/// The system's certificate authorities always count; `MQ_USE_SSL_CA` adds to them.
async fn tls_config(overrides: &MqOverrides) -> Result<OwnedTLSConfig, BrokerError> {
    let certificate = pem("MQ_USE_SSL_CERT", overrides.ssl_cert.as_deref()).await?;
    let key = overrides.ssl_key.as_ref().map(ExposeSecret::expose_secret);
    let identity = match (certificate, pem("MQ_USE_SSL_KEY", key).await?) {
        (Some(pem), Some(key)) => {
            Some(OwnedIdentity::PKCS8 { pem: pem.into_bytes(), key: key.into_bytes() })
        }
        (None, None) => None,
        _ => return Err(BrokerError::HalfAnIdentity),
    };
    let cert_chain = pem("MQ_USE_SSL_CA", overrides.ssl_ca.as_deref()).await?;
    Ok(OwnedTLSConfig { identity, cert_chain })
}

/// PEM text as it is, or the file it is in.
async fn pem(
    variable: &'static str,
    text_or_path: Option<&str>,
) -> Result<Option<String>, BrokerError> {
    match text_or_path {
        None => Ok(None),
        Some(text) if text.trim_start().starts_with("-----BEGIN") => Ok(Some(text.to_owned())),
        Some(path) => tokio::fs::read_to_string(path)
            .await
            .map(Some)
            .map_err(|source| BrokerError::TlsFile { variable, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_tls_file_names_its_variable_and_half_an_identity_is_refused() {
        let missing = MqOverrides {
            ssl_ca: Some("/does/not/exist.pem".to_owned()),
            ..MqOverrides::default()
        };
        let error = tls_config(&missing).await.unwrap_err().to_string();
        assert!(error.contains("MQ_USE_SSL_CA"), "{error}");

        let half = MqOverrides {
            ssl_cert: Some("-----BEGIN CERTIFICATE-----".to_owned()),
            ..MqOverrides::default()
        };
        assert!(matches!(tls_config(&half).await, Err(BrokerError::HalfAnIdentity)));
    }
}
