//! Elements of no known dialect: telemetry that names no kind, anything that carries a mark of an
//! alert or threat, and the rest, known by its shape.
//!
//! Judges the element's own text and not what was built of it: a field that nobody reads may carry
//! the mark, and a text that is not JSON can carry one, too.
//!
//! Does not live here: how many of a shape are kept (`intake::samples`).

mod marks;
mod shape;

pub use self::shape::Shape;
use self::shape::TopLevel;
use crate::alert::element;

/// An element that is neither an alert nor a threat in any known dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownKind {
    /// Telemetry of this kind that says no `log_type`: acknowledged and counted, not kept.
    Telemetry(&'static str),
    /// Carries a mark of an alert or threat: kept in full, always.
    Marked,
    /// Anything else: a sample of its shape is kept.
    Shaped(Shape),
}

/// Kinds of telemetry, each with top-level fields that all telemetry of this kind has and no other.
const KINDS: [(&str, &[&str]); 12] = [
    ("dns_resolution", &["requested_name", "query_type"]),
    ("registry", &["target_object", "event_type"]),
    ("file", &["event_path", "operation"]),
    ("powershell", &["script_block"]),
    ("driverload", &["imagebase", "imagepath"]),
    ("injectedthread", &["region_base_address", "start_address"]),
    ("eventlog", &["log_name", "record_number"]),
    ("authentication", &["auth_type", "target_username"]),
    ("process", &["commandline", "process_unique_id", "image_name"]),
    ("network", &["daddr", "dport"]),
    ("network", &["saddr", "sport"]),
    ("network", &["address", "port", "transport_protocol"]),
];

/// Fields of an entry of the Windows event log whose inner names are those of the event that was logged, such
/// as `RuleName` of Sysmon and `RuleId` of the firewall: they say nothing of an alert.
const NAMED_BY_EVENT: [&str; 2] = ["\"event_data\"", "\"user_data\""];

/// Tells what an element of no known dialect is, by its text.
pub fn recognise_unknown(text: &str) -> UnknownKind {
    let Some(top) = TopLevel::of(text) else {
        return if marks::text_has_one(text) {
            UnknownKind::Marked
        } else {
            UnknownKind::Shaped(Shape::of_text(text))
        };
    };
    let is_telemetry = top.has_agent && top.has_all(&["@event_create_date"]);
    // An entry of the event log has a level of its own.
    let is_log_entry = top.has_all(&["log_name", "record_number"]);
    let is_marked = if is_telemetry && is_log_entry {
        element::fields(text).any(|(name, value)| {
            let value = if NAMED_BY_EVENT.contains(&name) { "" } else { value };
            marks::json_has_one(&format!("{name}:{value}"))
        })
    } else {
        top.has_level && !is_log_entry || marks::json_has_one(text)
    };
    if is_marked {
        UnknownKind::Marked
    } else if is_telemetry {
        let known = KINDS.iter().find(|(_kind, names)| top.has_all(names));
        UnknownKind::Telemetry(known.map_or("other", |(kind, _names)| kind))
    } else {
        UnknownKind::Shaped(top.shape())
    }
}

/// Returns whether a mark of an alert or threat stands in the JSON `text`, its level apart:
/// telemetry has levels, too.
pub fn has_mark_beside_level(text: &str) -> bool {
    marks::json_has_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_known_by_its_agent_and_date_and_its_kind_by_its_fields() {
        let of = |fields: &str| {
            let event = format!(
                r#"{{{fields}, "agent": {{"agentid": "a"}}, "@event_create_date": "2026-05-26"}}"#
            );
            recognise_unknown(&event)
        };
        for (fields, kind) in [
            (r#""requested_name": "example.org", "query_type": "AAAA""#, "dns_resolution"),
            (r#""event_type": "SetValue", "target_object": "HKLM""#, "registry"),
            (r#""event_path": "C:\\x", "operation": "create""#, "file"),
            (r#""address": "192.0.2.1", "port": 55, "transport_protocol": "tcp""#, "network"),
            (r#""log_name": "System", "record_number": 7, "level": "error""#, "eventlog"),
            (r#""something": "else", "log_type": null"#, "other"),
        ] {
            assert_eq!(of(fields), UnknownKind::Telemetry(kind), "{fields}");
        }
        for without_either in
            [r#"{"agent": "a", "@event_create_date": "x"}"#, r#"{"agent": {"agentid": "a"}}"#]
        {
            let judged = recognise_unknown(without_either);
            assert!(matches!(judged, UnknownKind::Shaped(_)), "{judged:?}");
        }
    }

    #[test]
    fn a_mark_anywhere_makes_a_dead_letter_whatever_else_is_there() {
        let telemetry = r#""agent": {"agentid": "a"}, "@event_create_date": "2026-05-26""#;
        for mark in [
            r#""level": "high""#,
            r#""Rule_Name": "x""#,
            r#""rule": {}"#,
            r#""alert_time": null"#,
            r#""alerts": []"#,
            r#""threat_key": 7"#,
            r#""detection": {}"#,
            r#""data": {"deep": [{"alert_unique_id" : "x"}]}"#,
            r#""message": "{\"log_type\":\"threat\", \"id\": 7}""#,
            r#""message": "{\"event\":\"{\\\"alert_type\\\":\\\"sigma\\\"}\"}""#,
            r#""hlab.detection.title": "x""#,
        ] {
            let element = format!("{{{telemetry}, {mark}}}");
            assert_eq!(recognise_unknown(&element), UnknownKind::Marked, "{mark}");
        }
        // A value is no mark, nor is a level of something else.
        for harmless in [
            r#""commandline": "alert_type threat rule: x", "log": {"level": "info"}"#,
            r#""process_name": "alertmanager", "job": "level""#,
        ] {
            let element = format!("{{{telemetry}, {harmless}}}");
            let judged = recognise_unknown(&element);
            assert!(matches!(judged, UnknownKind::Telemetry(_)), "{harmless}: {judged:?}");
        }
    }

    #[test]
    fn names_that_an_entry_of_the_event_log_chose_are_no_marks_and_all_others_are() {
        let of = |fields: &str| {
            recognise_unknown(&format!(
                r#"{{"agent": {{"agentid": "a"}}, "@event_create_date": "2026-05-26", {fields}}}"#
            ))
        };
        let entry = r#""log_name": "Microsoft-Windows-Sysmon/Operational", "record_number": 7"#;
        let chosen = r#""event_data": {"RuleName": "x", "RuleId": 1}"#;
        let of_user = r#""user_data": {"RuleAddedEvent": {"RuleId": 1}}"#;
        for fields in [
            format!("{entry}, {chosen}"),
            format!("{chosen}, {entry}, {of_user}"),
            format!(r#"{entry}, "event_data": "{{\"rule\": 1}}\\", {of_user}"#),
        ] {
            assert_eq!(of(&fields), UnknownKind::Telemetry("eventlog"), "{fields}");
        }
        for fields in [
            format!(r#"{entry}, {chosen}, "rule_name": "x""#),
            format!(r#""alert_type": "sigma", {chosen}, {entry}"#),
            format!(r#"{entry}, "data": {{{chosen}}}"#),
            format!(r#"{entry}, {chosen}, "message": "{{\"log_type\":\"alert\"}}""#),
            format!(r#"{entry}, "data": "event_data", "rules": {{}}"#),
            chosen.to_owned(),
            format!(r#"{chosen}, "log_name": "System""#),
        ] {
            assert_eq!(of(&fields), UnknownKind::Marked, "{fields}");
        }
    }

    #[test]
    fn what_is_no_json_object_carries_a_mark_when_it_speaks_of_an_alert() {
        for text in [
            r#"{"log_type":"alert","alert_uni"#,
            r#"{"level": "high", "#,
            "CEF:0|HarfangLab|Threat detected|",
            "alert_type=sigma",
            r#""an alert""#,
            r#"[[{"rule_name": "x"}]]"#,
        ] {
            assert_eq!(recognise_unknown(text), UnknownKind::Marked, "{text}");
        }
        let shape = |text: &str| match recognise_unknown(text) {
            UnknownKind::Shaped(shape) => shape.words().to_owned(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(shape("level=info msg=\"it runs\""), "text that is not JSON");
        assert_eq!(shape("7"), "a number");
        assert_eq!(shape("[1, 2]"), "a list");
        assert_eq!(shape("{\"a\": "), "an object that cannot be read");
    }
}
