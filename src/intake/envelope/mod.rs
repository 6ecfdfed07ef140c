//! Reads one element of a body, also one that another log shipper (Filebeat, Logstash, Vector, Fluent Bit,
//! Elastic Agent, Splunk) has put inside an event of its own: as a text (`message`, `event.original`) or as an
//! object (`json`, or whatever the shipper was told to call it).
//!
//! Elements that HarfangLab made itself are never opened: its telemetry quotes programs that ran on a host. Nor are
//! events known as another product's, which quote what came from the network. An alert whose agent is not
//! HarfangLab's, because a shipper lifted its fields into the event, is read from its whole text if that stands
//! beside them.
//!
//! Does not live here: what an element is (`intake::dialect`), splitting a body (`intake::decode`).

mod search;
mod text;

use std::borrow::Cow;

use serde_json::Value;

use self::search::{Opened, Search};
use super::dialect::{Recognised, is_by_harfanglab, lacks_agent, names_one, recognise};
use crate::alert::element::{self, MaxValues, Unread};

/// One element that was read.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    /// Its kind.
    pub recognised: Recognised,
    /// Those of its values that are used.
    pub value: Value,
    /// Its text; without the envelope if it was in one.
    pub text: Cow<'a, str>,
    /// Reason to keep it as a dead letter.
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
    /// It has more than one inside, or one that is not taken out.
    #[error(
        "it has several alerts or threats inside, or one in base64 or with too many values; have \
         the sender post each by itself, as HarfangLab's JSON"
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
    let is_lifted = is_lifted(&recognised, &value);
    if !is_lifted && !may_be_envelope(&recognised, &value) {
        return Ok(Read { recognised, value, text, doubt: None });
    }
    drop(value);
    let mut search = Search::new(max);
    let opened = if is_lifted { search.original_of(&text) } else { search.object(&text) };
    let has_several =
        search.has_hidden || matches!(opened, Opened::Several { may_be_imported: true });
    if let Opened::One(inner) = opened
        // Beside telemetry there may be an alert in a form that is not opened.
        && (inner.is_notification || !search.has_mark)
    {
        let value = element::read_checked(&inner.text, max)?;
        let text = inner.text.into_owned().into();
        return Ok(Read { recognised: recognise(&value), value, text, doubt: None });
    }
    let value = element::read_checked(&text, max)?;
    let doubt = if is_lifted {
        None
    } else if has_several {
        Some(Doubt::Several)
    } else {
        names_one(&value).then_some(Doubt::OnlyNamesOne)
    };
    Ok(Read { recognised, value, text, doubt })
}

/// Returns whether another shipper may have made it. What HarfangLab made is never opened, at any depth.
fn may_be_envelope(recognised: &Recognised, value: &Value) -> bool {
    *recognised == Recognised::Unknown && !is_by_harfanglab(value)
}

/// Returns whether it is an alert whose agent was replaced by a shipper's.
fn is_lifted(recognised: &Recognised, value: &Value) -> bool {
    matches!(recognised, Recognised::Notification(dialect) if lacks_agent(*dialect, value))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use serde_json::json;

    use super::*;
    use crate::intake::dialect::Dialect;

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
        let threat =
            r#"{"log_type":"threat","id":"7","slug":"x","agents":[],"creation_date":"2026-01-01"}"#;
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
    fn a_shippers_agent_merged_with_or_in_place_of_harfanglabs_makes_the_original_count() {
        let mut merged = serde_json::from_str::<Value>(ALERT).unwrap();
        merged["agent"]["type"] = "filebeat".into();
        merged["agent"]["hostname"] = "collector-1".into();
        let alert = crate::intake::dialect::read_alert(Dialect::NativeAlert, &merged);
        assert_eq!((alert.agent.id.as_deref(), alert.agent.hostname), (Some("1"), None));
        merged["message"] = ALERT.into();
        assert_eq!(opened_text(&merged), (NATIVE, ALERT.to_owned()));

        let mut detection = json!({"ecs": {"version": "9.0.0"}, "event": {"kind": "alert"},
            "agent": {"type": "hurukai", "id": "1"}, "hlab": {"detection": {"title": "x"}},
            "@timestamp": "2026-05-26T07:39:59Z"});
        let original = detection.to_string();
        let other = original.replace("2026-05-26", "2026-05-27");
        detection["agent"] = json!({"type": "elastic-agent", "id": "2"});
        detection["host"] = json!({"name": "collector-1"});
        detection["event"]["original"] = original.clone().into();
        let ecs = Recognised::Notification(Dialect::EcsAlert);
        assert_eq!(opened_text(&detection), (ecs.clone(), original));
        detection["event"]["original"] = other.into();
        assert_eq!(opened_text(&detection), (ecs, detection.to_string()), "of another event");
    }

    #[test]
    fn the_original_of_a_lifted_alert_counts_at_any_depth_and_whatever_else_is_in_the_alert() {
        let mut lifted = json!({"alert_unique_id": "a", "agent.hostname": "pc-01", "msg": "x"});
        lifted["_raw"] = format!("<134>May 26 07:39:59 console harfanglab: {ALERT}").into();
        lifted["winlog"] = json!({"event_id": 1});
        for event in [
            lifted.clone(),
            json!({"result": lifted}),
            json!({"_source": {"hit": lifted}}),
            json!({"message": ALERT, "x": base64::prelude::BASE64_STANDARD.encode(ALERT)}),
        ] {
            assert_eq!(opened_text(&event), (NATIVE, ALERT.to_owned()), "{event}");
        }
    }

    #[test]
    fn what_an_attacker_writes_into_another_products_event_is_no_alert() {
        let object: Value = serde_json::from_str(ALERT).unwrap();
        let base64 = base64::prelude::BASE64_STANDARD.encode(ALERT);
        for event in [
            json!({"event_type": "alert", "flow_id": 1, "message": ALERT, "payload": base64}),
            json!({"src_ip": "192.0.2.1", "payload": base64}),
            json!({"from": "x", "subject": "x", "body": ALERT}),
            json!({"http": {"uri": "/", "method": "POST", "body": ALERT}}),
            json!({"winlog": {"event_id": 4104}, "message": ALERT}),
            json!({"decoder": {"name": "json"}, "data": object}),
            json!({"token": "x", "event": {"type": "message", "user": "x", "text": ALERT}}),
            json!({"comment": {"author": "x", "body": ALERT}}),
            json!({"message": format!("user: {ALERT}")}),
        ] {
            let (recognised, text) = opened_text(&event);
            assert_eq!((recognised, text), (Recognised::Unknown, event.to_string()));
            let shipped = json!({"agent": {"type": "filebeat"}, "message": event.to_string()});
            assert_eq!(opened_text(&shipped).0, Recognised::Unknown, "{event}");
        }
    }

    #[test]
    fn words_of_a_command_line_in_telemetry_are_no_mark_and_those_beside_it_are() {
        let telemetry = json!({"log_type": "process", "agent": {"agentid": "a"},
            "commandline": r#"curl -d {"rule":"x"} http://alertmanager"#});
        let process = Recognised::Telemetry("process".to_owned());
        for event in [
            json!({"agent": {"type": "filebeat"}, "message": telemetry.to_string()}),
            json!({"tags": ["a"], "wrapped": {"json": telemetry}}),
        ] {
            assert_eq!(opened_text(&event).0, process);
            for (name, beside) in [("rule_name", json!(1)), ("x", json!([{"alert": 1}]))] {
                let mut event = event.clone();
                event[name] = beside;
                assert_eq!(opened_text(&event).0, Recognised::Unknown, "{event}");
            }
        }
    }

    #[test]
    fn so_many_objects_are_looked_into_and_no_more() {
        let event = |count: usize| {
            let mut records = vec![json!({"a": 1}); count];
            records.push(serde_json::from_str(ALERT).unwrap());
            json!({ "records": records }).to_string()
        };
        let read = |count| read(event(count).into(), MaxValues(100)).unwrap();
        assert_eq!(read(99).recognised, NATIVE);
        assert_eq!(read(100).doubt, Some(Doubt::Several));
        assert_eq!(read(2_000).doubt, Some(Doubt::Several));
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
        let closed = ALERT.replacen('{', r#"{"status":"closed","#, 1);
        let detection = |host: &str| {
            json!({"ecs": {"version": "9"}, "agent": {"type": "hurukai"}, "host": {"name": host},
                "event": {"kind": "alert"}, "hlab": {"detection": {"confidence": "strong"}}})
        };
        let encode = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
        for event in [
            json!({"records": [{"data": encode(ALERT)}, {"data": encode(&other)}]}),
            json!({"message": format!("{ALERT}\n{other}")}),
            json!({"data": encode(&format!("[{ALERT},{other}]"))}),
            json!({"records": [{"data": encode(ALERT)}, {"data": encode(&closed)}]}),
            json!({"records": [detection("PC-1"), detection("PC-2")]}),
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
