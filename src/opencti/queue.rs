//! The sink that leads to OpenCTI: each delivery is one work, its bundles are published to the
//! connector's queue, and each message is confirmed by the broker before the answer is `Ok`.
//!
//! The order is fixed: register if need be, connect if need be, open the work, announce how many
//! objects will come, publish all, wait for all confirms, close the work. A failure on the way
//! makes the bundles that are not fully confirmed `Unavailable`; they come again in another work,
//! which is harmless because ids are deterministic. After a failure on the broker's side the
//! connector registers again first: that brings back a deleted queue and tells where the broker is
//! now.
//!
//! Does not live here: the connection itself (`broker`), the messages (`message`), retries
//! (`pipeline`).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm, options::BasicPublishOptions,
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    broker::Broker,
    error::OpenCtiError,
    message::{self, Parcel},
    registration::{Connector, Registration},
    sink::{Delivery, DeliveryError, Sink},
    work::{WorkId, WorkOutcome},
};
use crate::config::MqOverrides;

/// Largest message by default: what RabbitMQ 4 takes by its own default. In bytes.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Longest time without a message taken or confirmed before a delivery is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Kept on disk by the broker.
const PERSISTENT: u8 = 2;

/// Publishes to the connector's queue.
pub struct QueueSink {
    connector: Arc<Connector>,
    overrides: MqOverrides,
    max_message_bytes: usize,
    broker: Mutex<Option<Arc<Broker>>>,
}

/// Everything a delivery needs before the first message can go out.
struct Opened {
    registration: Arc<Registration>,
    broker: Arc<Broker>,
    channel: Channel,
    work: WorkId,
}

/// What became of the messages.
struct Published {
    /// Messages confirmed, a count for each parcel.
    confirmed: Vec<usize>,
    /// Messages that the broker may hold, confirmed or not.
    may_have_arrived: usize,
    /// What stopped it, if anything.
    trouble: Option<Trouble>,
}

enum Trouble {
    /// The connector's queue or exchange is gone.
    Unroutable,
    /// The connection or the broker failed.
    Broker(String),
}

impl QueueSink {
    /// For this connector; the broker is the one that registration answers, with the operator's
    /// overrides. Nothing is sent or connected yet.
    pub fn new(
        connector: Arc<Connector>,
        overrides: MqOverrides,
        max_message_bytes: usize,
    ) -> Self {
        Self { connector, overrides, max_message_bytes, broker: Mutex::new(None) }
    }

    /// Publishes parcels as one work; one result a parcel.
    async fn send(
        &self,
        delivery: &Delivery,
        parcels: &[&Parcel],
    ) -> Vec<Result<(), DeliveryError>> {
        let total: usize = parcels.iter().map(|parcel| parcel.contents.len()).sum();
        let opened = match self.open(&delivery.title, total).await {
            Ok(opened) => opened,
            Err(reason) => return vec![Err(DeliveryError::Unavailable(reason)); parcels.len()],
        };
        let published = publish(&opened, parcels).await;
        let reason = match &published.trouble {
            None => String::new(),
            Some(trouble) => self.recover(trouble, &opened).await,
        };
        self.close(&opened.work, delivery, &published, total, &reason).await;
        if published.trouble.is_none() {
            opened.broker.give_back(opened.channel);
        }
        parcels
            .iter()
            .zip(&published.confirmed)
            .map(|(parcel, confirmed)| {
                // After a return nobody can say which message it was: all go again.
                let safe = *confirmed == parcel.contents.len()
                    && !matches!(published.trouble, Some(Trouble::Unroutable));
                if safe { Ok(()) } else { Err(DeliveryError::Unavailable(reason.clone())) }
            })
            .collect()
    }

    /// Registers, connects and opens a work for `total` objects. A connector that was deleted in
    /// OpenCTI is registered again at once.
    async fn open(&self, title: &str, total: usize) -> Result<Opened, String> {
        let platform = self.connector.platform();
        let mut registered_again = false;
        loop {
            let registration = self.connector.registration().await.map_err(|e| e.to_string())?;
            let (broker, channel) = self.channel(&registration).await?;
            match platform.open_work(&self.connector.settings().id, title).await {
                Ok(work) => {
                    if let Err(error) = platform.expect_objects(&work, total).await {
                        self.delete(&work).await;
                        return Err(error.to_string());
                    }
                    return Ok(Opened { registration, broker, channel, work });
                }
                Err(OpenCtiError::ConnectorUnknown) if !registered_again => {
                    registered_again = true;
                    self.connector.forget(&registration);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// A channel on the open connection, or on a new one.
    async fn channel(
        &self,
        registration: &Arc<Registration>,
    ) -> Result<(Arc<Broker>, Channel), String> {
        let details = registration.connection.clone().with_overrides(&self.overrides);
        let mut current = self.broker.lock().await;
        let opening = async {
            let broker = match current.take().filter(|broker| broker.serves(&details)) {
                Some(broker) => broker,
                None => Arc::new(Broker::connect(details, &self.overrides).await?),
            };
            let channel = broker.channel().await?;
            *current = Some(broker.clone());
            Ok::<_, super::BrokerError>((broker, channel))
        };
        opening.await.map_err(|error| {
            // The platform may tell another address or password by now.
            self.connector.forget(registration);
            error.to_string()
        })
    }

    /// Makes the next delivery start afresh, and says what happened.
    async fn recover(&self, trouble: &Trouble, opened: &Opened) -> String {
        self.connector.forget(&opened.registration);
        match trouble {
            Trouble::Unroutable => {
                "the connector's queue is gone from RabbitMQ; registering again with OpenCTI"
                    .to_owned()
            }
            Trouble::Broker(reason) => {
                let mut current = self.broker.lock().await;
                if current.as_ref().is_some_and(|broker| Arc::ptr_eq(broker, &opened.broker)) {
                    *current = None;
                }
                let blocked = if opened.broker.is_blocked() {
                    " (it takes nothing at the moment: its memory or disk alarm is on)"
                } else {
                    ""
                };
                format!("RabbitMQ did not confirm: {reason}{blocked}")
            }
        }
    }

    /// Closes the work, or deletes it when nothing of it can have reached the queue. A failure
    /// here does not undo what was confirmed.
    async fn close(
        &self,
        work: &WorkId,
        delivery: &Delivery,
        published: &Published,
        total: usize,
        reason: &str,
    ) {
        let platform = self.connector.platform();
        let (message, outcome) = match &published.trouble {
            None => (delivery.summary.clone(), WorkOutcome::Published),
            Some(_) if published.may_have_arrived == 0 => return self.delete(work).await,
            Some(_) => {
                let confirmed: usize = published.confirmed.iter().sum();
                let message = format!(
                    "{confirmed} of {total} objects were queued, the rest comes in another work: \
                     {reason}"
                );
                (message, WorkOutcome::Interrupted)
            }
        };
        let closed = (|| platform.close_work(work, &message, outcome))
            .retry(ExponentialBuilder::default().with_max_times(2))
            .when(OpenCtiError::is_retryable)
            .await;
        if let Err(error) = closed {
            tracing::warn!(work_id = work.as_str(), %error, "the work in OpenCTI stays open");
        }
    }

    async fn delete(&self, work: &WorkId) {
        if let Err(error) = self.connector.platform().delete_work(work).await {
            tracing::warn!(work_id = work.as_str(), %error, "an empty work stays in OpenCTI");
        }
    }
}

#[async_trait]
impl Sink for QueueSink {
    fn name(&self) -> &'static str {
        "queue"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        let parcels: Vec<_> = delivery
            .bundles
            .iter()
            .map(|bundle| Parcel::pack(bundle, self.max_message_bytes))
            .collect();
        let packed: Vec<&Parcel> =
            parcels.iter().filter_map(|parcel| parcel.as_ref().ok()).collect();
        let mut sent = match packed.as_slice() {
            [] => Vec::new(),
            packed => self.send(delivery, packed).await,
        }
        .into_iter();
        parcels
            .iter()
            .map(|parcel| match parcel {
                Ok(_) => sent.next().expect("`send` answers once for each parcel"),
                Err(refused) => Err(refused.clone()),
            })
            .collect()
    }
}

/// Publishes everything without waiting in between, then collects the confirms.
async fn publish(opened: &Opened, parcels: &[&Parcel]) -> Published {
    let mut published =
        Published { confirmed: vec![0; parcels.len()], may_have_arrived: 0, trouble: None };
    let mut confirms = Vec::new();
    'parcels: for (index, parcel) in parcels.iter().enumerate() {
        for (position, content) in parcel.contents.iter().enumerate() {
            match publish_one(opened, content, position + 1).await {
                Ok(confirm) => confirms.push((index, confirm)),
                Err(reason) => {
                    published.trouble = Some(Trouble::Broker(reason));
                    break 'parcels;
                }
            }
        }
    }
    published.may_have_arrived = confirms.len();
    metrics::counter!("published_messages_total").increment(confirms.len() as u64);
    for (index, confirm) in confirms {
        match timeout(STALL_TIMEOUT, confirm).await {
            Ok(Ok(Confirmation::Ack(None))) => {
                metrics::counter!("confirmed_messages_total").increment(1);
                published.confirmed[index] += 1;
            }
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                published.may_have_arrived -= 1;
                published.trouble = Some(Trouble::Unroutable);
            }
            Ok(Ok(_)) => {
                published.trouble.get_or_insert(Trouble::Broker("message refused".to_owned()));
            }
            Ok(Err(error)) => {
                published.trouble.get_or_insert(Trouble::Broker(error.to_string()));
            }
            Err(_) => {
                published.trouble.get_or_insert(Trouble::Broker(stalled()));
                break;
            }
        }
    }
    published
}

async fn publish_one(
    opened: &Opened,
    content: &str,
    sequence: usize,
) -> Result<PublisherConfirm, String> {
    let registration = &opened.registration;
    let applicant = registration.connector_user_id.as_deref();
    let body = message::body(content, sequence, applicant, &opened.work);
    let publishing = opened.channel.basic_publish(
        registration.push_exchange.as_str().into(),
        registration.push_routing.as_str().into(),
        BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() },
        &body,
        BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_encoding("utf-8".into()),
    );
    match timeout(STALL_TIMEOUT, publishing).await {
        Ok(Ok(confirm)) => Ok(confirm),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(stalled()),
    }
}

fn stalled() -> String {
    format!("nothing happened for {} s", STALL_TIMEOUT.as_secs())
}
