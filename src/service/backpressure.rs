//! Says that deliveries wait for room in OpenCTI's queue: to the log, the health page and the
//! metrics.
//!
//! Does not live here: measuring the queue (`opencti`), the waiting (`pipeline`).

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{ServicePart, parts::Parts};
use crate::{
    health::{Health, Part},
    opencti::{Backpressure, QueueLoad},
};

/// Looks at the queue until `stop`, and tells what is seen. The first look is over when this
/// returns.
pub(super) async fn watch(
    pressure: &Arc<Backpressure>,
    health: &Arc<Health>,
    parts: &Parts,
    stop: &CancellationToken,
) {
    let looked = Arc::new(Notify::new());
    let (watching, told) = (Arc::clone(pressure), Arc::clone(&looked));
    let (load, threshold_mb) = (pressure.load(), pressure.threshold_mb());
    let stopped = stop.clone();
    parts.spawn(ServicePart::QueueWatch, async move { watching.run(told, stopped).await });
    let (health, stopped) = (Arc::clone(health), stop.clone());
    parts.spawn(ServicePart::QueueWatch, async move {
        stopped.run_until_cancelled(tell(load, threshold_mb, &health)).await;
    });
    stop.run_until_cancelled(looked.notified()).await;
}

/// Tells every change, and the log only when the waiting begins and ends.
async fn tell(mut load: watch::Receiver<QueueLoad>, threshold_mb: f64, health: &Health) {
    let mut was_buffering = false;
    loop {
        let QueueLoad { size_mb, buffering } = *load.borrow_and_update();
        metrics::gauge!("opencti_queue_bytes").set(size_mb * 1_000_000.0);
        metrics::gauge!("opencti_queue_buffering").set(if buffering { 1.0 } else { 0.0 });
        if buffering {
            health.degraded(Part::Queue, reason(size_mb, threshold_mb));
        } else {
            health.well(Part::Queue);
        }
        match (was_buffering, buffering) {
            (false, true) => warn!(size_mb, threshold_mb, "{}", reason(size_mb, threshold_mb)),
            (true, false) => info!(size_mb, threshold_mb, "OpenCTI's queue has room: going on"),
            _ => {}
        }
        was_buffering = buffering;
        if load.changed().await.is_err() {
            return;
        }
    }
}

fn reason(size_mb: f64, threshold_mb: f64) -> String {
    format!(
        "buffering: the connector's queue in OpenCTI holds {size_mb:.1} MB, and \
         CONNECTOR_QUEUE_THRESHOLD is {threshold_mb} MB; deliveries wait in the journal until its \
         workers have caught up"
    )
}
