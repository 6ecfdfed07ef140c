//! Where bundles go. OpenCTI's queue, OpenCTI's API, a directory and S3.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;

use crate::stix::Bundle;

/// Bundles that arrive together and are shown in OpenCTI as one work.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// What an analyst reads as the work's name.
    pub title: String,
    /// What an analyst reads when the work is done.
    pub summary: String,
    /// The bundles, in the order in which they must leave.
    pub bundles: Vec<Arc<Bundle>>,
    /// Whose each bundle is, in the same order: a number that means something to the caller only,
    /// for what is said of the objects later. Empty: nothing is to be remembered of them.
    pub senders: Vec<i64>,
    /// Senders whose bundles leave whole, whatever was confirmed recently: OpenCTI refused something
    /// of them.
    pub whole: HashSet<i64>,
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
    /// Name for logs and metrics (`queue`, `api`, `directory`, `s3`).
    fn name(&self) -> &'static str;

    /// Delivers every bundle; one result a bundle, in the same order. `Ok` means confirmed by the
    /// broker, taken by the API, synced to disk or stored by S3.
    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>>;
}
