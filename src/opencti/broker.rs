//! The connection to RabbitMQ: one, long-lived, with publisher confirms on every channel.
//!
//! A channel serves one delivery at a time and is used again afterwards: a message that comes back
//! as unroutable can be told apart only by its order on its channel.
//!
//! Does not live here: what is published and what a failure means for a delivery (`queue`).

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties,
    options::ConfirmSelectOptions,
    runtime::default_runtime,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use parking_lot::Mutex;
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

/// The reason for which the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// TLS cannot be set up as configured.
    #[error(transparent)]
    Tls(#[from] BrokerTlsError),
    /// The broker has stopped taking messages.
    #[error(
        "RabbitMQ at {address} takes nothing at the moment: its memory or disk alarm is on \
         (`rabbitmqctl list_alarms` there says which)"
    )]
    Blocked {
        /// Host and port.
        address: String,
    },
    /// Connecting, logging in or opening a channel failed.
    #[error("RabbitMQ at {address} cannot be used: {reason}; {advice}")]
    Connect {
        /// Host and port.
        address: String,
        /// The failure.
        reason: String,
        /// The remedy for the operator.
        advice: String,
    },
}

/// The remedy for a failure that does not say more.
const CHECK_THE_WAY: &str = "check MQ_HOST, MQ_PORT, MQ_USE_SSL and the network (what is not set \
                             comes from OpenCTI's registration answer)";

/// An open connection.
pub(super) struct Broker {
    connection: Connection,
    details: BrokerConnection,
    idle: Mutex<Vec<Channel>>,
    /// Bytes of the largest message that it takes, once it has refused a larger one. It cannot
    /// change without a restart there, which ends this connection.
    message_limit: AtomicUsize,
}

impl Broker {
    /// Connects and logs in.
    pub(super) async fn connect(
        details: BrokerConnection,
        overrides: &MqOverrides,
    ) -> Result<Self, BrokerError> {
        let tls =
            if details.use_ssl { Some(broker_tls::connector(overrides).await?) } else { None };
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
        let message_limit = AtomicUsize::new(usize::MAX);
        Ok(Self { connection, details, idle: Mutex::default(), message_limit })
    }

    /// A channel with publisher confirms on.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        let idle = self.idle.lock().pop();
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
        self.idle.lock().push(channel);
    }

    /// Returns whether it is open and leads where `details` say.
    pub(super) fn serves(&self, details: &BrokerConnection) -> bool {
        let ours = &self.details;
        self.connection.status().connected()
            && (&ours.host, ours.port, &ours.vhost, ours.use_ssl, &ours.user)
                == (&details.host, details.port, &details.vhost, details.use_ssl, &details.user)
            && ours.pass.expose_secret() == details.pass.expose_secret()
    }

    /// Fails while the broker takes nothing, because memory or disk run short there. It says so
    /// only to a connection that tried to publish, and says there when it is over.
    pub(super) fn ensure_takes_messages(&self) -> Result<(), BrokerError> {
        if self.connection.status().blocked() {
            return Err(BrokerError::Blocked { address: address(&self.details) });
        }
        Ok(())
    }

    /// Bytes of the largest message that it is known to take.
    pub(super) fn message_limit(&self) -> usize {
        self.message_limit.load(Ordering::Relaxed)
    }

    /// Remembers what [`message_limit_in`] found.
    pub(super) fn set_message_limit(&self, size_bytes: usize) {
        self.message_limit.store(size_bytes, Ordering::Relaxed);
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

/// Bytes of the largest message that the broker takes, when that is why it closed the channel: `406
/// PRECONDITION_FAILED - message size 200 is larger than configured max size 100`, RabbitMQ 3.8 to 4.
pub(super) fn message_limit_in(failure: &lapin::Error) -> Option<usize> {
    let lapin::ErrorKind::ProtocolError(error) = failure.kind() else { return None };
    let text = error.get_message().to_string();
    let (_refused, limit) = text.split_once("larger than configured max size ")?;
    limit.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn address(details: &BrokerConnection) -> String {
    format!("{}:{}", details.host, details.port)
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
        address: address(details),
        reason,
        advice: advice.unwrap_or_else(|| CHECK_THE_WAY.to_owned()),
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
