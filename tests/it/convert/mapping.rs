//! Tests what the mapping promises beyond the Python connector's defects.

use chrono::TimeDelta;
use harfanglab_incidents::{
    alert::{Alert, Connection, Direction, EventLog, Hashes, IncidentIdentity, Process},
    config::IncidentNaming,
    convert::{ConvertSettings, Known, convert_alert, gate::violations},
    stix::{Bundle, id},
};
use serde_json::{Map, Value, json};

use super::bundles::{converted, ends, id as id_of, left_out, none, objects, one, system};
use crate::support::samples::{self, text};

#[test]
fn a_sigma_alert_in_full() {
    insta::assert_json_snapshot!(converted(&samples::sigma_alert(), None).bundle);
}

#[test]
fn an_ioc_alert_in_full() {
    insta::assert_json_snapshot!(converted(&samples::ioc_alert(), None).bundle);
}

#[test]
fn author_and_marking_come_first_and_each_id_once() {
    let conversion = converted(&samples::network_alert(), None);
    let kinds: Vec<_> = conversion.bundle.objects.iter().map(|object| &object["type"]).collect();
    assert_eq!(kinds[..2], ["identity", "marking-definition"]);
    assert_eq!(conversion.bundle.objects[0]["name"], "HarfangLab Incidents");
    let written = serde_json::to_string(&conversion.bundle).unwrap();
    assert!(written.starts_with(r#"{"type":"bundle","id":"bundle--"#));
    assert_eq!(serde_json::from_str::<Bundle>(&written).unwrap(), conversion.bundle);
}

#[test]
fn the_name_and_date_of_the_first_sight_win_over_everything_later() {
    let first = converted(&samples::sigma_alert(), None);
    let known = Known { identity: Some(first.identity.clone()), ..samples::never_seen() };
    let later = Alert {
        rule_name: text("Renamed rule"),
        alert_time: Some(samples::at("2026-04-01T00:00:00Z")),
        status: text("closed"),
        last_update: Some(samples::at("2026-04-02T00:00:00Z")),
        ..samples::sigma_alert()
    };
    let conversion = convert_alert(&later, None, &known, &samples::settings());
    assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
    assert_eq!(conversion.root_id, first.root_id);
    assert_eq!(conversion.identity, first.identity);
    let incident = one(&conversion, "incident");
    assert_eq!(incident["modified"], "2026-04-02T00:00:00.000Z");
    assert!(incident["description"].as_str().unwrap().contains("| Status | closed |"));
}

#[test]
fn with_the_names_of_the_python_connector_the_ids_are_its_own() {
    let settings = ConvertSettings { naming: IncidentNaming::Message, ..samples::settings() };
    let converted =
        |alert: &Alert, rule| convert_alert(alert, rule, &samples::never_seen(), &settings);
    let alert = Alert { message: text("Two lines.\n Of message. "), ..samples::sigma_alert() };
    let name = "Two lines.\n Of message.  on WS-Desk-07";
    let theirs = id::incident(name, "2026-03-02T10:00:00.031000+00:00");
    assert_eq!(converted(&alert, None).root_id, theirs);
    let hash = samples::ioc("hash", samples::SHA256);
    let name = format!("{} on WS-Desk-07", samples::SHA256);
    let theirs = id::incident(&name, "2026-03-02T10:00:00.031000+00:00");
    assert_eq!(converted(&samples::ioc_alert(), Some(&hash)).root_id, theirs);
    let unsaid = Alert { message: None, ..samples::sigma_alert() };
    let named = converted(&unsaid, None).identity.name;
    assert_eq!(named, "Credential Dump of a Browser on WS-Desk-07");
}

#[test]
fn only_what_the_rule_matched_is_scored() {
    let conversion = converted(&samples::ioc_alert(), None);
    let scored: Vec<&str> = conversion
        .bundle
        .objects
        .iter()
        .filter(|object| object.contains_key("x_opencti_score"))
        .map(|object| object["name"].as_str().unwrap())
        .collect();
    assert_eq!(scored, ["browserdump.exe", samples::SHA256]);
}

#[test]
fn the_parent_points_down_to_what_it_started_and_no_process_is_one_for_all_hosts() {
    let conversion = converted(&samples::sigma_alert(), None);
    let process = |command: &str| {
        objects(&conversion, "process")
            .find(|process| process["command_line"].as_str().unwrap().starts_with(command))
    };
    let (own, parent) = (process("\"C:\\Users").unwrap(), process("cmd.exe").unwrap());
    assert_eq!(parent["child_refs"], json!([id_of(own)]));
    assert!(!own.contains_key("child_refs"));
    assert!(process("C:\\Windows\\Explorer").is_none(), "the description tells of it");
    let related = ends(&conversion, "related-to");
    assert!(!related.iter().any(|(source, _)| *source == id_of(parent)));

    let mut alike = samples::sigma_alert();
    let own = alike.process.as_mut().unwrap();
    (own.pid, own.command_line) = (Some(1), text("bash"));
    let parent = own.parent.as_mut().unwrap();
    (parent.pid, parent.command_line) = (Some(1), text("bash"));
    assert_eq!(objects(&converted(&alike, None), "process").count(), 1, "no process starts itself");

    alike.process.as_mut().unwrap().pid = None;
    let conversion = converted(&alike, None);
    assert!(none(&conversion, "process"));
    assert_eq!(left_out(&conversion), ["process"]);
}

#[test]
fn the_host_is_no_infrastructure_of_the_attacker_and_a_dot_makes_no_second_one() {
    let mut alert = samples::network_alert();
    alert.agent.hostname = text("WS-Desk-07.");
    alert.agent.ip_addresses = vec!["192.0.2.17".to_owned()];
    alert.rule_name = text("Credential Dump of a Browser");
    let conversion = converted(&alert, None);
    assert_eq!(conversion.identity.name, "Credential Dump of a Browser on WS-Desk-07.");
    assert_eq!(system(&conversion).unwrap()["name"], "WS-Desk-07");
    assert_eq!(one(&conversion, "hostname")["value"], "WS-Desk-07");
    let address = objects(&conversion, "ipv4-addr").find(|it| it["value"] == "192.0.2.17").unwrap();
    for own in [id_of(one(&conversion, "hostname")), id_of(address)] {
        assert!(!ends(&conversion, "related-to").contains(&(own, &conversion.root_id)), "{own}");
    }
}

#[test]
fn a_description_begins_with_what_happened_and_relations_name_the_thing() {
    let conversion = converted(&samples::sigma_alert(), None);
    let description = one(&conversion, "incident")["description"].as_str().unwrap();
    let beginning: String = description.chars().take(400).collect();
    assert!(beginning.starts_with("| Fact | Value |\n| --- | --- |\n| Process | "), "{beginning}");
    for row in ["| Command line | ", "| User | ", "| Parent | "] {
        assert!(beginning.contains(row), "{beginning}");
    }
    let texts: Vec<&str> = objects(&conversion, "relationship")
        .filter(|relationship| relationship["target_ref"] == conversion.root_id.as_str())
        .filter_map(|relationship| relationship.get("description")?.as_str())
        .collect();
    assert!(texts.contains(&"Image of the process: browserdump.exe"), "{texts:?}");
}

#[test]
fn what_every_machine_has_is_in_no_case() {
    let mut alert = samples::sigma_alert();
    let process = alert.process.as_mut().unwrap();
    process.image_path = text(r"C:\Windows\System32\svchost.exe");
    process.username = text(r"NT AUTHORITY\SYSTEM");
    process.user_sid = text("S-1-5-18");
    let conversion = converted(&alert, None);
    let members: Vec<&str> = conversion.case_references().collect();
    for kind in ["file", "user-account"] {
        assert!(!members.contains(&id_of(one(&conversion, kind))), "{kind}");
    }
    assert!(members.contains(&conversion.root_id.as_str()));
    let conversion = converted(&samples::sigma_alert(), None);
    let members: Vec<&str> = conversion.case_references().collect();
    for kind in ["file", "user-account"] {
        assert!(members.contains(&id_of(one(&conversion, kind))), "{kind}");
    }
}

#[test]
fn this_hosts_end_of_a_connection_is_its_own_address_and_a_private_one_ties_no_cases() {
    let mut alert = samples::sigma_alert();
    alert.agent.ip_addresses = vec!["10.0.0.7".to_owned()];
    let connection = |direction, source: &str, destination: &str| Connection {
        direction: Some(direction),
        source_ip: text(source),
        destination_ip: text(destination),
        ..Connection::default()
    };
    alert.connections = vec![
        connection(Direction::Inbound, "203.0.113.7", "198.51.100.1"),
        connection(Direction::Outbound, "10.0.0.8", "203.0.113.8"),
    ];
    let conversion = converted(&alert, None);
    let id_of_address = |value: &str| {
        let address = objects(&conversion, "ipv4-addr").find(|it| it["value"] == value);
        id_of(address.unwrap()).to_owned()
    };
    let root = conversion.root_id.as_str();
    let related = ends(&conversion, "related-to");
    let members: Vec<&str> = conversion.case_references().collect();
    for (value, is_related, is_member) in [
        ("10.0.0.7", false, false),
        ("10.0.0.8", false, false),
        ("198.51.100.1", false, true),
        ("203.0.113.7", true, true),
        ("203.0.113.8", true, true),
    ] {
        let id = id_of_address(value);
        assert_eq!(related.contains(&(id.as_str(), root)), is_related, "{value}");
        assert_eq!(members.contains(&id.as_str()), is_member, "{value}");
    }
    assert_eq!(ends(&conversion, "resolves-to").len(), 3);
}

#[test]
fn only_what_was_shortened_is_told_in_full_and_an_incident_begins_with_its_log_entry() {
    let mut alert = samples::sigma_alert();
    let long = format!("tool.exe {}", "x".repeat(200));
    let process = alert.process.as_mut().unwrap();
    process.command_line = Some(long.clone());
    let alert_time = alert.alert_time.unwrap();
    let entry =
        |days| EventLog { time: Some(alert_time - TimeDelta::days(days)), ..EventLog::default() };
    alert.event_log = Some(entry(1));
    let conversion = converted(&alert, None);
    let incident = one(&conversion, "incident");
    let description = incident["description"].as_str().unwrap();
    assert!(description.contains(&format!("| Command line in full | `{long}` |")), "{description}");
    assert_eq!(description.matches(" in full |").count(), 1, "{description}");
    let begins =
        |incident: &Map<String, Value>| incident["first_seen"].as_str().unwrap()[..10].to_owned();
    let day_before = (alert_time - TimeDelta::days(1)).format("%Y-%m-%d").to_string();
    assert_eq!(begins(incident), day_before);
    alert.event_log = Some(entry(400));
    assert_ne!(
        begins(one(&converted(&alert, None), "incident"))[..4],
        *"2025",
        "not a wrong clock"
    );
}

#[test]
fn one_file_that_several_blocks_mention_is_one_object() {
    let mut alert = samples::ioc_alert();
    let process = Process {
        image_path: alert.detection_path.clone(),
        hashes: Hashes {
            md5: text(samples::MD5),
            sha256: text(samples::SHA256),
            ..Hashes::default()
        },
        size_bytes: Some(7),
        ..Process::default()
    };
    alert.process = Some(process);
    let conversion = converted(&alert, None);
    let file = one(&conversion, "file");
    assert_eq!(file["hashes"], json!({ "MD5": samples::MD5, "SHA-256": samples::SHA256 }));
    assert_eq!(file["size"], json!(7));
    let directory = one(&conversion, "directory");
    assert_eq!(directory["path"], json!(r"C:\Users\zoe\Downloads"));
    assert_eq!(directory["contains_refs"], json!([id_of(file)]));
}

#[test]
fn a_host_keeps_its_spelling_and_addresses_their_canonical_form() {
    let mut alert = samples::alert("sigma");
    alert.agent.ip_addresses = ["2001:DB8:0:0::AB", "0.0.0.0", "::1", "::ffff:192.0.2.1", "junk"]
        .map(str::to_owned)
        .to_vec();
    let conversion = converted(&alert, None);
    assert_eq!(one(&conversion, "hostname")["value"], "WS-Desk-07");
    assert_eq!(one(&conversion, "ipv6-addr")["value"], "2001:db8::ab");
    assert_eq!(one(&conversion, "ipv4-addr")["value"], "192.0.2.1");
    assert_eq!(left_out(&conversion), ["address", "address", "address"]);
    assert_eq!(ends(&conversion, "resolves-to").len(), 2);

    alert.agent.hostname = text("macbook de zoé$");
    let conversion = converted(&alert, None);
    assert!(none(&conversion, "hostname"));
    let system = system(&conversion).unwrap();
    assert_eq!(system["name"], "macbook de zoé$");
    let of_system = |(_, target): &&(&str, &str)| *target == id_of(system);
    assert_eq!(ends(&conversion, "related-to").iter().filter(of_system).count(), 2);
}

#[test]
fn nanoseconds_and_leap_seconds_do_not_reach_the_platform() {
    let alert = Alert {
        alert_time: Some(samples::at("2016-12-31T23:59:60.973874124Z")),
        ..samples::alert("sigma")
    };
    let conversion = converted(&alert, None);
    assert_eq!(one(&conversion, "incident")["created"], "2016-12-31T23:59:59.973Z");
    assert_eq!(conversion.identity.created, samples::at("2016-12-31T23:59:59.973874Z"));
}

#[test]
fn texts_are_cleaned_before_they_make_an_id() {
    let dirty =
        Alert { rule_name: text("\u{feff}  Bea\u{1}con\u{1c}\u{85} "), ..samples::alert("sigma") };
    let clean = Alert { rule_name: text("Beacon"), ..samples::alert("sigma") };
    assert_eq!(converted(&dirty, None).identity, converted(&clean, None).identity);
    assert_eq!(
        converted(&dirty, None).identity,
        IncidentIdentity {
            name: "Beacon on WS-Desk-07".to_owned(),
            created: samples::at("2026-03-02T10:00:00.031Z"),
        }
    );
}

#[test]
fn what_many_alerts_share_is_written_the_same_in_each() {
    let (one_day, other) = (
        samples::sigma_alert(),
        Alert { alert_time: Some(samples::at("2026-09-09T09:09:09Z")), ..samples::sigma_alert() },
    );
    let (one_day, other) = (converted(&one_day, None), converted(&other, None));
    for kind in ["hostname", "identity", "file", "user-account", "process", "directory"] {
        assert!(objects(&one_day, kind).eq(objects(&other, kind)), "{kind}");
    }
}
