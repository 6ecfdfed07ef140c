//! Counts what came and left in the last day, hour by hour, for people who look at the service.
//!
//! Does not live here: how it is drawn (`ops`).

use chrono::{DateTime, TimeDelta, Utc};

/// Hours that are told.
pub const HOURS: usize = 24;
/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// The last [`HOURS`] hours of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// Whole hours, oldest first; the last one is under way.
    pub hours: Vec<Hour>,
    /// The time at which the last push was received, if one is among the newest events.
    pub last_push: Option<DateTime<Utc>>,
    /// The time at which the last event that a sweep found was received, if one is among the newest events.
    pub last_swept: Option<DateTime<Utc>>,
}

/// One hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hour {
    /// The time at which it begins.
    pub begins: DateTime<Utc>,
    /// Events that were received in it, by whatever road.
    pub received: u64,
    /// Events that were delivered in it, each once: what a follow-up completed later is not
    /// counted again.
    pub delivered: u64,
}

impl Activity {
    /// Of both together, which tell of the same hours.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for more in &other.hours {
            if let Some(hour) = self.hours.iter_mut().find(|hour| hour.begins == more.begins) {
                hour.received += more.received;
                hour.delivered += more.delivered;
            }
        }
        self.last_push = self.last_push.max(other.last_push);
        self.last_swept = self.last_swept.max(other.last_swept);
        self
    }

    /// The hours up to the one that is under way at `now`, still empty.
    pub(super) fn before(now: DateTime<Utc>) -> Self {
        let this_hour = now.timestamp_millis().div_euclid(HOUR_MS);
        let this_hour = DateTime::from_timestamp_millis(this_hour * HOUR_MS).unwrap_or(now);
        let hour = |ago: i32| Hour {
            begins: this_hour - TimeDelta::hours(1) * ago,
            received: 0,
            delivered: 0,
        };
        let hours = (0..HOURS).rev().filter_map(|ago| i32::try_from(ago).ok()).map(hour).collect();
        Self { hours, last_push: None, last_swept: None }
    }

    /// Returns the beginning of the first hour, in milliseconds since 1970.
    pub(super) fn begins_ms(&self) -> i64 {
        self.hours.first().map_or(0, |hour| hour.begins.timestamp_millis())
    }

    /// The hour with this number since 1970, if it is told.
    pub(super) fn hour_mut(&mut self, number: i64) -> Option<&mut Hour> {
        let first = self.begins_ms().div_euclid(HOUR_MS);
        self.hours.get_mut(usize::try_from(number - first).ok()?)
    }
}
