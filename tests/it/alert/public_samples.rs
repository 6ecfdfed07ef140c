//! Real payloads of public origin, read in place from `../shared/samples`.

use std::{collections::BTreeSet, fs, path::Path};

use harfanglab_incidents::{
    alert::element::{self, MaxValues},
    intake::{
        decode::{Element, decode, text_of},
        dialect::{Dialect, Recognised, read_alert, read_threat, recognise},
    },
};
use serde_json::Value;

use crate::support::shared::shared;

/// The files that the index lists: the first column of its rows that name a file.
fn listed(folder: &Path) -> BTreeSet<String> {
    let index = fs::read_to_string(folder.join("INDEX.md")).unwrap();
    let first_cells = index.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    first_cells.filter(|cell| cell.contains("__")).map(str::to_owned).collect()
}

fn present(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name != "INDEX.md").collect()
}

#[test]
fn every_real_payload_is_what_its_place_in_the_index_says() {
    let Some(folder) = shared("samples", "real payloads of HarfangLab") else {
        return;
    };
    let names = listed(&folder);
    assert!(!names.is_empty());
    assert_eq!(names, present(&folder), "the index lists what is there");
    for name in names {
        let parts: Vec<&str> = name.split("__").collect();
        let (channel, kind) = (parts[1], parts[2]);
        let body = fs::read(folder.join(&name)).unwrap();
        let body = text_of(&body);
        let elements = decode(&body, 1000).unwrap();
        assert!(!elements.is_empty(), "{name}");
        for element in elements {
            let Element::Json { raw } = element else {
                panic!("{name} has an unreadable element");
            };
            let value = element::read(&raw, MaxValues::default()).unwrap();
            let recognised = recognise(&value);
            match (channel, kind) {
                ("push-syslog", "alert") => assert_alert(&recognised, &value, &name),
                ("push-syslog", "threat") => assert_threat(&recognised, &value, &name),
                ("push-syslog", log_type) => {
                    assert_eq!(recognised, Recognised::Telemetry(log_type.to_owned()), "{name}");
                }
                ("push-http", "detection") => assert_detection(&recognised, &value, &name),
                (_, "telemetry") => {
                    assert_eq!(recognised, Recognised::Telemetry("process".to_owned()), "{name}");
                }
                (_, "connectivity-test") => {
                    assert_eq!(recognised, Recognised::ConnectionTest, "{name}");
                }
                // Stubs, and answers of the REST API that nobody pushes.
                _ => assert!(!matches!(recognised, Recognised::Telemetry(_)), "{name}"),
            }
        }
    }
}

fn says<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn assert_alert(recognised: &Recognised, value: &Value, name: &str) {
    assert_eq!(*recognised, Recognised::Notification(Dialect::NativeAlert), "{name}");
    let alert = read_alert(Dialect::NativeAlert, value);
    assert_eq!(alert.unique_id.as_deref(), says(value, "/alert_unique_id"), "{name}");
    assert_eq!(alert.agent.hostname.as_deref(), says(value, "/agent/hostname"), "{name}");
    assert_eq!(alert.agent.id.as_deref(), says(value, "/agent/agentid"), "{name}");
    assert_eq!(alert.rule_name.as_deref(), says(value, "/rule_name"), "{name}");
    assert_eq!(alert.message.as_deref(), says(value, "/msg"), "{name}");
    assert_eq!(Some(alert.alert_type.as_str()), says(value, "/alert_type"), "{name}");
    assert_eq!(alert.level.as_deref(), says(value, "/level"), "{name}");
    assert_eq!(alert.unreadable_dates, Vec::<String>::new(), "{name}");
    assert_eq!(alert.alert_time.is_some(), value.get("alert_time").is_some(), "{name}");
    assert!(alert.event_time.is_some(), "{name}");
    assert_evidence(value, name);

    let image = says(value, "/process/image_name");
    let process = alert.process.unwrap_or_default();
    if image.is_some() {
        assert_eq!(process.image_path.as_deref(), image, "{name}");
        let command_line = says(value, "/process/commandline");
        assert_eq!(process.command_line.as_deref(), command_line, "{name}");
        assert_eq!(process.created.is_some(), value.pointer("/process/create_time").is_some());
        assert!(process.hashes.sha256.is_some() && process.parent.is_some(), "{name}");
        let signer = says(value, "/process/signature_info/signer_info/display_name");
        assert_eq!(process.binary.signer.as_deref(), signer.filter(|it| !it.is_empty()), "{name}");
        let original = says(value, "/process/pe_info/original_filename");
        assert_eq!(process.binary.original_name.as_deref(), original, "{name}");
        let parent = process.parent.and_then(|parent| parent.image_path);
        assert!(process.ancestors.first().is_none_or(|it| Some(it) == parent.as_ref()), "{name}");
    }
}

fn assert_evidence(value: &Value, name: &str) {
    let alert = read_alert(Dialect::NativeAlert, value);
    for (block, evidence) in [
        ("details_file", alert.files.len()),
        ("details_windows_filesystem_event", alert.files.len()),
        ("details_library", alert.files.len()),
        ("av_detection_details", alert.files.len()),
        ("details_dns_resolution", alert.dns.len()),
        ("details_registry", alert.registry.len()),
        ("details_url_request", alert.urls.len()),
        ("driverload", alert.driver.iter().len()),
        ("mitre_cells", alert.mitre_cells.len()),
        ("tags", alert.tags.len()),
        ("eventlog", alert.event_log.iter().len()),
        ("correlation", alert.correlation.iter().len()),
        ("firewall_self_protection", alert.firewall_filter.iter().len()),
        ("status_history", alert.status_history.len()),
        ("details_powershell", alert.powershell_command.iter().len()),
    ] {
        let given =
            value.get(block).is_some_and(|it| it.as_array().is_none_or(|it| !it.is_empty()));
        assert!(!given || evidence > 0, "{name}: {block}");
    }
}

fn assert_threat(recognised: &Recognised, value: &Value, name: &str) {
    assert_eq!(*recognised, Recognised::Notification(Dialect::NativeThreat), "{name}");
    let threat = read_threat(value);
    assert_eq!(threat.id, value["id"].to_string().trim_matches('"'), "{name}");
    assert_eq!(threat.level.as_deref(), says(value, "/level"), "{name}");
    assert_eq!(threat.agents.len(), value["agents"].as_array().unwrap().len(), "{name}");
    assert_eq!(threat.rules.len(), value["rules"].as_array().unwrap().len(), "{name}");
    assert_eq!(threat.alert_count, value["total_security_event_count"].as_u64(), "{name}");
    assert!(threat.creation_date.is_some() && threat.last_update.is_some(), "{name}");
}

fn assert_detection(recognised: &Recognised, value: &Value, name: &str) {
    assert_eq!(*recognised, Recognised::Notification(Dialect::EcsAlert), "{name}");
    let alert = read_alert(Dialect::EcsAlert, value);
    assert_eq!(alert.agent.hostname.as_deref(), says(value, "/host/hostname"), "{name}");
    assert_eq!(alert.confidence.as_deref(), says(value, "/hlab/detection/confidence"), "{name}");
    let image = alert.process.and_then(|process| process.image_path);
    assert_eq!(image.as_deref(), says(value, "/process/executable"), "{name}");
}
