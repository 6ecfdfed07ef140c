//! Rules whose text OpenCTI refused. The STIX id of an indicator follows from its pattern alone, so it
//! stands for the text: a changed text is another indicator, which nobody refused yet. A refusal counts
//! for the version of OpenCTI that was known when the indicator left: whatever was sent before an upgrade
//! says nothing of the version after it.
//!
//! Does not live here: reading refusals and leaving rules out (`pipeline`).

use chrono::{DateTime, TimeDelta, Utc};

use super::event::EventId;

/// Time for which a refused rule is left out. Then the next alert of it asks OpenCTI again.
pub(super) const LEFT_OUT_FOR: TimeDelta = TimeDelta::days(7);

/// Refused rules kept at most; the oldest refusals go first.
pub const MOST_REFUSED_RULES: i64 = 10_000;

/// A refusal of a rule's text, as a work tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRefusal {
    /// STIX id of the rule's indicator.
    pub indicator: String,
    /// The rule's name; empty when OpenCTI did not say it.
    pub name: String,
    /// The platform's own words.
    pub reason: String,
    /// The work in which the indicator left.
    pub work: String,
    /// An event that brought it, whose rule lends its name.
    pub event: Option<EventId>,
    /// Time at which OpenCTI said it; not before the work was opened.
    pub refused_at: DateTime<Utc>,
}

/// A rule whose text OpenCTI refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRule {
    /// STIX id of its indicator.
    pub indicator: String,
    /// Its name.
    pub name: String,
    /// The platform's own words.
    pub reason: String,
    /// Version of the platform that refused it.
    pub platform: String,
    /// Time at which OpenCTI said it.
    pub refused_at: DateTime<Utc>,
}

impl RefusedRule {
    /// Returns the time from which on the rule is sent again.
    pub fn left_out_until(&self) -> DateTime<Utc> {
        self.refused_at + LEFT_OUT_FOR
    }
}
