//! Finds the JSON in a text field of a shipper's event: the whole text, what stands behind a syslog header in it,
//! or what it is in base64. In any other text somebody else may have written the JSON.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::intake::{
    decode::{self, DecodeError, Element, is_blank},
    syslog::header::Message,
};

/// Fields in which shippers and relays keep the text that they read: in lower case, letters and digits alone.
const NAMES: [&str; 19] = [
    "body",
    "data",
    "event",
    "eventoriginal",
    "fullmessage",
    "line",
    "log",
    "logoriginal",
    "message",
    "msg",
    "original",
    "payload",
    "raw",
    "rawdata",
    "rawevent",
    "rawjson",
    "rawlog",
    "rawmessage",
    "text",
];
/// Words of a header of RFC 3164 and of what relays write before it, with the mark of JSON behind it.
const HEADER_WORDS_MAX: usize = 7;
/// The mark of JSON that some relays put before it.
const JSON_MARK: &str = "@cee:";
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Holds the JSON objects that a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Carried {
    None,
    One(String),
    /// The text of more than one.
    Several(String),
}

/// Returns whether shippers keep the text that they read in the field whose `name` stands quoted.
pub(super) fn is_kept_in(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.take(20).map(|letter| letter.to_ascii_lowercase()).collect();
    NAMES.contains(&plain.as_str())
}

/// Finds the JSON objects in a quoted text.
pub(super) fn carried(quoted: &str) -> Carried {
    let Ok(text) = serde_json::from_str::<String>(quoted) else { return Carried::None };
    let Some(text) = json_in(text.trim_matches(is_blank)) else { return Carried::None };
    let carried = match decode::decode(&text, 1) {
        Ok(mut elements) => match elements.pop() {
            Some(Element::Json { raw }) => Some(raw.into_owned()),
            Some(Element::Unreadable { .. }) | None => None,
        },
        Err(DecodeError::TooManyElements { .. }) => return Carried::Several(text.into_owned()),
        Err(DecodeError::Empty | DecodeError::NotJson { .. }) => None,
    };
    carried.map_or(Carried::None, Carried::One)
}

fn json_in(text: &str) -> Option<Cow<'_, str>> {
    let json = if is_json(text) { Some(text) } else { behind_header(text) };
    json.map(Cow::Borrowed).or_else(|| from_base64(text).map(Cow::Owned))
}

fn is_json(text: &str) -> bool {
    text.starts_with(['{', '['])
}

/// Returns the JSON behind a header of RFC 5424 or RFC 3164, the latter with or without its priority.
fn behind_header(text: &str) -> Option<&str> {
    let is_rfc_5424 = text.starts_with('<') && text.split_once('>')?.1.starts_with("1 ");
    let json = if is_rfc_5424 {
        let body = Message::parse(text.as_bytes()).ok()?.body();
        text.get(text.len() - body.len()..)?
    } else {
        let (header, json) = text.split_at(text.find('{')?);
        is_header(header).then_some(json)?
    };
    Some(json.trim_start_matches(is_blank)).filter(|json| is_json(json))
}

/// Returns whether the text before the JSON is a header: it ends with the tag's colon, the only one behind a word.
fn is_header(header: &str) -> bool {
    let mut words: Vec<_> = header.split_whitespace().take(HEADER_WORDS_MAX + 1).collect();
    if words.len() > HEADER_WORDS_MAX {
        return false;
    }
    let is_marked = words.pop_if(|word| *word == JSON_MARK).is_some();
    let mut tags = words.iter().enumerate().filter(|(_position, word)| word.ends_with(':'));
    match tags.next() {
        Some((position, _tag)) => position + 1 == words.len(),
        None => is_marked && words.is_empty(),
    }
}

fn from_base64(text: &str) -> Option<String> {
    let json = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
    let json = json.trim_matches(is_blank);
    is_json(json).then(|| json.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried_in(text: &str) -> Carried {
        carried(&serde_json::Value::from(text).to_string())
    }

    #[test]
    fn json_is_found_as_a_text_behind_a_header_and_in_base64() {
        let json = r#"{"a":{"b":1}}"#;
        for text in [
            json.to_owned(),
            format!("\u{feff} {json}\r\n\0"),
            format!("[{json}]"),
            format!("<134>1 2026-05-26T07:39:59Z console app 1 - - {json}"),
            format!("<134>1 2026-05-26T07:39:59Z console app 1 - [x@1 a=\"{{\"] \u{feff}{json}"),
            format!("<134>May 26 07:39:59 console harfanglab[12]: {json}"),
            format!("May  6 07:39:59 console harfanglab: @cee: {json}"),
            format!("2026-05-26T07:39:59+00:00 console harfanglab: {json}"),
            format!("@cee: {json}"),
            BASE64.encode(json),
            BASE64.encode(format!("{json}\n")).trim_end_matches('=').to_owned(),
        ] {
            assert_eq!(carried_in(&text), Carried::One(json.to_owned()), "{text}");
        }
        let two = format!("{json}\n{json}");
        assert_eq!(carried_in(&two), Carried::Several(two));
    }

    #[test]
    fn json_that_somebody_else_may_have_written_is_not_found() {
        let json = r#"{"a":1}"#;
        for text in [
            format!("<38>Nov 30 10:00:00 host sshd[1]: Invalid user {json}"),
            format!("<38>Nov 30 10:00:00 host sshd[1]: Invalid user: {json}"),
            format!("<38>Nov 30 10:00:00 host sshd[1]: user: {json}"),
            format!("user {json}"),
            format!("one two three four five six seven eight: {json}"),
            "eyJhIjox".to_owned(),
            "not base64 {".to_owned(),
            json[..4].to_owned(),
            String::new(),
        ] {
            assert_eq!(carried_in(&text), Carried::None, "{text}");
        }
    }

    #[test]
    fn fields_are_known_in_any_spelling() {
        for name in ["\"_raw\"", "\"rawJSON\"", "\"Message\"", "\"event.original\"", "\"@message\""]
        {
            assert!(is_kept_in(name), "{name}");
        }
        for name in ["\"commandline\"", "\"message_of_the_day\"", "\"\"", "\"\u{e9}\""] {
            assert!(!is_kept_in(name), "{name}");
        }
    }
}
