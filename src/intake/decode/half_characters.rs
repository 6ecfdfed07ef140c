//! Repairs JSON text that escapes half a character.

use std::borrow::Cow;

/// Replaces `\u` escapes of half a UTF-16 pair by U+FFFD: Windows allows such names, agents escape
/// them, and no JSON reader takes them.
pub(super) fn without_half_characters(raw: &str) -> Cow<'_, str> {
    const ESCAPE_LENGTH: usize = r"\u0000".len();
    let unit = |at: usize| -> Option<u16> {
        let digits = raw.get(at..at + ESCAPE_LENGTH)?.strip_prefix(r"\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut repaired = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = raw[at..].find('\\') {
        at += found;
        match (unit(at), unit(at + ESCAPE_LENGTH)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 2 * ESCAPE_LENGTH,
            (Some(0xD800..=0xDFFF), _) => {
                repaired.push_str(&raw[copied..at]);
                repaired.push('\u{fffd}');
                at += ESCAPE_LENGTH;
                copied = at;
            }
            // The backslash and what it escapes, which may be of several bytes in broken text.
            _ => at += 1 + raw[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(raw);
    }
    repaired.push_str(&raw[copied..]);
    Cow::Owned(repaired)
}
