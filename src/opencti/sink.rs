//! Sinks of bundles: OpenCTI's queue, OpenCTI's API, a directory and S3.

use std::{collections::HashSet, fmt, sync::Arc};

use async_trait::async_trait;

use crate::stix::Bundle;

/// Bundles that arrive together and are shown in OpenCTI as one work.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The work's name, which an analyst reads.
    pub title: String,
    /// The work's message, which an analyst reads when it is done.
    pub summary: String,
    /// The bundles, in the order in which they must leave.
    pub bundles: Vec<Arc<Bundle>>,
    /// The sender of each bundle, in the same order: a number that means something to the caller only,
    /// for what is said of the objects later. Empty: nothing is to be remembered of them.
    pub senders: Vec<i64>,
    /// Senders whose bundles leave whole, whatever was confirmed recently: OpenCTI refused something
    /// of them.
    pub whole: HashSet<i64>,
    /// Says, immediately before the first message of a bundle, whether its sender may still send.
    pub leases: LeaseCheck,
}

/// Tells whether senders still hold the leases of what they send.
#[derive(Clone, Default)]
pub struct LeaseCheck(Option<Arc<dyn Fn(i64) -> bool + Send + Sync>>);

impl LeaseCheck {
    /// Asks `holds` of each sender. The default holds for everybody.
    pub fn new(holds: impl Fn(i64) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(holds)))
    }

    /// Returns whether this sender's lease has not ended. A bundle without a sender has no lease.
    pub fn holds(&self, sender: Option<&i64>) -> bool {
        match (&self.0, sender) {
            (Some(holds), Some(sender)) => holds(*sender),
            _ => true,
        }
    }
}

impl fmt::Debug for LeaseCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LeaseCheck")
    }
}

impl Delivery {
    /// Returns whether the bundle at this position may begin to leave now.
    pub(super) fn may_leave(&self, position: usize) -> bool {
        self.leases.holds(self.senders.get(position))
    }
}

/// The reason for which a bundle was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The other side is not reachable or not ready: try again later, for as long as it takes.
    #[error("{0}")]
    Unavailable(String),
    /// This bundle can never be delivered as it is.
    #[error("{0}")]
    Refused(String),
    /// The lease of its sender had ended before anything of it left: it is left to whoever holds the
    /// event now.
    #[error("its lease had ended")]
    LeaseLost,
    /// Nothing of it left, since it shares objects with a bundle whose lease had ended. Its own lease
    /// holds, and the sink is well: it may be tried again at once.
    #[error("an event with which it shares objects did not leave: its lease had ended")]
    HeldBack,
    /// The sink panicked over it.
    #[error("a defect: its delivery broke off")]
    BrokeOff,
}

/// Takes bundles and answers only when they are safe on the other side.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Name for logs and metrics (`queue`, `api`, `directory`, `s3`).
    fn name(&self) -> &'static str;

    /// Returns whether it opens works in OpenCTI, which must be closed when it panics.
    fn opens_works(&self) -> bool {
        false
    }

    /// Delivers every bundle; one result a bundle, in the same order. `Ok` means confirmed by the
    /// broker, taken by the API, synced to disk or stored by S3.
    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>>;
}
