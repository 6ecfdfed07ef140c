//! The IOC in an alert's message, in every form that consoles write.
//!
//! Seen: `File was found malicious by an IOC: filename=ExampleApp.exe`, `Driver was found malicious
//! by an IOC: <sha256>`, `driver hash=<sha256> is blacklisted, not blocked`.

use crate::stix::valid;

/// Names before the `=`, in lower case without `-`, `_` and blanks.
const FIELDS: [&str; 14] = [
    "hash",
    "md5",
    "sha1",
    "sha256",
    "sha512",
    "filename",
    "filepath",
    "ip",
    "ipsrc",
    "ipdst",
    "ipboth",
    "domain",
    "domainname",
    "url",
];
/// Words that follow a value of several words in a sentence.
const ENDS: [&str; 4] = [" is blacklisted", " is blocklisted", " is blocked", " was blocked"];

/// Returns the value that the message says was matched: after `IOC:`, after a known field, or after the
/// last `=`.
pub(super) fn ioc_value(message: &str) -> Option<String> {
    let message = message.trim();
    let value = match message.split_once("IOC:") {
        Some((_, announced)) => {
            let announced = first_line(announced);
            match after_leading_field(announced) {
                Some((field, rest)) if holds_one_word(&field) => one_word(rest),
                Some((_, rest)) => to_the_end(rest),
                None => single_word(announced).unwrap_or_else(|| to_the_end(announced)),
            }
        }
        None => match after_inner_field(message) {
            Some((field, rest)) if holds_one_word(&field) => one_word(rest),
            Some((_, rest)) => within_sentence(rest),
            None => to_the_end(message.rsplit_once('=')?.1),
        },
    };
    (!value.is_empty()).then(|| value.to_owned())
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default().trim()
}

/// `SHA-256`, `sha_256` and `sha256` are one field.
fn field_of(text: &str) -> Option<String> {
    let letters = text.chars().filter(|letter| !matches!(letter, '-' | '_' | ' '));
    let name = letters.collect::<String>().to_ascii_lowercase();
    FIELDS.contains(&name.as_str()).then_some(name)
}

/// `filename = value`: only a known field is cut off, so that a URL keeps its own `=`.
fn after_leading_field(text: &str) -> Option<(String, &str)> {
    let (field, rest) = text.split_once('=')?;
    Some((field_of(field)?, first_line(rest)))
}

/// `driver hash=value`: a known field after a blank.
fn after_inner_field(message: &str) -> Option<(String, &str)> {
    message.match_indices('=').find_map(|(position, _)| {
        let field = message[..position].trim_end().rsplit(char::is_whitespace).next()?;
        Some((field_of(field)?, first_line(&message[position + 1..])))
    })
}

/// Hashes, addresses and domain names have no blanks; names and paths of files and URLs may.
fn holds_one_word(field: &str) -> bool {
    !matches!(field, "filename" | "filepath" | "url")
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

/// Returns all of the line, without quotes around it and without a further field after a comma.
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
    let is_field = |position: &usize| {
        let (field, _) = rest[position + 1..].split_once('=').unwrap_or_default();
        field_of(field).is_some()
    };
    let next = rest.match_indices(',').map(|(position, _)| position).find(is_field);
    rest[..next.unwrap_or(rest.len())].trim_end()
}

/// Returns the value without the rest of the sentence around it.
fn within_sentence(rest: &str) -> &str {
    let end = ENDS.iter().filter_map(|end| rest.rfind(end)).min();
    to_the_end(&rest[..end.unwrap_or(rest.len())])
}
