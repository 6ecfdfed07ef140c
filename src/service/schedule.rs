//! When the sweep runs: at start and then every period, counted from the end of the last one, so
//! that sweeps never overlap and a late one is not made up for.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::ServiceError;
use crate::{
    clock::Clock,
    journal::Journal,
    opencti::Pulse,
    ops::{Health, Part},
    sweep::{Sweep, SweepError},
};

/// How often a single run looks whether everything has left.
const DRAIN_LOOK: Duration = Duration::from_millis(100);
/// Tries of the sweep of a single run.
const TRIES_OF_SINGLE_RUN: u32 = 3;

pub(super) struct Schedule {
    sweep: Sweep,
    period: Duration,
    health: Arc<Health>,
    clock: Clock,
    pulse: watch::Sender<Pulse>,
}

impl Schedule {
    pub(super) fn new(sweep: Sweep, period: Duration, health: Arc<Health>, clock: Clock) -> Self {
        Self { sweep, period, health, clock, pulse: watch::Sender::new(Pulse::default()) }
    }

    /// When the sweep last ran and next runs, for the heartbeat.
    pub(super) fn pulses(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// Sweeps until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            // A sweep that is cut off leaves its cursor where the journal has everything before it.
            if stop.run_until_cancelled(self.sweep_and_tell()).await.is_none() {
                return;
            }
            let last_run = self.clock.now();
            let period = TimeDelta::from_std(self.period).unwrap_or(TimeDelta::MAX);
            self.pulse.send_modify(|pulse| {
                pulse.last_run = Some(last_run);
                pulse.next_run = last_run.checked_add_signed(period);
            });
            stop.run_until_cancelled(tokio::time::sleep(self.period)).await;
        }
    }

    /// One sweep, then everything delivered.
    pub(super) async fn run_once(&self, journal: &dyn Journal) -> Result<(), ServiceError> {
        let mut result = self.sweep_and_tell().await;
        for _another in 1..TRIES_OF_SINGLE_RUN {
            if result.is_ok() {
                break;
            }
            result = self.sweep_and_tell().await;
        }
        while journal.next_due().await?.is_some() {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        info!("the single run is done: everything in the journal is delivered or accounted for");
        result.map_err(|failure| ServiceError::Sweep(failure.to_string()))
    }

    async fn sweep_and_tell(&self) -> Result<(), SweepError> {
        match self.sweep.run_once().await {
            Ok(found) => {
                self.health.well(Part::HarfangLab);
                info!(new = found.new, known = found.known, "the sweep is done");
                Ok(())
            }
            Err(failure) => {
                self.health.degraded(Part::HarfangLab, failure.to_string());
                warn!(%failure, "the sweep ended early; the next one goes on from its cursor");
                Err(failure)
            }
        }
    }
}
