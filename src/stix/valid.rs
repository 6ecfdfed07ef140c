//! Forms that the platform accepts as a hash, address, name, URL or port, and the one spelling we send.
//! Each function answers the value to send, or `None` when it does not qualify.
//!
//! Rules observed on OpenCTI 6.9 and 7.x; where 6.4 is stricter, the stricter one holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// A hash algorithm that the platform stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5, 32 hexadecimal digits.
    Md5,
    /// SHA-1, 40 hexadecimal digits.
    Sha1,
    /// SHA-256, 64 hexadecimal digits.
    Sha256,
    /// SHA-512, 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// The algorithm whose hashes are as long as `text`.
    fn by_length(text: &str) -> Option<Self> {
        match text.len() {
            32 => Some(Self::Md5),
            40 => Some(Self::Sha1),
            64 => Some(Self::Sha256),
            128 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Name in `hashes`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
        }
    }
}

/// A hash in lower case, with the algorithm that its length tells.
pub fn hash(text: &str) -> Option<(Algorithm, String)> {
    let text = text.trim();
    let algorithm = Algorithm::by_length(text)?;
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| (algorithm, text.to_ascii_lowercase()))
}

/// An address of some host: not unspecified, not loopback; IPv4 written as IPv6 is unwrapped, a
/// zone (`%eth0`) is cut off. Its `Display` is the canonical form (RFC 5952, lower case).
pub fn host_address(text: &str) -> Option<IpAddr> {
    let address = address(text)?;
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

/// Any address, unwrapped and without zone.
pub fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let without_zone = text.split_once('%').map_or(text, |(address, _)| address);
    if let Ok(address) = without_zone.parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(address));
    }
    let address = without_zone.parse::<Ipv6Addr>().ok()?;
    Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
}

/// A host name: ASCII labels of letters, digits, inner `-` and `_`. A trailing dot is cut off; the
/// letter case is kept, because the platform takes two spellings for two hosts.
pub fn hostname(text: &str) -> Option<String> {
    let name = without_trailing_dot(text)?;
    let label = |label: &str| {
        let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        label.len() <= 63
            && alphanumeric(label.as_bytes().first())
            && alphanumeric(label.as_bytes().last())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.split('.').all(label).then(|| name.to_owned())
}

/// A domain name in lower case: at least two labels, the last one of two characters or more and
/// not a number (that would be an address). A trailing dot is cut off. An internationalised name is
/// written as it goes over the wire (`xn--…`), as URLs and name servers spell it, so that it is one
/// name however an alert spells it.
pub fn domain(text: &str) -> Option<String> {
    let name = without_trailing_dot(text)?;
    let name = if name.is_ascii() { name.to_owned() } else { over_the_wire(name)? };
    let label = |label: &str| {
        (1..=63).contains(&label.chars().count())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|character| character.is_alphanumeric() || matches!(character, '-' | '_'))
    };
    let (_, last) = name.rsplit_once('.')?;
    let top_level = last.chars().count() >= 2 && !last.bytes().all(|byte| byte.is_ascii_digit());
    (top_level && name.split('.').all(label)).then(|| name.to_lowercase())
}

fn over_the_wire(name: &str) -> Option<String> {
    match Host::parse(name).ok()? {
        Host::Domain(name) => Some(name),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

fn without_trailing_dot(text: &str) -> Option<&str> {
    let text = text.trim();
    let name = text.strip_suffix('.').unwrap_or(text);
    (1..=253).contains(&name.chars().count()).then_some(name)
}

/// A URL with a scheme and a host, and parsed. Scheme and host are spelt as they go over the wire (lower
/// case, `xn--…`, no trailing dot), so that the URL is one however an alert or a list spells it; the rest
/// stays as given.
pub fn url(text: &str) -> Option<(String, Url)> {
    let text = text.trim();
    let parsed = Url::parse(text).ok().filter(Url::has_host)?;
    if text.contains(char::is_whitespace) {
        return None;
    }
    let spelt = with_host_over_the_wire(text, &parsed);
    Some((spelt.unwrap_or_else(|| text.to_owned()), parsed))
}

fn with_host_over_the_wire(text: &str, parsed: &Url) -> Option<String> {
    let (told, rest) = text.split_once("://")?;
    // What stands before may be more than the scheme: `http:/a.example/?next=https://b.example`.
    if !told.eq_ignore_ascii_case(parsed.scheme()) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    let port = host.rfind(':').map_or("", |colon| &host[colon..]);
    let port = if port.contains(']') { "" } else { port };
    let (scheme, host) = (parsed.scheme(), parsed.host_str()?.trim_end_matches('.'));
    (!authority.is_empty()).then(|| format!("{scheme}://{user}{host}{port}{path}"))
}

/// A port: 1 to 65535; zero stands for an unknown one.
pub fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|&port| port > 0)
}
