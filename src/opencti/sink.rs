//! Where bundles go. Two real implementations: OpenCTI's queue and a directory.

use async_trait::async_trait;

use crate::stix::Bundle;

/// Bundles that arrive together and are shown in OpenCTI as one work.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What an analyst reads as the work's name.
    pub title: String,
    /// What an analyst reads when the work is done.
    pub summary: String,
    /// The bundles, in the order in which they must leave.
    pub bundles: Vec<Bundle>,
}

/// Why a bundle was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The other side is not reachable or not ready: try again later, for as long as it takes.
    #[error("{0}")]
    Unavailable(String),
    /// This bundle can never be delivered as it is.
    #[error("{0}")]
    Refused(String),
}

/// Takes bundles and answers only when they are safe on the other side.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Name for logs and metrics (`queue`, `directory`).
    fn name(&self) -> &'static str;

    /// Delivers every bundle; one result a bundle, in the same order. `Ok` means confirmed by the
    /// broker, or synced to disk.
    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>>;
}
