//! Hands all that is ready to every sink at the same time, and writes down how it went once every sink has
//! answered.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{FutureExt, future::join_all};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::{
    confirmations,
    defect::{self, Step},
    deliverer::Deliverer,
    false_positives, finish,
    leases::Lease,
    prepare::{Delivered, Ready},
    retry,
    room::Bytes,
    sink_answer::{Answer, was_tried, worse},
    sink_queue::{Leaving, SinkQueue},
};
use crate::{
    journal::{CaseObjects, Claim, Outcome},
    label::ConsoleLabel,
    opencti::DeliveryError,
};

/// Time for which what is ready waits for the others of its claim that are not ready yet.
const WINDOW: Duration = Duration::from_millis(50);
/// Batches whose events are on their way to the sinks at once.
const BATCHES_IN_FLIGHT: usize = 4;

/// An event that is ready to leave.
pub(super) struct Prepared {
    pub(super) ready: Ready,
    /// Shared by the events of one claim, and dropped by those that do not get ready.
    pub(super) together: Arc<()>,
    /// The memory that it takes and its lease, given back once it was delivered.
    pub(super) held: (Bytes, Lease),
}

impl Deliverer {
    /// Delivers until every sender is gone, and returns when every sink has answered.
    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Prepared>) {
        let limit = self.settings.batch.max(1);
        let in_flight = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT * limit));
        let deliverer = Arc::new(self);
        let queues = deliverer.sinks.iter().map(|sink| SinkQueue::start(sink, &deliverer));
        let queues: Arc<Vec<SinkQueue>> = Arc::new(queues.collect());
        let (delivering, console) = (TaskTracker::new(), ConsoleLabel::current());
        let mut batch = Vec::with_capacity(limit);
        while waiting.recv_many(&mut batch, limit).await > 0 {
            // What arrives together is shown together: at the end of the window whatever is there
            // leaves.
            let gathering = gather(&mut waiting, &mut batch, limit);
            let _window_over = tokio::time::timeout(WINDOW, gathering).await;
            let events = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let permits = Arc::clone(&in_flight).acquire_many_owned(events).await;
            let (deliverer, queues) = (Arc::clone(&deliverer), Arc::clone(&queues));
            let batch = std::mem::replace(&mut batch, Vec::with_capacity(limit));
            delivering.spawn(console.on(async move {
                deliverer.finish_batch(batch, &queues).await;
                drop(permits);
            }));
        }
        delivering.close();
        delivering.wait().await;
        for queue in Arc::into_inner(queues).into_iter().flatten() {
            queue.end().await;
        }
    }

    /// Delivers a batch and writes its outcomes down, whatever happens.
    async fn finish_batch(&self, batch: Vec<Prepared>, queues: &[SinkQueue]) {
        let (ready, held): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|prepared| (prepared.ready, prepared.held)).unzip();
        let claims: Vec<Claim> = ready.iter().map(|ready| ready.claim).collect();
        let delivered = AssertUnwindSafe(self.deliver(ready, queues)).catch_unwind().await;
        let outcomes = delivered.unwrap_or_else(|_panic| {
            claims.into_iter().map(|claim| (claim, self.broke_off(claim))).collect()
        });
        finish(&self.journal, &outcomes, self.clock.now()).await;
        drop(held);
        self.arrived.notify_one();
    }

    fn broke_off(&self, claim: Claim) -> Outcome {
        defect::outcome(Step::Delivering, claim, self.settings.retry_max, self.clock.now())
    }

    async fn deliver(&self, mut ready: Vec<Ready>, queues: &[SinkQueue]) -> Vec<(Claim, Outcome)> {
        false_positives::take_back(&mut ready, &self.journal).await;
        let leaving = ready.into_iter().map(|ready| Leaving {
            content: confirmations::content(&ready.bundles),
            ready: Arc::new(ready),
        });
        let leaving: Vec<Leaving> = leaving.collect();
        let of_sinks = join_all(queues.iter().map(|queue| queue.deliver(&leaving))).await;
        let batch: Vec<Arc<Ready>> = leaving.into_iter().map(|leaving| leaving.ready).collect();
        let of_event = |index: usize| of_sinks.iter().map(move |answers| &answers[index]);
        let some_have_it: Vec<bool> =
            (0..batch.len()).map(|index| of_event(index).any(Result::is_ok)).collect();
        let mut results: Vec<_> =
            (0..batch.len()).map(|index| of_event(index).cloned().fold(Ok(()), worse)).collect();
        tell(&results);
        false_positives::look_again(&batch, &mut results, &self.journal).await;
        let confirmed = batch.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.negative_sightings
            .note(confirmed.flat_map(|(ready, _)| &ready.bundles), &self.journal, self.clock.now())
            .await;
        self.write_down(&batch, &mut results).await;
        let mut outcomes = Vec::with_capacity(batch.len());
        for ((ready, result), some_have_it) in batch.iter().zip(results).zip(some_have_it) {
            let is_lost = result == Err(DeliveryError::LeaseLost);
            if !was_tried(&result)
                && let Err(failure) = self.journal.refund_attempt(ready.claim).await
            {
                warn!(%failure, "a try counts in which nothing was sent");
            }
            let outcome = match self.outcome(ready, result) {
                Outcome::Later { at, reason } if some_have_it => {
                    Outcome::DeliveredToSome { root_id: ready.root_id.clone(), at, reason }
                }
                outcome => outcome,
            };
            if is_lost || !outcome.is_tried_again() {
                for queue in queues {
                    queue.forget(ready.claim.event);
                }
            }
            outcomes.push((ready.claim, outcome));
        }
        let delivered = outcomes.iter().filter(|(_claim, outcome)| outcome.is_delivery()).count();
        if delivered > 0 {
            info!(alerts = delivered, "delivered {delivered} to every sink");
        }
        outcomes
    }

    /// Writes down what was delivered for those that come later, before the events end: after a
    /// crash in between they are delivered again, which changes nothing. What could not be written
    /// down is not delivered: a case would lack it for good.
    async fn write_down(&self, batch: &[Arc<Ready>], results: &mut [Answer]) {
        let delivered: Vec<&Delivered> = batch
            .iter()
            .zip(&*results)
            .filter(|(_ready, result)| result.is_ok())
            .map(|(ready, _result)| &ready.delivered)
            .collect();
        let kept: Vec<CaseObjects> =
            delivered.iter().flat_map(|it| it.case_objects.clone()).collect();
        let mut written = Ok(());
        if !kept.is_empty() {
            written = self.journal.keep_case_objects(&kept).await;
        }
        for (name, value) in delivered.iter().filter_map(|it| it.remembered.as_ref()) {
            written = written.and(self.journal.remember(name, value).await);
        }
        let Err(failure) = written else { return };
        error!(%failure, "the journal cannot keep what cases refer to; their events are tried again");
        for (ready, result) in batch.iter().zip(results) {
            if result.is_ok() && ready.delivered.is_any() {
                *result = Err(DeliveryError::Unavailable(failure.to_string()));
            }
        }
    }

    /// Decides the outcome of an event. One that was not tried is put back at once, should its
    /// claim be the latest one still; if another has it, the journal leaves it alone.
    fn outcome(&self, ready: &Ready, result: Answer) -> Outcome {
        match result {
            Err(error @ (DeliveryError::LeaseLost | DeliveryError::HeldBack)) => {
                Outcome::Later { at: self.clock.now(), reason: error.to_string() }
            }
            Ok(()) => {
                let now = self.clock.now();
                let since = |then: DateTime<Utc>| (now - then).as_seconds_f64().max(0.0);
                metrics::histogram!("accepted_to_delivered_seconds")
                    .record(since(ready.received_at));
                if ready.origin.is_told_by_console() {
                    metrics::histogram!("event_to_delivered_seconds")
                        .record(since(ready.happened_at));
                }
                let root_id = ready.root_id.clone();
                let remark = ready.delivered.remark.clone();
                match ready.follow_up {
                    Some(follow_up) => Outcome::DeliveredInPart { root_id, remark, follow_up },
                    None => Outcome::Delivered { root_id, remark },
                }
            }
            Err(DeliveryError::Refused(reason)) => {
                metrics::counter!("dead_letters_total", "step" => "delivering").increment(1);
                Outcome::Dead { reason }
            }
            Err(DeliveryError::BrokeOff) => self.broke_off(ready.claim),
            Err(DeliveryError::Unavailable(reason)) => {
                let claim = ready.claim;
                let wait = retry::wait(claim.attempt, claim.event, self.settings.retry_max);
                Outcome::Later { at: self.clock.now() + wait, reason }
            }
        }
    }
}

/// Receives until nothing is missing of the claims in `batch`, or it is full.
async fn gather(waiting: &mut mpsc::Receiver<Prepared>, batch: &mut Vec<Prepared>, limit: usize) {
    let is_missing_some = |batch: &[Prepared]| {
        batch.iter().any(|one| {
            let is_with_it = |other: &&Prepared| Arc::ptr_eq(&one.together, &other.together);
            Arc::strong_count(&one.together) > batch.iter().filter(is_with_it).count()
        })
    };
    while batch.len() < limit && is_missing_some(batch) {
        let room = limit - batch.len();
        if waiting.recv_many(batch, room).await == 0 {
            return;
        }
    }
}

/// Tells the log, once a delivery. Of the sinks `sink_failures` tells.
fn tell(results: &[Answer]) {
    for refused in results {
        if let Err(DeliveryError::Refused(reason)) = refused {
            warn!(%reason, "a bundle can never be delivered and is kept as a dead letter");
        }
    }
    let lost = results.iter().filter(|result| **result == Err(DeliveryError::LeaseLost)).count();
    if lost > 0 {
        metrics::counter!("leases_lost_total").increment(lost as u64);
        warn!(
            events = lost,
            "events were not sent: their leases had ended, since this process stood still or \
             could not reach the journal; whoever claims them next sends them"
        );
    }
}
