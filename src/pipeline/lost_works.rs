//! Tells a work that lost objects on the way into OpenCTI from one that is only slow.
//!
//! | OpenCTI shows                               | how it comes to that                        | lost after |
//! |---------------------------------------------|---------------------------------------------|------------|
//! | `complete`, fewer processed than expected   | a reset of the connector purged its queue   | 2 minutes  |
//! | no such work                                | connector or work deleted, with its queue   | 2 minutes  |
//! | `progress`, processed = expected            | the search engine was away: objects burnt   | 5 minutes  |
//! | `progress`, fewer processed, empty queue    | somebody purged or deleted the queue        | 1 hour     |
//!
//! The time counts from when it first looked so and has not changed since. A reset is noticed by the
//! heartbeat and answered by a sweep; by then it has begun, so that little is sent twice.
//!
//! Does not live here: asking OpenCTI and ending the work (`refusals`), requeueing (`journal`).

use chrono::{DateTime, TimeDelta, Utc};
use strum::IntoStaticStr;

use crate::{
    journal::{DueWork, WorkStanding},
    opencti::{CONTINUED, WorkReport},
};

/// Time for which a work must look purged or deleted.
const GONE_AFTER: TimeDelta = TimeDelta::minutes(2);
/// Time for which a work must stay in progress with everything processed.
const STUCK_AFTER: TimeDelta = TimeDelta::minutes(5);
/// Time for which nothing of a work must be processed while nothing is queued.
const UNMOVED_AFTER: TimeDelta = TimeDelta::hours(1);
/// Time within which a reset is noticed, for a work that is complete with too few objects. Without
/// one nothing was purged: the API sink's works are complete like that on OpenCTI 6.
const RESET_NOTICED_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Waits of an event that is requeued in one import generation for the first time, the second and
/// so on, in whichever ways its works were lost; the journal counts them together. A work that is
/// lost time and again is somebody's doing, or the alert's, and ends.
pub(super) const WAITS: [TimeDelta; 3] =
    [TimeDelta::zero(), TimeDelta::minutes(10), TimeDelta::hours(1)];

/// Ways in which objects of a work are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Loss {
    /// A reset of the connector purged its queue.
    Purged,
    /// OpenCTI does not know the work any more.
    Gone,
    /// All objects count as processed, and the work never completes.
    Stuck,
    /// Nothing of it is queued, and objects are missing.
    Unmoved,
}

/// The verdict of a look at a work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything announced was imported or refused.
    Done,
    /// It is not done; if it stays as it is, that means something from this date on.
    Open(Option<DateTime<Utc>>),
    /// It lost objects.
    Lost(Loss),
}

impl Loss {
    /// Its name in the metric.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    /// The reason in the history of an event.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Purged => "a reset in OpenCTI purged the queue that it was in",
            Self::Gone => "its work was deleted in OpenCTI, with what was queued of it",
            Self::Stuck => "OpenCTI processed its work and never completed it",
            Self::Unmoved => "OpenCTI's queue is empty, and objects of its work never came",
        }
    }

    /// The message with which the work is to be closed; `None` where there is nothing to close.
    pub(super) fn closing(self) -> Option<String> {
        let is_open = matches!(self, Self::Stuck | Self::Unmoved);
        is_open.then(|| format!("objects of this work were lost; what is missing {CONTINUED}"))
    }
}

/// Describes the work by this report, and since when it looks so.
pub(super) fn standing(
    work: &DueWork,
    report: Option<&WorkReport>,
    now: DateTime<Utc>,
) -> WorkStanding {
    let shown = match report {
        None => "gone".to_owned(),
        Some(report) => {
            let status = if report.is_complete { "complete" } else { "in progress" };
            format!("{status}, {} of {}", report.processed, report.expected)
        }
    };
    let before = work.standing.as_ref().filter(|before| before.shown == shown);
    WorkStanding { since: before.map_or(now, |before| before.since), shown }
}

/// Judges the work by this report.
pub(super) fn judge(
    work: &DueWork,
    report: Option<&WorkReport>,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Verdict {
    let after = |wait: TimeDelta, verdict: Verdict| {
        if now >= since + wait { verdict } else { Verdict::Open(Some(since + wait)) }
    };
    match report {
        None => after(GONE_AFTER, Verdict::Lost(Loss::Gone)),
        Some(report) if report.is_complete => match report.outstanding() {
            0 => Verdict::Done,
            _ if work.was_reset => after(GONE_AFTER, Verdict::Lost(Loss::Purged)),
            _ => after(RESET_NOTICED_AFTER, Verdict::Done),
        },
        Some(report) if report.expected > 0 && report.outstanding() == 0 => {
            after(STUCK_AFTER, Verdict::Lost(Loss::Stuck))
        }
        Some(_) => Verdict::Open(None),
    }
}

/// Returns whether nothing of a work in progress has moved for so long that, with an empty queue,
/// its missing objects never come.
pub(super) fn is_unmoved(report: &WorkReport, since: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    report.outstanding() > 0 && !report.was_interrupted() && now >= since + UNMOVED_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(was_reset: bool) -> DueWork {
        DueWork {
            id: "work_1".to_owned(),
            closing: None,
            looks: 1,
            opened_at: DateTime::UNIX_EPOCH,
            standing: None,
            was_reset,
            is_lost: false,
        }
    }

    fn report(is_complete: bool, processed: i64, expected: i64) -> WorkReport {
        WorkReport { is_complete, expected, processed, errors: Vec::new() }
    }

    fn after(minutes: i64, was_reset: bool, report: Option<&WorkReport>) -> Verdict {
        let since = DateTime::UNIX_EPOCH;
        judge(&work(was_reset), report, since, since + TimeDelta::minutes(minutes))
    }

    #[test]
    fn a_purged_work_is_told_from_one_that_a_platform_completes_too_early() {
        let short = report(true, 23, 130);
        assert_eq!(after(2, true, Some(&short)), Verdict::Lost(Loss::Purged));
        assert!(matches!(after(1, true, Some(&short)), Verdict::Open(Some(_))), "sweeps first");
        assert!(matches!(after(9, false, Some(&short)), Verdict::Open(Some(_))), "a reset?");
        assert_eq!(after(10, false, Some(&short)), Verdict::Done, "nobody reset anything");
        assert_eq!(after(0, true, Some(&report(true, 130, 130))), Verdict::Done);
        assert_eq!(
            after(0, false, Some(&report(true, 17, 1))),
            Verdict::Done,
            "split by the worker"
        );
    }

    #[test]
    fn a_work_with_everything_processed_is_stuck_after_five_minutes() {
        let stuck = report(false, 28, 28);
        assert!(matches!(after(4, false, Some(&stuck)), Verdict::Open(Some(_))));
        assert_eq!(after(5, false, Some(&stuck)), Verdict::Lost(Loss::Stuck));
        assert_eq!(after(600, false, Some(&report(false, 27, 28))), Verdict::Open(None), "slow");
        assert_eq!(after(600, false, Some(&report(false, 0, 0))), Verdict::Open(None), "unknown");
    }

    #[test]
    fn a_work_that_is_gone_is_lost_after_two_minutes() {
        assert!(matches!(after(1, false, None), Verdict::Open(Some(_))));
        assert_eq!(after(2, false, None), Verdict::Lost(Loss::Gone));
    }

    #[test]
    fn the_time_counts_from_when_it_last_changed() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(9);
        let mut work = work(false);
        let first = standing(&work, Some(&report(false, 27, 28)), DateTime::UNIX_EPOCH);
        work.standing = Some(first.clone());
        assert_eq!(standing(&work, Some(&report(false, 27, 28)), now), first);
        assert_eq!(standing(&work, Some(&report(false, 28, 28)), now).since, now);
    }
}
