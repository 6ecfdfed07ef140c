//! The sink that leads to OpenCTI: each delivery is one work, its bundles are published to the
//! connector's queue, and each message is confirmed by the broker before the answer is `Ok`.
//!
//! The order is fixed: register if need be, leave out what the broker confirmed recently, connect if
//! need be, open the work and note it in the ledger, announce how many objects will come, publish
//! all, wait for all confirms, close the work. A failure on the way
//! makes the bundles that are not fully confirmed `Unavailable`; they come again in another work,
//! which is harmless because ids are deterministic. After a failure on the broker's side the
//! connector registers again first: that brings back a deleted queue and tells where the broker is
//! now.
//!
//! Does not live here: the connection itself (`broker`), the messages (`message`), what may be left
//! out (`confirmed`), retries (`pipeline`).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm, options::BasicPublishOptions,
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    broker::{Broker, BrokerError, message_limit_in},
    confirmed::ConfirmedObjects,
    draft::DraftId,
    error::OpenCtiError,
    ledger::WorkLedger,
    load::Load,
    message::{self, Parcel},
    registration::{Connector, Registration},
    sink::{Delivery, DeliveryError, Sink},
    work::{CONTINUED, WorkId, WorkOutcome},
};
use crate::config::{Approval, MqOverrides};

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
    confirmed: Option<Arc<ConfirmedObjects>>,
    ledger: Option<Arc<dyn WorkLedger>>,
}

/// Why nothing could be sent.
enum NotOpened {
    /// The connector was deleted in OpenCTI.
    ConnectorUnknown,
    /// Something is not there.
    Unavailable(String),
}

/// Everything a delivery needs before the first message can go out.
struct Opened {
    registration: Arc<Registration>,
    broker: Arc<Broker>,
    channel: Channel,
    work: WorkId,
    draft: Option<DraftId>,
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
    /// The broker takes no message of more than so many bytes.
    TooLarge(usize),
}

impl Trouble {
    fn of(failure: &lapin::Error) -> Self {
        match message_limit_in(failure) {
            Some(limit_bytes) => Self::TooLarge(limit_bytes),
            None => Self::Broker(failure.to_string()),
        }
    }
}

impl QueueSink {
    /// For this connector; the broker is the one that registration answers, with the operator's
    /// overrides. Nothing is sent or connected yet.
    pub fn new(
        connector: Arc<Connector>,
        overrides: MqOverrides,
        max_message_bytes: usize,
    ) -> Self {
        Self {
            connector,
            overrides,
            max_message_bytes,
            broker: Mutex::new(None),
            confirmed: None,
            ledger: None,
        }
    }

    /// Leaves out what was confirmed recently.
    #[must_use]
    pub fn leaving_out(self, confirmed: Arc<ConfirmedObjects>) -> Self {
        Self { confirmed: Some(confirmed), ..self }
    }

    /// Tells `ledger` of every work.
    #[must_use]
    pub fn with_ledger(self, ledger: Arc<dyn WorkLedger>) -> Self {
        Self { ledger: Some(ledger), ..self }
    }

    /// Publishes parcels as one work; one result a parcel. `senders` are whose they are.
    async fn send(
        &self,
        delivery: &Delivery,
        parcels: &[&Parcel],
        senders: &[i64],
    ) -> Vec<Result<(), DeliveryError>> {
        let (opened, load) = match self.open(&delivery.title, parcels, senders).await {
            Ok(opened) => opened,
            Err(reason) => return vec![Err(DeliveryError::Unavailable(reason)); parcels.len()],
        };
        let published = publish(&opened, &load.parcels).await;
        let reason = match &published.trouble {
            None => String::new(),
            Some(trouble) => self.recover(trouble, &opened).await,
        };
        self.close(&opened.work, delivery, &published, load.total, &reason).await;
        if published.trouble.is_none() {
            load.is_confirmed(self.confirmed.as_deref());
            opened.broker.give_back(opened.channel);
        }
        load.parcels
            .iter()
            .zip(&published.confirmed)
            .map(|(parcel, confirmed)| {
                // After a return nobody can say which message it was: all go again. So does what
                // was left out of a parcel because another one held it.
                let safe = match &published.trouble {
                    None => *confirmed == parcel.contents.len(),
                    Some(Trouble::Broker(_) | Trouble::TooLarge(_)) => {
                        *confirmed == parcel.contents.len() && !parcel.leans
                    }
                    Some(Trouble::Unroutable) => false,
                };
                if safe { Ok(()) } else { Err(DeliveryError::Unavailable(reason.clone())) }
            })
            .collect()
    }

    /// Registers, connects and opens a work. A connector that was deleted in OpenCTI is registered
    /// again at once, and gets everything: nothing of before is known any more.
    async fn open(
        &self,
        title: &str,
        parcels: &[&Parcel],
        senders: &[i64],
    ) -> Result<(Opened, Load), String> {
        let mut registered_again = false;
        loop {
            let registration = self.connector.registration().await.map_err(|e| e.to_string())?;
            let load = Load::new(self.confirmed.as_deref(), &registration, parcels, senders);
            match self.open_work(&registration, title, &load).await {
                Ok(opened) => return Ok((opened, load)),
                Err(NotOpened::ConnectorUnknown) if !registered_again => {
                    registered_again = true;
                    self.connector.forget(&registration);
                }
                Err(NotOpened::ConnectorUnknown) => {
                    return Err(OpenCtiError::ConnectorUnknown.to_string());
                }
                Err(NotOpened::Unavailable(reason)) => return Err(reason),
            }
        }
    }

    async fn open_work(
        &self,
        registration: &Arc<Registration>,
        title: &str,
        load: &Load,
    ) -> Result<Opened, NotOpened> {
        let platform = self.connector.platform();
        let (broker, channel) = self.channel(registration).await.map_err(NotOpened::Unavailable)?;
        let work = match platform.open_work(&self.connector.settings().id, title).await {
            Ok(work) => work,
            Err(OpenCtiError::ConnectorUnknown) => return Err(NotOpened::ConnectorUnknown),
            Err(error) => return Err(NotOpened::Unavailable(error.to_string())),
        };
        let noted = match &self.ledger {
            Some(ledger) => ledger.opened(&work, &load.cargo).await,
            None => Ok(()),
        };
        let announced = match noted {
            Ok(()) => {
                self.announce(&work, title, load.total).await.map_err(|error| error.to_string())
            }
            Err(reason) => Err(reason),
        };
        match announced {
            Ok(draft) => {
                Ok(Opened { registration: Arc::clone(registration), broker, channel, work, draft })
            }
            Err(reason) => {
                self.delete(&work).await;
                Err(NotOpened::Unavailable(reason))
            }
        }
    }

    /// Makes the draft, if objects go to one, and tells how many will come.
    async fn announce(
        &self,
        work: &WorkId,
        title: &str,
        total: usize,
    ) -> Result<Option<DraftId>, OpenCtiError> {
        let platform = self.connector.platform();
        let draft = match self.connector.settings().sending.approval {
            Approval::NotNeeded => None,
            Approval::ByDraft => Some(platform.open_draft(title, work).await?),
        };
        platform.expect_objects(work, total).await?;
        Ok(draft)
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
            // Kept while it is blocked: only this connection hears when that is over.
            *current = Some(broker.clone());
            broker.ensure_takes_messages()?;
            match broker.channel().await {
                Ok(channel) => Ok((broker, channel)),
                Err(failure) => {
                    *current = None;
                    Err(failure)
                }
            }
        };
        opening.await.map_err(|error| {
            // The platform may tell another address or password by now.
            if !matches!(error, BrokerError::Blocked { .. }) {
                self.connector.forget(registration);
            }
            error.to_string()
        })
    }

    /// Makes the next delivery start afresh as far as needed, and says what happened.
    async fn recover(&self, trouble: &Trouble, opened: &Opened) -> String {
        match trouble {
            Trouble::Unroutable => {
                self.connector.forget(&opened.registration);
                "the connector's queue is gone from RabbitMQ; registering again with OpenCTI"
                    .to_owned()
            }
            Trouble::Broker(reason) => {
                if let Err(blocked) = opened.broker.ensure_takes_messages() {
                    return blocked.to_string();
                }
                self.connector.forget(&opened.registration);
                let mut current = self.broker.lock().await;
                if current.as_ref().is_some_and(|broker| Arc::ptr_eq(broker, &opened.broker)) {
                    *current = None;
                }
                format!("RabbitMQ did not confirm: {reason}")
            }
            Trouble::TooLarge(limit_bytes) => {
                opened.broker.set_message_limit(*limit_bytes);
                format!(
                    "RabbitMQ takes no message of more than {limit_bytes} bytes (its \
                     max_message_size); what is larger is left out from now on"
                )
            }
        }
    }

    /// Bytes of the largest message that can be sent.
    async fn message_limit(&self) -> usize {
        let current = self.broker.lock().await;
        let of_broker = current.as_ref().map_or(usize::MAX, |broker| broker.message_limit());
        of_broker.min(self.max_message_bytes)
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
                    "{confirmed} of {total} objects were queued, the rest {CONTINUED}: {reason}"
                );
                (message, WorkOutcome::Interrupted)
            }
        };
        let closed = (|| platform.close_work(work, &message, outcome))
            .retry(ExponentialBuilder::default().with_max_times(2))
            .when(OpenCtiError::is_retryable)
            .await;
        match closed {
            Ok(()) => self.tell(|ledger| ledger.closed(work)).await,
            Err(error) if error.is_work_gone() => self.tell(|ledger| ledger.deleted(work)).await,
            Err(error) => {
                tracing::warn!(
                    work_id = work.as_str(),
                    %error,
                    "a work in OpenCTI stays open for now and is closed later"
                );
                self.tell(|ledger| ledger.left_open(work, &message)).await;
            }
        }
    }

    async fn delete(&self, work: &WorkId) {
        match self.connector.platform().delete_work(work).await {
            Ok(()) => self.tell(|ledger| ledger.deleted(work)).await,
            Err(error) if error.is_work_gone() => self.tell(|ledger| ledger.deleted(work)).await,
            Err(error) => {
                tracing::warn!(
                    work_id = work.as_str(),
                    %error,
                    "an empty work stays in OpenCTI for now and is closed later"
                );
                let message = format!("nothing was sent; what was to be sent {CONTINUED}");
                self.tell(|ledger| ledger.left_open(work, &message)).await;
            }
        }
    }

    async fn tell<'a, F: Future<Output = ()>>(
        &'a self,
        what: impl FnOnce(&'a dyn WorkLedger) -> F,
    ) {
        if let Some(ledger) = &self.ledger {
            what(&**ledger).await;
        }
    }
}

#[async_trait]
impl Sink for QueueSink {
    fn name(&self) -> &'static str {
        "queue"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        let limit = self.message_limit().await;
        let parcels: Vec<_> =
            delivery.bundles.iter().map(|bundle| Parcel::pack(bundle, limit)).collect();
        let packed: Vec<&Parcel> =
            parcels.iter().filter_map(|parcel| parcel.as_ref().ok()).collect();
        let senders = parcels.iter().zip(&delivery.senders);
        let senders: Vec<i64> =
            senders.filter(|(parcel, _)| parcel.is_ok()).map(|(_, sender)| *sender).collect();
        let mut sent = match packed.as_slice() {
            [] => Vec::new(),
            packed => self.send(delivery, packed, &senders).await,
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
async fn publish(opened: &Opened, parcels: &[Parcel]) -> Published {
    let mut published =
        Published { confirmed: vec![0; parcels.len()], may_have_arrived: 0, trouble: None };
    let mut confirms = Vec::new();
    'parcels: for (index, parcel) in parcels.iter().enumerate() {
        for (position, content) in parcel.contents.iter().enumerate() {
            match publish_one(opened, content, position + 1).await {
                Ok(confirm) => confirms.push((index, confirm)),
                Err(trouble) => {
                    published.trouble = Some(trouble);
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
            Ok(Err(error)) => match Trouble::of(&error) {
                // What the broker says of the size explains every other failure on the channel.
                too_large @ Trouble::TooLarge(_) => published.trouble = Some(too_large),
                other => {
                    published.trouble.get_or_insert(other);
                }
            },
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
) -> Result<PublisherConfirm, Trouble> {
    let registration = &opened.registration;
    let applicant = registration.connector_user_id.as_deref();
    let body = message::body(content, sequence, applicant, &opened.work, opened.draft.as_ref());
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
        Ok(Err(error)) => Err(Trouble::of(&error)),
        Err(_) => Err(Trouble::Broker(stalled())),
    }
}

fn stalled() -> String {
    format!("nothing happened for {} s", STALL_TIMEOUT.as_secs())
}
