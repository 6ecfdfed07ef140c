//! When the sweep runs: at start and then every period, counted from the end of the last one, so
//! that sweeps never overlap and a late one is not made up for.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{ServiceError, platform};
use crate::{
    clock::Clock,
    health::{Health, Part},
    journal::Journal,
    opencti::Pulse,
    sweep::{self, Found, Sweep, SweepError},
};

/// How often a single run looks whether everything has left.
const DRAIN_LOOK: Duration = Duration::from_millis(200);
/// How long a single run waits for deliveries that make no progress.
const NO_PROGRESS_MAX: TimeDelta = TimeDelta::minutes(10);
/// Tries of the sweep of a single run.
const TRIES_OF_SINGLE_RUN: u32 = 3;

pub(super) struct Schedule {
    sweep: Sweep,
    period: Duration,
    health: Arc<Health>,
    clock: Clock,
    pulse: watch::Sender<Pulse>,
    reset: Arc<Notify>,
}

impl Schedule {
    pub(super) fn new(sweep: Sweep, period: Duration, health: Arc<Health>, clock: Clock) -> Self {
        let pulse = watch::Sender::new(Pulse::default());
        Self { sweep, period, health, clock, pulse, reset: Arc::default() }
    }

    /// When the sweep last ran and next runs, for the heartbeat.
    pub(super) fn pulses(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// Told when everything is to be imported again.
    pub(super) fn reset(&self) -> Arc<Notify> {
        Arc::clone(&self.reset)
    }

    /// Sweeps until `stop`, and from the start date again at each reset.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        loop {
            // A sweep that is cut off leaves its cursor where the journal has everything before it.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.reset.notified() => {
                    self.start_over().await;
                    continue;
                }
                _swept = self.sweep_and_tell() => {}
            }
            let last_run = self.clock.now();
            let period = TimeDelta::from_std(self.period).unwrap_or(TimeDelta::MAX);
            self.pulse.send_modify(|pulse| {
                pulse.last_run = Some(last_run);
                pulse.next_run = last_run.checked_add_signed(period);
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.reset.notified() => self.start_over().await,
                () = tokio::time::sleep(self.period) => {}
            }
        }
    }

    async fn start_over(&self) {
        platform::insist(|| sweep::start_over(&*self.sweep.journal)).await;
        // The heartbeat must not go on telling the cursors of before.
        self.pulse.send_modify(|pulse| pulse.next_run = None);
    }

    /// One sweep, then everything delivered.
    pub(super) async fn run_once(&self, journal: &dyn Journal) -> Result<(), ServiceError> {
        let dead_before = journal.counts().await?.dead;
        let mut swept = self.sweep_and_tell().await;
        for _another in 1..TRIES_OF_SINGLE_RUN {
            if swept.is_ok() {
                break;
            }
            swept = self.sweep_and_tell().await;
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

    /// Waits until nothing is pending, as long as there is progress.
    async fn drain(&self, journal: &dyn Journal) -> Result<(), ServiceError> {
        let (mut least, mut since) = (u64::MAX, self.clock.now());
        while !journal.is_drained().await? {
            let pending = journal.counts().await?.pending;
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

    /// The pulse of this moment.
    pub(super) fn pulse(&self) -> Pulse {
        Pulse { last_run: Some(self.clock.now()), ..self.pulse.borrow().clone() }
    }

    async fn sweep_and_tell(&self) -> Result<(), SweepError> {
        let began = self.clock.now();
        let swept = self.sweep.run_once().await;
        count(&swept, began, self.clock.now());
        match swept {
            Ok(found) => {
                // Another part of the console's API may still be denied.
                if self.sweep.console.denied().borrow().is_none() {
                    self.health.well(Part::HarfangLab);
                }
                info!(new = found.new, known = found.known, "the sweep is done");
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
