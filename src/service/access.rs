//! Tells once when the console denies us (401, 403), and once when it lets us in again; meanwhile it
//! shows in the health. Whoever asks the console, sweep or push, notices it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::health::{Health, Part};

/// Watches what the console denies until `stop`.
pub(super) async fn tell(
    mut denied: watch::Receiver<Option<String>>,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    loop {
        let reason = denied.borrow_and_update().clone();
        match reason {
            Some(reason) => {
                error!(%reason, "HarfangLab denies access; it is asked again every few seconds");
                health.degraded(Part::HarfangLab, reason);
            }
            None => health.well(Part::HarfangLab),
        }
        match stop.run_until_cancelled(denied.changed()).await {
            Some(Ok(())) if denied.borrow().is_none() => info!("HarfangLab lets us in again"),
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}
