//! Lets events leave once more, whole, of which OpenCTI refused something for a reason that passes: a
//! reference that was missing, a platform that was too busy. A few times, further and further apart;
//! then only a newer version of the alert brings it again.
//!
//! Does not live here: which reasons pass (`opencti`), counting the times (`journal`).

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::{
    journal::{EventId, Journal, JournalError, Refusal, RequeueOutcome, Requeued},
    opencti::may_be_taken_later,
};

/// Times for which an event waits that leaves once more: the first, second and third time.
const WAITS: [TimeDelta; 3] = [TimeDelta::minutes(1), TimeDelta::minutes(10), TimeDelta::hours(1)];

/// Lets events leave once more because of those refusals of one work that may pass. `unnamed` are the events of a
/// work with more errors than the platform keeps: if one of those that it kept passes, so may one
/// that it did not.
pub(super) async fn requeue_passing(
    journal: &Journal,
    now: DateTime<Utc>,
    refusals: impl Iterator<Item = &Refusal>,
    unnamed: &HashSet<EventId>,
) -> Result<(), JournalError> {
    for (event, reason) in reasons(refusals, unnamed) {
        match journal.requeue_delivered(event, &reason, &WAITS, now).await? {
            RequeueOutcome::Pending => {
                count("sent_again");
                info!(event, reason, "an event leaves once more");
            }
            RequeueOutcome::GaveUp => {
                count("gave_up");
                warn!(
                    event,
                    reason,
                    times = WAITS.len(),
                    "an event left once more as often as it may, and OpenCTI still refuses something \
                     of it; `events show` tells its story"
                );
            }
            RequeueOutcome::OnItsWay | RequeueOutcome::CameAgain | RequeueOutcome::NotThere => {}
        }
    }
    Ok(())
}

/// Tells what became of the events of a work that lost objects, of which OpenCTI showed this.
pub(super) fn tell_lost(work: &str, reason: &str, shown: &str, requeued: &Requeued) {
    let Requeued { pending, came_otherwise, gave_up, without_text } = requeued;
    warn!(
        work_id = work,
        reason,
        shown,
        requeued = pending,
        came_otherwise,
        "objects of a work never reached OpenCTI; the events in it are sent once more"
    );
    let counter =
        |outcome: &'static str| metrics::counter!("events_sent_again_total", "outcome" => outcome);
    counter("sent_again").increment(*pending as u64);
    counter("gave_up").increment((gave_up.len() + without_text.len()) as u64);
    if !gave_up.is_empty() {
        warn!(
            work_id = work,
            events = ?gave_up,
            "events were sent once more as often as they may, and their work was lost again; a newer \
             version of the alert, or a reset in OpenCTI, brings them again"
        );
    }
    if !without_text.is_empty() {
        warn!(
            work_id = work,
            events = ?without_text,
            "events cannot be sent once more: their text is removed, because it was older than \
             HARFANGLAB_INCIDENTS_JOURNAL_RETENTION or because the disk guard needed the space"
        );
    }
}

/// The events that are to leave once more, each with the first reason.
fn reasons<'a>(
    refusals: impl Iterator<Item = &'a Refusal>,
    unnamed: &HashSet<EventId>,
) -> BTreeMap<EventId, String> {
    let mut reasons = BTreeMap::new();
    let mut is_any = false;
    for refusal in refusals.filter(|refusal| may_be_taken_later(&refusal.reason)) {
        is_any = true;
        if let Some(event) = refusal.event {
            let words = || format!("OpenCTI refused {}: {}", refusal.object, refusal.reason);
            reasons.entry(event).or_insert_with(words);
        }
    }
    for event in unnamed.iter().filter(|_| is_any) {
        let words = || "OpenCTI refused more of its work than it tells".to_owned();
        reasons.entry(*event).or_insert_with(words);
    }
    reasons
}

fn count(outcome: &'static str) {
    metrics::counter!("events_sent_again_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(event: Option<EventId>, reason: &str) -> Refusal {
        Refusal {
            event,
            object: "incident--1".to_owned(),
            reason: reason.to_owned(),
            work: "work_1".to_owned(),
            refused_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn of_a_work_with_more_errors_than_are_kept_all_events_leave_again_if_one_reason_passes() {
        let again = |refusals: &[Refusal], unnamed: &[EventId]| -> Vec<EventId> {
            reasons(refusals.iter(), &unnamed.iter().copied().collect()).into_keys().collect()
        };
        let passing = refusal(Some(1), "LOCK_ERROR");
        let lasting = refusal(Some(2), "FUNCTIONAL_ERROR");
        assert_eq!(again(&[passing.clone(), lasting.clone()], &[]), [1]);
        assert_eq!(again(&[passing, lasting.clone()], &[1, 2, 3]), [1, 2, 3]);
        assert!(again(&[lasting], &[1, 2, 3]).is_empty());
        assert!(again(&[refusal(None, "LOCK_ERROR")], &[]).is_empty(), "whose, nobody knows");
    }
}
