//! The sink that leads to OpenCTI: each delivery is one work, its bundles are published to the
//! connector's queue, and each message is confirmed by the broker before the answer is `Ok`.
//!
//! The order is fixed: register if need be, leave out what the broker confirmed recently, connect if
//! need be, open the work and note it in the journal, announce how many objects will come, make the
//! draft if there is to be one, publish all, wait for all confirms, close the work. A failure on the way
//! makes the bundles that are not fully confirmed `Unavailable`; they come again in another work, which
//! is harmless because ids are deterministic. After a failure on the broker's side the connector
//! registers again first: that brings back a deleted queue and tells where the broker is now.
//!
//! Does not live here: the connection itself (`broker`), the messages (`message`) and their confirms
//! (`publish`), what may be left out (`confirmed`), retries (`pipeline`).

use std::sync::Arc;

use async_trait::async_trait;
use lapin::Channel;
use tokio::sync::Mutex;

use super::{
    broker::{Broker, BrokerError},
    confirmed::ConfirmedObjects,
    draft::DraftId,
    error::OpenCtiError,
    load::Load,
    message::Parcel,
    publish::{Opened, Published, STALL_TIMEOUT, Trouble, publish},
    registration::{Connector, Registration},
    sink::{Delivery, DeliveryError, Sink},
    work::{CONTINUED, WorkId, WorkOutcome},
    works::{NotOpened, Works},
};
use crate::{
    clock::Clock,
    config::{Approval, MqOverrides},
    journal::Journal,
};

/// Largest message by default: what RabbitMQ 4 takes by its own default. In bytes.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Publishes to the connector's queue.
pub struct QueueSink {
    connector: Arc<Connector>,
    overrides: MqOverrides,
    max_message_bytes: usize,
    broker: Mutex<Option<Arc<Broker>>>,
    confirmed: Option<Arc<ConfirmedObjects>>,
    works: Works,
}

impl QueueSink {
    /// For this connector; the broker is the one that registration answers, with the operator's
    /// overrides. Nothing is sent or connected yet.
    pub fn new(
        connector: Arc<Connector>,
        overrides: MqOverrides,
        max_message_bytes: usize,
    ) -> Self {
        let works = Works::new(Arc::clone(&connector));
        let broker = Mutex::new(None);
        Self { connector, overrides, max_message_bytes, broker, confirmed: None, works }
    }

    /// Leaves out what was confirmed recently.
    #[must_use]
    pub fn leaving_out(self, confirmed: Arc<ConfirmedObjects>) -> Self {
        Self { confirmed: Some(confirmed), ..self }
    }

    /// Notes every work in `journal`.
    #[must_use]
    pub fn noting_works(mut self, journal: Journal, clock: Clock) -> Self {
        self.works.note_in(journal, clock);
        self
    }

    /// Publishes parcels as one work; one result a parcel. `senders` are whose they are.
    async fn send(
        &self,
        delivery: &Delivery,
        parcels: &[&Parcel],
        senders: &[i64],
    ) -> Vec<Result<(), DeliveryError>> {
        let (opened, load) = match self.open(delivery, parcels, senders).await {
            Ok(opened) => opened,
            Err(reason) => return vec![Err(DeliveryError::Unavailable(reason)); parcels.len()],
        };
        let may_leave = |index| delivery.leases.holds(senders.get(index));
        let published = publish(&opened, &load.parcels, may_leave).await;
        let reason = match &published.trouble {
            None => "the leases of some events had ended".to_owned(),
            Some(trouble) => self.recover(trouble, &opened).await,
        };
        self.close(&opened, delivery, &published, load.total, &reason).await;
        if published.trouble.is_none() {
            load.is_confirmed(self.confirmed.as_deref(), |index| {
                published.held_back[index].is_none()
            });
            opened.broker.give_back(opened.channel);
        }
        let results = published.held_back.into_iter().enumerate();
        results
            .map(|(index, held_back)| {
                let (parcel, confirmed) = (&load.parcels[index], published.confirmed[index]);
                if let Some(held_back) = held_back {
                    return Err(held_back);
                }
                // After a return nobody can say which message it was: all go again. So does what
                // was left out of a parcel because another one held it.
                let safe = match &published.trouble {
                    None => confirmed == parcel.contents.len(),
                    Some(Trouble::Broker(_) | Trouble::TooLarge(_) | Trouble::Stalled) => {
                        confirmed == parcel.contents.len() && !parcel.leans
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
        delivery: &Delivery,
        parcels: &[&Parcel],
        senders: &[i64],
    ) -> Result<(Opened, Load), String> {
        let mut registered_again = false;
        loop {
            let registration = self.connector.registration().await.map_err(|e| e.to_string())?;
            let confirmed = self.confirmed.as_deref();
            let load = Load::new(confirmed, &registration, parcels, senders, &delivery.whole);
            match self.open_work(&registration, &delivery.title, &load).await {
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
        let (broker, channel) = self.channel(registration).await.map_err(NotOpened::Unavailable)?;
        let work = self.works.open(title, &load.parts).await?;
        match self.announce(&work, title, load.total).await {
            Ok(draft) => {
                Ok(Opened { registration: Arc::clone(registration), broker, channel, work, draft })
            }
            Err(error) => {
                self.works.delete(&work).await;
                Err(NotOpened::Unavailable(error.to_string()))
            }
        }
    }

    /// Tells how many objects will come, and makes the draft, if they go to one.
    async fn announce(
        &self,
        work: &WorkId,
        title: &str,
        total: usize,
    ) -> Result<Option<DraftId>, OpenCtiError> {
        let platform = self.connector.platform();
        platform.expect_objects(work, total).await?;
        Ok(match self.connector.settings().sending.approval {
            Approval::NotNeeded => None,
            Approval::ByDraft => Some(platform.open_draft(title, work).await?),
        })
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
            Trouble::Broker(_) | Trouble::Stalled => {
                if let Err(blocked) = opened.broker.ensure_takes_messages() {
                    return blocked.to_string();
                }
                self.connector.forget(&opened.registration);
                let mut current = self.broker.lock().await;
                if current.as_ref().is_some_and(|broker| Arc::ptr_eq(broker, &opened.broker)) {
                    *current = None;
                }
                match trouble {
                    Trouble::Broker(reason) => format!("RabbitMQ did not confirm: {reason}"),
                    _ => format!(
                        "RabbitMQ did not confirm: nothing happened for {} s",
                        STALL_TIMEOUT.as_secs()
                    ),
                }
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

    /// Closes the work, or deletes it, and its draft, when nothing of it can have reached the queue.
    /// A failure here does not undo what was confirmed.
    async fn close(
        &self,
        opened: &Opened,
        delivery: &Delivery,
        published: &Published,
        total: usize,
        reason: &str,
    ) {
        let work = &opened.work;
        let confirmed: usize = published.confirmed.iter().sum();
        match &published.trouble {
            None if confirmed == total => {
                self.works.close(work, &delivery.summary, WorkOutcome::Published).await;
            }
            _ if published.may_have_arrived == 0 => {
                self.works.delete(work).await;
                if let Some(draft) = &opened.draft {
                    self.connector.platform().discard_draft(draft).await;
                }
            }
            _ => {
                let message = format!(
                    "{confirmed} of {total} objects were queued, the rest {CONTINUED}: {reason}"
                );
                self.works.close_short(work, &message, total - confirmed).await;
            }
        }
    }
}

#[async_trait]
impl Sink for QueueSink {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn opens_works(&self) -> bool {
        true
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
