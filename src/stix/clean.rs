//! Cleaning of texts. Python, JavaScript and Rust trim different characters; a text without
//! control characters and byte order marks is trimmed alike by all three, so ids agree.

/// A text of one line: control characters and byte order marks removed, trimmed.
pub fn line(text: &str) -> String {
    without(text, char::is_control)
}

/// A text that may have several lines: as [`line()`], with line feeds, carriage returns and tabs
/// kept inside.
pub fn text(text: &str) -> String {
    without(text, |character| character.is_control() && !matches!(character, '\n' | '\r' | '\t'))
}

fn without(text: &str, unwanted: impl Fn(char) -> bool) -> String {
    let kept: String =
        text.chars().filter(|&character| character != '\u{feff}' && !unwanted(character)).collect();
    kept.trim().to_owned()
}
