//! Names that only alerts and threats have. When in doubt a name is one: what carries it is kept.

/// Beginnings of such names, at any depth; ASCII letters count in any case.
const BEGINNINGS: [&str; 8] =
    ["alert", "threat", "rule", "detection", "security_event", "sigma_", "yara_", "ioc_"];
/// Characters between a name and the colon behind it, in JSON and in JSON inside a text of it.
const QUOTES: [char; 2] = ['\\', '"'];

/// Returns whether the name is that of an alert's or threat's level. Others have levels, too,
/// further down.
pub(super) fn is_level(name: &str) -> bool {
    ["level", "level_int"].iter().any(|level| name.eq_ignore_ascii_case(level))
}

/// Returns whether a field of the JSON `text` has such a name, at any depth, also in JSON inside
/// its texts.
pub(super) fn json_has_one(text: &str) -> bool {
    names(text).any(|(name, behind)| is_field(behind) && (is_one(name) || names_kind(name, behind)))
}

/// Returns whether a text that is no JSON object has such a name. One that was meant to be JSON is
/// judged by its fields, anything else by every word.
pub(super) fn text_has_one(text: &str) -> bool {
    if text.trim_start().starts_with(['{', '[']) {
        return json_has_one(text)
            || names(text).any(|(name, behind)| is_field(behind) && is_level(name));
    }
    names(text).any(|(name, _behind)| is_one(name))
}

/// Every word of the text, with what stands behind it. A flattened name is one word.
fn names(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-@".contains(&byte);
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at + bytes.get(at..)?.iter().position(|byte| is_part(*byte))?;
        let length = bytes[begin..].iter().position(|byte| !is_part(*byte));
        at = length.map_or(bytes.len(), |length| begin + length);
        // Both ends stand beside an ASCII character.
        Some((text.get(begin..at)?, text.get(at..)?))
    })
}

/// Returns whether the text behind a word makes it the name of a field.
fn is_field(behind: &str) -> bool {
    behind.starts_with(QUOTES) && behind.trim_start_matches(QUOTES).trim_start().starts_with(':')
}

fn is_one(name: &str) -> bool {
    name.split('.').any(|segment| {
        BEGINNINGS.iter().any(|with| {
            let beginning = segment.as_bytes().get(..with.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(with.as_bytes()))
        })
    })
}

/// Returns whether it is a `log_type` that says alert or threat.
fn names_kind(name: &str, behind: &str) -> bool {
    name.eq_ignore_ascii_case("log_type") && {
        let value = behind.trim_start_matches(|letter: char| {
            QUOTES.contains(&letter) || letter == ':' || letter.is_ascii_whitespace()
        });
        names(value).next().is_some_and(|(word, _behind)| value.starts_with(word) && is_one(word))
    }
}
