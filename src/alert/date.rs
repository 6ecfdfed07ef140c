//! Reading the dates a console writes. Consoles from 2.x to 5.x, their agents and their REST API
//! spell one instant in half a dozen ways; all of them are read here, and nowhere else.
//!
//! Does not live here: which field holds which date (`intake::dialect`).

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeZone, Utc};

/// Digits of an epoch in seconds that is plausible (2001-09-09 to 2286-11-20).
const EPOCH_SECONDS_DIGITS: usize = 10;
/// Digits of an epoch in milliseconds for the same span.
const EPOCH_MILLISECONDS_DIGITS: usize = 13;
/// `2026-05-26`.
const DATE_LENGTH: usize = 10;
/// `2026-05-26T07:39`.
const DATE_AND_MINUTES_LENGTH: usize = 16;

/// Reads a date in any form that consoles write, or `None` when it is none of them.
///
/// Read are: RFC 3339 with `Z` or an offset and any number of decimals; the same with slashes or
/// with a space instead of `T`; without a zone, which means UTC; a bare date, which means its
/// midnight; and epochs of 10 digits (seconds) or 13 digits (milliseconds). The epoch's first
/// second and everything before it is no date: agents write it (or the year 1) for "never".
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if !text.is_ascii() {
        return None;
    }
    let date =
        if text.bytes().all(|byte| byte.is_ascii_digit()) { epoch(text) } else { calendar(text) };
    date.filter(|date| date.timestamp() > 0)
}

fn epoch(digits: &str) -> Option<DateTime<Utc>> {
    let number = digits.parse().ok()?;
    match digits.len() {
        EPOCH_SECONDS_DIGITS => DateTime::from_timestamp(number, 0),
        EPOCH_MILLISECONDS_DIGITS => DateTime::from_timestamp_millis(number),
        _ => None,
    }
}

/// Reads `date[separator time[zone]]` of ASCII `text`.
fn calendar(text: &str) -> Option<DateTime<Utc>> {
    let day = text.get(..DATE_LENGTH)?.replace('/', "-");
    if !day.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let day = NaiveDate::parse_from_str(&day, "%Y-%m-%d").ok()?;
    let Some(time) = text.get(DATE_LENGTH..).filter(|time| !time.is_empty()) else {
        return Some(day.and_hms_opt(0, 0, 0)?.and_utc());
    };
    let time = time.strip_prefix(['T', 't', ' '])?.trim_start();
    let (time, zone) = split_zone(time)?;
    let local = NaiveDateTime::parse_from_str(&format!("{day}T{time}"), time_format(time)).ok()?;
    zone.from_local_datetime(&local).single().map(|date| date.to_utc())
}

fn time_format(time: &str) -> &'static str {
    let minutes_only = DATE_AND_MINUTES_LENGTH - DATE_LENGTH - "T".len();
    if time.len() == minutes_only { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S%.f" }
}

/// Splits `07:39:58.37+02:00` into its time and its offset; no zone at all is UTC.
fn split_zone(time: &str) -> Option<(&str, FixedOffset)> {
    let utc = FixedOffset::east_opt(0)?;
    for name in ["Z", "z", "UTC", "GMT"] {
        if let Some(time) = time.strip_suffix(name) {
            return Some((time.trim_end(), utc));
        }
    }
    let Some(sign) = time.rfind(['+', '-']) else {
        return Some((time, utc));
    };
    let digits: String = time[sign + 1..].chars().filter(|digit| *digit != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (digits.parse::<i32>().ok()?, 0),
        4 => (digits[..2].parse::<i32>().ok()?, digits[2..].parse::<i32>().ok()?),
        _ => return None,
    };
    let seconds = (hours * 60 + minutes) * 60;
    let seconds = if time[sign..].starts_with('-') { -seconds } else { seconds };
    Some((time[..sign].trim_end(), FixedOffset::east_opt(seconds)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        parse(text).map_or_else(|| "unreadable".to_owned(), |date| date.to_rfc3339())
    }

    #[test]
    fn every_form_that_consoles_write_is_read() {
        let forms = [
            ("2021-04-30T13:20:54.704Z", "2021-04-30T13:20:54.704+00:00"),
            ("2025-01-22T10:46:48.498280052Z", "2025-01-22T10:46:48.498280052+00:00"),
            ("2026-05-26T07:39:58.789735+00:00", "2026-05-26T07:39:58.789735+00:00"),
            ("2026-05-26T07:39:58Z", "2026-05-26T07:39:58+00:00"),
            ("2024-12-23T04:47:16.555804-06:00", "2024-12-23T10:47:16.555804+00:00"),
            ("2024-12-23T04:47:00+0530", "2024-12-22T23:17:00+00:00"),
            ("2021/04/30 13:20:54.315189", "2021-04-30T13:20:54.315189+00:00"),
            ("2023/01/12 07:47:35", "2023-01-12T07:47:35+00:00"),
            ("2025-06-11 00:12:06+00:00", "2025-06-11T00:12:06+00:00"),
            ("2025-06-11T00:12:06", "2025-06-11T00:12:06+00:00"),
            ("2025-06-11t00:12:06z", "2025-06-11T00:12:06+00:00"),
            ("2025-06-11 00:12", "2025-06-11T00:12:00+00:00"),
            (" 2021-10-15 ", "2021-10-15T00:00:00+00:00"),
            ("1700000000", "2023-11-14T22:13:20+00:00"),
            ("1700000000123", "2023-11-14T22:13:20.123+00:00"),
        ];
        for (text, date) in forms {
            assert_eq!(read(text), date, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_unreadable() {
        let texts = [
            "",
            "yesterday",
            "0",
            "17000000001",
            "2021-13-40",
            "2021-04-30T25:00:00Z",
            "2021-04-30T13:20:54+99:99",
            "2021-04-30Tnoon",
            "2021-04-30T13:20:54+é0",
            "0001-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "+021-04-30",
        ];
        for text in texts {
            assert_eq!(read(text), "unreadable", "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", digits in "[0-9TZ:./+ -]{0,40}") {
            for text in [text, digits] {
                if let Some(date) = parse(&text) {
                    prop_assert!(date.timestamp() > 0);
                }
            }
        }

        #[test]
        fn a_written_date_reads_back(milliseconds in 1_000_i64..4_102_444_800_000) {
            let date = DateTime::from_timestamp_millis(milliseconds).unwrap();
            prop_assert_eq!(parse(&date.to_rfc3339()), Some(date));
            let slashes = date.format("%Y/%m/%d %H:%M:%S%.6f").to_string();
            prop_assert_eq!(parse(&slashes), Some(date));
        }
    }
}
