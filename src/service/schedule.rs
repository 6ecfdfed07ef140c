//! Runs the sweep at the start and then every period, counted from the end of the last one, so
//! that sweeps never overlap and a late one is not made up for. After one that the console broke off
//! the next comes sooner: it may be well again, which nothing else tells.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    ServiceError,
    account::{Account, Trigger},
    jobs,
    reset::ResetOfConsole,
    until_answered::until_answered,
};
use crate::{
    clock::Clock,
    journal::Journal,
    opencti::Pulse,
    sweep::{Found, Job, JobBoard, Pace, Sweep, SweepError},
};

/// From one look of a single run whether everything has left to the next.
const DRAIN_LOOK: Duration = Duration::from_millis(200);
/// Longest wait of a single run for deliveries that make no progress.
const NO_PROGRESS_MAX: TimeDelta = TimeDelta::minutes(10);
/// Tries of the sweep of a single run.
const TRIES_OF_SINGLE_RUN: u32 = 3;
/// Wait after a first sweep that the console did not let end; doubles up to the period.
const AFTER_FAILURE: Duration = Duration::from_mins(1);

/// The last and the next run of a sweep, of all consoles the one that ended last.
pub(super) type Pulses = watch::Sender<Pulse>;

pub(super) struct Schedule {
    sweep: Arc<Sweep>,
    account: Account,
    board: Arc<JobBoard>,
    period: Duration,
    clock: Clock,
    pulse: Pulses,
}

/// The errand of a single run for one console.
pub(super) enum Errand {
    /// Its sweep.
    Sweep,
    /// A job that somebody asked for, in place of the sweep.
    Job(Job),
    /// It reads nothing: somebody asked for something of another console.
    None,
}

impl Schedule {
    pub(super) fn new(
        sweep: Arc<Sweep>,
        account: Account,
        board: Arc<JobBoard>,
        period: Duration,
        clock: Clock,
        pulse: Pulses,
    ) -> Self {
        Self { sweep, account, board, period, clock, pulse }
    }

    /// Its sweep.
    pub(super) fn sweep(&self) -> Arc<Sweep> {
        Arc::clone(&self.sweep)
    }

    /// The account kept of it.
    pub(super) fn account(&self) -> Account {
        self.account.clone()
    }

    /// Sweeps until `stop`, and from the start date again at each `reset`, which ends a job, too.
    pub(super) async fn run(&self, reset: &ResetOfConsole, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            // A sweep that is cut off leaves its cursor where the journal has everything before it.
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                () = reset.asked() => {
                    // Written down: what a stop cuts off here is done at the next start.
                    stop.run_until_cancelled(self.start_over(reset)).await;
                    continue;
                }
                ended = self.sweep_in_time() => ended,
            };
            failures = if ended == Ended::ByConsole { failures + 1 } else { 0 };
            let wait = wait_after(failures, self.period);
            let last_run = self.clock.now();
            self.pulse.send_modify(|pulse| {
                pulse.last_run = Some(last_run);
                let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
                pulse.next_run = last_run.checked_add_signed(wait);
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = reset.asked() => {
                    stop.run_until_cancelled(self.start_over(reset)).await;
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn start_over(&self, reset: &ResetOfConsole) {
        until_answered(|| self.sweep.start_over(&self.board)).await;
        reset.heeded().await;
        // The heartbeat must not go on telling the cursors of before.
        self.pulse.send_modify(|pulse| pulse.next_run = None);
    }

    /// Does what there is to do, then everything is delivered.
    pub(super) async fn run_once(
        &self,
        journal: &Journal,
        errand: &Errand,
    ) -> Result<(), ServiceError> {
        let dead_before = journal.counts().await?.dead;
        let mut swept = self.try_once(errand).await;
        for _another in 1..TRIES_OF_SINGLE_RUN {
            if matches!(swept, Ok(()) | Err(SweepError::CalledOff(_))) {
                break;
            }
            swept = self.try_once(errand).await;
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

    async fn try_once(&self, errand: &Errand) -> Result<(), SweepError> {
        let swept = match errand {
            Errand::Job(job) => jobs::run(&self.sweep, &self.account, &self.board, job).await,
            Errand::Sweep => self.sweep_once().await,
            Errand::None => return Ok(()),
        };
        tell(swept)
    }

    async fn sweep_once(&self) -> Result<Found, SweepError> {
        let swept = Box::pin(self.sweep.run_once(Pace::Schedule));
        self.account.of(Trigger::Schedule, swept).await
    }

    /// Waits until nothing is pending, as long as there is progress.
    async fn drain(&self, journal: &Journal) -> Result<(), ServiceError> {
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
    async fn sweep_in_time(&self) -> Ended {
        let began = self.clock.now();
        let ended = match AssertUnwindSafe(self.sweep_once()).catch_unwind().await {
            Ok(swept) => Ended::of(&tell(swept)),
            Err(_panic) => {
                error!(
                    "the sweep broke off by a defect; please report it. The next one tries again"
                );
                Ended::Otherwise
            }
        };
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
        ended
    }
}

/// The end of a scheduled sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Early, by a trouble of the console that passes by itself.
    ByConsole,
    Otherwise,
}

impl Ended {
    fn of<T>(swept: &Result<T, SweepError>) -> Self {
        match swept {
            // A refused token waits for a person.
            Err(SweepError::Console(error)) if error.is_transient() && !error.is_denied() => {
                Self::ByConsole
            }
            _ => Self::Otherwise,
        }
    }
}

/// Returns the wait before the next sweep after so many `failures` in a row.
fn wait_after(failures: u32, period: Duration) -> Duration {
    match failures.checked_sub(1) {
        None => period,
        Some(doublings) => AFTER_FAILURE.saturating_mul(1 << doublings.min(20)).min(period),
    }
}

/// Logs the end of a sweep.
fn tell(swept: Result<Found, SweepError>) -> Result<(), SweepError> {
    match swept {
        Ok(Found { new, known, missed, updated, .. }) => {
            info!(new, known, missed, updated, "the sweep is done");
            Ok(())
        }
        Err(failure) => {
            match &failure {
                SweepError::Door(_) | SweepError::Journal(_) => {
                    warn!(%failure, "the sweep pauses; the next one goes on from its cursor");
                }
                // What the console denies is told where it is noticed, for pushes too.
                SweepError::Console(error) if error.is_denied() => {}
                SweepError::CalledOff(_) => info!("the job was called off"),
                SweepError::Console(_) | SweepError::WindowFull(_) => {
                    warn!(%failure, "the sweep ended early; the next one goes on from its cursor");
                }
            }
            Err(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harfanglab::ConsoleError;

    #[test]
    fn a_console_that_refuses_the_token_is_swept_again_after_a_period_as_before() {
        let (path, said) = ("/api".to_owned(), String::new());
        let ended = |error| Ended::of::<()>(&Err(SweepError::Console(error)));
        let failing = ConsoleError::Failing { path: path.clone(), status: 502, retry_after: None };
        assert_eq!(ended(failing), Ended::ByConsole);
        let refused = ConsoleError::TokenRefused { path: path.clone(), said: said.clone() };
        assert_eq!(ended(refused), Ended::Otherwise);
        assert_eq!(ended(ConsoleError::Forbidden { path, said }), Ended::Otherwise);
    }

    #[test]
    fn after_a_failure_the_next_sweep_comes_soon_and_in_a_long_outage_once_a_period() {
        let waits = |period| [0, 1, 2, 3, 9, u32::MAX].map(|count| wait_after(count, period));
        let hour = Duration::from_hours(1);
        let minutes = [60, 1, 2, 4, 60, 60].map(Duration::from_mins);
        assert_eq!(waits(hour), minutes);
        let short = Duration::from_secs(5);
        assert_eq!(waits(short), [short; 6]);
    }
}
