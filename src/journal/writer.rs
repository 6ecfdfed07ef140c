//! The other side of the door: commits all that is waiting at once, so that a hundred deliveries
//! share one fsync.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::error;

use super::Journal;
use crate::{
    health::{Health, Part},
    intake::{DoorError, Entry, Receipt},
};

/// Deliveries that share one commit at most.
const DELIVERIES_PER_COMMIT: usize = 256;

/// Commits what comes through the door until it is closed; `arrived` is notified after each commit,
/// `health` told how it went.
pub async fn write_what_comes_in(
    journal: Arc<dyn Journal>,
    mut entries: mpsc::Receiver<Entry>,
    arrived: Arc<Notify>,
    health: Arc<Health>,
) {
    let mut waiting = Vec::with_capacity(DELIVERIES_PER_COMMIT);
    while entries.recv_many(&mut waiting, DELIVERIES_PER_COMMIT).await > 0 {
        let (batches, replies): (Vec<_>, Vec<_>) =
            waiting.drain(..).map(|entry| (entry.notifications, entry.reply)).unzip();
        match journal.append(&batches).await {
            Ok(receipts) => {
                health.well(Part::Journal);
                answer(replies, receipts.into_iter().map(Ok));
                arrived.notify_one();
            }
            Err(failure) => {
                error!(%failure, "the journal could not commit; senders are asked to come back");
                health.degraded(Part::Journal, failure.to_string());
                let reason = DoorError::Failed(failure.to_string());
                answer(replies, std::iter::repeat(Err(reason)));
            }
        }
    }
}

fn answer(
    replies: Vec<oneshot::Sender<Result<Receipt, DoorError>>>,
    results: impl Iterator<Item = Result<Receipt, DoorError>>,
) {
    for (reply, result) in replies.into_iter().zip(results) {
        // A sender that went away meanwhile does not change what is stored.
        let _gone = reply.send(result);
    }
}
