//! The account of each sweep and each backfill once it has ended, whoever asked for it: metrics, how
//! the last sweep went for the status page, and whether the console works.
//!
//! Does not live here: the log, which says for each road what happens next (`schedule`, `jobs`).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use strum::IntoStaticStr;

use crate::{
    clock::Clock,
    health::{Health, Part},
    sweep::{Found, Job, Sweep, SweepError, SweepRecord},
};

/// The trigger that made it begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Trigger {
    /// The period, or the start of a single run.
    Schedule,
    /// Somebody who wanted a sweep now.
    Command,
    /// Somebody who wanted a stretch of time.
    Backfill,
}

impl Trigger {
    pub(super) fn of(job: &Job) -> Self {
        match job {
            Job::Sweep => Self::Command,
            Job::Backfill(_) => Self::Backfill,
        }
    }

    /// Its name in metrics.
    fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Keeps account of what is swept.
#[derive(Clone)]
pub(super) struct Account {
    sweep: Arc<Sweep>,
    health: Arc<Health>,
    clock: Clock,
}

impl Account {
    pub(super) fn new(sweep: Arc<Sweep>, health: Arc<Health>, clock: Clock) -> Self {
        Self { sweep, health, clock }
    }

    /// Does `work` and tells how it went.
    pub(super) async fn of(
        &self,
        trigger: Trigger,
        work: impl Future<Output = Result<Found, SweepError>>,
    ) -> Result<Found, SweepError> {
        let began = self.clock.now();
        let swept = {
            let _under_way = UnderWay::begins();
            work.await
        };
        let now = self.clock.now();
        count(trigger, &swept, began, now);
        // A stretch of time says nothing of how complete the rest is.
        if trigger != Trigger::Backfill {
            SweepRecord::of(began, now, &swept).keep(&self.sweep.journal).await;
        }
        self.tell_health(&swept);
        swept
    }

    fn tell_health(&self, swept: &Result<Found, SweepError>) {
        match swept {
            // Another part of the console's API may still be denied.
            Ok(_) if self.sweep.console.denied().borrow().is_none() => {
                self.health.well(Part::HarfangLab);
            }
            // What is denied is told where it is noticed, for pushes too; the rest is not the
            // console's trouble.
            Err(SweepError::Console(error)) if error.is_denied() => {}
            Err(failure @ (SweepError::Console(_) | SweepError::WindowFull(_))) => {
                self.health.degraded(Part::HarfangLab, failure.to_string());
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Tells the metrics that a sweep is under way, until it is dropped: also one that is cut off ends.
struct UnderWay;

impl UnderWay {
    fn begins() -> Self {
        metrics::gauge!("sweep_under_way").increment(1.0);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        metrics::gauge!("sweep_under_way").decrement(1.0);
    }
}

/// Counts how it ended and how long it took.
fn count(
    trigger: Trigger,
    swept: &Result<Found, SweepError>,
    began: DateTime<Utc>,
    now: DateTime<Utc>,
) {
    let outcome = match swept {
        Ok(_) => "done",
        Err(SweepError::CalledOff(_)) => "interrupted",
        Err(_) => "failed",
    };
    let labels = [("trigger", trigger.as_str()), ("outcome", outcome)];
    metrics::counter!("sweeps_total", &labels).increment(1);
    let took = (now - began).as_seconds_f64().max(0.0);
    metrics::histogram!("sweep_seconds", "trigger" => trigger.as_str()).record(took);
    if swept.is_ok() && trigger != Trigger::Backfill {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay below 2^52")]
        metrics::gauge!("last_sweep_timestamp_seconds").set(now.timestamp() as f64);
    }
}
