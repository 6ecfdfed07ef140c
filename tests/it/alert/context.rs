//! The context of an alert: signatures, ancestors, log entries, correlation, firewall filters,
//! direction, tenant and history.

use harfanglab_incidents::{
    alert::{
        Alert, AntivirusDetection, Binary, CorrelatedEvent, Correlation, Direction, EventLog,
        EventLogUser, FirewallFilter, ParentProcess, StatusChange, User,
        element::{self, MaxValues},
    },
    intake::dialect::{Dialect, read_alert},
};
use serde_json::{Value, json};

use super::fixtures::{date, fixture, native, text};

fn ecs(name: &str) -> Alert {
    read_alert(Dialect::EcsAlert, &fixture(name))
}

fn alert(element: &Value) -> Alert {
    read_alert(Dialect::NativeAlert, element)
}

#[test]
fn a_process_shows_who_signed_its_image_and_what_it_calls_itself() {
    let process = native("correlation_5x").process.unwrap();
    assert_eq!(
        process.binary,
        Binary {
            signed: Some(true),
            signature_status: text("unknown"),
            signer: text("Orchard Systems"),
            issuer: text("Orchard Code CA 1"),
            serial_number: text("5f01"),
            thumbprint: text("0c9f2f3f6a3f0d6c2b1a4e5d7f8091a2b3c4d5e6"),
            company: text("Orchard Systems"),
            product: text("Orchard OS"),
            description: text("Command shell"),
            file_version: text("10.0.22631.1 (example)"),
            original_name: text("Cmd.Exe"),
            import_hash: text("b72b718f3f41039ef0e7a587b2e74a8e"),
        }
    );
    let unsigned = native("sigma_process_5x").process.unwrap().binary;
    assert_eq!(unsigned, Binary { signed: Some(false), ..Binary::default() });

    let process = ecs("ecs_detection").process.unwrap();
    assert_eq!((process.binary.signed, process.binary.signer), (Some(true), text("Walnut Works")));
    assert_eq!(process.binary.original_name, text("pecan.exe"), "renamed");
}

#[test]
fn drivers_libraries_and_written_files_show_their_signatures_too() {
    let driver = native("driver_4x").driver.unwrap().binary;
    assert_eq!(driver.signed, Some(true), "by Authenticode, though not by catalogue");
    assert_eq!(driver.signer, text("Almond Hardware Publisher"));
    assert_eq!((driver.company, driver.original_name), (text("Almond"), None));
    assert_eq!(native("ioc_driver_4x").driver.unwrap().binary.signed, Some(true));
    let oldest = native("ioc_driver_2x").driver.unwrap();
    assert_eq!(oldest.ioc_id, text("2e34ba65-6cdb-5cc5-a241-5cf49f7a67ff"));

    let written = native("ioc_filesystem_5x").files.remove(0).binary;
    assert_eq!((written.signed, written.signature_status), (Some(true), text("valid")));
    assert_eq!(
        (written.signer, written.serial_number),
        (text("Hazel Example Ltd"), text("33000001"))
    );
    assert_eq!(written.original_name, text("hazelnut.exe"));
    let library = json!({"alert_type": "sigma", "details_library": {
        "image_loaded": "C:\\plum.dll", "signed": "false", "pe_info": {"company_name": "Plum"}}});
    let library = alert(&library).files.remove(0).binary;
    assert_eq!((library.signed, library.company), (Some(false), text("Plum")));
}

#[test]
fn ancestors_have_their_ids_and_integrity_levels() {
    let process = native("correlation_5x").process.unwrap();
    assert_eq!(
        process.ancestors,
        ["C:\\Windows\\explorer.exe", "C:\\Windows\\System32\\userinit.exe"]
    );
    assert_eq!(
        process.parent,
        Some(ParentProcess {
            pid: Some(3120),
            image_path: text("C:\\Windows\\explorer.exe"),
            command_line: text("C:\\Windows\\Explorer.EXE"),
            integrity_level: text("Medium"),
            unique_id: text("2217a775-ebb7-5827-afb7-790d13c47563"),
        })
    );
    let grandparent = process.grandparent.unwrap();
    assert_eq!(grandparent.integrity_level, text("Medium"));
    assert_eq!(grandparent.unique_id, text("5a3cbb43-9f0f-5d0b-8f8f-1f8d2b6f7a10"));
    assert!(native("sigma_process_2x").process.unwrap().ancestors.is_empty());
}

#[test]
fn a_log_entry_is_named_with_whoever_its_data_names() {
    let entry = native("sigma_eventlog_4x").event_log.unwrap();
    assert_eq!(date(entry.time), "2025-04-22T09:41:06.205+00:00");
    let somebody = |role, name: &str, id: u32| EventLogUser {
        role,
        user: User {
            name: text(name),
            domain: text("ORCHARD"),
            sid: Some(format!("S-1-5-21-1000-2000-3000-{id}")),
        },
    };
    assert_eq!(
        entry,
        EventLog {
            event_id: Some(4728),
            provider: text("Microsoft-Windows-Security-Auditing"),
            channel: text("Security"),
            computer: text("SRV-QUINCE-01.orchard.example"),
            record_number: Some(88_123),
            time: entry.time,
            users: vec![
                somebody("subject", "grace", 1188),
                somebody("target", "Orchard Admins", 512),
                somebody("member", "eve", 1199),
            ],
            data: vec![("SubjectLogonId".to_owned(), "0x3e7".to_owned())],
        }
    );
    let defender = json!({"alert_type": "sigma", "eventlog": {"event_id": "1117", "event_data": {
        "Detection User": "ORCHARD\\ada", "Remediation User": "NT AUTHORITY\\SYSTEM"}}});
    let defender = alert(&defender).event_log.unwrap();
    let roles = defender.users.iter().map(|it| (it.role, it.user.name.as_deref().unwrap()));
    assert_eq!(roles.collect::<Vec<_>>(), [("detection", "ada"), ("remediation", "SYSTEM")]);
    assert_eq!(defender.event_id, Some(1117));

    let ecs = ecs("ecs_detection").event_log.unwrap();
    assert_eq!((ecs.event_id, ecs.channel), (Some(4688), text("Security")));
    assert_eq!(native("sigma_process_5x").event_log, None);
}

#[test]
fn a_correlation_tells_its_window_its_events_and_what_they_share() {
    let alert = native("correlation_5x");
    let correlation = alert.correlation.unwrap();
    assert_eq!(date(correlation.start), "2026-06-18T09:41:01.100+00:00");
    assert_eq!(date(correlation.end), "2026-06-18T09:41:06.900+00:00");
    assert_eq!(
        correlation,
        Correlation {
            start: correlation.start,
            end: correlation.end,
            events: vec![CorrelatedEvent {
                id: text("2fc4c566-2536-52c3-b20b-2f0b001c0c2c"),
                rule_id: text("86e66161-5d9b-50aa-9fe3-1795f06ff45f"),
                has_own_alert: Some(false),
                time: correlation.start,
            }],
            group_by: vec!["agent.hostname".to_owned()],
            is_of_one_process: Some(true),
            values: vec!["C:\\Windows\\System32\\ipconfig.exe".to_owned()],
        }
    );
    assert_eq!(
        alert.status_history,
        [
            StatusChange { action: text("created"), time: alert.alert_time },
            StatusChange { action: text("status_changed"), time: alert.status_history[1].time }
        ]
    );
    assert_eq!(date(alert.status_history[1].time), "2026-06-18T10:12:00.000001+00:00");
}

#[test]
fn the_firewall_filter_the_antivirus_name_the_script_and_the_tenant_are_kept() {
    let filter = native("selfprotection_firewall_5x").firewall_filter.unwrap();
    assert_eq!(date(filter.time), "2026-06-18T09:41:07.100+00:00");
    assert_eq!(
        filter,
        FirewallFilter {
            id: text("271900"),
            name: text("Orchard outbound"),
            description: text("blocks outbound traffic of the agent"),
            provider: text("Example Firewall"),
            provider_service: text("examplefw"),
            time: filter.time,
        }
    );
    let antivirus = native("hurukaiav_4x").antivirus.unwrap();
    assert!(
        matches!(antivirus, AntivirusDetection { signature: Some(_), kind: Some(kind) } if kind == "scan")
    );
    let script = native("sigma_powershell_3x");
    assert_eq!(script.powershell_command, text("Get-Survey -All"));
    assert_eq!(script.tenant, text("orchard"));
    assert_eq!(ecs("ecs_detection").tenant, text("orchard"));
}

#[test]
fn a_connection_tells_who_opened_it() {
    let direction = |alert: Alert| alert.connections[0].direction;
    assert_eq!(direction(native("sigma_network_4x")), Some(Direction::Inbound));
    assert_eq!(direction(native("ioc_connection_5x")), Some(Direction::Outbound));
    assert_eq!(direction(ecs("ecs_detection")), Some(Direction::Outbound));
    for (field, value, expected) in [
        ("Initiated", json!(false), Some(Direction::Inbound)),
        ("direction", json!("out"), Some(Direction::Outbound)),
        ("direction", json!("sideways"), None),
    ] {
        let element = json!({"alert_type": "sigma",
            "details_connection": {"DestinationIp": "203.0.113.1", field: value}});
        assert_eq!(direction(alert(&element)), expected, "{field}");
    }
}

#[test]
fn an_unreadable_date_of_a_list_says_where_it_stands() {
    let element = json!({"alert_type": "sigma",
        "status_history": [{"action": "created", "timestamp": "soon"}],
        "correlation": {"events": [{"event_id": 7, "timestamp": {"odd": 1}}]}});
    let alert = alert(&element);
    assert_eq!(alert.status_history.len() + alert.correlation.unwrap().events.len(), 2);
    assert_eq!(
        alert.unreadable_dates,
        ["correlation.events.timestamp: {\"odd\":1}", "status_history.timestamp: soon"]
    );
}

#[test]
fn the_other_fields_of_a_log_entry_s_data_are_read_in_one_order_however_deep_they_stand() {
    let read = |entry: &str| {
        let body = format!(r#"{{"alert_type": "sigma", "eventlog": {entry}}}"#);
        let element = element::read(&body, MaxValues::default()).unwrap();
        alert(&element).event_log.unwrap().data
    };
    let expected = [("IpAddress", "198.51.100.7"), ("LogonType", "3"), ("Param.1", "a, b")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let one = r#"{"event_data": {"LogonType": 3, "IpAddress": "198.51.100.7", "SubjectUserName": "ada",
        "Status": "-"}, "user_data": {"EventXML": {"Param.1": ["a", null, "b"]}}}"#;
    let other = r#"{"user_data": {"Param.1": ["a", "b"]}, "event_data": {"IpAddress": "198.51.100.7",
        "LogonType": "3"}}"#;
    assert_eq!(read(one), expected);
    assert_eq!(read(other), expected);
    let deep = format!(r#"{{"event_data": {}1{}}}"#, r#"{"a":"#.repeat(90), "}".repeat(90));
    let many: Vec<String> = (0..500).map(|number| format!(r#""f{number}": 1"#)).collect();
    let many = format!(r#"{{"event_data": {{{}}}}}"#, many.join(","));
    assert_eq!(read(&many).len(), 64);
    let body = format!(r#"{{"eventlog": {deep}}}"#);
    assert_eq!(alert(&element::read(&body, MaxValues::default()).unwrap()).event_log, None);
}
