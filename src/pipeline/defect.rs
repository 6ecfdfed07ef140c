//! Outcome of an event whose handling panics: it is tried again, and finally kept as a dead
//! letter. One bad alert never holds up another, nor ends the service.

use std::time::Duration;

use chrono::{DateTime, Utc};
use strum::IntoStaticStr;
use tracing::error;

use super::retry;
use crate::journal::{Claim, Outcome};

/// The step at which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Step {
    /// While its bundle was made.
    Converting,
    /// In a sink, or beside it.
    Delivering,
}

impl Step {
    /// As metrics call it.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    /// Tries of an event. What breaks off in a sink may be the sink's fault and that of every event
    /// then: they are given the time of an outage of some minutes.
    fn tries(self) -> u32 {
        match self {
            Self::Converting => 3,
            Self::Delivering => 9,
        }
    }
}

/// Returns the outcome of an event whose `step` panicked.
pub(super) fn outcome(step: Step, claim: Claim, longest: Duration, now: DateTime<Utc>) -> Outcome {
    let reason = format!("a defect: {} broke off; please report it with the alert", step.name());
    error!(event = claim.event, attempt = claim.attempt, "{reason}");
    if claim.attempt >= step.tries() {
        metrics::counter!("dead_letters_total", "step" => step.name()).increment(1);
        return Outcome::Dead { reason };
    }
    Outcome::Later { at: now + retry::wait(claim.attempt, claim.event, longest), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_tried_again_with_growing_waits_and_ends_as_a_dead_letter() {
        let now = DateTime::UNIX_EPOCH;
        let of = |attempt| {
            let claim = Claim { event: 64, attempt, fence: attempt };
            outcome(Step::Delivering, claim, Duration::from_mins(10), now)
        };
        let mut until = now;
        for attempt in 1..9 {
            let Outcome::Later { at, .. } = of(attempt) else { panic!("{attempt}") };
            assert!(at > until, "{attempt}");
            until = at;
        }
        let Outcome::Dead { reason } = of(9) else { panic!("the last") };
        assert!(reason.starts_with("a defect: delivering broke off"), "{reason}");
    }
}
