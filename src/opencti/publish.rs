//! Publishes the messages of a delivery and collects the broker's confirms.
//!
//! Does not live here: what is opened before and closed after (`queue`).

use std::{sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm, options::BasicPublishOptions,
};
use tokio::time::timeout;

use super::{
    broker::{Broker, message_limit_in},
    draft::DraftId,
    message::{self, Parcel},
    registration::Registration,
    work::WorkId,
};

/// Longest time without a message taken or confirmed before a delivery is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Kept on disk by the broker.
const PERSISTENT: u8 = 2;

/// Everything a delivery needs before the first message can go out.
pub(super) struct Opened {
    pub(super) registration: Arc<Registration>,
    pub(super) broker: Arc<Broker>,
    pub(super) channel: Channel,
    pub(super) work: WorkId,
    pub(super) draft: Option<DraftId>,
}

/// What became of the messages.
pub(super) struct Published {
    /// Messages confirmed, a count for each parcel.
    pub(super) confirmed: Vec<usize>,
    /// Messages that the broker may hold, confirmed or not.
    pub(super) may_have_arrived: usize,
    /// What stopped it, if anything.
    pub(super) trouble: Option<Trouble>,
}

pub(super) enum Trouble {
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

/// Publishes everything without waiting in between, then collects the confirms.
pub(super) async fn publish(opened: &Opened, parcels: &[Parcel]) -> Published {
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
