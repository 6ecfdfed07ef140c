//! Finds the alerts that share one sighting in OpenCTI, and what they say of it together.
//!
//! OpenCTI merges the sightings of one indicator in one place that lie within thirty days of each
//! other into one, and takes the flag "false positive" of the last one sent for that of them all.

use chrono::{DateTime, TimeDelta, Utc};

/// Longest time between sightings that become one: observed on 6.9.28 and 7.260817.0.
const MERGED_WITHIN: TimeDelta = TimeDelta::days(30);

/// An alert's sighting, as far as it decides with which others OpenCTI merges it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighted {
    /// STIX id of the indicator.
    pub indicator_id: String,
    /// STIX id of the system or author that saw it.
    pub place_id: String,
    /// Its start.
    pub first_seen: DateTime<Utc>,
    /// Its end, not before its start.
    pub last_seen: DateTime<Utc>,
    /// Says whether the alert is a false positive.
    pub is_false_positive: bool,
}

/// An indicator as an alert shows it, as far as it decides from when on OpenCTI is told that it is valid.
///
/// OpenCTI revokes an indicator some time after that date, by its kind (observed on 7.260817.0: 47 days
/// for addresses and URLs, 300 and more for all others), and takes the newest date that it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenIndicator {
    /// Its STIX id.
    pub id: String,
    /// Date of the alert, never later than its receipt.
    pub seen_at: DateTime<Utc>,
    /// Least time by which an alert must be later than the date that holds to move it.
    pub moves_after: TimeDelta,
}

impl SeenIndicator {
    /// The longest [`Self::moves_after`].
    pub const MOVES_AFTER_MAX: TimeDelta = TimeDelta::days(30);

    /// Returns whether this alert moves the date that holds until now.
    pub fn moves(&self, valid_from: DateTime<Utc>) -> bool {
        self.seen_at >= valid_from + self.moves_after
    }
}

/// Verdict of the other alerts whose sightings OpenCTI merges with an alert's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MergedSightings {
    /// Nothing else: there are none, or all of them are false positives.
    #[default]
    Harmless,
    /// At least one of them is no false positive.
    Real,
}

impl MergedSightings {
    /// Of the sightings of the same indicator in the same place, those that become one with `own`:
    /// also those that lie further away, when others lie in between.
    pub fn of(own: &Sighted, mut others: Vec<Sighted>) -> Self {
        others.sort_by_key(|other| other.first_seen);
        let (mut first, mut last) = (own.first_seen, own.last_seen);
        // What lies later can only join through what lies before it, and the other way round.
        for other in &others {
            if other.first_seen >= own.first_seen && other.first_seen - last <= MERGED_WITHIN {
                last = last.max(other.last_seen);
            }
        }
        for other in others.iter().rev() {
            let is_near = first - other.last_seen <= MERGED_WITHIN;
            if other.first_seen < own.first_seen && is_near {
                (first, last) = (other.first_seen, last.max(other.last_seen));
            }
        }
        let is_merged = |other: &&Sighted| {
            other.first_seen - last <= MERGED_WITHIN && first - other.last_seen <= MERGED_WITHIN
        };
        if others.iter().filter(is_merged).any(|other| !other.is_false_positive) {
            Self::Real
        } else {
            Self::Harmless
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighted(day: i64, is_false_positive: bool) -> Sighted {
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000 + day);
        Sighted {
            indicator_id: "indicator".to_owned(),
            place_id: "identity".to_owned(),
            first_seen: at,
            last_seen: at,
            is_false_positive,
        }
    }

    #[test]
    fn one_real_alert_within_thirty_days_decides_also_by_way_of_others() {
        let own = sighted(0, true);
        let of = |others: &[(i64, bool)]| {
            let others = others.iter().map(|(day, harmless)| sighted(*day, *harmless)).collect();
            MergedSightings::of(&own, others)
        };
        assert_eq!(of(&[]), MergedSightings::Harmless);
        assert_eq!(of(&[(1, true), (-1, true)]), MergedSightings::Harmless);
        assert_eq!(of(&[(30, false)]), MergedSightings::Real);
        assert_eq!(of(&[(-30, false)]), MergedSightings::Real);
        assert_eq!(of(&[(31, false), (-31, false)]), MergedSightings::Harmless);
        assert_eq!(of(&[(50, false), (25, true)]), MergedSightings::Real);
        assert_eq!(of(&[(-50, false), (-25, true)]), MergedSightings::Real);
        assert_eq!(of(&[(-60, false), (-25, true)]), MergedSightings::Harmless);
    }
}
