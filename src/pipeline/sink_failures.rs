//! Tells how a sink is: the health always, and the log once for each reason, however often it comes, and
//! once more with the count when the sink takes deliveries again.
//!
//! Does not live here: the deliveries themselves (`sink_queue`).

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::sink_answer::{Answer, was_tried};
use crate::{health::Health, journal::Counts, opencti::DeliveryError};

/// Reasons that are remembered at most; then all of them are told anew.
const MOST_REASONS: usize = 32;
/// Least time without a delivery after which what waits for the sink is tried at once when it is back. One
/// bundle at which it hangs up while it takes all others must wait for its time.
const OUTAGE: Duration = Duration::from_secs(10);

/// The failures of one sink since it last took a delivery.
#[derive(Debug)]
pub(super) struct SinkFailures {
    sink: &'static str,
    /// Each reason with the number of events that failed for it.
    reasons: BTreeMap<String, usize>,
    since: Option<Instant>,
}

impl SinkFailures {
    /// Of the sink of this name; none yet.
    pub(super) fn of(sink: &'static str) -> Self {
        Self { sink, reasons: BTreeMap::new(), since: None }
    }

    /// Tells of a delivery, and returns whether it ended an outage. A refusal is the bundle's trouble, not
    /// the sink's; what was not even tried says nothing of it.
    pub(super) fn tell(&mut self, answers: &[Answer], health: &Health) -> bool {
        let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
        for answer in answers {
            if let Err(DeliveryError::Unavailable(reason)) = answer {
                *counts.entry(reason).or_default() += 1;
            }
        }
        if let Some(reason) = counts.keys().next() {
            health.sink_degraded(self.sink, (*reason).clone());
        } else if answers.iter().any(was_tried) {
            return self.end("the sink takes deliveries again", health);
        }
        let sink = self.sink;
        for (reason, bundles) in counts {
            if self.is_new(reason, bundles) {
                warn!(
                    sink, bundles, %reason,
                    "bundles could not be delivered and are tried again; told once for each reason"
                );
            }
        }
        false
    }

    /// Tells that a delivery has taken so long and goes on.
    pub(super) fn is_late(&mut self, so_far: Duration, health: &Health) {
        let (sink, seconds) = (self.sink, so_far.as_secs());
        let reason = format!("a delivery to the sink `{sink}` takes longer than {seconds} seconds");
        if self.is_new(&reason, 0) {
            warn!(sink, "{reason}; it is waited for");
        }
        health.sink_degraded(sink, reason);
    }

    /// Counts a failure, and returns whether its reason is a new one.
    fn is_new(&mut self, reason: &str, events: usize) -> bool {
        self.since.get_or_insert_with(Instant::now);
        if let Some(count) = self.reasons.get_mut(reason) {
            *count += events;
            return false;
        }
        if self.reasons.len() >= MOST_REASONS {
            self.reasons.clear();
        }
        self.reasons.insert(reason.to_owned(), events);
        true
    }

    /// Returns whether it failed since it last took a delivery.
    pub(super) fn is_any(&self) -> bool {
        self.since.is_some()
    }

    /// Forgets the failures, which the log is told with this message, and returns whether they were an outage.
    pub(super) fn end(&mut self, message: &str, health: &Health) -> bool {
        health.sink_well(self.sink);
        let reasons = std::mem::take(&mut self.reasons);
        if !reasons.is_empty() {
            let (sink, failures) = (self.sink, reasons.values().sum::<usize>());
            info!(sink, failures, reasons = reasons.len(), "{message}");
        }
        self.since.take().is_some_and(|since| since.elapsed() >= OUTAGE)
    }
}

/// Judges by looks at the journal whether a sink that failed is well, while nothing is delivered to it here.
#[derive(Debug)]
pub(super) struct Elsewhere {
    /// The only sink. What is delivered says nothing of one of several: it may have had the event before it
    /// failed.
    is_only: bool,
    /// Least number of delivered events of all looks: the retention takes some away.
    least: Option<u64>,
}

impl Elsewhere {
    /// Begins for one of so many sinks.
    pub(super) const fn new(sinks: usize) -> Self {
        Self { is_only: sinks == 1, least: None }
    }

    /// Returns whether nothing waits, or others have delivered since an earlier look.
    pub(super) fn ends_it(&mut self, counts: &Counts) -> bool {
        let least = self.least.map_or(counts.delivered, |least| least.min(counts.delivered));
        self.least = Some(least);
        counts.pending + counts.following_up == 0 || (self.is_only && counts.delivered > least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(reason: &str) -> Result<(), DeliveryError> {
        Err(DeliveryError::Unavailable(reason.to_owned()))
    }

    #[test]
    fn a_reason_is_new_once_until_the_sink_takes_a_delivery() {
        let mut failures = SinkFailures::of("queue");
        assert!(failures.is_new("away", 3) && failures.is_new("full", 1));
        assert!(!failures.is_new("away", 2));
        assert_eq!(failures.reasons["away"], 5);
        failures.tell(&[Err(DeliveryError::HeldBack)], &Health::default());
        assert!(!failures.is_new("away", 1), "nobody knows whether it is back");
        failures.tell(&[Ok(())], &Health::default());
        assert!(failures.is_new("away", 1));
    }

    #[test]
    fn an_outage_is_over_with_the_first_delivery_and_a_hiccup_is_none() {
        let (mut failures, health) = (SinkFailures::of("queue"), Health::default());
        assert!(!failures.tell(&[Ok(())], &health), "there was none");
        assert!(!failures.tell(&[unavailable("away")], &health));
        assert!(!failures.tell(&[Ok(())], &health), "it took others all the time");
        failures.tell(&[unavailable("away")], &health);
        failures.since = Instant::now().checked_sub(OUTAGE);
        assert!(!failures.tell(&[unavailable("away")], &health));
        assert!(failures.tell(&[Ok(())], &health));
        assert!(!failures.tell(&[Ok(())], &health), "it is told once");
    }

    #[test]
    fn what_was_not_tried_makes_a_sink_neither_well_nor_degraded() {
        let (mut failures, health) = (SinkFailures::of("queue"), Health::default());
        let mut tell = |answers: &[Answer]| {
            failures.tell(answers, &health);
            let sinks = health.sink_troubles();
            let is_degraded = sinks.values().any(|trouble| trouble.until.is_none());
            (is_degraded, health.degraded_places().len())
        };
        let not_tried = [Err(DeliveryError::LeaseLost), Err(DeliveryError::HeldBack)];
        assert_eq!(tell(&not_tried), (false, 0));
        assert_eq!(tell(&[unavailable("away")]), (true, 1));
        assert_eq!(tell(&not_tried), (true, 1), "nobody knows whether it is back");
        assert_eq!(tell(&[Err(DeliveryError::LeaseLost), Ok(())]), (false, 0));
    }

    #[test]
    fn deliveries_are_degraded_as_long_as_any_sink_is() {
        let health = Health::default();
        let (mut queue, mut s3) = (SinkFailures::of("queue"), SinkFailures::of("s3"));
        queue.tell(&[unavailable("away")], &health);
        s3.tell(&[unavailable("away")], &health);
        s3.tell(&[Ok(())], &health);
        assert_eq!(health.degraded_places().len(), 1, "the queue is still away");
        queue.tell(&[Ok(())], &health);
        assert!(health.degraded_places().is_empty());
    }

    /// Returns what looks at this many pending, followed up and delivered events find.
    fn looks(sinks: usize, found: &[(u64, u64, u64)]) -> Vec<bool> {
        let mut elsewhere = Elsewhere::new(sinks);
        let counts = found.iter().map(|&(pending, following_up, delivered)| Counts {
            pending,
            following_up,
            delivered,
            ..Counts::default()
        });
        counts.map(|counts| elsewhere.ends_it(&counts)).collect()
    }

    #[test]
    fn the_only_sink_is_well_when_others_have_delivered_between_two_looks() {
        assert_eq!(looks(1, &[(2, 0, 7), (2, 0, 7), (1, 0, 8)]), [false, false, true]);
        let by_retention = [(2, 0, 7), (2, 0, 3), (1, 0, 4)];
        assert_eq!(looks(1, &by_retention), [false, false, true]);
    }

    #[test]
    fn one_of_several_sinks_is_well_only_when_nothing_waits() {
        assert_eq!(looks(2, &[(2, 0, 7), (1, 0, 8), (0, 1, 8)]), [false; 3]);
        assert_eq!(looks(2, &[(2, 0, 7), (0, 0, 9)]), [false, true]);
        assert_eq!(looks(1, &[(0, 0, 7)]), [true]);
    }
}
