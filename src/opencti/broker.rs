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
    AsyncTcpStream, Channel, Connection, ConnectionProperties,
    options::ConfirmSelectOptions,
    runtime::default_runtime,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::{
    broker_tls::{self, BrokerTlsError},
    registration::BrokerConnection,
};
use crate::{config::MqOverrides, outbound};

/// Longest wait for a connection or a channel.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Seconds between two AMQP heartbeats, as other connectors ask for: a dead peer is noticed within
/// twice that.
const HEARTBEAT_SECONDS: u16 = 10;

/// Why the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// TLS cannot be set up as configured.
    #[error(transparent)]
    Tls(#[from] BrokerTlsError),
    /// Connecting, logging in or opening a channel failed.
    #[error("RabbitMQ at {address} cannot be used: {reason}; {advice}")]
    Connect {
        /// Host and port.
        address: String,
        /// What went wrong.
        reason: String,
        /// What the operator can do.
        advice: &'static str,
    },
}

/// What to do about a failure that does not say more.
const CHECK_THE_WAY: &str = "check MQ_HOST, MQ_PORT, MQ_USE_SSL and the network (what is not set \
                             comes from OpenCTI's registration answer)";

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
        let tls = match details.use_ssl {
            true => Some(broker_tls::connector(overrides).await?),
            false => None,
        };
        let opening = async {
            let properties =
                ConnectionProperties::default().with_connection_name(outbound::USER_AGENT.into());
            let runtime = default_runtime()?;
            Connection::connector(
                uri(&details),
                runtime,
                async move |uri, runtime| {
                    let (host, port) = (uri.authority.host, uri.authority.port);
                    let addresses = runtime.to_socket_addrs((host.clone(), port));
                    let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                    Ok(match &tls {
                        Some(tls) => stream.into_rustls(tls, &host).await?,
                        None => stream,
                    })
                },
                properties,
            )
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
    let (reason, advice) = match timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok(open)) => return Ok(open),
        Ok(Err(error)) => {
            let advice = details.use_ssl.then(|| broker_tls::advice(&error)).flatten();
            (error.to_string(), advice)
        }
        Err(_) => (format!("no answer within {} s", OPEN_TIMEOUT.as_secs()), None),
    };
    Err(BrokerError::Connect {
        address: format!("{}:{}", details.host, details.port),
        reason,
        advice: advice.unwrap_or(CHECK_THE_WAY),
    })
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
