//! The IOC in an alert's message, in every form that consoles write.
//!
//! Seen: `File was found malicious by an IOC: filename=ExampleApp.exe`, `Driver was found malicious
//! by an IOC: <sha256>`, `driver hash=<sha256> is blacklisted, not blocked`.
//!
//! Whoever wrote the value may have chosen it: a URL or file name holds blanks, commas, ` is `, `=` and the
//! words of the sentence around it. So the alert's own values decide where the one in the message ends, if
//! it has them.

use crate::stix::valid;

/// Names before the `=`, in lower case without `-`, `_` and blanks, each with the type of the IOC.
const FIELDS: [(&str, &str); 14] = [
    ("hash", "hash"),
    ("md5", "hash"),
    ("sha1", "hash"),
    ("sha256", "hash"),
    ("sha512", "hash"),
    ("filename", "filename"),
    ("filepath", "filepath"),
    ("ip", "ip_both"),
    ("ipsrc", "ip_src"),
    ("ipdst", "ip_dst"),
    ("ipboth", "ip_both"),
    ("domain", "domain_name"),
    ("domainname", "domain_name"),
    ("url", "url"),
];
/// Bytes beside a `=` or comma that are looked at for the name of a field: the longest one, with blanks
/// around it. A message has up to a million of these characters.
const FIELD_BYTES: usize = 32;
/// Words that follow a value of several words in a sentence.
const ENDS: [&str; 4] = [" is blacklisted", " is blocklisted", " is blocked", " was blocked"];

/// The IOC that a message announces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Announced {
    /// Type, when the message names a field.
    pub(super) kind: Option<&'static str>,
    pub(super) value: String,
    /// Says whether the message calls it an IOC or names a field. The text after the last `=` of a
    /// message in another wording is a guess.
    pub(super) is_certain: bool,
}

/// Returns the IOC that the message says was matched: after `IOC:`, after a known field, or after the
/// last `=`. `told` are values that the alert itself holds.
pub(super) fn announced(message: &str, told: &[&str]) -> Option<Announced> {
    let message = message.trim();
    let (kind, value, is_certain) = match message.split_once("IOC:") {
        Some((_, announced)) => {
            let announced = first_line(announced);
            match after_leading_field(announced) {
                Some((kind, rest)) if holds_one_word(kind) => (Some(kind), one_word(rest), true),
                Some((kind, rest)) => {
                    let value = told_at_start(rest, told).unwrap_or_else(|| to_the_end(rest));
                    (Some(kind), value, true)
                }
                None => {
                    let value = single_word(announced).or_else(|| told_at_start(announced, told));
                    (None, value.unwrap_or_else(|| to_the_end(announced)), true)
                }
            }
        }
        None => match after_inner_field(message) {
            Some((kind, rest)) if holds_one_word(kind) => (Some(kind), one_word(rest), true),
            Some((kind, rest)) => {
                let value = told_at_start(rest, told).unwrap_or_else(|| within_sentence(rest));
                (Some(kind), value, true)
            }
            None => (None, to_the_end(message.rsplit_once('=')?.1), false),
        },
    };
    (!value.is_empty()).then(|| Announced { kind, value: value.to_owned(), is_certain })
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default().trim()
}

/// Returns the type of an IOC by its field: `SHA-256`, `sha_256` and `sha256` are one.
fn kind_of_field(text: &str) -> Option<&'static str> {
    let letters = text.chars().filter(|letter| !matches!(letter, '-' | '_' | ' '));
    let name = letters.map(|letter| letter.to_ascii_lowercase());
    FIELDS.iter().find(|(field, _)| name.clone().eq(field.chars())).map(|(_, kind)| *kind)
}

/// `filename = value`: only a known field is cut off, so that a URL keeps its own `=`.
fn after_leading_field(text: &str) -> Option<(&'static str, &str)> {
    let (field, rest) = text.split_once('=')?;
    Some((kind_of_field(field)?, first_line(rest)))
}

/// `driver hash=value`: a known field after a blank.
fn after_inner_field(message: &str) -> Option<(&'static str, &str)> {
    message.match_indices('=').find_map(|(position, _)| {
        let field = short_word_at_end(message[..position].trim_end())?;
        Some((kind_of_field(field)?, first_line(&message[position + 1..])))
    })
}

/// Returns the last word, unless it is too long for the name of a field.
fn short_word_at_end(text: &str) -> Option<&str> {
    let start = text.ceil_char_boundary(text.len().saturating_sub(FIELD_BYTES));
    match text[start..].rsplit_once(char::is_whitespace) {
        Some((_, word)) => Some(word),
        None => (start == 0).then_some(text),
    }
}

/// Hashes, addresses and domain names have no blanks; names and paths of files and URLs may.
fn holds_one_word(kind: &str) -> bool {
    !matches!(kind, "filename" | "filepath" | "url")
}

fn one_word(rest: &str) -> &str {
    let unquoted = to_the_end(rest);
    let word = unquoted.split_whitespace().next().unwrap_or_default();
    single_word(word).unwrap_or_else(|| word.trim_end_matches([',', ';']))
}

/// Returns a hash, address or network at the beginning, without what is said after it.
fn single_word(rest: &str) -> Option<&str> {
    let word = rest.split_whitespace().next()?.trim_end_matches([',', '.', ';']);
    let address = word.split_once('/').map_or(word, |(address, _)| address);
    (valid::hash(word).is_some() || valid::address(address).is_some()).then_some(word)
}

/// Returns the longest of the `told` values that the text begins with, where a word of it ends too.
fn told_at_start<'a>(rest: &'a str, told: &[&str]) -> Option<&'a str> {
    let rest = rest.trim_start_matches(['"', '\'']);
    let is_it =
        |value: &&str| !value.is_empty() && rest.strip_prefix(*value).is_some_and(ends_a_word);
    let length = told.iter().copied().filter(is_it).map(str::len).max()?;
    Some(&rest[..length])
}

/// Returns all of the line, without quotes around it and without a further field after a comma and a
/// blank. Within a URL no blank follows a comma.
fn to_the_end(rest: &str) -> &str {
    let rest = first_line(rest);
    for quote in ['"', '\''] {
        let inside = rest.strip_prefix(quote).and_then(|rest| rest.split_once(quote));
        // A quote that closes in the middle of a word is part of a name.
        if let Some((inside, after)) = inside
            && !after.starts_with(|next: char| next.is_alphanumeric())
        {
            return inside.trim();
        }
    }
    let is_before_field = |position: &usize| {
        let after = &rest[position + ",".len()..];
        let near = &after[..after.floor_char_boundary(FIELD_BYTES)];
        near.starts_with(char::is_whitespace)
            && near.split_once('=').is_some_and(|(field, _)| kind_of_field(field).is_some())
    };
    let next = rest.match_indices(',').map(|(position, _)| position).find(is_before_field);
    rest[..next.unwrap_or(rest.len())].trim_end()
}

/// Returns the value without the rest of the sentence around it. A value may hold the words that end a
/// sentence, so the last ones count, and those before them that a comma joins (`is blacklisted, was
/// blocked`).
fn within_sentence(rest: &str) -> &str {
    let mut value = match ends(rest).max() {
        Some(end) => &rest[..end],
        None => rest,
    };
    while let Some(joined) = value.strip_suffix(',')
        && let Some(end) = ENDS.iter().find_map(|end| joined.strip_suffix(end))
    {
        value = end;
    }
    to_the_end(value)
}

/// Returns the positions of the words that end a sentence, where a word ends after them.
fn ends(rest: &str) -> impl Iterator<Item = usize> {
    ENDS.iter().flat_map(|end| rest.match_indices(end)).filter_map(|(position, end)| {
        ends_a_word(&rest[position + end.len()..]).then_some(position)
    })
}

/// Returns whether a word ends before this text.
fn ends_a_word(after: &str) -> bool {
    let mut after = after.chars();
    match after.next() {
        Some('.' | ',' | ';' | '"' | '\'') => after.next().is_none_or(char::is_whitespace),
        next => next.is_none_or(char::is_whitespace),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        hint::black_box,
        time::{Duration, Instant},
    };

    use super::*;

    const SMALL_BYTES: usize = 1024;
    const LARGE_BYTES: usize = 1024 * 1024;

    fn time_of(messages: &[String]) -> Duration {
        let began = Instant::now();
        for message in messages {
            black_box(announced(message, &[]));
        }
        began.elapsed()
    }

    /// Were the time quadratic, the large message would take about as many times that of the small ones as
    /// there are small ones: 64, then 1,024.
    #[test]
    fn a_large_message_takes_about_as_long_as_small_ones_of_the_same_size_together() {
        for (start, repeated, end) in [
            ("found by an IOC: ", ", ", ""),
            ("found by an IOC: ", ", ", "="),
            ("found by an IOC: filename=", ", a=", ""),
            ("", "a=", ""),
            ("driver ", "\u{e9}=", ""),
            ("driver filename=", " was blocked,", ""),
        ] {
            let message =
                |bytes: usize| format!("{start}{}{end}", repeated.repeat(bytes / repeated.len()));
            for large_bytes in [64 * SMALL_BYTES, LARGE_BYTES] {
                let small = vec![message(SMALL_BYTES); large_bytes / SMALL_BYTES];
                let large = [message(large_bytes)];
                let is_linear = (0..3).any(|_| {
                    let together = time_of(&small);
                    time_of(&large) < together * 30
                });
                assert!(is_linear, "{large_bytes} bytes of {repeated:?}");
            }
        }
    }

    #[test]
    fn the_end_of_a_long_word_is_no_field_and_letters_of_several_bytes_are_not_cut() {
        for bytes in 1..3 * FIELD_BYTES {
            for letter in ["-", "a", "\u{e9}", "\u{1f9e8}"] {
                let long = letter.repeat(bytes);
                let message = format!("x{long}{}hash=b", "-".repeat(FIELD_BYTES));
                assert_eq!(announced(&message, &[]).unwrap().kind, None, "{message}");
                let message = format!("{long} hash = b");
                assert_eq!(announced(&message, &[]).unwrap().kind, Some("hash"), "{message}");
                let message = format!("IOC: filename=a, {long}, hash=b");
                let value = announced(&message, &[]).unwrap().value;
                assert_eq!(value, format!("a, {long}"), "{message}");
                let message = format!("IOC: filename=a, {long}{letter}=b");
                let value = announced(&message, &[]).unwrap().value;
                assert_eq!(value, format!("a, {long}{letter}=b"), "{message}");
            }
        }
    }
}
