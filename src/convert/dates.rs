//! The dates of an incident, from whichever dates the alert has.

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike as _, Utc};

use super::{Known, draft::Draft};
use crate::{
    alert::Alert,
    stix::time::{Timestamp, is_writable},
};

/// Longest time before an alert at which its events are believed to have begun.
const BEFORE_MAX: TimeDelta = TimeDelta::days(30);

/// The dates of an incident and its sighting, each in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moments {
    /// Creation date: frozen the first time the alert is seen.
    pub(super) created: Timestamp,
    /// Last change, not before `created`.
    pub(super) modified: Timestamp,
    /// First event.
    pub(super) first_seen: Timestamp,
    /// Last event, not before `first_seen`.
    pub(super) last_seen: Timestamp,
    /// Time at which the rule matched: start of the sighting.
    pub(super) sighted: Timestamp,
    /// The same, but never later than the receipt: a clock that is ahead makes no rule valid for longer.
    pub(super) proven: Timestamp,
}

pub(super) fn moments(alert: &Alert, known: &Known, draft: &mut Draft) -> Moments {
    for unreadable in &alert.unreadable_dates {
        let (field, text) = unreadable.split_once(": ").unwrap_or((unreadable, ""));
        let why = format!("{field} holds no date that can be read ({text}); other dates are used");
        draft.leave_out("date", why);
    }
    let mut usable = |date| usable(date, draft);
    let alert_time = usable(alert.alert_time);
    let detection_time = usable(alert.detection_time);
    let timestamp = usable(alert.timestamp);
    let event_time = usable(alert.event_time);
    let last_update = usable(alert.last_update);
    let before = before(alert).map(usable);
    let own = alert_time.or(detection_time).or(timestamp);
    if own.is_none() {
        draft.leave_out(
            "date",
            "the alert gives no time of its own; the time of its receipt is used",
        );
    }
    let frozen = known.identity.as_ref().map(|identity| identity.created);
    let created = frozen.or(own).unwrap_or(known.received_at);
    let events = [event_time, alert_time];
    let latest = events.into_iter().flatten().max().unwrap_or(created);
    let is_near = |date: &DateTime<Utc>| *date <= latest && latest - *date <= BEFORE_MAX;
    let before = before.into_iter().chain([detection_time]);
    let before = before.flatten().filter(is_near);
    let first_seen = events.into_iter().flatten().chain(before).min().unwrap_or(created);
    // Never the last update, which is the moment of triage.
    let last_seen = latest;
    let sighted = alert_time.unwrap_or(created);
    Moments {
        created: Timestamp(created),
        modified: Timestamp(last_update.unwrap_or(created).max(created)),
        first_seen: Timestamp(first_seen),
        last_seen: Timestamp(last_seen.max(first_seen)),
        sighted: Timestamp(sighted),
        proven: Timestamp(sighted.min(known.received_at)),
    }
}

/// Returns when what the alert was raised on happened, as far as that is told elsewhere.
fn before(alert: &Alert) -> [Option<DateTime<Utc>>; 3] {
    [
        alert.event_log.as_ref().and_then(|entry| entry.time),
        alert.correlation.as_ref().and_then(|correlation| correlation.start),
        alert.firewall_filter.as_ref().and_then(|filter| filter.time),
    ]
}

/// The beginning of its day.
pub(super) fn day(date: DateTime<Utc>) -> DateTime<Utc> {
    date.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// A date that STIX can write, else `None` and a word about it. Microseconds are what the ids of
/// incidents keep; a leap second, which the platform cannot read, becomes the one before it.
pub(super) fn usable(date: Option<DateTime<Utc>>, draft: &mut Draft) -> Option<DateTime<Utc>> {
    let date = date?;
    if !is_writable(date) {
        draft.leave_out(
            "date",
            format!("the year of {date} does not have four digits; other dates are used"),
        );
        return None;
    }
    let nanoseconds = date.nanosecond() % 1_000_000_000;
    date.with_nanosecond(nanoseconds - nanoseconds % 1_000)
}
