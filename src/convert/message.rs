//! The IOC in an alert's message, in every form that consoles write.
//!
//! Seen: `File was found malicious by an IOC: filename=ExampleApp.exe`, `Driver was found malicious
//! by an IOC: <sha256>`, `driver hash=<sha256> is blacklisted, not blocked`.

use crate::stix::valid;

/// What stands before the `=`.
const FIELDS: [&str; 14] = [
    "hash",
    "md5",
    "sha1",
    "sha256",
    "sha512",
    "filename",
    "filepath",
    "ip",
    "ip_src",
    "ip_dst",
    "ip_both",
    "domain_name",
    "domain-name",
    "url",
];

/// The value that the message says was matched.
pub(super) fn ioc_value(message: &str) -> Option<String> {
    let message = message.trim();
    let rest = after_announcement(message)
        .map(|rest| after_leading_field(rest).unwrap_or(rest))
        .or_else(|| after_inner_field(message))
        .or_else(|| message.rsplit_once('=').map(|(_, rest)| rest))?;
    let value = value_of(rest.lines().next().unwrap_or_default().trim());
    (!value.is_empty()).then(|| value.to_owned())
}

fn after_announcement(message: &str) -> Option<&str> {
    message.split_once("IOC:").map(|(_, rest)| rest.trim_start())
}

/// `filename = value`: only a known field is cut off, so that a URL keeps its own `=`.
fn after_leading_field(text: &str) -> Option<&str> {
    let (field, rest) = text.split_once('=')?;
    FIELDS.contains(&field.trim().to_ascii_lowercase().as_str()).then_some(rest)
}

/// `driver hash=value`: a known field after a blank.
fn after_inner_field(message: &str) -> Option<&str> {
    message.match_indices('=').find_map(|(position, _)| {
        let field = message[..position].trim_end().rsplit(char::is_whitespace).next()?;
        let known = FIELDS.contains(&field.to_ascii_lowercase().as_str());
        known.then(|| &message[position + 1..])
    })
}

/// The value without quotes and without what is said after it.
fn value_of(rest: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some((inside, _)) = rest.strip_prefix(quote).and_then(|rest| rest.split_once(quote))
        {
            return inside.trim();
        }
    }
    let word = rest.split_whitespace().next().unwrap_or_default();
    let bare = word.trim_end_matches([',', '.', ';']);
    if valid::hash(bare).is_some() || valid::address(bare).is_some() {
        return bare;
    }
    if word.contains("://") {
        return word;
    }
    [" is ", ", "]
        .iter()
        .fold(rest, |rest, end| rest.split_once(end).map_or(rest, |(value, _)| value))
}
