//! Rules whose text OpenCTI refused. The STIX id of an indicator follows from its pattern alone, so it
//! stands for the text: a changed text is another indicator, which nobody refused yet.
//!
//! Does not live here: reading refusals and leaving rules out (`pipeline`).

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{EventId, JournalError};

/// Time for which a refused rule is left out. Then the next alert of it asks OpenCTI again.
pub(super) const LEFT_OUT_FOR: TimeDelta = TimeDelta::days(7);

/// Refused rules kept at most; the oldest refusals go first.
pub const MOST_REFUSED_RULES: i64 = 10_000;

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
    /// Returns whether the rule is left out at `now` of what goes to a platform of this version.
    pub fn is_left_out(&self, platform: &str, now: DateTime<Utc>) -> bool {
        self.platform == platform && now < self.left_out_until()
    }

    /// Returns the time from which on the rule is sent again.
    pub fn left_out_until(&self) -> DateTime<Utc> {
        self.refused_at + LEFT_OUT_FOR
    }
}

/// The part of the journal that knows refused rules. All consoles share it: they have one OpenCTI.
#[async_trait]
pub trait RefusedRuleJournal: Send + Sync {
    /// Keeps a rule that was refused. One without a name gets that of the rule of `event`. Returns the
    /// name; `None` when it was left out before.
    async fn refuse_rule(
        &self,
        rule: &RefusedRule,
        event: Option<EventId>,
    ) -> Result<Option<String>, JournalError>;

    /// Returns all that are kept, the newest refusal first. Some may not be left out any more.
    async fn refused_rules(&self) -> Result<Vec<RefusedRule>, JournalError>;

    /// Forgets the rule of an indicator, or all with `None`, so that it is sent again; returns how
    /// many there were.
    async fn forget_refused_rules(&self, indicator: Option<&str>) -> Result<u64, JournalError>;

    /// Returns the works, other than `work`, in which an object left and of which OpenCTI has not
    /// told all yet; at most `limit`, whatever their console.
    async fn works_with(
        &self,
        object: &str,
        work: &str,
        limit: usize,
    ) -> Result<Vec<String>, JournalError>;
}
