//! From the journal to every sink: claim → enrich → convert → deliver → outcome.
//!
//! ```text
//! claims ──▶ prepare (many at once) ──▶ deliver (a queue for each sink) ──▶ finish
//! ```
//!
//! Each event goes its own way through `prepare`, so a slow look-up holds up nobody; what is ready
//! at one time leaves as one delivery to each sink, and no sink waits for another (`sink_queue`). Waiting
//! that must survive a crash is the journal's. What OpenCTI makes of a delivery is looked at later
//! (`afterwards`).
//!
//! Does not live here: HTTP and its quick retries (`harfanglab`, `opencti`), making STIX
//! (`convert`), storing (`journal`).

mod afterwards;
mod confirmations;
mod console_outage;
mod defect;
mod deliver;
mod deliverer;
mod enrich;
mod false_positives;
mod filter;
mod leases;
mod lost_works;
mod matching;
mod name_waits;
mod prepare;
mod prepare_alert;
mod prepare_threat;
mod refusals;
mod refused_rules;
mod requeue;
mod retry;
mod room;
mod sink_answer;
mod sink_failures;
mod sink_queue;
mod tally;
mod turn;
mod valid_from;
mod waiting;

use std::{panic::AssertUnwindSafe, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{error, info};

pub use self::{
    afterwards::Afterwards,
    enrich::Enricher,
    false_positives::NegativeSightings,
    name_waits::NameWaits,
    prepare::Preparer,
    refusals::{era_of_confirmed, era_of_properties},
    refused_rules::RefusedRules,
    retry::try_now,
    valid_from::ValidFrom,
    waiting::first_look_ups_max,
};
use self::{
    defect::Step,
    deliver::Prepared,
    deliverer::Deliverer,
    leases::{Lease, Leases},
    room::{Place, Room},
    turn::{Turn, in_turn},
};
use crate::{
    alert::element::{memory_bytes, memory_bytes_at_most},
    clock::{Clock, Moment},
    config::PipelineSettings,
    health::Health,
    journal::{Claim, Event, Journal, JournalError, Outcome},
    label::ConsoleLabel,
    opencti::{Backpressure, Sink},
};

/// Time for which the pipeline waits when nothing says that there is something to do.
const IDLE: std::time::Duration = std::time::Duration::from_secs(30);
/// Shortest pause after a claim that found nothing: what is due may be in another replica's hands.
const PAUSE_MIN: std::time::Duration = std::time::Duration::from_millis(50);
/// Attempts to write an outcome down: within the time that a shutdown leaves.
const TRIES_TO_FINISH: u32 = 10;
/// Time for which it waits when the journal fails.
const JOURNAL_FAILED: std::time::Duration = std::time::Duration::from_secs(1);

/// The parts that the pipeline moves events between.
pub struct Pipeline {
    /// The source of events, and the store of their outcomes.
    pub journal: Journal,
    /// Turns an event into a bundle.
    pub preparer: Arc<Preparer>,
    /// The sinks of bundles: an event is delivered when every one of them has it.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// Says when OpenCTI's queue is too long to add to; `None` where nothing goes there.
    pub pressure: Option<Arc<Backpressure>>,
    /// Told when there may be something to claim.
    pub arrived: Arc<Notify>,
    /// The time.
    pub clock: Clock,
    /// Bounds.
    pub settings: PipelineSettings,
    /// Name of the connector, with that of the console where there are several, for the titles of
    /// works.
    pub connector_name: String,
    /// Told whether deliveries succeed.
    pub health: Arc<Health>,
    /// The way by which OpenCTI learns that a sighting is one of a false positive.
    pub negative_sightings: NegativeSightings,
}

/// The resources of an event as long as it is under way.
struct Share {
    /// Shared by the events of one claim.
    together: Arc<()>,
    place: Place,
    lease: Lease,
}

impl Pipeline {
    /// Moves events until `stop`; then finishes what was claimed and returns. Returns before that only
    /// by a defect.
    pub async fn run(self, stop: CancellationToken) {
        let pipeline = Arc::new(self);
        let (ready, waiting) = mpsc::channel(pipeline.settings.batch.max(1));
        let leases = Leases::new(pipeline.settings.lease, pipeline.clock.clone());
        let journal = pipeline.journal.clone();
        let console = ConsoleLabel::current();
        let renewing = Arc::clone(&leases).renew_in_time(journal);
        let _renewing = AbortOnDropHandle::new(tokio::spawn(console.on(renewing)));
        let mut delivering = tokio::spawn(console.on(pipeline.deliverer(&leases).run(waiting)));
        let delivered = tokio::select! {
            () = pipeline.claim_until(&stop, ready, &leases) => delivering.await,
            ended = &mut delivering => ended,
        };
        match delivered {
            Ok(()) => info!("the pipeline has stopped"),
            Err(failure) => {
                error!(%failure, "delivery ended by a defect; what was under way is tried again");
            }
        }
    }

    fn deliverer(&self, leases: &Arc<Leases>) -> Deliverer {
        Deliverer {
            leases: Arc::clone(leases),
            journal: self.journal.clone(),
            sinks: self.sinks.clone(),
            clock: self.clock.clone(),
            settings: self.settings.clone(),
            connector_name: self.connector_name.clone(),
            arrived: Arc::clone(&self.arrived),
            health: Arc::clone(&self.health),
            negative_sightings: self.negative_sightings,
        }
    }

    async fn claim_until(
        self: &Arc<Self>,
        stop: &CancellationToken,
        ready: mpsc::Sender<Prepared>,
        leases: &Arc<Leases>,
    ) {
        let room = Room::new(self.settings.concurrency);
        let max_values = self.preparer.enricher.max_values();
        let preparing = TaskTracker::new();
        let console = ConsoleLabel::current();
        while !stop.is_cancelled() {
            if let Some(pressure) = &self.pressure {
                pressure.relieved(stop).await;
            }
            // None any more after a stop, however long it was waited until then.
            let Some(mut claim) = stop.run_until_cancelled(room.for_a_claim()).await else { break };
            let free = room.free_places().min(self.settings.batch).max(1);
            // Before the claim is sent: a lease counts from here.
            let now = self.clock.moment();
            let events = match self.claim(free, leases, now).await {
                Ok(events) => events,
                Err(failure) => {
                    if !failure.is_told() {
                        error!(%failure, "the journal cannot be read; trying again");
                    }
                    tokio::time::sleep(JOURNAL_FAILED).await;
                    continue;
                }
            };
            let found_nothing = events.is_empty();
            if let Some(pressure) = self.pressure.as_ref().filter(|_| !found_nothing) {
                pressure.busy();
            }
            let events = in_turn(events);
            // At once: none may wait for its place with a lease that nobody keeps.
            let kept: Vec<_> =
                events.iter().map(|(event, _turn)| leases.keep(event.claim, now)).collect();
            // The last one takes it along: whoever asks who shares it finds nobody else.
            let together = std::iter::repeat_n(Arc::new(()), events.len());
            for (((event, turn), together), lease) in events.into_iter().zip(together).zip(kept) {
                let bytes = if event.is_unread() {
                    memory_bytes_at_most(event.body_bytes, max_values)
                } else {
                    memory_bytes(&event.body, max_values)
                };
                let place = room.place(&mut claim, bytes).await;
                let (pipeline, ready) = (Arc::clone(self), ready.clone());
                let share = Share { together, place, lease };
                preparing.spawn(console.on(async move {
                    pipeline.prepare_one(event, turn, share, ready).await;
                }));
            }
            drop(claim);
            if found_nothing {
                self.wait_for_work(stop).await;
            }
        }
        preparing.close();
        preparing.wait().await;
    }

    /// Claims what is due, but never what is under way here.
    async fn claim(
        &self,
        limit: usize,
        leases: &Leases,
        now: Moment,
    ) -> Result<Vec<Event>, JournalError> {
        leases.renew(&self.journal, now).await?;
        self.journal.claim(limit, self.settings.lease, now.wall).await
    }

    async fn prepare_one(
        &self,
        event: Event,
        turn: Turn,
        share: Share,
        ready: mpsc::Sender<Prepared>,
    ) {
        let claim = event.claim;
        // Boxed: its look-ups make it large, and many are under way at once.
        let preparing = AssertUnwindSafe(Box::pin(self.preparer.prepare(event, turn)));
        let prepared = preparing.catch_unwind().await;
        let broke_off = |_panic| {
            let (longest, now) = (self.settings.retry_max, self.clock.now());
            defect::outcome(Step::Converting, claim, longest, now)
        };
        match prepared.map_err(broke_off) {
            Ok(Ok(prepared)) => {
                let Share { together, place, lease } = share;
                let held = (place.bytes, lease);
                // The receiver lives as long as any sender does.
                let _gone = ready.send(Prepared { ready: prepared, together, held }).await;
            }
            Ok(Err(outcome)) => {
                if matches!(outcome, Outcome::Dead { .. }) {
                    metrics::counter!("dead_letters_total", "step" => "converting").increment(1);
                }
                self.end(claim, outcome).await;
            }
            Err(outcome) => self.end(claim, outcome).await,
        }
    }

    async fn end(&self, claim: Claim, outcome: Outcome) {
        finish(&self.journal, &[(claim, outcome)], self.clock.now()).await;
        self.arrived.notify_one();
    }

    /// Waits until something arrives or falls due.
    async fn wait_for_work(&self, stop: &CancellationToken) {
        let wait = match self.journal.next_due().await {
            Ok(Some(due)) => {
                (due - self.clock.now()).to_std().unwrap_or_default().clamp(PAUSE_MIN, IDLE)
            }
            Ok(None) => IDLE,
            Err(_) => JOURNAL_FAILED,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.arrived.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Writes outcomes down, also in a journal that is away for a moment. If that fails for good the
/// leases run out and the events are tried again: ids are deterministic, so a second delivery changes
/// nothing.
async fn finish(journal: &Journal, outcomes: &[(Claim, Outcome)], now: DateTime<Utc>) {
    count(outcomes);
    for tries_left in (0..TRIES_TO_FINISH).rev() {
        let written: Result<(), JournalError> = journal.finish(outcomes, now).await;
        let Err(failure) = written else { return };
        if tries_left == 0 || !failure.is_told() {
            error!(
                %failure,
                events = outcomes.len(),
                tries_left,
                "outcomes could not be written to the journal"
            );
        }
        if tries_left > 0 {
            tokio::time::sleep(JOURNAL_FAILED).await;
        }
    }
}

fn count(outcomes: &[(Claim, Outcome)]) {
    for (_claim, outcome) in outcomes {
        let name = match outcome {
            Outcome::Delivered { .. } => "delivered",
            Outcome::DeliveredInPart { .. } => "delivered_in_part",
            Outcome::GaveUp { .. } => "gave_up",
            Outcome::Filtered { .. } => "filtered",
            Outcome::Superseded => "superseded",
            Outcome::Dead { .. } => "dead",
            Outcome::DeliveredToSome { .. } => "delivered_to_some",
            Outcome::Later { .. } => "later",
        };
        metrics::counter!("events_finished_total", "outcome" => name).increment(1);
    }
}
