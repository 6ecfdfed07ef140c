//! Alerts that both connectors import, so that both do the same work: of a Sigma rule on a process,
//! and of an IOC that is a hash. Of the other kinds the Python connector leaves some out and breaks
//! off at others.

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::demo::{DemoAlert, Generator, Kind};

/// The kinds, in turn.
const KINDS: [Kind; 2] = [Kind::SigmaProcess, Kind::IocHash];

/// The filters that let them through, as both connectors read them.
pub(crate) const FILTERS: [(&str, &str); 2] = [
    ("HARFANGLAB_INCIDENTS_ALERT_STATUSES", "new,investigating"),
    ("HARFANGLAB_INCIDENTS_ALERT_TYPES", "ioc,sigma,yara"),
];

/// This many alerts, a second apart; the last an hour before `now`.
pub(crate) fn alerts(count: u32, now: DateTime<Utc>) -> impl Iterator<Item = DemoAlert> {
    let mut generator = Generator::new(40);
    let first = now - TimeDelta::seconds(i64::from(count)) - TimeDelta::hours(1);
    (0..count).zip(KINDS.into_iter().cycle()).map(move |(number, kind)| {
        generator.alert(kind, first + TimeDelta::seconds(i64::from(number)))
    })
}
