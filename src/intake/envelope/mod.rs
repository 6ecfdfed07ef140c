//! Reads one element of a body, also one that another log shipper (Filebeat, Logstash, Vector, Fluent Bit,
//! Elastic Agent, Splunk) has put inside an event of its own: as a text (`message`, `event.original`) or as an
//! object (`json`, or whatever the shipper was told to call it).
//!
//! Elements that HarfangLab made itself are never opened: its telemetry quotes programs that ran on a host. An alert
//! without HarfangLab's agent, because a shipper lifted its fields into the event, is read from its whole text if
//! that stands beside them.
//!
//! Does not live here: what an element is (`intake::dialect`), splitting a body (`intake::decode`).

mod text;

use std::{borrow::Cow, iter};

use serde_json::Value;

use self::text::Carried;
use super::{
    dialect::{
        Dialect, Recognised, has_mark_beside_level, is_by_harfanglab, lacks_agent, only_names_one,
        recognise,
    },
    webhook::counted_as,
};
use crate::alert::element::{self, MaxValues, Unread};

/// Deepest nesting at which an alert is looked for: a shipper behind a shipper has it in the third level.
const DEPTH_MAX: usize = 3;

/// One element that was read.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    /// Its kind.
    pub recognised: Recognised,
    /// Those of its values that are used.
    pub value: Value,
    /// Its text; without the envelope if it was in one.
    pub text: Cow<'a, str>,
    /// Why it is surely a dead letter, if it is.
    pub doubt: Option<Doubt>,
}

/// A reason for which nothing is imported of what surely has to do with an alert or threat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Doubt {
    /// It has marks of one and nothing else.
    #[error(
        "it names an alert or threat and says too little of it; have the sender pass on \
         HarfangLab's JSON as it is"
    )]
    OnlyNamesOne,
    /// It has more than one inside, or one that is too large to tell.
    #[error(
        "it has several alerts or threats inside, or one with too many values; have the sender \
         post each by itself, as HarfangLab's JSON"
    )]
    Several,
}

/// Reads the well-formed `text` of one element, or of HarfangLab's element inside it.
///
/// # Errors
/// [`Unread::TooManyValues`]; of one element at most `max` values are built, and of one at a time.
pub(crate) fn read(text: Cow<'_, str>, max: MaxValues) -> Result<Read<'_>, Unread> {
    let value = element::read_checked(&text, max)?;
    let recognised = recognise(&value);
    let is_lifted =
        recognised == Recognised::Notification(Dialect::NativeAlert) && lacks_agent(&value);
    if !is_lifted && !may_be_envelope(&recognised, &value) {
        return Ok(Read { recognised, value, text, doubt: None });
    }
    drop(value);
    let opened = opened(&text, max, DEPTH_MAX);
    let has_several = matches!(opened, Opened::Several { may_be_imported: true });
    if let Opened::One(inner) = opened
        && (!is_lifted || is_of_one_event(&inner.text, &text))
    {
        let value = element::read_checked(&inner.text, max)?;
        // Beside telemetry there may be an alert in a form that is not opened.
        if inner.is_notification || !has_mark_beside_level(&text) {
            let text = inner.text.into_owned().into();
            return Ok(Read { recognised: recognise(&value), value, text, doubt: None });
        }
    }
    let value = element::read_checked(&text, max)?;
    let doubt = if is_lifted {
        None
    } else if has_several {
        Some(Doubt::Several)
    } else {
        only_names_one(&value).then_some(Doubt::OnlyNamesOne)
    };
    Ok(Read { recognised, value, text, doubt })
}

/// Returns whether another shipper may have made it. What HarfangLab made is never opened, at any depth.
fn may_be_envelope(recognised: &Recognised, value: &Value) -> bool {
    *recognised == Recognised::Unknown && !is_by_harfanglab(value)
}

/// An element of HarfangLab inside an event.
struct Inner<'a> {
    text: Cow<'a, str>,
    is_notification: bool,
}

/// Holds what an event has inside.
enum Opened<'a> {
    None,
    One(Inner<'a>),
    /// More than one, or one that may be: nothing tells which is meant.
    Several {
        may_be_imported: bool,
    },
}

impl Opened<'_> {
    /// Returns what an event has that has both. Shippers keep a text beside what they read of it, or added to
    /// that: of two copies of one alert the longer one counts.
    fn and(self, other: Self) -> Self {
        let may_be_imported = self.may_be_imported() || other.may_be_imported();
        match (self, other) {
            (found, Self::None) | (Self::None, found) => found,
            (Self::One(one), Self::One(other)) if is_of_one_event(&one.text, &other.text) => {
                Self::One(if one.text.len() < other.text.len() { other } else { one })
            }
            (Self::One(one), Self::One(other))
                if element::content_hash(&one.text) == element::content_hash(&other.text) =>
            {
                Self::One(one)
            }
            _ => Self::Several { may_be_imported },
        }
    }

    fn may_be_imported(&self) -> bool {
        match self {
            Self::None => false,
            Self::One(inner) => inner.is_notification,
            Self::Several { may_be_imported } => *may_be_imported,
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self, Self::Several { may_be_imported: true })
    }

    fn into_owned<'a>(self) -> Opened<'a> {
        match self {
            Self::None => Opened::None,
            Self::One(Inner { text, is_notification }) => {
                Opened::One(Inner { text: text.into_owned().into(), is_notification })
            }
            Self::Several { may_be_imported } => Opened::Several { may_be_imported },
        }
    }
}

/// Returns whether both name one alert.
fn is_of_one_event(one: &str, other: &str) -> bool {
    let id = |text| element::field(text, "alert_unique_id").filter(|id| id.starts_with('"'));
    id(one).is_some_and(|known| id(other).is_some_and(|id| id.eq_ignore_ascii_case(known)))
}

/// Finds HarfangLab's element in the fields of the object `text`.
fn opened(text: &str, max: MaxValues, depth: usize) -> Opened<'_> {
    let Some(depth) = depth.checked_sub(1) else { return Opened::None };
    let mut only = Opened::None;
    for (name, value) in element::fields(text) {
        let may_be_text = text::is_kept_in(name);
        let of_list = value.starts_with('[').then(|| element::items(value));
        let itself = of_list.is_none().then_some(value);
        for value in iter::chain(itself, of_list.into_iter().flatten()) {
            only = only.and(of_value(value, may_be_text, max, depth));
            if only.is_settled() {
                return only;
            }
        }
    }
    only
}

/// Finds HarfangLab's element in the object or the text `value`.
fn of_value(value: &str, may_be_text: bool, max: MaxValues, depth: usize) -> Opened<'_> {
    if value.starts_with('{') {
        return within(value.into(), max, depth);
    }
    if !may_be_text || !value.starts_with('"') {
        return Opened::None;
    }
    match text::carried(value) {
        Carried::None => Opened::None,
        Carried::One(inner) => within(inner.into(), max, depth),
        Carried::Several(text) => Opened::Several { may_be_imported: has_mark_beside_level(&text) },
    }
}

/// Finds HarfangLab's element in `inner`: itself, or inside it.
fn within(inner: Cow<'_, str>, max: MaxValues, depth: usize) -> Opened<'_> {
    // What has too many values may be an alert.
    let Ok(value) = element::read_checked(&inner, max) else {
        return Opened::Several { may_be_imported: has_mark_beside_level(&inner) };
    };
    let recognised = recognise(&value);
    if is_surely_harfanglabs(&recognised) {
        let is_notification = matches!(recognised, Recognised::Notification(_));
        return Opened::One(Inner { text: inner, is_notification });
    }
    if !may_be_envelope(&recognised, &value) {
        return Opened::None;
    }
    drop(value);
    opened(&inner, max, depth).into_owned()
}

/// Returns whether it has more than a name in common with what HarfangLab sends.
fn is_surely_harfanglabs(recognised: &Recognised) -> bool {
    match recognised {
        Recognised::Notification(_) => true,
        Recognised::Telemetry(kind) => counted_as(kind) != "other",
        Recognised::ConnectionTest | Recognised::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use serde_json::json;

    use super::*;

    const ALERT: &str = r#"{"log_type":"alert","alert_unique_id":"a","alert_type":"sigma","msg":"\\x {é}","agent":{"agentid":"1"}}"#;

    const NATIVE: Recognised = Recognised::Notification(Dialect::NativeAlert);

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
            json!({"time": 1, "event": ALERT, "sourcetype": "_json"}),
            json!({"version": "1.1", "short_message": "{", "full_message": ALERT}),
            json!({"Message": [ALERT], "fields": {"rawJSON": [ALERT]}}),
            json!({"records": [alert]}),
            json!({"raw_event": format!("@cee: {ALERT}")}),
            json!({"message": format!("<134>May 26 07:39:59 console harfanglab: {ALERT}")}),
            json!({"message": {"data": base64::prelude::BASE64_STANDARD.encode(ALERT)}}),
        ] {
            let (recognised, text) = opened_text(&event);
            assert_eq!(recognised, NATIVE, "{event}");
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
    fn what_only_names_an_alert_is_none_and_the_whole_one_beside_it_is() {
        let ticket = json!({"id": 5, "alert_unique_id": "a", "state": "open"});
        let slug = json!({"id": 7, "slug": "x", "creation_date": "2026-01-01", "status": "new"});
        for event in [
            ticket.clone(),
            json!({"log_type": "alert", "alert_type": "sigma", "rule_name": "x"}),
            json!({"log_type": "THREAT", "src": "192.0.2.1", "id": 7}),
            json!({"alert_type": "dlp", "rule_name": "x", "agent": {"id": 1}}),
            slug,
        ] {
            for event in [event.clone(), json!({"ticket": event.clone()})] {
                let (recognised, text) = opened_text(&event);
                assert_eq!((recognised, text), (Recognised::Unknown, event.to_string()));
            }
        }
        let read = read(ticket.to_string().into(), MaxValues::default()).unwrap();
        assert_eq!(read.doubt, Some(Doubt::OnlyNamesOne));
        let mut splunk = ticket;
        splunk["_raw"] = ALERT.into();
        assert_eq!(opened_text(&splunk), (NATIVE, ALERT.to_owned()));
    }

    #[test]
    fn an_alert_whose_fields_were_lifted_into_the_event_is_its_whole_text() {
        let mut lifted = serde_json::from_str::<Value>(ALERT).unwrap();
        lifted["agent"] = json!({"type": "filebeat", "hostname": "collector-1"});
        lifted["@event_create_date"] = "2026-05-26T07:39:59Z".into();
        let mut event = lifted.clone();
        event["event"] = json!({ "original": ALERT });
        assert_eq!(opened_text(&event), (NATIVE, ALERT.to_owned()));
        for other in [ALERT.replace(r#""a""#, r#""b""#), "{}".to_owned(), ALERT[1..].to_owned()] {
            let mut event = lifted.clone();
            event["message"] = other.into();
            assert_eq!(opened_text(&event), (NATIVE, event.to_string()));
        }
        let alert = crate::intake::dialect::read_alert(Dialect::NativeAlert, &lifted);
        assert_eq!(alert.agent.hostname, None, "the collector is not the host");
    }

    #[test]
    fn of_two_copies_the_longer_counts_and_several_alerts_are_a_dead_letter() {
        let mut added = serde_json::from_str::<Value>(ALERT).unwrap();
        added["geoip"] = json!({"country": "x"});
        for event in
            [json!({"hl": added, "message": ALERT}), json!({"message": ALERT, "hl": added})]
        {
            assert_eq!(opened_text(&event), (NATIVE, added.to_string()));
        }
        let other = ALERT.replace(r#""a""#, r#""b""#);
        let encode = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
        for event in [
            json!({"records": [{"data": encode(ALERT)}, {"data": encode(&other)}]}),
            json!({"message": format!("{ALERT}\n{other}")}),
            json!({"data": encode(&format!("[{ALERT},{other}]"))}),
        ] {
            let read = read(event.to_string().into(), MaxValues::default()).unwrap();
            assert_eq!((read.recognised, read.doubt), (Recognised::Unknown, Some(Doubt::Several)));
        }
        let telemetry = json!({"log_type": "process", "agent": {"agentid": "a"}});
        let event = json!({"records": [telemetry, {"log_type": "network"}]});
        let read = read(event.to_string().into(), MaxValues::default()).unwrap();
        assert_eq!((read.recognised, read.doubt), (Recognised::Unknown, None));
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
