//! The queue of one sink: what is ready waits here for its turn, and leaves as one delivery with all that
//! came meanwhile. So each sink goes at its own pace and has its own progress.
//!
//! A sink that does not answer holds up no other. After [`PATIENCE`] an event that has not begun to leave is
//! taken back and tried again later; while a delivery takes longer than that, what comes for the same sink
//! is not even put behind it. What has begun to leave is waited for with its lease, since nobody else may
//! send it until then. The only sink is waited for as long as it takes: nobody is held up by it.
//!
//! Does not live here: what becomes of an event once every sink has answered (`deliver`).

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::SecondsFormat;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, warn};

use super::{
    confirmations::Confirmations,
    deliverer::Deliverer,
    prepare::Ready,
    retry,
    sink_answer::{Answer, worse},
    sink_failures::{Elsewhere, SinkFailures},
    tally::Tally,
};
use crate::{
    journal::EventId,
    label::ConsoleLabel,
    opencti::{CONTINUED, Delivery, DeliveryError, Sink},
};

/// Longest time for which others wait for a sink, and longest time of a delivery before its sink counts as
/// degraded.
const PATIENCE: Duration = Duration::from_secs(5);

/// From one look at the journal to the next while a sink counts as degraded and nothing comes for it.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An event on its way to the sinks.
#[derive(Clone)]
pub(super) struct Leaving {
    pub(super) ready: Arc<Ready>,
    /// Tells its messages from those of another try.
    pub(super) content: u64,
}

/// An event in the queue; whoever takes it out of its place first has it.
type Place = Arc<Mutex<Option<Leaving>>>;

struct Waiting {
    place: Place,
    answer: oneshot::Sender<Answer>,
}

struct Taken {
    leaving: Leaving,
    answer: oneshot::Sender<Answer>,
}

/// The way to one sink.
pub(super) struct SinkQueue {
    name: &'static str,
    waiting: mpsc::UnboundedSender<Vec<Waiting>>,
    confirmed: Arc<Confirmations>,
    is_late: Arc<AtomicBool>,
    /// `None`: it is the only one.
    patience: Option<Duration>,
    runner: AbortOnDropHandle<()>,
}

impl SinkQueue {
    /// Delivers from now on to one of the sinks of `deliverer`.
    pub(super) fn start(sink: &Arc<dyn Sink>, deliverer: &Arc<Deliverer>) -> Self {
        let (waiting, queue) = mpsc::unbounded_channel();
        let (confirmed, is_late) = (Arc::<Confirmations>::default(), Arc::<AtomicBool>::default());
        let runner = Runner {
            sink: Arc::clone(sink),
            deliverer: Arc::clone(deliverer),
            confirmed: Arc::clone(&confirmed),
            is_late: Arc::clone(&is_late),
            failures: SinkFailures::of(sink.name()),
            is_back: false,
        };
        let running = ConsoleLabel::current().on(runner.run(queue));
        Self {
            name: sink.name(),
            waiting,
            confirmed,
            is_late,
            patience: (deliverer.sinks.len() > 1).then_some(PATIENCE),
            runner: AbortOnDropHandle::new(tokio::spawn(running)),
        }
    }

    /// Ends the runner, which holds the journal, and waits until it has let go of it.
    pub(super) async fn end(self) {
        self.runner.abort();
        let _aborted = self.runner.await;
    }

    /// Delivers what the sink has not confirmed yet; one answer an event.
    pub(super) async fn deliver(&self, batch: &[Leaving]) -> Vec<Answer> {
        let mut answers = vec![Ok(()); batch.len()];
        let is_missing =
            |leaving: &Leaving| !self.confirmed.has(leaving.ready.claim.event, leaving.content);
        let is_busy = self.patience.is_some() && self.is_late.load(Ordering::Relaxed);
        let (mut waiting, mut awaited) = (Vec::new(), Vec::new());
        for (position, leaving) in batch.iter().enumerate().filter(|(_, it)| is_missing(it)) {
            if is_busy {
                answers[position] = self.busy();
                continue;
            }
            let place: Place = Arc::new(Mutex::new(Some(leaving.clone())));
            let (answer, answered) = oneshot::channel();
            waiting.push(Waiting { place: Arc::clone(&place), answer });
            awaited.push((position, place, answered));
        }
        if waiting.is_empty() {
            return answers;
        }
        // The runner lives as long as this does.
        let _sent = self.waiting.send(waiting);
        let deadline = self.patience.map(|patience| Instant::now() + patience);
        for (position, place, answered) in awaited {
            answers[position] = self.answer(&place, answered, deadline).await;
        }
        answers
    }

    /// Forgets an event that is not tried again.
    pub(super) fn forget(&self, event: EventId) {
        self.confirmed.forget(event);
    }

    async fn answer(
        &self,
        place: &Place,
        mut answered: oneshot::Receiver<Answer>,
        deadline: Option<Instant>,
    ) -> Answer {
        let broke_off = Err(DeliveryError::BrokeOff);
        if let Some(deadline) = deadline {
            match timeout_at(deadline, &mut answered).await {
                Ok(answer) => return answer.unwrap_or(broke_off),
                Err(_elapsed) if take(place).is_some() => return self.busy(),
                // It is leaving.
                Err(_elapsed) => {}
            }
        }
        answered.await.unwrap_or(broke_off)
    }

    fn busy(&self) -> Answer {
        let busy = format!("was busy with other events for {} seconds", PATIENCE.as_secs());
        Err(DeliveryError::Unavailable(retry::reason(self.name, &busy)))
    }
}

fn take(place: &Place) -> Option<Leaving> {
    place.lock().take()
}

/// Takes what waits for a sink and delivers it.
struct Runner {
    sink: Arc<dyn Sink>,
    deliverer: Arc<Deliverer>,
    confirmed: Arc<Confirmations>,
    is_late: Arc<AtomicBool>,
    failures: SinkFailures,
    /// A delivery has ended an outage.
    is_back: bool,
}

impl Runner {
    /// Delivers until the queue is gone. What a process before this one put back is tried at once.
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Vec<Waiting>>) {
        self.try_now().await;
        let limit = self.deliverer.settings.batch.max(1);
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                let Some(more) = self.next(&mut queue).await else { return };
                waiting = more;
            }
            while waiting.len() < limit
                && let Ok(more) = queue.try_recv()
            {
                waiting.extend(more);
            }
            let rest = waiting.split_off(waiting.len().min(limit));
            let taken = std::mem::replace(&mut waiting, rest).into_iter().filter_map(|waiting| {
                let leaving = take(&waiting.place)?;
                Some(Taken { leaving, answer: waiting.answer })
            });
            for part in parts(taken) {
                self.deliver_whatever_happens(part).await;
            }
        }
    }

    /// Waits for more. What failed here may be delivered by another replica, or end undelivered; that is looked
    /// for only after a while without a delivery, when how the last one went is written down.
    async fn next(
        &mut self,
        queue: &mut mpsc::UnboundedReceiver<Vec<Waiting>>,
    ) -> Option<Vec<Waiting>> {
        let mut elsewhere = Elsewhere::new(self.deliverer.sinks.len());
        while self.failures.is_any() {
            if let Ok(more) = timeout(LOOK_EVERY, queue.recv()).await {
                return more;
            }
            let counts = self.deliverer.journal.counts().await;
            if counts.is_ok_and(|counts| elsewhere.ends_it(&counts)) {
                let over = "the sink is no longer degraded here: others deliver, or nothing waits";
                if self.failures.end(over, &self.deliverer.health) {
                    self.try_now().await;
                }
            }
        }
        queue.recv().await
    }

    /// Delivers a batch; when that panics, each event of it alone, so that the one whose fault it is holds up
    /// no other.
    async fn deliver_whatever_happens(&mut self, batch: Vec<Taken>) {
        let events: Vec<&Leaving> = batch.iter().map(|taken| &taken.leaving).collect();
        let mut answers = self.try_to_deliver(&events).await;
        if answers.is_none() && events.len() > 1 {
            let mut of_each = Vec::with_capacity(events.len());
            for event in &events {
                let alone = self.try_to_deliver(&[event]).await;
                of_each.extend(alone.unwrap_or_else(|| vec![Err(DeliveryError::BrokeOff)]));
            }
            answers = Some(of_each);
        }
        let answers = answers.unwrap_or_else(|| vec![Err(DeliveryError::BrokeOff)]);
        for (Taken { leaving, answer }, of_event) in batch.into_iter().zip(answers) {
            if of_event.is_ok() {
                self.confirmed.add(leaving.ready.claim.event, leaving.content);
            }
            // Whoever waited for it may have gone.
            let _gone = answer.send(of_event);
        }
        if std::mem::take(&mut self.is_back) {
            self.try_now().await;
        }
    }

    /// `None` when it panicked. No work that it opened stays open then.
    async fn try_to_deliver(&mut self, batch: &[&Leaving]) -> Option<Vec<Answer>> {
        let delivered = AssertUnwindSafe(self.deliver(batch)).catch_unwind().await;
        self.is_late.store(false, Ordering::Relaxed);
        if delivered.is_err() {
            error!(
                events = batch.len(),
                sink = self.sink.name(),
                "a delivery broke off by a defect"
            );
            if self.sink.opens_works() {
                self.close_works().await;
            }
        }
        delivered.ok()
    }

    async fn close_works(&self) {
        let Deliverer { journal, clock, .. } = &*self.deliverer;
        let message = format!("the delivery broke off; what is missing {CONTINUED}");
        if let Err(failure) = journal.close_orphaned_works(&message, clock.now()).await {
            error!(%failure, "works stay open in OpenCTI for now and are closed later");
        }
    }

    async fn deliver(&mut self, batch: &[&Leaving]) -> Vec<Answer> {
        let delivery = self.delivery(batch).await;
        let answers = self.await_answers(&delivery).await;
        debug_assert_eq!(answers.len(), delivery.bundles.len(), "one answer a bundle");
        let mut answers = answers.into_iter();
        let of_events: Vec<Answer> = batch
            .iter()
            .map(|it| answers.by_ref().take(it.ready.bundles.len()).fold(Ok(()), worse))
            .collect();
        self.is_back |= self.failures.tell(&of_events, &self.deliverer.health);
        let name = self.sink.name();
        let of_events = of_events.into_iter().map(|answer| match answer {
            Err(DeliveryError::Unavailable(reason)) => {
                let reason = retry::reason(name, &format!("could not take it: {reason}"));
                Err(DeliveryError::Unavailable(reason))
            }
            answer => answer,
        });
        of_events.collect()
    }

    async fn try_now(&self) {
        let Deliverer { journal, arrived, clock, .. } = &*self.deliverer;
        retry::try_now(self.sink.name(), journal, arrived, clock.now()).await;
    }

    /// Waits for the sink as long as it takes, and reports it as degraded while that is longer than it
    /// should be: a broker that takes connections and never answers.
    async fn await_answers(&mut self, delivery: &Delivery) -> Vec<Answer> {
        let mut delivering = self.sink.deliver(delivery);
        if let Ok(answers) = timeout(PATIENCE, &mut delivering).await {
            return answers;
        }
        self.is_late.store(true, Ordering::Relaxed);
        self.failures.is_late(PATIENCE, &self.deliverer.health);
        delivering.await
    }

    async fn delivery(&self, batch: &[&Leaving]) -> Delivery {
        let Deliverer { journal, clock, leases, connector_name, .. } = &*self.deliverer;
        let at = clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let batch: Vec<&Ready> = batch.iter().map(|leaving| &*leaving.ready).collect();
        let events: Vec<_> = batch.iter().map(|ready| ready.claim.event).collect();
        let known = journal.delivered_before(&events).await.unwrap_or_else(|failure| {
            warn!(%failure, "the journal cannot say what was delivered before; all counts as new");
            HashSet::new()
        });
        let whole = self.to_leave_whole(&batch).await;
        let is_known = |event| known.contains(event) || whole.contains(event);
        let tally =
            Tally::of(batch.iter().map(|ready| (&*ready.root_id, is_known(&ready.claim.event))));
        let subject = match &*batch {
            [only] => only.title.clone(),
            _ => tally.subject(),
        };
        let senders = batch
            .iter()
            .flat_map(|ready| std::iter::repeat_n(ready.claim.event, ready.bundles.len()));
        Delivery {
            title: format!("{connector_name}: {subject} ({at})"),
            summary: tally.summary(),
            whole,
            bundles: batch.iter().flat_map(|ready| ready.bundles.clone()).collect(),
            senders: senders.collect(),
            leases: leases.check(batch.iter().map(|ready| ready.claim)),
        }
    }

    /// Returns the events that leave once more. Only those that were tried before the present tries can be.
    async fn to_leave_whole(&self, batch: &[&Ready]) -> HashSet<EventId> {
        let claims = batch.iter().map(|ready| ready.claim);
        let earlier = claims.filter(|claim| claim.fence > claim.attempt);
        let events: Vec<_> = earlier.map(|claim| claim.event).collect();
        // What cannot be told is sent whole: that costs messages only.
        let requeued = self.deliverer.journal.requeued(&events).await;
        requeued.unwrap_or_else(|_| events.into_iter().collect())
    }
}

/// Parts new events from those that failed before, which leave in two halves, other ones at each try, so
/// that one bundle at which the broker hangs up does not keep the same others from leaving.
fn parts(batch: impl Iterator<Item = Taken>) -> impl Iterator<Item = Vec<Taken>> {
    let (new, failed): (Vec<_>, Vec<_>) =
        batch.partition(|taken| taken.leaving.ready.claim.attempt <= 1);
    let in_first_half = |taken: &Taken| {
        let claim = taken.leaving.ready.claim;
        (claim.event >> (claim.attempt % 8)) & 1 == 0
    };
    let (first_half, second_half): (Vec<_>, Vec<_>) = failed.into_iter().partition(in_first_half);
    [new, first_half, second_half].into_iter().filter(|part| !part.is_empty())
}
