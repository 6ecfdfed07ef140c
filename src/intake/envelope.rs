//! Reads one element of a body, also one that another log shipper (Filebeat, Logstash, Vector, Fluent Bit,
//! Elastic Agent) has put inside an event of its own: as a text (`message`, `event.original`) or as an
//! object (`json`, or whatever the shipper was told to call it).
//!
//! What HarfangLab made itself is never opened: its telemetry quotes what ran on a host.
//!
//! Does not live here: what an element is (`intake::dialect`), splitting a body (`intake::decode`).

use std::borrow::Cow;

use serde_json::Value;

use super::{
    decode::{self, Element},
    dialect::{Dialect, Recognised, is_by_harfanglab, recognise},
    webhook::counted_as,
};
use crate::alert::element::{self, MaxValues, Unread};

/// Deepest nesting at which an alert is looked for: a shipper behind a shipper has it in the third level.
const DEPTH_MAX: usize = 4;
/// Fields in which shippers keep the text that they read.
const TEXTS: [&str; 10] = [
    "message",
    "original",
    "event.original",
    "log",
    "_raw",
    "raw",
    "msg",
    "body",
    "MESSAGE",
    "data",
];

/// One element that was read.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    /// What it is.
    pub recognised: Recognised,
    /// What is used of it.
    pub value: Value,
    /// Its text; without the envelope if it was in one.
    pub text: Cow<'a, str>,
}

/// Reads the well-formed `text` of one element, or of HarfangLab's element inside it.
///
/// # Errors
/// [`Unread::TooManyValues`]; at most `max` values are built at a time.
pub(crate) fn read(text: Cow<'_, str>, max: MaxValues) -> Result<Read<'_>, Unread> {
    let value = element::read_checked(&text, max)?;
    let recognised = recognise(&value);
    let is_closed = match &recognised {
        Recognised::Notification(_) | Recognised::ConnectionTest => true,
        Recognised::Telemetry(kind) => counted_as(kind) != "other",
        Recognised::Unknown => false,
    };
    if !is_closed
        && !is_by_harfanglab(&value)
        && let Some(inner) = opened(&text, max, DEPTH_MAX)
    {
        return Ok(inner);
    }
    Ok(Read { recognised, value, text })
}

/// Finds HarfangLab's element in the fields of the object `text`: an alert or threat before telemetry.
fn opened(text: &str, max: MaxValues, depth: usize) -> Option<Read<'static>> {
    let depth = depth.checked_sub(1)?;
    let mut telemetry = None;
    for (name, value) in element::fields(text) {
        let inner = if value.starts_with('{') {
            Cow::Borrowed(value)
        } else if value.starts_with('"') && TEXTS.contains(&name.trim_matches('"')) {
            let Some(inner) = only_object_in(value) else { continue };
            inner.into()
        } else {
            continue;
        };
        let found = of_harfanglab(&inner, max).or_else(|| opened(&inner, max, depth));
        match found {
            Some(Read { recognised: Recognised::Telemetry(_), .. }) => telemetry = found,
            Some(_) => return found,
            None => {}
        }
    }
    telemetry
}

/// Returns the JSON object in a quoted text, behind whatever header a relay wrote before it.
fn only_object_in(quoted: &str) -> Option<String> {
    let text: String = serde_json::from_str(quoted).ok()?;
    let text = &text[text.find('{')?..];
    match decode::decode(text, 1).ok()?.pop()? {
        Element::Json { raw } => Some(raw.into_owned()),
        Element::Unreadable { .. } => None,
    }
}

/// Reads `text` if it is surely HarfangLab's: what has `alert_type` alone may be of another product.
fn of_harfanglab(text: &str, max: MaxValues) -> Option<Read<'static>> {
    let value = element::read_checked(text, max).ok()?;
    let recognised = recognise(&value);
    let is_known = match &recognised {
        Recognised::Notification(Dialect::NativeAlert) => {
            ["alert_unique_id", "log_type"].iter().any(|mark| element::field(text, mark).is_some())
        }
        Recognised::Notification(Dialect::NativeThreat | Dialect::EcsAlert) => true,
        Recognised::Telemetry(kind) => counted_as(kind) != "other",
        Recognised::ConnectionTest | Recognised::Unknown => false,
    };
    is_known.then(|| Read { recognised, value, text: text.to_owned().into() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALERT: &str =
        r#"{"log_type":"alert","alert_unique_id":"a","alert_type":"sigma","msg":"\\x {é}"}"#;

    fn opened_text(event: &Value) -> (Recognised, String) {
        let read = read(event.to_string().into(), MaxValues::default()).unwrap();
        (read.recognised, read.text.into_owned())
    }

    #[test]
    fn an_alert_in_the_event_of_any_shipper_is_the_alert_as_it_was_sent() {
        let alert: Value = serde_json::from_str(ALERT).unwrap();
        let filebeat = json!({"@timestamp": "2026-05-26T07:39:59Z", "ecs": {"version": "8.0.0"},
            "agent": {"type": "filebeat"}, "event": {"kind": "alert"}, "message": ALERT});
        for event in [
            filebeat.clone(),
            json!({"ecs": {"version": "8"}, "event": {"original": ALERT}, "message": "parsed"}),
            json!({"ecs.version": "8", "event.original": ALERT}),
            json!({"@version": "1", "message": format!("<134>1 2026-05-26 console - - - {ALERT}\n")}),
            json!({"json": alert, "agent": {"type": "filebeat"}}),
            json!({"harfanglab": {"event": alert}, "tags": ["beats"]}),
            json!({"log": ALERT, "date": 1.5, "level": "info"}),
            json!({"log_type": "harfanglab", "source_type": "socket", "message": ALERT}),
            json!({"_raw": ALERT, "sourcetype": "harfanglab"}),
            json!({"@version": "1", "event": {"original": filebeat.to_string()}}),
        ] {
            let (recognised, text) = opened_text(&event);
            let native = Recognised::Notification(Dialect::NativeAlert);
            assert_eq!(recognised, native, "{event}");
            let inner: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(inner, alert, "{event}");
        }
    }

    #[test]
    fn ecs_threats_and_telemetry_come_out_of_envelopes_and_an_alert_before_telemetry() {
        let threat = r#"{"log_type":"threat","id":"7","slug":"x","creation_date":"2026-01-01"}"#;
        let detection = json!({"ecs": {"version": "9.0.0"}, "agent": {"type": "hurukai"},
            "event": {"kind": "pipeline_error"}, "hlab": {"detection": {"title": "x"}}});
        let telemetry = json!({"log_type": "process", "agent": {"agentid": "a"}});
        for (inner, expected) in [
            (threat.to_owned(), Recognised::Notification(Dialect::NativeThreat)),
            (detection.to_string(), Recognised::Notification(Dialect::EcsAlert)),
            (telemetry.to_string(), Recognised::Telemetry("process".to_owned())),
        ] {
            assert_eq!(opened_text(&json!({"message": inner})), (expected, inner));
        }
        let both = json!({"a": telemetry, "message": threat});
        assert_eq!(opened_text(&both).1, threat);
    }

    #[test]
    fn what_is_no_envelope_stays_as_it_is() {
        let quoted = json!({"@event_create_date": "2026-05-26", "agent": {"agentid": "a"},
            "log_name": "System", "message": ALERT});
        let own = json!({"agent": {"type": "hurukai"}, "ecs": {"version": "9.0.0"},
            "event": {"kind": "event", "category": ["process"]}, "message": ALERT});
        let text = json!({"log_type": "process", "message": ALERT});
        let elsewhere = json!({"commandline": ALERT});
        let other = json!({"kibana": {"alert_type": "x"}, "message": "{} and {more}"});
        let two = json!({"message": format!("{ALERT}\n{ALERT}")});
        let deep = json!({"a": {"b": {"c": {"d": {"message": ALERT}}}}});
        for event in [quoted, own, text, elsewhere, other, two, deep] {
            let (recognised, text) = opened_text(&event);
            assert_eq!(text, event.to_string());
            let is_imported = matches!(recognised, Recognised::Notification(_));
            assert!(!is_imported, "{event}");
        }
    }
}
