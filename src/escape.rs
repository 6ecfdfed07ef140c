//! Makes text that an outsider chose harmless to look at: characters that move a cursor, reorder the
//! text around them or do not show at all become JSON escapes (`\u202e`), which stay what they are
//! inside a JSON string.
//!
//! The terminal, the log and the status page all use the one list of such characters here.
//!
//! Does not live here: writing to the terminal (`cli::output`), markup (`ops::page`).

use std::{borrow::Cow, fmt::Write as _};

/// True for control characters (C0, DEL and C1), for line and paragraph separators, and for
/// characters that have no width or direct the text.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// True for the line feed and the tab, which lay out text of several lines.
pub(crate) fn is_layout(character: char) -> bool {
    matches!(character, '\n' | '\t')
}

/// The text on one line: every hidden character is escaped, line feeds and tabs too.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// The text with its line feeds and tabs: every other hidden character is escaped. JSON stays JSON of
/// the same value, whether it is on one line or indented.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| is_hidden(character) && !is_layout(character))
}

fn escaped(text: &str, is_unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unwanted) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            _ if !is_unwanted(character) => escaped.push(character),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            // JSON writes what is above U+FFFF as two units.
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{7f}\u{0}\u{85}\u{202e}gpj.exe\u{2066}\u{2028}\u{200b}\
                           \u{ad}\u{feff}\u{e0041}\r";

    #[test]
    fn what_moves_a_cursor_turns_the_text_or_does_not_show_is_escaped() {
        let escaped = lines(HOSTILE);
        assert!(!escaped.contains(is_hidden), "{escaped:?}");
        assert!(escaped.starts_with("\\u001b[2J\\u009b31m\\u007f\\u0000"), "{escaped}");
        assert!(escaped.ends_with("\\ufeff\\udb40\\udc41\\r"), "{escaped}");
        for plain in ["C:\\Users\\Zoë 🧨 שלום \u{202f}1", ""] {
            assert!(matches!(line(plain), Cow::Borrowed(same) if same == plain));
        }
    }

    #[test]
    fn one_line_stays_one_line_and_several_keep_their_layout() {
        assert_eq!(line("a\tb\nerror: c"), "a\\tb\\nerror: c");
        assert_eq!(lines("a\tb\nc\r\n"), "a\tb\nc\\r\n");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = json!({ HOSTILE: [HOSTILE, "a\n\t\"\\\u{202e}"] });
        for written in [value.to_string(), format!("{value:#}")] {
            let escaped = lines(&written);
            assert!(!escaped.contains(|found| is_hidden(found) && found != '\n'), "{escaped:?}");
            assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap(), value);
        }
    }
}
