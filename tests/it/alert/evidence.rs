//! The evidence in an alert: users, files, network, registry, rule matches.

use harfanglab_incidents::{
    alert::{
        Connection, Direction, DnsResolution, IocMatch, MatchedRule, ParentProcess, RegistryChange,
        RemoteLogon, UrlRequest, User,
    },
    intake::dialect::{Dialect, read_alert},
};

use super::fixtures::{fixture, native, text};

#[test]
fn sessions_name_other_users_and_where_they_came_from() {
    let own = native("sigma_process_5x");
    assert_eq!(own.users, [], "the session is the process's own user's");
    assert_eq!(
        own.remote_logon,
        Some(RemoteLogon {
            source_ip: text("198.51.100.23"),
            source_port: Some(51_544),
            source_hostname: text("jump-quince.orchard.example"),
            logon_type: Some(10),
            account: User {
                name: text("ada"),
                domain: text("ORCHARD"),
                sid: text("S-1-5-21-1000-2000-3000-1104"),
            },
            time: own.remote_logon.as_ref().unwrap().time,
        })
    );
    let other = native("sigma_process_4x");
    assert_eq!(
        other.users,
        [User {
            name: text("grace"),
            domain: text("ORCHARD"),
            sid: text("S-1-5-21-1000-2000-3000-1188"),
        }]
    );
    assert_eq!(native("ioc_filesystem_5x").users, [], "SYSTEM by name, then by SID alone");
}

#[test]
fn an_event_log_alert_has_a_user_and_a_rule_but_no_process() {
    let alert = native("sigma_eventlog_4x");
    assert_eq!((alert.process, alert.users.len()), (None, 1));
    assert_eq!(alert.users[0].sid, text("S-1-5-21-1000-2000-3000-1188"));
    assert!(alert.rule_content.unwrap().starts_with("title: 'Orchard: account added"));

    let newer = native("sigma_eventlog_5x");
    assert_eq!(newer.process, None, "its image name is no image");
    assert_eq!(newer.users, [], "placeholders name nobody");
}

#[test]
fn details_become_evidence() {
    let dns = native("sigma_dns_linux_5x");
    assert_eq!(
        dns.dns,
        [DnsResolution {
            requested_name: text("pool.mining.example"),
            query_type: text("A"),
            ip_addresses: vec!["203.0.113.9".to_owned(), "::ffff:203.0.113.10".to_owned()],
        }]
    );
    assert_eq!(dns.agent.ip_addresses, ["192.0.2.44", "2001:db8::44"]);
    let process = dns.process.unwrap();
    assert_eq!(
        (process.pid, process.name),
        (Some(20_917), text("fetch-pool")),
        "from the top level"
    );
    assert_eq!(process.username, text("builder"));

    assert_eq!(
        native("sigma_url_4x").urls,
        [UrlRequest {
            url: text("https://paste.example/new"),
            host: text("paste.example"),
            verb: text("POST"),
        }]
    );
    let registry = native("sigma_registry_3x");
    let [RegistryChange { event_type, target_object, details }] = &registry.registry[..] else {
        panic!("{:?}", registry.registry);
    };
    assert_eq!(*event_type, text("SetValue"));
    assert!(target_object.as_deref().unwrap().ends_with("\\Run\\Treelist"));
    assert_eq!(*details, text("\"C:\\Tools\\treelist.exe\" /quiet"));

    let macos = native("sigma_process_macos_5x").process.unwrap();
    assert_eq!((macos.name, macos.username), (text("curl"), text("noor")));
    assert_eq!(
        macos.grandparent,
        Some(ParentProcess {
            pid: None,
            image_path: text("/usr/bin/login"),
            command_line: text("login -fp noor"),
            integrity_level: text("Medium"),
            ..ParentProcess::default()
        })
    );
}

#[test]
fn files_are_told_apart_by_their_role_and_named_once() {
    let files = |name: &str| {
        let files = native(name).files.into_iter();
        files.map(|file| format!("{} {}", file.role, file.path.unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(files("sigma_file_3x"), ["target C:\\ProgramData\\Start-up\\treelist.lnk"]);
    assert_eq!(files("sigma_library_4x"), ["library C:\\Tools\\plum.dll"]);
    assert_eq!(files("sigma_powershell_3x"), ["script C:\\Scripts\\survey.ps1"]);
    assert_eq!(files("hurukaiav_4x"), ["scanned C:\\Users\\ada\\Downloads\\cherry.js"]);
    assert_eq!(files("ioc_filesystem_5x"), ["target C:\\Program Files\\Hazel\\hazel.exe"]);
    assert!(files("driver_4x").is_empty(), "the detected file is the driver");
    assert!(files("yara_process_5x").is_empty(), "the detected file is the process image");

    let alert = native("ioc_filesystem_5x");
    assert_eq!(alert.files[0].size_bytes, Some(4_659_200));
    assert_eq!(alert.files[0].hashes, alert.detection_hashes);
    assert_eq!(alert.detection_path, alert.files[0].path);
    let antivirus = native("hurukaiav_4x");
    assert_eq!((antivirus.process, antivirus.files[0].size_bytes), (None, Some(39_911)));
}

#[test]
fn drivers_rule_matches_and_ioc_matches_are_read_from_their_blocks() {
    for name in ["ioc_driver_2x", "ioc_driver_4x", "driver_4x"] {
        let alert = native(name);
        let driver = alert.driver.unwrap();
        assert_eq!(driver.path, text("C:\\Windows\\System32\\drivers\\almond.sys"));
        assert_eq!((driver.name, driver.size_bytes), (text("almond.sys"), Some(46_640)));
        assert_eq!(alert.process, None, "{name}: the image is the driver's");
        let mut unspecific = fixture(name);
        unspecific["alert_subtype"] = serde_json::Value::Null;
        let unspecific = read_alert(Dialect::NativeAlert, &unspecific);
        assert_eq!(unspecific.process, None, "{name}: also when no subtype says so");
        assert_eq!(unspecific.driver.unwrap().path, driver.path);
        let matched = alert.ioc_matches.into_iter().map(|it| it.value).collect::<Vec<_>>();
        let known = if name == "ioc_driver_2x" { vec![] } else { vec![driver.hashes.sha256] };
        assert_eq!(matched, known, "{name}");
    }
    let rule =
        |name: &str| MatchedRule { namespace: text("orchard_tools.yar"), rule_name: text(name) };
    let yara = native("yara_process_2x").matched_rules;
    assert_eq!(yara, [rule("walnut_strings"), rule("walnut_patch")]);
    let ioc = native("ioc_connection_5x").ioc_matches;
    assert!(matches!(&ioc[..], [IocMatch { kind, value, .. }]
        if *kind == text("domain_name") && *value == text("c2.example")));
}

#[test]
fn connections_are_read_from_details_and_from_the_top_level() {
    assert_eq!(
        native("ioc_connection_5x").connections,
        [Connection {
            source_ip: text("192.0.2.17"),
            source_port: Some(50_112),
            destination_ip: text("203.0.113.66"),
            destination_port: Some(443),
            destination_host: text("c2.example"),
            protocol: text("tcp"),
            direction: Some(Direction::Outbound),
        }]
    );
    let network = native("sigma_network_4x");
    assert_eq!(
        network.connections,
        [Connection {
            source_ip: text("203.0.113.77"),
            source_port: Some(42_221),
            destination_ip: text("192.0.2.80"),
            destination_port: Some(3389),
            direction: Some(Direction::Inbound),
            ..Connection::default()
        }]
    );
    let process = network.process.unwrap();
    assert_eq!((process.pid, process.name), (Some(1004), text("svchost.exe")));
}
