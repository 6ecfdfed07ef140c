//! Dates as text: in objects RFC 3339 UTC with milliseconds; inside the ids of incidents, cases
//! and notes as Python's `isoformat()` writes them, because the platform's own client hashes that.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike as _, NaiveDateTime, Offset as _, SubsecRound as _, TimeZone};
use chrono::{Timelike, Utc};
use serde::{Serialize, Serializer};

/// A date as it stands in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub DateTime<Utc>);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&timestamp(self.0))
    }
}

/// `2026-01-01T00:30:24.031Z`: milliseconds, cut off, never rounded up.
pub fn timestamp(date: DateTime<Utc>) -> String {
    at_least_milliseconds(date.trunc_subsecs(3))
}

/// As stix2 writes `created` and `modified`: milliseconds, and microseconds when they are not zero.
pub fn at_least_milliseconds(date: DateTime<Utc>) -> String {
    with_fraction(date, 3)
}

/// As stix2 writes every other date: no more fraction than needed, at most microseconds.
pub fn shortest(date: DateTime<Utc>) -> String {
    with_fraction(date, 0)
}

/// Up to six digits of fraction, zeros at the end cut off down to `fewest_digits`.
fn with_fraction(date: DateTime<Utc>, fewest_digits: usize) -> String {
    let mut text = to_the_second(&date.naive_utc());
    let (mut digits, mut fraction) = (6, microseconds(&date));
    while digits > fewest_digits && fraction % 10 == 0 {
        (digits, fraction) = (digits - 1, fraction / 10);
    }
    if digits > 0 {
        write!(text, ".{fraction:0digits$}").expect("a text takes every write");
    }
    text.push('Z');
    text
}

/// Python's `datetime.isoformat()`: six digits of fraction or none, and the offset as `+00:00`.
pub fn isoformat<Zone: TimeZone>(date: &DateTime<Zone>) -> String {
    let offset = date.offset().fix().local_minus_utc();
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes, seconds) =
        (offset.abs() / 3_600, offset.abs() / 60 % 60, offset.abs() % 60);
    let local = isoformat_without_offset(&date.naive_local());
    match seconds {
        0 => format!("{local}{sign}{hours:02}:{minutes:02}"),
        _ => format!("{local}{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// Python's `datetime.isoformat()` of a date that knows no offset.
pub fn isoformat_without_offset(date: &NaiveDateTime) -> String {
    let seconds = to_the_second(date);
    match microseconds(date) {
        0 => seconds,
        micros => format!("{seconds}.{micros:06}"),
    }
}

/// `2026-01-01T00:30:24`, for years of four digits. Not by chrono's format, which is read anew each time.
fn to_the_second(date: &NaiveDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        date.month(),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
    )
}

/// Microseconds of the second; a leap second counts as the one before it.
fn microseconds(date: &impl Timelike) -> u32 {
    date.nanosecond() / 1_000 % 1_000_000
}

/// Returns whether the year has four digits, as every date in STIX must.
pub fn is_writable(date: DateTime<Utc>) -> bool {
    (1..=9_999).contains(&date.year())
}
