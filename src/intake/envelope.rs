//! Reads one element of a body, also one that another log shipper (Filebeat, Logstash, Vector, Fluent Bit,
//! Elastic Agent) has put inside an event of its own: as a text (`message`, `event.original`) or as an
//! object (`json`, or whatever the shipper was told to call it).
//!
//! Elements that HarfangLab made itself are never opened: its telemetry quotes programs that ran on a host.
//!
//! Does not live here: what an element is (`intake::dialect`), splitting a body (`intake::decode`).

use std::borrow::Cow;

use serde_json::Value;

use super::{
    decode::{self, Element, is_blank},
    dialect::{Dialect, Recognised, has_mark_beside_level, is_by_harfanglab, recognise},
    syslog::header::Message,
    webhook::counted_as,
};
use crate::alert::element::{self, MaxValues, Unread};

/// Deepest nesting at which an alert is looked for: a shipper behind a shipper has it in the third level.
const DEPTH_MAX: usize = 3;
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
/// Fields that only HarfangLab's threats have.
const OF_THREATS: [&str; 3] =
    ["security_event_count_by_level", "total_security_event_count", "top_agents"];

/// One element that was read.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    /// Its kind.
    pub recognised: Recognised,
    /// Those of its values that are used.
    pub value: Value,
    /// Its text; without the envelope if it was in one.
    pub text: Cow<'a, str>,
}

/// Reads the well-formed `text` of one element, or of HarfangLab's element inside it.
///
/// # Errors
/// [`Unread::TooManyValues`]; of one element at most `max` values are built, and of one at a time.
pub(crate) fn read(text: Cow<'_, str>, max: MaxValues) -> Result<Read<'_>, Unread> {
    let value = element::read_checked(&text, max)?;
    let recognised = recognise(&value);
    if !may_be_envelope(&recognised, &value) {
        return Ok(Read { recognised, value, text });
    }
    drop(value);
    if let Opened::One(inner) = opened(&text, max, DEPTH_MAX) {
        let value = element::read_checked(&inner, max)?;
        let recognised = recognise(&value);
        // Beside telemetry there may be an alert in a form that is not opened.
        let is_all =
            !matches!(recognised, Recognised::Telemetry(_)) || !has_mark_beside_level(&text);
        if is_all {
            return Ok(Read { recognised, value, text: inner.into_owned().into() });
        }
    }
    let value = element::read_checked(&text, max)?;
    Ok(Read { recognised, value, text })
}

/// Returns whether another shipper may have made it. What HarfangLab made is never opened, at any depth.
fn may_be_envelope(recognised: &Recognised, value: &Value) -> bool {
    *recognised == Recognised::Unknown && !is_by_harfanglab(value)
}

/// Holds the element of HarfangLab that an event has inside.
enum Opened<'a> {
    None,
    One(Cow<'a, str>),
    /// More than one, or one that may be: nothing tells which is meant.
    Several,
}

/// Finds HarfangLab's element in the fields of the object `text`.
fn opened(text: &str, max: MaxValues, depth: usize) -> Opened<'_> {
    let Some(depth) = depth.checked_sub(1) else { return Opened::None };
    let mut only = Opened::None;
    for (name, value) in element::fields(text) {
        let found = if value.starts_with('{') {
            within(value.into(), max, depth)
        } else if value.starts_with('"') && TEXTS.contains(&name.trim_matches('"')) {
            only_object_in(value).map_or(Opened::None, |inner| within(inner.into(), max, depth))
        } else {
            Opened::None
        };
        only = match (only, found) {
            (only, Opened::None) => only,
            (Opened::None, found) => found,
            // A shipper that keeps the text beside what it read of it.
            (Opened::One(one), Opened::One(other))
                if element::content_hash(&one) == element::content_hash(&other) =>
            {
                Opened::One(one)
            }
            _ => return Opened::Several,
        };
    }
    only
}

/// Finds HarfangLab's element in `inner`: itself, or inside it.
fn within(inner: Cow<'_, str>, max: MaxValues, depth: usize) -> Opened<'_> {
    // What has too many values may be an alert.
    let Ok(value) = element::read_checked(&inner, max) else { return Opened::Several };
    let recognised = recognise(&value);
    if is_surely_harfanglabs(&recognised, &inner) {
        return Opened::One(inner);
    }
    if !may_be_envelope(&recognised, &value) {
        return Opened::None;
    }
    drop(value);
    match opened(&inner, max, depth) {
        Opened::One(found) => Opened::One(found.into_owned().into()),
        Opened::Several => Opened::Several,
        Opened::None => Opened::None,
    }
}

/// Returns whether `text` has more than a name in common with what HarfangLab sends.
fn is_surely_harfanglabs(recognised: &Recognised, text: &str) -> bool {
    let has = |name: &str| element::field(text, name).is_some_and(|value| value != "null");
    match recognised {
        Recognised::Notification(Dialect::NativeAlert) => has("alert_unique_id") || has("log_type"),
        Recognised::Notification(Dialect::NativeThreat) => {
            has("log_type") || OF_THREATS.into_iter().any(has)
        }
        Recognised::Notification(Dialect::EcsAlert) => true,
        Recognised::Telemetry(kind) => counted_as(kind) != "other",
        Recognised::ConnectionTest | Recognised::Unknown => false,
    }
}

/// Returns the JSON object that a quoted text is, or that stands behind a header of RFC 5424 in it. In any
/// other text somebody else may have written the object.
fn only_object_in(quoted: &str) -> Option<String> {
    let mut text: String = serde_json::from_str(quoted).ok()?;
    let is_rfc_5424 = text.starts_with('<') && text.split_once('>')?.1.starts_with("1 ");
    if is_rfc_5424 {
        let header = text.len() - Message::parse(text.as_bytes()).ok()?.body().len();
        text.drain(..header);
    }
    text.drain(..text.len() - text.trim_start_matches(is_blank).len());
    text.truncate(text.trim_end_matches(is_blank).len());
    if !text.starts_with('{') {
        return None;
    }
    let mended = match decode::decode(&text, 1).ok()?.pop()? {
        Element::Json { raw: Cow::Borrowed(_) } => None,
        Element::Json { raw: Cow::Owned(mended) } => Some(mended),
        Element::Unreadable { .. } => return None,
    };
    Some(mended.unwrap_or(text))
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
            json!({"@version": "1", "message": format!("<134>1 2026-05-26 console - - - - {ALERT}\n")}),
            json!({"json": alert, "agent": {"type": "filebeat"}}),
            json!({"harfanglab": {"event": alert}, "tags": ["beats"]}),
            json!({"log": ALERT, "date": 1.5, "level": "info"}),
            json!({"source_type": "socket", "message": format!("  {ALERT}\0")}),
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
    fn ecs_threats_and_telemetry_come_out_of_envelopes() {
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
    }

    #[test]
    fn what_is_no_envelope_stays_as_it_is_also_within_one() {
        let own_log = json!({"@event_create_date": "2026-05-26", "agent": {"agentid": "a"},
            "log_name": "System", "message": ALERT});
        let own_ecs = json!({"agent": {"type": "hurukai"}, "ecs": {"version": "9.0.0"},
            "event": {"kind": "event", "category": ["iam"]}, "message": ALERT});
        let own_kind = json!({"log_type": "informational_event", "message": ALERT});
        let elsewhere = json!({"commandline": ALERT});
        let other = json!({"kibana": {"alert_type": "x"}, "message": "{} and {more}"});
        let project = json!({"project": {"id": 7, "slug": "x", "creation_date": "2026-01-01"}});
        let words = json!({"message": format!("sshd[1]: Invalid user {ALERT}")});
        let old_syslog = json!({"message": format!("<38>Nov 30 sshd[1]: Invalid user {ALERT}")});
        let two = json!({"message": format!("{ALERT}\n{ALERT}")});
        let newer = ALERT.replace(r#""a""#, r#""b""#);
        let two_fields =
            json!({"first": serde_json::from_str::<Value>(ALERT).unwrap(), "log": newer});
        let beside = json!({"p": {"log_type": "process"}, "message": format!("{ALERT}\n{ALERT}")});
        let deep = json!({"a": {"b": {"c": {"message": ALERT}}}});
        for event in [
            own_log, own_ecs, own_kind, elsewhere, other, project, words, old_syslog, two,
            two_fields, beside, deep,
        ] {
            for event in [
                event.clone(),
                json!({"agent": {"type": "filebeat"}, "message": event.to_string()}),
                json!({"json": event}),
            ] {
                let whole = event.to_string();
                let (recognised, text) = opened_text(&event);
                let is_imported = matches!(recognised, Recognised::Notification(_));
                assert!(!is_imported, "{event}");
                assert!(text == whole || !text.contains("alert_unique_id"), "{event}");
            }
        }
    }
}
