//! Finds the JSON in a text field of a shipper's event: the whole text, what stands behind a syslog header in
//! it, or what it is in base64. In any other text somebody else may have written the JSON.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{
    alert::element,
    intake::{
        decode::{self, DecodeError, Element, is_blank},
        dialect::has_mark_beside_level,
        syslog::header::{JSON_MARK, Message},
    },
};

/// Fields in which shippers keep the line that they read. Names are in lower case, letters and digits alone.
const OF_LINES: [&str; 15] = [
    "event",
    "eventoriginal",
    "fullmessage",
    "log",
    "logoriginal",
    "message",
    "msg",
    "original",
    "raw",
    "rawevent",
    "rawjson",
    "rawlog",
    "rawmessage",
    "shortmessage",
    "syslogmessage",
];
/// Fields in which queues and relays keep what was handed to them, and other products what an attacker sent.
const OF_CONTENT: [&str; 10] = [
    "body",
    "content",
    "data",
    "database64",
    "line",
    "payload",
    "rawdata",
    "text",
    "textpayload",
    "value",
];
/// Fields that queues and relays put beside the content: of AWS, Google Cloud, Azure, Kafka, `CloudEvents`,
/// Loki.
const OF_WRAPPERS: [&str; 76] = [
    "approximatearrivaltimestamp",
    "attributes",
    "awsregion",
    "computer",
    "contenttype",
    "cookies",
    "datacontenttype",
    "dataschema",
    "deliveryattempt",
    "encryptiontype",
    "eventid",
    "eventname",
    "eventsource",
    "eventsourcearn",
    "eventtime",
    "eventtype",
    "eventversion",
    "headers",
    "httpmethod",
    "id",
    "insertid",
    "invokeidentityarn",
    "isbase64encoded",
    "kafka",
    "kafkakey",
    "kafkaoffset",
    "key",
    "kinesisrecordmetadata",
    "kinesisschemaversion",
    "labels",
    "logname",
    "md5ofbody",
    "md5ofmessageattributes",
    "messageattributes",
    "messageid",
    "metadataversion",
    "multivalueheaders",
    "multivaluequerystringparameters",
    "offset",
    "orderingkey",
    "partition",
    "partitionkey",
    "path",
    "pathparameters",
    "publishtime",
    "querystringparameters",
    "rawpath",
    "rawquerystring",
    "receipthandle",
    "receivetimestamp",
    "recordid",
    "requestcontext",
    "resource",
    "routekey",
    "schema",
    "sequence",
    "sequencenumber",
    "severity",
    "source",
    "spanid",
    "specversion",
    "stagevariables",
    "stream",
    "subject",
    "subscription",
    "time",
    "timegenerated",
    "timestamp",
    "timestamptype",
    "topic",
    "trace",
    "traceparent",
    "tracestate",
    "ts",
    "type",
    "version",
];
/// Longest name that is known, in letters and digits.
const NAME_MAX: usize = 32;
/// Shortest text that may be JSON with a mark in it, in base64.
const BASE64_MIN_BYTES: usize = 24;
/// Words of a header of RFC 3164 and of what relays write before it, with the mark of JSON behind it.
const HEADER_WORDS_MAX: usize = 7;
const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Holds the JSON objects that a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Carried {
    None,
    /// Base64 that is not opened, with a mark of an alert or threat in it.
    Hidden,
    One(String),
    /// The text of more than one.
    Several(String),
}

/// The use that shippers make of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Lines as they were read.
    Lines,
    /// Something handed over, also in base64: only where nothing but a wrapper is around it.
    Content,
}

/// Returns what shippers keep in the field whose `name` stands quoted.
pub(super) fn kept_in(name: &str) -> Option<Keeps> {
    let plain = plain(name);
    if OF_LINES.contains(&plain.as_str()) {
        Some(Keeps::Lines)
    } else {
        OF_CONTENT.contains(&plain.as_str()).then_some(Keeps::Content)
    }
}

/// Returns whether the object `text` has nothing but a content and what queues and relays put beside it.
pub(super) fn is_wrapper(text: &str) -> bool {
    element::fields(text).all(|(name, _value)| {
        kept_in(name).is_some() || OF_WRAPPERS.contains(&plain(name).as_str())
    })
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.take(NAME_MAX).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Finds the JSON objects in a quoted text of a field.
pub(super) fn carried(quoted: &str, keeps: Option<Keeps>) -> Carried {
    if !quoted.starts_with('"') || (keeps.is_none() && quoted.len() < BASE64_MIN_BYTES) {
        return Carried::None;
    }
    let Ok(text) = serde_json::from_str::<String>(quoted) else { return Carried::None };
    let text = text.trim_matches(is_blank);
    if keeps != Some(Keeps::Content)
        && from_base64(text).is_some_and(|text| has_mark_beside_level(&text))
    {
        return Carried::Hidden;
    }
    let Some(text) = keeps.and_then(|keeps| json_in(text, keeps)) else { return Carried::None };
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

fn json_in(text: &str, keeps: Keeps) -> Option<Cow<'_, str>> {
    let json = if is_json(text) { Some(text) } else { behind_header(text) };
    let is_content = keeps == Keeps::Content;
    json.map(Cow::Borrowed).or_else(|| is_content.then(|| from_base64(text))?.map(Cow::Owned))
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

/// Returns whether the text before the JSON is a header: a priority or a date, and at its end the tag's colon,
/// the only one behind a word.
fn is_header(header: &str) -> bool {
    let mut words: Vec<_> = header.split_whitespace().take(HEADER_WORDS_MAX + 1).collect();
    if words.len() > HEADER_WORDS_MAX {
        return false;
    }
    let is_marked = words.pop_if(|word| *word == JSON_MARK).is_some();
    if words.is_empty() {
        return is_marked;
    }
    let mut tags = words.iter().enumerate().filter(|(_position, word)| word.ends_with(':'));
    let is_last = tags.next().is_some_and(|(position, _tag)| position + 1 == words.len());
    is_last && words.len() > 2 && begins_with_date(words[0])
}

/// Returns whether a word is the beginning of a date, maybe behind a priority.
fn begins_with_date(word: &str) -> bool {
    let word =
        if word.starts_with('<') { word.split_once('>').map_or("", |it| it.1) } else { word };
    let is_month = word.len() == 3 && MONTHS.contains(word);
    is_month || (word.len() >= 10 && word.as_bytes()[4] == b'-' && word.starts_with("20"))
}

/// Decodes base64 of either alphabet, with or without padding and line breaks.
fn from_base64(text: &str) -> Option<String> {
    if text.len() < BASE64_MIN_BYTES || !text.starts_with(['e', 'W', 'I', 'C', '7']) {
        return None;
    }
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    };
    let bytes = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(standard);
    let json = BASE64.decode(bytes.collect::<Vec<u8>>()).ok()?;
    let json = String::from_utf8(json).ok()?;
    let json = json.trim_matches(is_blank);
    is_json(json).then(|| json.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried_in(text: &str) -> Carried {
        carried(&serde_json::Value::from(text).to_string(), Some(Keeps::Content))
    }

    #[test]
    fn json_is_found_as_a_text_behind_a_header_and_in_base64() {
        let json = r#"{"a":{"b":"??>>~~"}}"#;
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
            format!("<134>2026-05-26T07:39:59Z console harfanglab: {json}"),
            BASE64.encode(json),
            BASE64.encode(format!("{json}\n")).trim_end_matches('=').to_owned(),
            BASE64.encode(json).replace('+', "-").replace('/', "_"),
            format!("{}\r\n{}\n", &BASE64.encode(json)[..12], &BASE64.encode(json)[12..]),
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
            format!("user: {json}"),
            format!("<38>user: {json}"),
            format!("a b user: {json}"),
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
    fn base64_that_is_not_opened_is_found_if_it_has_a_mark() {
        let alert = r#"{"alert_unique_id":"a"}"#;
        let quoted = |text: &str| serde_json::Value::from(BASE64.encode(text)).to_string();
        for keeps in [None, Some(Keeps::Lines)] {
            assert_eq!(carried(&quoted(alert), keeps), Carried::Hidden);
            assert_eq!(carried(&quoted(r#"{"a":"aaaaaaaaaa"}"#), keeps), Carried::None);
        }
    }

    #[test]
    fn fields_are_known_in_any_spelling() {
        for name in ["\"_raw\"", "\"rawJSON\"", "\"Message\"", "\"event.original\"", "\"@message\""]
        {
            assert_eq!(kept_in(name), Some(Keeps::Lines), "{name}");
        }
        for name in ["\"commandline\"", "\"message_of_the_day\"", "\"\"", "\"\u{e9}\""] {
            assert_eq!(kept_in(name), None, "{name}");
        }
        assert!(is_wrapper(r#"{"data":"x","messageId":"1","publish_time":"x"}"#));
        assert!(!is_wrapper(r#"{"body":"x","uri":"/"}"#));
    }
}
