//! Entries of the Windows event log: names inside `event_data` and `user_data` are those of the event that
//! was logged, such as `RuleName` of Sysmon and `RuleId` of the firewall. They say nothing of an alert.

/// Fields whose inner names the event chose.
const CHOSEN: [&str; 2] = ["event_data", "user_data"];

/// A JSON object's `text` without the values of those fields of its top level: the pieces around them.
pub(super) fn around_chosen_names(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    // Where the piece begins; `None` inside a value that is left out.
    let mut from = Some(0);
    let (mut depth, mut in_text, mut is_escaped) = (0, None, false);
    let mut newest_text = "";
    for (at, byte) in text.bytes().enumerate() {
        if let Some(begin) = in_text {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => (newest_text, in_text) = (&text[begin..at], None),
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = Some(at + 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b':' if depth == 1 && CHOSEN.contains(&newest_text) => {
                pieces.extend(from.take().map(|from| &text[from..=at]));
            }
            _ => {}
        }
        if depth == 0 || depth == 1 && byte == b',' {
            from = from.or(Some(at));
        }
    }
    pieces.extend(from.map(|from| &text[from..]));
    pieces
}
