//! Back-pressure: while OpenCTI's workers are behind and the connector's queue holds
//! `CONNECTOR_QUEUE_THRESHOLD` megabytes or more, nothing is added to it.
//!
//! The platform tells the queue's size (the sum of the connector's two queues, 0 while it cannot
//! reach the broker's management API). It is asked once before anything is delivered, with every
//! heartbeat, and while deliveries go on or wait at most every [`LOOK_AGAIN`]: in between a
//! delivery goes by the last answer, so that a push never waits for the question. A platform that
//! does not answer, or whose user may not ask, holds nothing up.
//!
//! Does not live here: the waiting itself (`pipeline`), showing it (`service`, `heartbeat`).

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::OpenCti, error::OpenCtiError, operations::CONNECTOR_QUEUE, registration::Connector,
};

/// Shortest time between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Longest time between two: the size goes along with every heartbeat.
const LOOK_AT_LATEST: Duration = Duration::from_secs(40);

/// Bytes in the megabyte that the threshold counts in.
const MEGABYTE: f64 = 1e6;

/// The fill of the connector's queue.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QueueLoad {
    /// Its size in megabytes (10^6 bytes); 0 while it is not known.
    pub size_mb: f64,
    /// True where deliveries wait because of it.
    pub buffering: bool,
}

#[derive(Deserialize)]
struct Data {
    connector: Option<Found>,
}

#[derive(Deserialize)]
struct Found {
    connector_queue_details: Details,
}

#[derive(Deserialize)]
struct Details {
    messages_size: f64,
}

impl OpenCti {
    /// Bytes in the connector's queues, by `connector_queue_details` of the platform.
    ///
    /// # Errors
    /// [`OpenCtiError::Forbidden`] where the token's user lacks the capability `MODULES`, and
    /// whatever else a request can fail of.
    pub async fn queue_bytes(&self, connector_id: &str) -> Result<f64, OpenCtiError> {
        let variables = json!({ "id": connector_id });
        let found = self.call::<Data>(&CONNECTOR_QUEUE, variables).await?.connector;
        found
            .map(|connector| connector.connector_queue_details.messages_size)
            .ok_or(OpenCtiError::ConnectorUnknown)
    }
}

/// Watches the connector's queue.
#[derive(Debug)]
pub struct Backpressure {
    connector: Arc<Connector>,
    load: watch::Sender<QueueLoad>,
    /// Told when deliveries go on.
    busy: Notify,
}

impl Backpressure {
    /// For this connector's queue; holds nothing up before the first look.
    pub fn new(connector: Arc<Connector>) -> Self {
        Self { connector, load: watch::Sender::default(), busy: Notify::new() }
    }

    /// The load as it changes.
    pub fn load(&self) -> watch::Receiver<QueueLoad> {
        self.load.subscribe()
    }

    /// The threshold in megabytes.
    pub fn threshold_mb(&self) -> f64 {
        self.connector.settings().queue_threshold_mb
    }

    /// Says that something is about to be delivered: the size is looked at again soon.
    pub fn busy(&self) {
        self.busy.notify_one();
    }

    /// Waits until the queue has room, or `stop`.
    pub async fn relieved(&self, stop: &CancellationToken) {
        let mut load = self.load.subscribe();
        // The sender lives as long as `self`, and an end by `stop` needs no answer.
        let _ = stop.run_until_cancelled(load.wait_for(|load| !load.buffering)).await;
    }

    /// Asks the platform now.
    ///
    /// # Errors
    /// As [`OpenCti::queue_bytes`]; then nothing waits.
    pub async fn look(&self) -> Result<QueueLoad, OpenCtiError> {
        let asked = self.connector.platform().queue_bytes(&self.connector.settings().id).await;
        let load = asked.as_ref().map_or_else(
            |_unknown| QueueLoad::default(),
            |bytes| {
                let size_mb = bytes / MEGABYTE;
                QueueLoad { size_mb, buffering: size_mb >= self.threshold_mb() }
            },
        );
        self.load.send_if_modified(|before| std::mem::replace(before, load) != load);
        asked.map(|_bytes| load)
    }

    /// Looks at once, then again and again until `stop`. `looked` is told when the first answer, or
    /// its failure, is there. A failure is logged when it begins, changes and ends.
    pub async fn run(&self, looked: Arc<Notify>, stop: CancellationToken) {
        let mut trouble: Option<String> = None;
        let looking = async {
            loop {
                let failure = self.look().await.err().map(|failure| failure.to_string());
                looked.notify_one();
                if trouble != failure {
                    log_change(failure.as_deref());
                    trouble = failure;
                }
                sleep(LOOK_AGAIN).await;
                if !self.load.borrow().buffering {
                    // Woken or not, it is looked at next.
                    let _ =
                        timeout(LOOK_AT_LATEST.saturating_sub(LOOK_AGAIN), self.busy.notified())
                            .await;
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }
}

fn log_change(failure: Option<&str>) {
    if let Some(reason) = failure {
        tracing::warn!(
            reason,
            "the size of the connector's queue is not known, so deliveries do not wait for \
             CONNECTOR_QUEUE_THRESHOLD"
        );
    } else {
        tracing::info!("the size of the connector's queue is known again");
    }
}
