//! Publishes the messages of a delivery and collects the broker's confirms.
//!
//! Immediately before the first message of a bundle is handed over it is asked whether the bundle may
//! still leave (`LeaseCheck`). What was handed over may stand in lapin's queue or in the socket's
//! buffer while this process stands still, and leaves when it goes on; so at most [`WINDOW_BYTES`] of
//! it, and the messages of one bundle, are unconfirmed at a time.
//!
//! Does not live here: what is opened before and closed after (`queue`).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, PublisherConfirm, options::BasicPublishOptions,
};
use tokio::time::timeout;

use super::{
    broker::{Broker, message_limit_in},
    draft::DraftId,
    message::{self, Parcel},
    registration::Registration,
    sink::DeliveryError,
    work::WorkId,
};

/// Longest time without a message taken or confirmed before a delivery is given up.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of messages that may be unconfirmed when another bundle begins to leave: a few alerts, with
/// which a broker is busy for longer than it takes to confirm them.
const WINDOW_BYTES: usize = 256 << 10;

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

/// The outcome of the messages.
pub(super) struct Published {
    /// Messages confirmed, a count for each parcel.
    pub(super) confirmed: Vec<usize>,
    /// The reason for which nothing of a parcel left, for each parcel; `None`: it left, or trouble came first.
    pub(super) held_back: Vec<Option<DeliveryError>>,
    /// Messages that the broker may hold, confirmed or not.
    pub(super) may_have_arrived: usize,
    /// The trouble that stopped it, if any.
    pub(super) trouble: Option<Trouble>,
}

impl Published {
    fn nothing_yet(parcels: usize) -> Self {
        Self {
            confirmed: vec![0; parcels],
            held_back: vec![None; parcels],
            may_have_arrived: 0,
            trouble: None,
        }
    }

    /// Holds a parcel back whose lease has ended, or which is only whole together with such a one.
    fn holds_back(&mut self, index: usize, parcel: &Parcel, may_leave: bool) -> bool {
        let shares = || parcel.leans && self.held_back.iter().any(Option::is_some);
        let reason = if !may_leave {
            DeliveryError::LeaseLost
        } else if shares() {
            DeliveryError::HeldBack
        } else {
            return false;
        };
        self.held_back[index] = Some(reason);
        true
    }

    /// Waits for the confirm of one message.
    async fn collect(&mut self, unconfirmed: Unconfirmed) {
        match timeout(STALL_TIMEOUT, unconfirmed.confirm).await {
            Ok(Ok(Confirmation::Ack(None))) => {
                metrics::counter!("confirmed_messages_total").increment(1);
                self.confirmed[unconfirmed.parcel] += 1;
            }
            Ok(Ok(Confirmation::Ack(Some(_)))) => {
                self.may_have_arrived -= 1;
                self.trouble = Some(Trouble::Unroutable);
            }
            Ok(Ok(_)) => {
                self.trouble.get_or_insert(Trouble::Broker("message refused".to_owned()));
            }
            Ok(Err(error)) => match Trouble::of(&error) {
                // What the broker says of the size explains every other failure on the channel.
                too_large @ Trouble::TooLarge(_) => self.trouble = Some(too_large),
                other => {
                    self.trouble.get_or_insert(other);
                }
            },
            Err(_) => {
                self.trouble.get_or_insert(Trouble::Stalled);
            }
        }
    }
}

/// Messages that were handed over and are not confirmed yet, in order.
#[derive(Default)]
struct Window {
    messages: VecDeque<Unconfirmed>,
    bytes: usize,
}

/// One of them.
struct Unconfirmed {
    /// Position of its parcel.
    parcel: usize,
    bytes: usize,
    confirm: PublisherConfirm,
}

impl Window {
    fn push(&mut self, message: Unconfirmed) {
        self.bytes += message.bytes;
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<Unconfirmed> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.bytes;
        Some(message)
    }
}

pub(super) enum Trouble {
    /// The connector's queue or exchange is gone.
    Unroutable,
    /// The connection or the broker failed.
    Broker(String),
    /// The broker takes no message of more than so many bytes.
    TooLarge(usize),
    /// Nothing was taken or confirmed for [`STALL_TIMEOUT`].
    Stalled,
}

impl Trouble {
    fn of(failure: &lapin::Error) -> Self {
        match message_limit_in(failure) {
            Some(limit_bytes) => Self::TooLarge(limit_bytes),
            None => Self::Broker(failure.to_string()),
        }
    }
}

/// Publishes the parcels, with a bounded number of messages unconfirmed at a time, and collects all
/// confirms. `may_leave` is asked of each parcel, by its position, immediately before its first message
/// is handed over.
pub(super) async fn publish(
    opened: &Opened,
    parcels: &[Parcel],
    may_leave: impl Fn(usize) -> bool,
) -> Published {
    let mut published = Published::nothing_yet(parcels.len());
    let mut window = Window::default();
    'parcels: for (index, parcel) in parcels.iter().enumerate() {
        while window.bytes > WINDOW_BYTES
            && published.trouble.is_none()
            && let Some(message) = window.pop()
        {
            published.collect(message).await;
        }
        if published.trouble.is_some() {
            break;
        }
        if published.holds_back(index, parcel, may_leave(index)) {
            continue;
        }
        for (position, content) in parcel.contents.iter().enumerate() {
            match publish_one(opened, content, position + 1).await {
                Ok((confirm, bytes)) => {
                    window.push(Unconfirmed { parcel: index, bytes, confirm });
                    published.may_have_arrived += 1;
                    metrics::counter!("published_messages_total").increment(1);
                }
                Err(trouble) => {
                    published.trouble = Some(trouble);
                    break 'parcels;
                }
            }
        }
    }
    while !matches!(published.trouble, Some(Trouble::Stalled))
        && let Some(message) = window.pop()
    {
        published.collect(message).await;
    }
    published
}

/// Hands a message over; answers where its confirm comes, and its bytes.
async fn publish_one(
    opened: &Opened,
    content: &str,
    sequence: usize,
) -> Result<(PublisherConfirm, usize), Trouble> {
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
        Ok(Ok(confirm)) => Ok((confirm, body.len())),
        Ok(Err(error)) => Err(Trouble::of(&error)),
        Err(_) => Err(Trouble::Stalled),
    }
}
