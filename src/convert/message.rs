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
    let name = letters.collect::<String>().to_ascii_lowercase();
    FIELDS.iter().find(|(field, _)| *field == name).map(|(_, kind)| *kind)
}

/// `filename = value`: only a known field is cut off, so that a URL keeps its own `=`.
fn after_leading_field(text: &str) -> Option<(&'static str, &str)> {
    let (field, rest) = text.split_once('=')?;
    Some((kind_of_field(field)?, first_line(rest)))
}

/// `driver hash=value`: a known field after a blank.
fn after_inner_field(message: &str) -> Option<(&'static str, &str)> {
    message.match_indices('=').find_map(|(position, _)| {
        let field = message[..position].trim_end().rsplit(char::is_whitespace).next()?;
        Some((kind_of_field(field)?, first_line(&message[position + 1..])))
    })
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
        let (field, _) = after.split_once('=').unwrap_or_default();
        after.starts_with(char::is_whitespace) && kind_of_field(field).is_some()
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
