//! Text → value, for every kind of value an option has. Pure: no files, no environment.
//!
//! Each function answers why it refused in words that follow the value (`is not …`), and never
//! repeats the value itself, which may be a secret.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use ipnet::IpNet;
use jiff::{SpanRelativeTo, Timestamp, fmt::temporal::SpanParser, tz::TimeZone};
use url::Url;

use super::nearest::nearest;

/// Beginning of a certificate or key when it is given as text instead of as a path.
pub(super) const PEM_START: &str = "-----BEGIN";

/// Reason why a text was refused, in words that follow the value.
pub(super) type Refusal = String;

/// A date at which an import begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartDate {
    /// This one.
    At(DateTime<Utc>),
    /// So long before the sweep that asks.
    Ago(TimeDelta),
}

impl StartDate {
    /// Returns the date as a sweep at `now` takes it.
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(date) => date,
            Self::Ago(length) => now.checked_sub_signed(length).unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

/// `true`, `yes`, `on`, `1` and their opposites, in any case.
pub(super) fn boolean(text: &str) -> Result<bool, Refusal> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// A whole number from `least` to `most`.
pub(super) fn whole<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<T, Refusal> {
    text.parse::<u64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("is not a whole number from {least} to {most}"))
}

/// A finite number above zero.
pub(super) fn positive(text: &str) -> Result<f64, Refusal> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("is not a number above zero".to_owned()),
    }
}

/// Bytes: `1048576`, `512KiB`, `10MiB`, `1GiB`, from `least` to `most` bytes.
pub(super) fn size_bytes<T: TryFrom<u64>>(text: &str, least: u64, most: u64) -> Result<T, Refusal> {
    let lower = text.to_ascii_lowercase();
    let units = [("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30)];
    let (digits, unit) = units
        .iter()
        .find_map(|(suffix, unit)| Some((lower.strip_suffix(suffix)?.trim_end(), *unit)))
        .unwrap_or((lower.as_str(), 1_u64));
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| (least..=most).contains(bytes))
        .and_then(|bytes| T::try_from(bytes).ok())
        .ok_or_else(|| format!("is not a size from {least} to {most} bytes"))
}

/// An ISO-8601 duration of fixed length (weeks to fractions of a second), or `0`.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, Refusal> {
    let length = if text == "0" {
        Duration::ZERO
    } else {
        SpanParser::new()
            .parse_span(text)
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|signed| Duration::try_from(signed).ok())
            .ok_or("is not an ISO-8601 duration such as PT5M")?
    };
    if (least..=most).contains(&length) {
        Ok(length)
    } else {
        Err(format!("is not between {} s and {} s", least.as_secs(), most.as_secs()))
    }
}

/// A date, a date and time (UTC when it names no offset), or an ISO-8601 duration before `now`.
pub(super) fn start_date(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
    let refusal = || "is neither a date nor an ISO-8601 duration".to_owned();
    let timestamp = if is_length(text) {
        let span = SpanParser::new().parse_span(text).map_err(|_| refusal())?;
        if span.is_negative() {
            return Err(refusal());
        }
        let now = Timestamp::from_second(now.timestamp()).map_err(|_| refusal())?;
        let ago = now.to_zoned(TimeZone::UTC).checked_sub(span).map_err(|_| refusal())?;
        ago.timestamp()
    } else {
        text.parse::<Timestamp>()
            .or_else(|_| {
                let local = text.parse::<jiff::civil::DateTime>()?;
                Ok::<_, jiff::Error>(local.to_zoned(TimeZone::UTC)?.timestamp())
            })
            .map_err(|_| refusal())?
    };
    let nanoseconds = u32::try_from(timestamp.subsec_nanosecond()).unwrap_or(0);
    DateTime::from_timestamp(timestamp.as_second(), nanoseconds).ok_or_else(refusal)
}

/// Reads what [`start_date`] reads; how long ago stays so, for whoever asks at another time.
pub(super) fn import_start(text: &str, now: DateTime<Utc>) -> Result<StartDate, Refusal> {
    // Without fractions of a second, as a length is taken off.
    let now = now.trunc_subsecs(0);
    let date = start_date(text, now)?;
    Ok(if is_length(text) { StartDate::Ago(now - date) } else { StartDate::At(date) })
}

fn is_length(text: &str) -> bool {
    text.starts_with(['P', 'p'])
}

/// An `http` or `https` base URL without query, fragment, user or password.
pub(super) fn base_url(text: &str) -> Result<Url, Refusal> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("is not an http:// or https:// URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries a user name or password, which the token would override".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or a fragment".to_owned());
    }
    Ok(url)
}

/// An address and port to listen at.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, Refusal> {
    text.parse().map_err(|_| "is not an IP address with a port".to_owned())
}

/// A host name without a port, in small letters without a dot at its end.
pub(super) fn host_name(text: &str) -> Result<String, Refusal> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.split('.').all(is_label) { Ok(name) } else { Err("is not a host name".to_owned()) }
}

/// The mode of a file, in octal, that its owner may read and write and nobody may execute.
pub(super) fn file_mode(text: &str) -> Result<u32, Refusal> {
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
    mode.filter(|mode| mode & !0o666 == 0 && mode & 0o600 == 0o600)
        .ok_or_else(|| "is not the mode of a file that its owner may read and write".to_owned())
}

/// One of `allowed`, in any case; answers its position.
pub(super) fn choice(text: &str, allowed: &[&str]) -> Result<usize, Refusal> {
    allowed.iter().position(|name| name.eq_ignore_ascii_case(text)).ok_or_else(|| {
        let near = nearest(text, allowed.iter().copied());
        let guess = near.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
        format!("is not one of {}{guess}", allowed.join(", "))
    })
}

/// One of `allowed`, in any case; answers it as it stands there.
pub(super) fn one_of(text: &str, allowed: &[&str]) -> Result<String, Refusal> {
    choice(text, allowed).map(|position| allowed[position].to_owned())
}

/// A network, or an address as the network of itself alone.
pub(super) fn network(item: &str) -> Result<IpNet, Refusal> {
    item.parse::<IpNet>()
        .or_else(|_| item.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical())))
        .map(|network| network.trunc())
        .map_err(|_| "is neither an address nor a network".to_owned())
}

/// A header name as HTTP allows it.
pub(super) fn header_name(text: &str) -> Result<String, Refusal> {
    reqwest::header::HeaderName::try_from(text)
        .map(|_| text.to_owned())
        .map_err(|_| "is not a name that an HTTP header can have".to_owned())
}

/// Headers that HTTP itself, or a proxy, sets: a sender can put no secret there.
const HEADERS_OF_HTTP: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
];

/// The name of a header that a sender can give a secret or signature in.
pub(super) fn header_of_proof(text: &str) -> Result<String, Refusal> {
    let name = header_name(text)?;
    if HEADERS_OF_HTTP.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        return Err("is a header that HTTP or a proxy sets itself, so that it proves nothing; \
                    Authorization and X-Webhook-Token are fit"
            .to_owned());
    }
    Ok(name)
}

/// A token as an HTTP header can carry it, without the placeholder of the sample files.
pub(super) fn token(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("ChangeMe") {
        return Err("is still the placeholder ChangeMe".to_owned());
    }
    if text.chars().any(|character| character.is_control() || !character.is_ascii()) {
        return Err("has a line break or another character that a header cannot carry".to_owned());
    }
    Ok(text.to_owned())
}

/// `name:value;name2:value2`.
pub(super) fn custom_headers(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    text.split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair
                .split_once(':')
                .ok_or("has a part without a colon between the header's name and its value")?;
            Ok((header_name(name.trim())?, token(value.trim())?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn booleans_are_read_in_any_case_and_nothing_else_is_a_boolean() {
        for text in ["true", "TRUE", "Yes", "on", "1"] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["false", "False", "NO", "off", "0"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        for text in ["2", "y", "vrai", "truee"] {
            assert!(boolean(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_keep_their_units_and_their_bounds() {
        let read = |text| duration(text, Duration::ZERO, DAY);
        assert_eq!(read("PT5M"), Ok(Duration::from_mins(5)));
        assert_eq!(read("P1D"), Ok(DAY));
        assert_eq!(read("PT1.5S"), Ok(Duration::from_millis(1500)));
        assert_eq!(read("0"), Ok(Duration::ZERO));
        for text in ["-PT5M", "P1M", "5", "PT", "5 minutes", "P2D"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(size_bytes("2048", 1024, 1 << 30), Ok(2048_usize));
        assert_eq!(size_bytes("10 MiB", 1024, 1 << 30), Ok(10_usize << 20));
        for text in ["10MB", "1KiB ago", "-1", "1023", "2GiB", "99999999999999999999GiB"] {
            assert!(size_bytes::<u64>(text, 1024, 1 << 30).is_err(), "{text}");
        }
    }

    #[test]
    fn the_start_is_a_date_or_a_time_ago() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let at = |text: &str| start_date(text, now).map(|date| date.to_rfc3339());
        assert_eq!(at("2026-01-31").as_deref(), Ok("2026-01-31T00:00:00+00:00"));
        assert_eq!(at("2026-01-31T08:00:00+02:00").as_deref(), Ok("2026-01-31T06:00:00+00:00"));
        assert_eq!(at("2026-01-31 08:00:00").as_deref(), Ok("2026-01-31T08:00:00+00:00"));
        assert_eq!(start_date("P30D", now), Ok(now - chrono::Duration::days(30)));
        assert_eq!(start_date("PT90M", now), Ok(now - chrono::Duration::minutes(90)));
        for text in ["yesterday", "2026-02-30", "-P1D", "P", "P99999999Y", "31/01/2026"] {
            assert!(at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_mode_is_octal_for_the_owner_and_never_to_execute() {
        for (text, mode) in [("0640", 0o640), ("600", 0o600), ("0666", 0o666), ("0604", 0o604)] {
            assert_eq!(file_mode(text), Ok(mode), "{text}");
        }
        for text in
            ["", "0", "40", "0o640", "640 ", "+640", "0440", "0755", "1640", "0680", "416", "00640"]
        {
            assert!(file_mode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_name_has_no_port_and_is_compared_in_small_letters() {
        assert_eq!(host_name("Incidents.Example.org.").as_deref(), Ok("incidents.example.org"));
        for text in
            ["a.example:9090", "https://a.example", "*.example", "a..example", ".", "é.example"]
        {
            assert!(host_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_repeating_it() {
        let refusal = base_url("https://admin:hunter2@edr.example.org").unwrap_err();
        assert!(!refusal.contains("hunter2"), "{refusal}");
        for text in ["edr.example.org", "ftp://edr.example.org", "https://", "https://h/?a=1"] {
            assert!(base_url(text).is_err(), "{text}");
        }
        assert_eq!(base_url("https://h:8443/base/").unwrap().path(), "/base/");
    }
}
