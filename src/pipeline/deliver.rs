//! Delivers all that is ready as one delivery to every sink, and writes down how it went.

use std::{collections::HashSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc};
use tracing::{error, info, warn};

use super::{
    confirmations::{self, Confirmations},
    defect::{self, Step},
    false_positives::{self, NegativeSightings},
    finish,
    leases::{Lease, Leases},
    prepare::{Delivered, Ready},
    retry,
    room::Bytes,
    tally::Tally,
};
use crate::{
    clock::Clock,
    config::PipelineSettings,
    health::{Health, Part},
    journal::{CaseObjects, Claim, EventId, Journal, Outcome},
    opencti::{CONTINUED, Delivery, DeliveryError, Sink},
};

pub(super) struct Deliverer {
    pub(super) leases: Arc<Leases>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) sinks: Vec<Arc<dyn Sink>>,
    pub(super) clock: Clock,
    pub(super) settings: PipelineSettings,
    pub(super) connector_name: String,
    pub(super) arrived: Arc<Notify>,
    pub(super) health: Arc<Health>,
    pub(super) negative_sightings: NegativeSightings,
    pub(super) confirmations: Confirmations,
}

/// Longest time of a delivery before its sink counts as degraded: less than the 20 seconds within
/// which an outage shows.
const SLOW: Duration = Duration::from_secs(15);

/// How long what is ready waits for the others of its claim that are not ready yet.
const WINDOW: Duration = Duration::from_millis(50);

/// An event that is ready to leave.
pub(super) struct Prepared {
    pub(super) ready: Ready,
    /// Shared by the events of one claim, and dropped by those that do not get ready.
    pub(super) together: Arc<()>,
    /// The memory that it takes and its lease, given back once it was delivered.
    pub(super) held: (Bytes, Lease),
}

impl Deliverer {
    /// Delivers until every sender is gone.
    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Prepared>) {
        let limit = self.settings.batch.max(1);
        let mut batch = Vec::with_capacity(limit);
        while waiting.recv_many(&mut batch, limit).await > 0 {
            // What arrives together is shown together: at the end of the window whatever is there
            // leaves.
            let gathering = gather(&mut waiting, &mut batch, limit);
            let _window_over = tokio::time::timeout(WINDOW, gathering).await;
            let (ready, held): (Vec<_>, Vec<_>) =
                batch.drain(..).map(|prepared| (prepared.ready, prepared.held)).unzip();
            for part in parts(ready) {
                let outcomes = self.deliver_whatever_happens(part).await;
                finish(&*self.journal, &outcomes, self.clock.now()).await;
            }
            drop(held);
            self.arrived.notify_one();
        }
    }

    /// Delivers a batch; when that panics, each event of it alone, so that the one whose fault it is
    /// holds up no other.
    async fn deliver_whatever_happens(&self, mut batch: Vec<Ready>) -> Vec<(Claim, Outcome)> {
        if let Some(outcomes) = self.try_to_deliver(&mut batch).await {
            return outcomes;
        }
        let is_alone = batch.len() == 1;
        let mut outcomes = Vec::with_capacity(batch.len());
        for ready in &mut batch {
            let alone = std::slice::from_mut(ready);
            let delivered = if is_alone { None } else { self.try_to_deliver(alone).await };
            outcomes.extend(delivered.unwrap_or_else(|| vec![self.broke_off(ready.claim)]));
        }
        outcomes
    }

    fn broke_off(&self, claim: Claim) -> (Claim, Outcome) {
        let (longest, now) = (self.settings.retry_max, self.clock.now());
        (claim, defect::outcome(Step::Delivering, claim, longest, now))
    }

    /// `None` when it panicked. No work that it opened stays open then.
    async fn try_to_deliver(&self, batch: &mut [Ready]) -> Option<Vec<(Claim, Outcome)>> {
        let delivered = AssertUnwindSafe(self.deliver(batch)).catch_unwind().await;
        if delivered.is_err() {
            error!(events = batch.len(), "a delivery broke off by a defect");
            let message = format!("the delivery broke off; what is missing {CONTINUED}");
            let closed = self.journal.close_orphaned_works(&message, self.clock.now()).await;
            if let Err(failure) = closed {
                error!(%failure, "works stay open in OpenCTI for now and are closed later");
            }
        }
        delivered.ok()
    }

    async fn deliver(&self, batch: &mut [Ready]) -> Vec<(Claim, Outcome)> {
        false_positives::take_back(batch, &*self.journal).await;
        let mut of_events = self.hand_over(batch).await;
        self.tell(&of_events);
        if self.journal.has_replicas() {
            false_positives::look_again(batch, &mut of_events, &*self.journal).await;
        }
        let confirmed = batch.iter().zip(&of_events).filter(|(_, result)| result.is_ok());
        self.negative_sightings
            .note(confirmed.flat_map(|(ready, _)| &ready.bundles), &*self.journal, self.clock.now())
            .await;
        self.write_down(batch, &mut of_events).await;
        let mut outcomes = Vec::with_capacity(batch.len());
        for (ready, of_event) in batch.iter().zip(of_events) {
            let is_lost = of_event == Err(DeliveryError::LeaseLost);
            if !was_tried(&of_event)
                && let Err(failure) = self.journal.uncounted(ready.claim).await
            {
                warn!(%failure, "a try counts in which nothing was sent");
            }
            let outcome = self.outcome(ready, of_event);
            if is_lost || !matches!(outcome, Outcome::Later { .. }) {
                self.confirmations.forget(ready.claim.event);
            }
            outcomes.push((ready.claim, outcome));
        }
        let is_delivered = |outcome: &Outcome| {
            matches!(outcome, Outcome::Delivered { .. } | Outcome::DeliveredInPart { .. })
        };
        let delivered = outcomes.iter().filter(|(_claim, outcome)| is_delivered(outcome)).count();
        if delivered > 0 {
            info!(alerts = delivered, "delivered {delivered} to every sink");
        }
        outcomes
    }

    /// Hands every sink what it has not confirmed yet, and answers one result an event.
    async fn hand_over(&self, batch: &[Ready]) -> Vec<Result<(), DeliveryError>> {
        let contents: Vec<u64> =
            batch.iter().map(|ready| confirmations::content(&ready.bundles)).collect();
        let mut results = vec![Ok(()); batch.len()];
        for (position, sink) in self.sinks.iter().enumerate() {
            let has = |index: usize| {
                self.confirmations.has(position, batch[index].claim.event, contents[index])
            };
            let missing: Vec<usize> = (0..batch.len()).filter(|index| !has(*index)).collect();
            if missing.is_empty() {
                continue;
            }
            let part: Vec<&Ready> = missing.iter().map(|index| &batch[*index]).collect();
            let delivery = self.delivery(&part).await;
            let answers = self.await_answers(&**sink, &delivery).await;
            debug_assert_eq!(answers.len(), delivery.bundles.len(), "one answer a bundle");
            self.tell_of_sink(sink.name(), &answers);
            let mut answers = answers.into_iter();
            for index in missing {
                let ready = &batch[index];
                let answer = answers.by_ref().take(ready.bundles.len()).fold(Ok(()), worse);
                if answer.is_ok() {
                    self.confirmations.add(position, ready.claim.event, contents[index]);
                }
                results[index] = worse(std::mem::replace(&mut results[index], Ok(())), answer);
            }
        }
        results
    }

    /// Waits for a sink as long as it takes, and reports it as degraded while that is longer than it
    /// should be: a broker that takes connections and never answers.
    async fn await_answers(
        &self,
        sink: &dyn Sink,
        delivery: &Delivery,
    ) -> Vec<Result<(), DeliveryError>> {
        let mut delivering = sink.deliver(delivery);
        if let Ok(answers) = tokio::time::timeout(SLOW, &mut delivering).await {
            return answers;
        }
        let (sink, seconds) = (sink.name(), SLOW.as_secs());
        let reason = format!("a delivery to the sink `{sink}` takes longer than {seconds} seconds");
        warn!(sink, "{reason}; it is waited for");
        self.health.sink_degraded(sink, reason.clone());
        self.health.degraded(Part::Delivery, reason);
        delivering.await
    }

    /// Writes down what was delivered for those that come later, before the events end: after a
    /// crash in between they are delivered again, which changes nothing. What could not be written
    /// down is not delivered: a case would lack it for good.
    async fn write_down(&self, batch: &[Ready], results: &mut [Result<(), DeliveryError>]) {
        let delivered: Vec<&Delivered> = batch
            .iter()
            .zip(&*results)
            .filter(|(_ready, result)| result.is_ok())
            .map(|(ready, _result)| &ready.delivered)
            .collect();
        let kept: Vec<CaseObjects> =
            delivered.iter().filter_map(|it| it.case_objects.clone()).collect();
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
            if result.is_ok() && ready.delivered.is_anything() {
                *result = Err(DeliveryError::Unavailable(failure.to_string()));
            }
        }
    }

    /// Tells the health how one sink is. A refusal is the bundle's trouble, not the sink's; what was not
    /// even tried says nothing of it.
    fn tell_of_sink(&self, name: &'static str, answers: &[Result<(), DeliveryError>]) {
        let unavailable = answers.iter().find_map(|answer| match answer {
            Err(DeliveryError::Unavailable(reason)) => Some(reason),
            _ => None,
        });
        match unavailable {
            Some(reason) => self.health.sink_degraded(name, reason.clone()),
            None if answers.iter().any(was_tried) => self.health.sink_well(name),
            None => {}
        }
    }

    /// Tells the health and, once a delivery, the log.
    fn tell(&self, results: &[Result<(), DeliveryError>]) {
        let waiting = results.iter().filter_map(|result| match result {
            Err(DeliveryError::Unavailable(reason)) => Some(reason),
            _ => None,
        });
        match waiting.clone().next() {
            Some(reason) => {
                let bundles = waiting.count();
                self.health.degraded(Part::Delivery, reason.clone());
                warn!(bundles, %reason, "bundles could not be delivered and are tried again");
            }
            None if results.iter().any(was_tried) => self.health.well(Part::Delivery),
            None => {}
        }
        for refused in results {
            if let Err(DeliveryError::Refused(reason)) = refused {
                warn!(%reason, "a bundle can never be delivered and is kept as a dead letter");
            }
        }
        let lost = results.iter().filter(|result| **result == Err(DeliveryError::LeaseLost));
        let lost = lost.count();
        if lost > 0 {
            metrics::counter!("leases_lost_total").increment(lost as u64);
            warn!(
                events = lost,
                "events were not sent: their leases had ended, since this process stood still or \
                 could not reach the journal; whoever claims them next sends them"
            );
        }
    }

    /// Decides the outcome of an event. One that was not tried is put back at once, should its
    /// claim be the latest one still; if another has it, the journal leaves it alone.
    fn outcome(&self, ready: &Ready, result: Result<(), DeliveryError>) -> Outcome {
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
                match ready.follow_up {
                    Some(follow_up) => Outcome::DeliveredInPart { root_id, follow_up },
                    None => Outcome::Delivered { root_id },
                }
            }
            Err(DeliveryError::Refused(reason)) => {
                metrics::counter!("dead_letters_total", "step" => "delivering").increment(1);
                Outcome::Dead { reason }
            }
            Err(DeliveryError::Unavailable(reason)) => {
                let claim = ready.claim;
                let wait = retry::wait(claim.attempt, claim.event, self.settings.retry_max);
                Outcome::Later { at: self.clock.now() + wait, reason }
            }
        }
    }

    async fn delivery(&self, batch: &[&Ready]) -> Delivery {
        let at = self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let events: Vec<_> = batch.iter().map(|ready| ready.claim.event).collect();
        let known = self.journal.delivered_before(&events).await.unwrap_or_else(|failure| {
            warn!(%failure, "the journal cannot say what was delivered before; all counts as new");
            HashSet::new()
        });
        let whole = self.to_leave_whole(batch).await;
        let is_known = |event| known.contains(event) || whole.contains(event);
        let tally =
            Tally::of(batch.iter().map(|ready| (&*ready.root_id, is_known(&ready.claim.event))));
        let subject = match batch {
            [only] => only.title.clone(),
            _ => tally.subject(),
        };
        let senders = batch
            .iter()
            .flat_map(|ready| std::iter::repeat_n(ready.claim.event, ready.bundles.len()));
        Delivery {
            title: format!("{}: {subject} ({at})", self.connector_name),
            summary: tally.summary(),
            whole,
            bundles: batch.iter().flat_map(|ready| ready.bundles.clone()).collect(),
            senders: senders.collect(),
            leases: self.leases.check(batch.iter().map(|ready| ready.claim)),
        }
    }

    /// What of it leaves once more. Only what was tried before the present tries can be.
    async fn to_leave_whole(&self, batch: &[&Ready]) -> HashSet<EventId> {
        let claims = batch.iter().map(|ready| ready.claim);
        let earlier = claims.filter(|claim| claim.fence > claim.attempt);
        let events: Vec<_> = earlier.map(|claim| claim.event).collect();
        // What cannot be told is sent whole: that costs messages only.
        self.journal.sent_again(&events).await.unwrap_or_else(|_| events.into_iter().collect())
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

/// What is new leaves together. What failed before leaves in two halves, other ones at each try, so
/// that one bundle at which the broker hangs up does not keep the same others from leaving.
fn parts(batch: Vec<Ready>) -> impl Iterator<Item = Vec<Ready>> {
    let (new, failed): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|ready| ready.claim.attempt <= 1);
    let in_first_half = |ready: &Ready| (ready.claim.event >> (ready.claim.attempt % 8)) & 1 == 0;
    let (first_half, second_half): (Vec<_>, Vec<_>) = failed.into_iter().partition(in_first_half);
    [new, first_half, second_half].into_iter().filter(|part| !part.is_empty())
}

/// Returns whether a sink began to send it, or judged it.
fn was_tried(result: &Result<(), DeliveryError>) -> bool {
    !matches!(result, Err(DeliveryError::LeaseLost | DeliveryError::HeldBack))
}

/// Of two results the one that decides: a lost lease outlasts a refusal, a refusal an outage, an outage
/// what was held back, and that a success.
fn worse(
    one: Result<(), DeliveryError>,
    other: Result<(), DeliveryError>,
) -> Result<(), DeliveryError> {
    let weight = |result: &Result<(), DeliveryError>| match result {
        Ok(()) => 0,
        Err(DeliveryError::HeldBack) => 1,
        Err(DeliveryError::Unavailable(_)) => 2,
        Err(DeliveryError::Refused(_)) => 3,
        Err(DeliveryError::LeaseLost) => 4,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::journal::SqliteJournal;

    async fn deliverer(folder: &TempDir) -> Deliverer {
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal = SqliteJournal::open(&url, "https://console.example").await.unwrap();
        let clock = Clock::from_fn(|| DateTime::UNIX_EPOCH);
        let settings = PipelineSettings {
            concurrency: 1,
            batch: 1,
            lease: Duration::from_mins(5),
            retry_max: Duration::from_mins(10),
            resend_after: Duration::ZERO,
        };
        Deliverer {
            leases: Leases::new(settings.lease, clock.clone()),
            journal: Arc::new(journal),
            sinks: Vec::new(),
            settings,
            connector_name: "HarfangLab".to_owned(),
            arrived: Arc::default(),
            health: Arc::new(Health::new(clock.clone())),
            clock,
            negative_sightings: NegativeSightings::ByBundle,
            confirmations: Confirmations::default(),
        }
    }

    #[tokio::test]
    async fn what_was_not_tried_makes_a_sink_neither_well_nor_degraded() {
        let folder = TempDir::new().unwrap();
        let deliverer = deliverer(&folder).await;
        let tell = |answers: &[Result<(), DeliveryError>]| {
            deliverer.tell_of_sink("queue", answers);
            deliverer.tell(answers);
            let sinks = deliverer.health.sink_troubles();
            let is_degraded = sinks.values().any(|trouble| trouble.until.is_none());
            (is_degraded, deliverer.health.degraded_places().len())
        };
        let not_tried = [Err(DeliveryError::LeaseLost), Err(DeliveryError::HeldBack)];
        assert_eq!(tell(&not_tried), (false, 0));
        assert_eq!(tell(&[Err(DeliveryError::Unavailable("away".to_owned()))]), (true, 1));
        assert_eq!(tell(&not_tried), (true, 1), "nobody knows whether it is back");
        assert_eq!(tell(&[Err(DeliveryError::LeaseLost), Ok(())]), (false, 0));
    }
}
