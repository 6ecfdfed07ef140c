//! When the sweep runs: at start and then every period, counted from the end of the last one, so
//! that sweeps never overlap and a late one is not made up for.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{ServiceError, jobs, platform, reset::ResetOfConsole};
use crate::{
    clock::Clock,
    health::{Health, Part},
    journal::Journal,
    opencti::Pulse,
    sweep::{Found, Job, JobBoard, Sweep, SweepError, SweepRecord},
};

/// How often a single run looks whether everything has left.
const DRAIN_LOOK: Duration = Duration::from_millis(200);
/// How long a single run waits for deliveries that make no progress.
const NO_PROGRESS_MAX: TimeDelta = TimeDelta::minutes(10);
/// Tries of the sweep of a single run.
const TRIES_OF_SINGLE_RUN: u32 = 3;

/// When a sweep last ran and next runs, of all consoles the one that ended last.
pub(super) type Pulses = watch::Sender<Pulse>;

pub(super) struct Schedule {
    sweep: Arc<Sweep>,
    period: Duration,
    health: Arc<Health>,
    clock: Clock,
    pulse: Pulses,
    reset: ResetOfConsole,
}

impl Schedule {
    pub(super) fn new(
        sweep: Arc<Sweep>,
        period: Duration,
        health: Arc<Health>,
        clock: Clock,
        pulse: Pulses,
        reset: ResetOfConsole,
    ) -> Self {
        Self { sweep, period, health, clock, pulse, reset }
    }

    /// What sweeps.
    pub(super) fn sweep(&self) -> Arc<Sweep> {
        Arc::clone(&self.sweep)
    }

    /// Sweeps until `stop`, and from the start date again at each reset.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        loop {
            // A sweep that is cut off leaves its cursor where the journal has everything before it.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.reset.asked() => {
                    self.start_over().await;
                    continue;
                }
                _swept = self.sweep_in_time() => {}
            }
            let last_run = self.clock.now();
            let period = TimeDelta::from_std(self.period).unwrap_or(TimeDelta::MAX);
            self.pulse.send_modify(|pulse| {
                pulse.last_run = Some(last_run);
                pulse.next_run = last_run.checked_add_signed(period);
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.reset.asked() => self.start_over().await,
                () = tokio::time::sleep(self.period) => {}
            }
        }
    }

    async fn start_over(&self) {
        platform::insist(|| self.sweep.start_over()).await;
        self.reset.heeded().await;
        // The heartbeat must not go on telling the cursors of before.
        self.pulse.send_modify(|pulse| pulse.next_run = None);
    }

    /// One job, if there is one, then everything delivered.
    pub(super) async fn run_once(
        &self,
        journal: &dyn Journal,
        board: &JobBoard,
        job: Option<&Job>,
    ) -> Result<(), ServiceError> {
        let dead_before = journal.counts().await?.dead;
        let mut swept = Ok(());
        if let Some(job) = job {
            swept = self.try_job(board, job).await;
            for _another in 1..TRIES_OF_SINGLE_RUN {
                if swept.is_ok() {
                    break;
                }
                swept = self.try_job(board, job).await;
            }
        }
        self.drain(journal).await?;
        swept.map_err(|failure| ServiceError::Sweep(failure.to_string()))?;
        match journal.counts().await?.dead.saturating_sub(dead_before) {
            0 => {
                info!("the single run is done: everything in the journal has found its end");
                Ok(())
            }
            dead_letters => Err(ServiceError::DeadLetters(dead_letters)),
        }
    }

    async fn try_job(&self, board: &JobBoard, job: &Job) -> Result<(), SweepError> {
        let began = self.clock.now();
        let swept = jobs::run(&self.sweep, board, job).await;
        self.tell(began, swept).await
    }

    /// Waits until nothing is pending, as long as there is progress.
    async fn drain(&self, journal: &dyn Journal) -> Result<(), ServiceError> {
        let (mut least, mut since) = (u64::MAX, self.clock.now());
        while !journal.is_drained().await? {
            let pending = journal.pending().await?;
            let now = self.clock.now();
            if pending < least {
                (least, since) = (pending, now);
            } else if now - since > NO_PROGRESS_MAX {
                return Err(ServiceError::Undelivered(pending));
            }
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        Ok(())
    }

    /// A scheduled sweep. One that takes longer than the period is told: what it finds comes late.
    async fn sweep_in_time(&self) {
        let began = self.clock.now();
        let swept = self.sweep.run_once().await;
        let _told = self.tell(began, swept).await;
        let took = (self.clock.now() - began).to_std().unwrap_or_default();
        if took > self.period {
            warn!(
                took_seconds = took.as_secs(),
                period_seconds = self.period.as_secs(),
                "the sweep took longer than CONNECTOR_DURATION_PERIOD; the next one begins a period \
                 after its end. Raise HARFANGLAB_INCIDENTS_API_RATE or the period if it is no \
                 first import"
            );
        }
    }

    async fn tell(
        &self,
        began: DateTime<Utc>,
        swept: Result<Found, SweepError>,
    ) -> Result<(), SweepError> {
        let now = self.clock.now();
        count(&swept, began, now);
        SweepRecord::of(began, now, &swept).keep(&*self.sweep.journal).await;
        match swept {
            Ok(found) => {
                // Another part of the console's API may still be denied.
                if self.sweep.console.denied().borrow().is_none() {
                    self.health.well(Part::HarfangLab);
                }
                let Found { new, known, missed, updated } = found;
                info!(new, known, missed, updated, "the sweep is done");
                Ok(())
            }
            Err(failure) => {
                // What the console denies is told where it is noticed, for pushes too.
                let is_told = matches!(&failure, SweepError::Console(error) if error.is_denied());
                if let SweepError::Door(_) | SweepError::Journal(_) = &failure {
                    warn!(%failure, "the sweep pauses; the next one goes on from its cursor");
                } else if !is_told {
                    self.health.degraded(Part::HarfangLab, failure.to_string());
                    warn!(%failure, "the sweep ended early; the next one goes on from its cursor");
                }
                Err(failure)
            }
        }
    }
}

/// Counts how a sweep ended and how long it took.
fn count(swept: &Result<Found, SweepError>, began: DateTime<Utc>, now: DateTime<Utc>) {
    let outcome = if swept.is_ok() { "done" } else { "failed" };
    metrics::counter!("sweeps_total", "outcome" => outcome).increment(1);
    metrics::histogram!("sweep_seconds").record((now - began).as_seconds_f64().max(0.0));
    if swept.is_ok() {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay below 2^52")]
        metrics::gauge!("last_sweep_timestamp_seconds").set(now.timestamp() as f64);
    }
}
