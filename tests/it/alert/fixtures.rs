//! HarfangLab's texts as they are read: the project's own fixtures, one for each
//! alert type and agent generation, read by name.

use std::{fs, path::Path};

use harfanglab_incidents::{
    alert::{Agent, Alert, Group, Threat},
    intake::dialect::{Dialect, Recognised, read_alert, read_threat, recognise},
};
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alerts");

pub(super) fn fixture(name: &str) -> Value {
    let path = Path::new(FIXTURES).join(format!("{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Names of all fixtures.
pub(super) fn fixtures() -> Vec<String> {
    let files = fs::read_dir(FIXTURES).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

pub(super) fn native(name: &str) -> Alert {
    let element = fixture(name);
    assert_eq!(recognise(&element), Recognised::Notification(Dialect::NativeAlert), "{name}");
    read_alert(Dialect::NativeAlert, &element)
}

fn threat(name: &str) -> Threat {
    let element = fixture(name);
    assert_eq!(recognise(&element), Recognised::Notification(Dialect::NativeThreat), "{name}");
    read_threat(&element)
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields of an alert hold it")]
pub(super) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(super) fn date(date: Option<chrono::DateTime<chrono::Utc>>) -> String {
    date.map(|date| date.to_rfc3339()).unwrap_or_default()
}

#[test]
fn every_native_alert_has_its_id_host_rule_level_and_a_date() {
    for name in fixtures() {
        let element = fixture(&name);
        if recognise(&element) != Recognised::Notification(Dialect::NativeAlert) {
            continue;
        }
        let alert = read_alert(Dialect::NativeAlert, &element);
        let says = |pointer: &str| {
            let prefix = if element.get("alert").is_some() { "/alert" } else { "" };
            element.pointer(&format!("{prefix}{pointer}")).and_then(Value::as_str)
        };
        assert_eq!(alert.unique_id.as_deref(), says("/alert_unique_id"), "{name}");
        assert_eq!(alert.agent.id.as_deref(), says("/agent/agentid"), "{name}");
        assert_eq!(alert.agent.hostname.as_deref(), says("/agent/hostname"), "{name}");
        assert_eq!(alert.rule_name.as_deref(), says("/rule_name"), "{name}");
        assert_eq!(alert.message.as_deref(), says("/msg"), "{name}");
        assert_eq!(alert.level, says("/level").map(str::to_lowercase), "{name}");
        assert!(alert.alert_time.is_some() && alert.timestamp.is_some(), "{name}");
        let odd = name == "ransom_odd_types";
        assert_eq!(alert.unreadable_dates.is_empty(), !odd, "{name}: {:?}", alert.unreadable_dates);
    }
}

#[test]
fn a_sigma_process_alert_of_every_generation_shows_its_process_and_ancestors() {
    for generation in ["2x", "3x", "4x", "5x"] {
        let alert = native(&format!("sigma_process_{generation}"));
        assert_eq!(alert.alert_type, "sigma");
        assert_eq!(alert.tags, ["attack.discovery", "attack.t1087.001"]);
        let process = alert.process.unwrap();
        assert_eq!(process.pid, Some(4312));
        assert_eq!(process.name, text("treelist.exe"));
        assert_eq!(process.image_path, text("C:\\Tools\\treelist.exe"));
        assert_eq!(process.command_line, text("treelist.exe /list  /all "), "as written");
        assert_eq!(process.current_directory, text("C:\\Users\\ada\\"));
        assert_eq!(process.username, text("ORCHARD\\ada"));
        assert_eq!(process.user_sid, text("S-1-5-21-1000-2000-3000-1104"));
        assert_eq!(process.size_bytes, Some(271_360));
        assert_eq!(process.hashes.sha256.unwrap().len(), 64);
        assert!(process.created.is_some(), "{generation}");
        let parent = process.parent.unwrap();
        assert_eq!(
            (parent.pid, parent.command_line),
            (Some(3120), text("C:\\Windows\\Explorer.EXE"))
        );
        let grandparent = process.grandparent.and_then(|it| it.image_path);
        let known = (generation != "2x").then(|| "C:\\Windows\\System32\\userinit.exe".to_owned());
        assert_eq!(grandparent, known, "{generation}");
        let rule = alert.rule_content.unwrap_or_default();
        assert_eq!(rule.contains("\ndetection:\n"), generation != "2x", "{generation}");
    }
}

#[test]
fn envelope_fields_are_read_whatever_the_generation_spells() {
    let oldest = native("sigma_process_2x");
    assert_eq!(
        (oldest.threat_key, oldest.quarantine, oldest.maturity),
        (None, None, text("stable"))
    );
    assert_eq!(date(oldest.process.unwrap().created), "2022-02-08T09:41:05.120311+00:00");

    let older = native("sigma_process_3x");
    assert_eq!(older.threat_key, text("3107"), "an integer");
    assert_eq!(date(older.timestamp), "2024-02-13T09:41:07.973874124+00:00");

    let newest = native("sigma_process_5x");
    assert_eq!(newest.confidence, text("moderate"));
    assert_eq!((newest.execution, newest.quarantine), (Some(1), Some(4)));
    assert_eq!(newest.mitre_cells, ["discovery__t1087.001"]);
    assert_eq!(newest.references, ["https://attack.mitre.org/"]);
    assert_eq!(newest.groups.len(), 1);
    assert_eq!(date(newest.alert_time), "2026-06-18T09:41:07.412503+00:00");
    assert_eq!(date(newest.detection_time), "2026-06-18T09:41:07.398004+00:00");
    assert_eq!(date(newest.event_time), "2026-06-18T09:41:07.398004+00:00");
    assert_eq!(
        newest.agent,
        Agent {
            id: native("sigma_file_3x").agent.id,
            hostname: text("DESK-PEAR-07"),
            domain: text("ORCHARD"),
            os_type: text("windows"),
            os_product: text("Windows 11 Pro"),
            os_version: text("10.0.22631"),
            ip_addresses: vec!["192.0.2.17".to_owned()],
            version: text("5.9.31"),
        }
    );
}

#[test]
fn alerts_about_no_file_process_or_rule_text_are_alerts_too() {
    let firewall = native("selfprotection_firewall_5x");
    assert_eq!((firewall.alert_type.as_str(), firewall.process), ("selfprotection", None));
    assert_eq!(firewall.execution, Some(4));
    let correlation = native("correlation_5x");
    assert_eq!(correlation.alert_type, "correlation");
    assert_eq!(correlation.mitre_cells, ["discovery__t1057", "discovery__t1082"]);
}

#[test]
fn odd_types_are_read_as_what_they_can_mean() {
    let alert = native("ransom_odd_types");
    assert_eq!(alert.alert_type, "ransom");
    assert_eq!((alert.status, alert.level), (text("new"), text("critical")));
    assert_eq!((alert.threat_key, alert.rule_id), (text("5130"), text("77")));
    assert_eq!((alert.execution, alert.quarantine), (Some(1), Some(2)));
    assert_eq!(date(alert.alert_time), "2026-06-18T09:41:07.412+00:00");
    assert_eq!(alert.unreadable_dates, ["detection_date: soon"]);
    assert_eq!(alert.tags, ["attack.impact"]);
    assert_eq!(alert.groups, [Group { id: None, name: text("Workstations") }]);
    assert_eq!(alert.threat_values, ["7", "x"]);
    assert_eq!(alert.agent.ip_addresses, ["192.0.2.17", "192.0.2.18"]);
    assert_eq!(alert.agent.version, text("5.9"));
    let process = alert.process.unwrap();
    assert_eq!((process.pid, process.size_bytes), (Some(4312), Some(271_360)));
    assert_eq!((process.username, process.parent), (None, None));
    assert_eq!(process.command_line, text("walnut.exe"));
    assert_eq!(process.name, text("walnut.exe"), "the last part of the path");
}

#[test]
fn a_rest_item_is_the_pushed_alert_with_its_document_id() {
    let mut pushed = native("sigma_process_5x");
    let rest = native("rest_alert_5x");
    assert_eq!(rest, native("rest_alert_details_5x"), "unwrapped");
    assert_eq!(date(rest.last_update), "2026-06-18T10:02:00.000120+00:00");
    pushed.api_id = text("b3JjaGFyZC0wMDAwMDE");
    pushed.status = text("closed");
    pushed.last_update = rest.last_update;
    assert_eq!(rest, pushed);
}

#[test]
fn an_ecs_detection_is_an_alert_nested_or_flat() {
    let read = |name: &str| {
        let element = fixture(name);
        assert_eq!(recognise(&element), Recognised::Notification(Dialect::EcsAlert), "{name}");
        read_alert(Dialect::EcsAlert, &element)
    };
    for (name, engine) in [("ecs_detection", "sigma"), ("ecs_detection_flat", "yara")] {
        let alert = read(name);
        assert_eq!((alert.unique_id, alert.alert_type.as_str()), (None, engine), "{name}");
        assert_eq!(alert.rule_name, text("Orchard: walnut ran"));
        assert_eq!((alert.level, alert.confidence), (text("high"), text("strong")));
        assert_eq!(alert.agent.id, native("sigma_process_5x").agent.id);
        assert_eq!(alert.agent.hostname, text("DESK-PEAR-07"));
        assert_eq!(date(alert.timestamp), "2026-06-18T09:41:07.398004+00:00");
        let process = alert.process.unwrap();
        assert_eq!((process.pid, process.name), (Some(5120), text("walnut.exe")));
        assert_eq!(process.hashes.sha256.unwrap().len(), 64);
        assert_eq!(process.parent.unwrap().image_path, text("C:\\Windows\\explorer.exe"));
    }
    let alert = read("ecs_detection");
    assert_eq!(alert.message, text("Walnut ran on a workstation"));
    assert_eq!(alert.agent.ip_addresses, ["192.0.2.17", "2001:db8::17"]);
    assert_eq!(alert.tags, ["attack.t1003"]);
    assert_eq!(alert.users, [], "the process's own user");
    assert_eq!((alert.files[0].role, alert.files[0].size_bytes), ("target", Some(1024)));
    assert_eq!(alert.connections[0].destination_host, text("c2.example"));
    let grandparent = alert.process.unwrap().grandparent.unwrap();
    assert_eq!(grandparent.command_line, text("userinit.exe"));
}

#[test]
fn telemetry_the_connection_test_and_what_is_unknown_are_told_apart() {
    let telemetry = |kind: &str| Recognised::Telemetry(kind.to_owned());
    assert_eq!(recognise(&fixture("ecs_telemetry")), telemetry("process"));
    assert_eq!(recognise(&fixture("telemetry_network_5x")), telemetry("network"));
    assert_eq!(recognise(&fixture("telemetry_process_2x")), telemetry("process"));
    for (json, expected) in [
        ("{}", Recognised::ConnectionTest),
        (r#"{"log_type": "Odd kind, not fit for a label"}"#, telemetry("other")),
        (r#"{"log_type": 7}"#, Recognised::Unknown),
        (r#"{"alert": {}}"#, Recognised::Unknown),
        (r#"{"count": 0, "next": null, "previous": null, "results": []}"#, Recognised::Unknown),
        (r#"{"ecs": {"version": "9.0.0"}, "hlab": {"detection": {}}}"#, Recognised::Unknown),
        // A detection of another kind than "alert", and what another product made.
        (
            r#"{"agent": {"type": "hurukai"}, "event": {"kind": "pipeline_error"}, "hlab":
               {"detection": {"title": "x"}}}"#,
            Recognised::Notification(Dialect::EcsAlert),
        ),
        (
            r#"{"agent": {"type": "hurukai"}, "event": {"kind": "event"}, "hlab":
               {"detection": {"title": null}}}"#,
            telemetry("other"),
        ),
        (
            r#"{"ecs": {"version": "8.0.0"}, "agent": {"type": "endpoint"},
               "event": {"kind": "alert"}, "rule": {"name": "x"}}"#,
            Recognised::Unknown,
        ),
        (
            r#"{"ecs": {"version": "8.0.0"}, "agent": {"type": "filebeat"}, "message": "x"}"#,
            Recognised::Unknown,
        ),
        ("[]", Recognised::Unknown),
        ("\"alert\"", Recognised::Unknown),
    ] {
        assert_eq!(recognise(&serde_json::from_str(json).unwrap()), expected, "{json}");
    }
    let mut forwarded = fixture("sigma_process_5x");
    forwarded["ecs"] = serde_json::json!({"version": "8.0.0"});
    forwarded["log_type"] = "security_event".into();
    assert_eq!(recognise(&forwarded), Recognised::Notification(Dialect::NativeAlert));
}

#[test]
fn a_threat_is_read_with_an_integer_id_a_uuid_and_from_rest() {
    let pushed = threat("threat_3x");
    assert_eq!((pushed.id.as_str(), pushed.slug, pushed.alert_count), ("829", None, Some(12)));
    assert_eq!(date(pushed.creation_date), "2024-02-13T14:40:21.799384+00:00");
    assert_eq!(pushed.agents.len(), 2);
    assert_eq!(pushed.agents[1].hostname, text("SRV-QUINCE-01"));
    assert_eq!(pushed.users[0].name, text("ORCHARD\\ada"));
    assert_eq!(pushed.rules[0].level, text("medium"));

    let newer = threat("threat_5x");
    assert_eq!((newer.users.len(), newer.rules[0].kind.clone()), (0, text("ransom")));
    assert_eq!(newer.status, text("investigating"));

    let rest = threat("rest_threat_5x");
    assert_eq!(rest.id, newer.id);
    assert_eq!((rest.slug, rest.tactics), (text("Quiet-Canopy"), vec!["impact".to_owned()]));
    assert_eq!((&rest.agents[0].id, rest.users.len()), (&newer.agents[0].id, 1));
    assert_eq!((newer.agents[0].alert_count, newer.rules[0].alert_count), (Some(1), Some(1)));
    assert_eq!(rest.note.unwrap().content, text("The file came back."));
}
