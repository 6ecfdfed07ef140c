//! Rules whose text OpenCTI refused. The STIX id of an indicator follows from its pattern alone, so it
//! stands for the text: a changed text is another indicator, which nobody refused yet. A refusal counts
//! for the version of OpenCTI that was known when the indicator left: whatever was sent before an upgrade
//! says nothing of the version after it.
//!
//! Does not live here: reading refusals and leaving rules out (`pipeline`).

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{EventId, JournalError};

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

/// The part of the journal that knows refused rules. All consoles share it: they have one OpenCTI.
#[async_trait]
pub trait RefusedRuleJournal: Send + Sync {
    /// Notes the version that OpenCTI answers now. It holds until it answers another one, also for a
    /// process that has not reached OpenCTI.
    async fn note_platform_version(&self, version: &str) -> Result<(), JournalError>;

    /// Keeps a rule that was refused. Returns it; `None` when it was left out before, and when OpenCTI has
    /// another version than when the work was opened.
    async fn refuse_rule(&self, refusal: &RuleRefusal)
    -> Result<Option<RefusedRule>, JournalError>;

    /// Returns the rules that are left out at `now`: those that the present version of OpenCTI refused
    /// within seven days. The newest refusal comes first.
    async fn left_out_rules(&self, now: DateTime<Utc>) -> Result<Vec<RefusedRule>, JournalError>;

    /// Forgets the rule of an indicator, or all with `None`, so that it is sent again; returns how
    /// many there were.
    async fn forget_refused_rules(&self, indicator: Option<&str>) -> Result<u64, JournalError>;

    /// Returns the works, other than `work`, in which an indicator left and of which OpenCTI has not
    /// told all yet; at most `limit`, whatever their console.
    async fn works_with(
        &self,
        indicator: &str,
        work: &str,
        limit: usize,
    ) -> Result<Vec<String>, JournalError>;
}
