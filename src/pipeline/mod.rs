//! From the journal to every sink: claim → enrich → convert → deliver → outcome.
//!
//! ```text
//! claims ──▶ prepare (many at once) ──▶ deliver (all that is ready, one delivery) ──▶ finish
//! ```
//!
//! Each event goes its own way through `prepare`, so a slow look-up holds up nobody; what is ready
//! at one time leaves as one delivery. Waiting that must survive a crash is the journal's. What
//! OpenCTI makes of a delivery is looked at later (`afterwards`).
//!
//! Does not live here: HTTP and its quick retries (`harfanglab`, `opencti`), making STIX
//! (`convert`), storing (`journal`).

mod afterwards;
mod confirmations;
mod deliver;
mod enrich;
mod false_positives;
mod filter;
mod ledger;
mod prepare;
mod prepare_alert;
mod prepare_threat;
mod refusals;
mod retry;
mod room;
mod tally;
mod waiting;

use std::{panic::AssertUnwindSafe, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

pub use self::{
    afterwards::Afterwards, enrich::Enricher, false_positives::NegativeSightings,
    ledger::JournalLedger, prepare::Preparer,
};
use self::{
    deliver::{Deliverer, Prepared},
    room::{Place, Room},
};
use crate::{
    clock::Clock,
    config::PipelineSettings,
    health::Health,
    journal::{Claim, Event, Journal, JournalError, Outcome},
    label::ConsoleLabel,
    opencti::{Backpressure, Sink},
};

/// How long the pipeline waits when nothing says that there is something to do.
const IDLE: std::time::Duration = std::time::Duration::from_secs(30);
/// Tries of an event whose preparation panics.
const TRIES_OF_A_DEFECT: u32 = 3;
/// How long it waits when the journal fails.
const JOURNAL_FAILED: std::time::Duration = std::time::Duration::from_secs(1);

/// The parts that the pipeline moves events between.
pub struct Pipeline {
    /// Where events come from and their outcomes go.
    pub journal: Arc<dyn Journal>,
    /// Turns an event into a bundle.
    pub preparer: Arc<Preparer>,
    /// Where bundles go: an event is delivered when every one of them has it.
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
    /// How OpenCTI learns that a sighting is one of a false positive.
    pub negative_sightings: NegativeSightings,
}

impl Pipeline {
    /// Moves events until `stop`; then finishes what was claimed and returns.
    pub async fn run(self, stop: CancellationToken) {
        let pipeline = Arc::new(self);
        let (ready, waiting) = mpsc::channel(pipeline.settings.batch.max(1));
        let console = ConsoleLabel::current();
        let delivering = tokio::spawn(
            console.on(Deliverer {
                journal: Arc::clone(&pipeline.journal),
                sinks: pipeline.sinks.clone(),
                clock: pipeline.clock.clone(),
                settings: pipeline.settings.clone(),
                connector_name: pipeline.connector_name.clone(),
                arrived: Arc::clone(&pipeline.arrived),
                health: Arc::clone(&pipeline.health),
                negative_sightings: pipeline.negative_sightings,
                confirmations: confirmations::Confirmations::default(),
            }
            .run(waiting)),
        );
        pipeline.claim_until(&stop, ready).await;
        if let Err(failure) = delivering.await {
            error!(%failure, "delivery ended by a defect; what was under way is tried again");
        }
        info!("the pipeline has stopped");
    }

    async fn claim_until(
        self: &Arc<Self>,
        stop: &CancellationToken,
        ready: mpsc::Sender<Prepared>,
    ) {
        let room = Room::new(self.settings.concurrency);
        let preparing = TaskTracker::new();
        let console = ConsoleLabel::current();
        while !stop.is_cancelled() {
            if let Some(pressure) = &self.pressure {
                pressure.relieved(stop).await;
            }
            let mut claim = room.for_a_claim().await;
            let free = room.free_places().min(self.settings.batch).max(1);
            let now = self.clock.now();
            let events = match self.journal.claim(free, self.settings.lease, now).await {
                Ok(events) => events,
                Err(failure) => {
                    error!(%failure, "the journal cannot be read; trying again");
                    tokio::time::sleep(JOURNAL_FAILED).await;
                    continue;
                }
            };
            let found_nothing = events.is_empty();
            if let Some(pressure) = self.pressure.as_ref().filter(|_| !found_nothing) {
                pressure.busy();
            }
            // The last one takes it along: whoever asks who shares it finds nobody else.
            let together = std::iter::repeat_n(Arc::new(()), events.len());
            for (event, together) in events.into_iter().zip(together) {
                let place = room.place(&mut claim, event.body.len()).await;
                let (pipeline, ready) = (Arc::clone(self), ready.clone());
                preparing.spawn(console.on(async move {
                    pipeline.prepare_one(event, together, place, ready).await;
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

    async fn prepare_one(
        &self,
        event: Event,
        together: Arc<()>,
        place: Place,
        ready: mpsc::Sender<Prepared>,
    ) {
        let claim = event.claim;
        // Boxed: its look-ups make it large, and many are under way at once.
        let preparing = AssertUnwindSafe(Box::pin(self.preparer.prepare(event)));
        let prepared = preparing.catch_unwind().await;
        match prepared.unwrap_or_else(|_panic| Err(self.defect(claim))) {
            Ok(prepared) => {
                // The receiver lives as long as any sender does.
                let _gone =
                    ready.send(Prepared { ready: prepared, together, bytes: place.bytes }).await;
            }
            Err(outcome) => {
                if matches!(outcome, Outcome::Dead { .. }) {
                    metrics::counter!("dead_letters_total", "step" => "converting").increment(1);
                }
                finish(&*self.journal, &[(claim, outcome)], self.clock.now()).await;
                self.arrived.notify_one();
            }
        }
    }

    /// How an event ends whose preparation panicked: one bad alert never holds up another.
    fn defect(&self, claim: Claim) -> Outcome {
        let reason = "the conversion broke off by a defect; please report it with the alert";
        error!(event = claim.event, attempt = claim.attempt, "{reason}");
        if claim.attempt >= TRIES_OF_A_DEFECT {
            return Outcome::Dead { reason: reason.to_owned() };
        }
        let wait = retry::wait(claim.attempt, claim.event, self.settings.retry_max);
        Outcome::Later { at: self.clock.now() + wait, reason: reason.to_owned() }
    }

    /// Waits until something arrives or falls due.
    async fn wait_for_work(&self, stop: &CancellationToken) {
        let wait = match self.journal.next_due().await {
            Ok(Some(due)) => (due - self.clock.now()).to_std().unwrap_or_default().min(IDLE),
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

/// Writes outcomes down. If that fails the leases run out and the events are tried again: ids are
/// deterministic, so a second delivery changes nothing.
async fn finish(journal: &dyn Journal, outcomes: &[(Claim, Outcome)], now: DateTime<Utc>) {
    count(outcomes);
    let written: Result<(), JournalError> = journal.finish(outcomes, now).await;
    if let Err(failure) = written {
        error!(%failure, events = outcomes.len(), "outcomes could not be written to the journal");
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
            Outcome::Later { .. } => "later",
        };
        metrics::counter!("events_finished_total", "outcome" => name).increment(1);
    }
}
