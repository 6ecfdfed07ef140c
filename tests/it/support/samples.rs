//! Alerts, rules and settings for conversions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    alert::{
        Agent, Alert, Connection, DnsResolution, Group, Hashes, IocMatch, MatchedRule,
        ParentProcess, Process, RegistryChange, RemoteLogon, UrlRequest, User,
        intelligence::{Intelligence, IocRule, SigmaRule, YaraFile},
    },
    config::{AccountIdentity, CustomProperties, IncidentNaming, Marking, RawAttachment},
    convert::{ConvertSettings, Known, NetworkTraffic, RuleChecker},
};

pub(crate) const MD5: &str = "0c1d2e3f405162738495a6b7c8d9eafb";
pub(crate) const SHA1: &str = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d";
pub(crate) const SHA256: &str = "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a0";

pub(crate) const SIGMA: &str = "title: Credential Dump of a Browser\n\
     description: Reads the credential store.\n\
     references:\n  - https://attack.mitre.org/techniques/T1555/003/\n\
     date: 2025/03/04\n\
     tags:\n  - attack.credential_access\n  - attack.t1555.003\n\
     logsource:\n  product: windows\n  category: process_creation\n\
     detection:\n  selection:\n    Image|endswith: '\\browserdump.exe'\n  condition: selection\n";

pub(crate) const YARA: &str =
    "rule loader_stub { strings: $a = \"\\x4d\\x5a\" condition: $a at 0 }";

/// Returns the date that this text says.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Returns a field that is given.
#[expect(clippy::unnecessary_wraps, reason = "nearly every field of an alert is optional")]
pub(crate) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Returns the settings that most tests share.
pub(crate) fn settings() -> ConvertSettings {
    ConvertSettings {
        author: "HarfangLab Incidents".to_owned(),
        marking: Marking::Green,
        score: Some(70),
        incident_score: None,
        custom_properties: CustomProperties::Off,
        naming: IncidentNaming::Title,
        accounts: AccountIdentity::Login,
        raw: RawAttachment::None,
        network_traffic: NetworkTraffic::Sent,
        rule_checker: RuleChecker::Strict,
        workflow: BTreeMap::new(),
        console_url: "https://console.example:8443/".parse().unwrap(),
    }
}

/// Returns the knowledge of an alert that comes for the first time.
pub(crate) fn never_seen() -> Known {
    Known::received(at("2026-03-02T10:00:05Z"))
}

/// An alert with a host and its dates, of no particular rule.
pub(crate) fn alert(alert_type: &str) -> Alert {
    Alert {
        unique_id: text("6b1f0f0e-3c55-4a9b-8f5d-2d1c6a7e9a01"),
        alert_type: alert_type.to_owned(),
        status: text("new"),
        level: text("high"),
        message: text("Something happened."),
        alert_time: Some(at("2026-03-02T10:00:00.031Z")),
        event_time: Some(at("2026-03-02T09:59:58.5Z")),
        agent: Agent {
            id: text("aa11"),
            hostname: text("WS-Desk-07"),
            domain: text("CORP"),
            os_type: text("windows"),
            os_product: text("Windows 11 Enterprise"),
            os_version: text("10.0.22631"),
            ip_addresses: vec!["192.0.2.17".to_owned(), "2001:DB8:0::17".to_owned()],
            version: text("5.12.1"),
        },
        groups: vec![Group { id: None, name: text("Front desk") }],
        ..Alert::default()
    }
}

/// A Sigma alert that carries its rule and shows a process with ancestors.
pub(crate) fn sigma_alert() -> Alert {
    Alert {
        api_id: text("Xk2lPZ0BqNc"),
        alert_subtype: text("process"),
        rule_id: text("5d7c2a10-0f3e-4a53-9d1b-1f2e3d4c5b6a"),
        rule_name: text("Credential Dump of a Browser"),
        rule_content: text(SIGMA),
        tags: vec![
            "attack.credential_access".to_owned(),
            "attack.t1555.003".to_owned(),
            "classification.Windows.Source.ProcessCreation".to_owned(),
        ],
        mitre_cells: vec!["credential-access__t1555.003".to_owned()],
        references: vec!["https://attack.mitre.org/techniques/T1555/003/".to_owned()],
        process: Some(process()),
        execution: Some(1),
        ..alert("sigma")
    }
}

pub(crate) fn process() -> Process {
    Process {
        pid: Some(4_242),
        name: text("browserdump.exe"),
        image_path: text(r"C:\Users\zoe\Downloads\browserdump.exe"),
        command_line: text(r#""C:\Users\zoe\Downloads\browserdump.exe" --all | more"#),
        current_directory: text(r"C:\Users\zoe\"),
        created: Some(at("2026-03-02T09:59:57.001Z")),
        hashes: Hashes { md5: text(MD5), sha1: text(SHA1), sha256: text(SHA256), sha512: None },
        size_bytes: Some(48_128),
        username: text(r"CORP\zoe"),
        user_sid: text("S-1-5-21-1-2-3-1104"),
        parent: Some(ParentProcess {
            pid: Some(777),
            image_path: text(r"C:\Windows\System32\cmd.exe"),
            command_line: text("cmd.exe /c start.bat"),
            ..ParentProcess::default()
        }),
        grandparent: Some(ParentProcess {
            pid: None,
            image_path: text(r"C:\Windows\explorer.exe"),
            command_line: text(r"C:\Windows\Explorer.EXE"),
            ..ParentProcess::default()
        }),
        ..Process::default()
    }
}

/// An alert about an IOC in a written file.
pub(crate) fn ioc_alert() -> Alert {
    Alert {
        tags: vec!["attack.t1005".to_owned()],
        rule_name: text("IOC file check"),
        message: Some(format!("File was found malicious by an IOC: {SHA256}")),
        ioc_matches: vec![IocMatch {
            source_id: None,
            kind: text("hash"),
            value: Some(SHA256.to_uppercase()),
        }],
        detection_path: text(r"C:\Users\zoe\Downloads\browserdump.exe"),
        detection_hashes: Hashes { sha256: text(SHA256), ..Hashes::default() },
        process: Some(Process {
            pid: Some(9),
            image_path: text(r"C:\Windows\System32\svchost.exe"),
            command_line: text("svchost.exe -k netsvcs"),
            hashes: Hashes { md5: text(&MD5.replace('0', "7")), ..Hashes::default() },
            ..Process::default()
        }),
        ..alert("ioc")
    }
}

/// A binary YARA alert as consoles name it, whatever rule matched.
pub(crate) fn yara_alert() -> Alert {
    Alert {
        rule_name: text("YARA binary check"),
        message: text("Binary was found malicious by 1 rule(s) with a score of 80"),
        matched_rules: vec![MatchedRule {
            namespace: text("loaders.yar"),
            rule_name: text("loader_stub"),
        }],
        process: Some(process()),
        ..alert("yara")
    }
}

/// An alert that shows something of every kind beside its process.
pub(crate) fn network_alert() -> Alert {
    Alert {
        connections: vec![Connection {
            source_ip: text("192.0.2.17"),
            source_port: Some(51_000),
            destination_ip: text("::ffff:203.0.113.9"),
            destination_port: Some(443),
            destination_host: text("C2.Example.ORG."),
            protocol: text("tcp"),
            ..Connection::default()
        }],
        dns: vec![DnsResolution {
            requested_name: text("pool.example.net"),
            query_type: text("A"),
            ip_addresses: vec!["203.0.113.10".to_owned(), "127.0.0.1".to_owned()],
        }],
        urls: vec![UrlRequest {
            url: text("https://drop.example.com/a?b=c"),
            host: text("drop.example.com"),
            verb: text("GET"),
        }],
        registry: vec![RegistryChange {
            event_type: text("SetValue"),
            target_object: text(r"HKU\S-1-5-21-1\SOFTWARE\Run\Updater"),
            details: text(r"C:\evil.exe"),
        }],
        remote_logon: Some(RemoteLogon {
            source_ip: text("198.51.100.4"),
            source_port: Some(60_001),
            source_hostname: text("JUMP-01"),
            logon_type: Some(10),
            account: User { name: text("ada"), domain: text("CORP"), sid: None },
            time: None,
        }),
        users: vec![User { name: text("root"), domain: None, sid: text("0") }],
        rule_name: text("Beacon"),
        ..alert("sigma")
    }
}

pub(crate) fn ioc(kind: &str, value: &str) -> Intelligence {
    Intelligence::Ioc(ioc_rule(kind, value))
}

pub(crate) fn ioc_rule(kind: &str, value: &str) -> IocRule {
    IocRule {
        kind: kind.to_owned(),
        value: value.to_owned(),
        created: Some(at("2025-05-01T00:00:00Z")),
        ..IocRule::default()
    }
}

pub(crate) fn sigma(content: &str) -> Intelligence {
    Intelligence::Sigma(SigmaRule {
        name: "Credential Dump of a Browser".to_owned(),
        content: content.to_owned(),
        created: Some(at("2025-03-04T00:00:00Z")),
        modified: Some(at("2025-06-01T12:00:00.5Z")),
        ..SigmaRule::default()
    })
}

pub(crate) fn yara() -> Intelligence {
    Intelligence::Yara(YaraFile {
        name: "loaders.yar".to_owned(),
        content: YARA.to_owned(),
        created: Some(at("2025-01-01T00:00:00Z")),
        ..YaraFile::default()
    })
}
