//! Any alert at all: converts, converts again to the same bytes, and passes the gate.

use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    alert::{
        Agent, Alert, Connection, DnsResolution, Driver, FileEvidence, Hashes, IocMatch,
        MatchedRule, ParentProcess, Process, RegistryChange, RemoteLogon, UrlRequest, User,
        intelligence::{Intelligence, IocRule, SigmaRule, YaraFile},
    },
    config::IncidentNaming,
    convert::{ConvertSettings, convert_alert, gate::violations, wanted_intelligence},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::made;

type Text = Option<String>;

/// Values of the kinds alerts hold, good and odd, and anything else.
fn text() -> BoxedStrategy<Text> {
    let known = select(vec![
        "",
        " ",
        "-",
        "a",
        "WS-Desk-07",
        "host.example.",
        "bad host$",
        "été",
        "\u{feff}bom\u{0}",
        made::MD5,
        made::SHA1,
        made::SHA256,
        "N/A",
        r"C:\Users\zoe\a b.exe",
        r"C:\",
        "/usr/bin/env",
        "/",
        r"\\server\share\",
        r"HKLM\Software\Run\x",
        "HKU",
        r"CORP\zoe",
        "S-1-5-18",
        "203.0.113.9",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "::ffff:192.0.2.1",
        "10.0.0.0/8",
        "https://x.example/a?b=c",
        "not a url",
        "file:///x",
        "x.example",
        "EVIL.example.",
        "hash",
        "filename",
        "filepath",
        "ip_dst",
        "domain_name",
        "url",
        "sigma",
        "yara",
        "ioc",
        "SetValue",
        "attack.t1059",
        "attack.execution",
        "execution__t1059",
        made::SIGMA,
        made::YARA,
        "found by an IOC: hash=x = y",
        "driver hash=",
        "IOC:",
        "=",
        "IOC: '",
        "| `a` |\n| b |",
        "high",
        "a\u{301}\u{202e}🧨",
        "[",
        "]",
    ]);
    option::weighted(0.8, prop_oneof![4 => known.prop_map(str::to_owned), 1 => any::<String>()])
        .boxed()
}

fn date() -> BoxedStrategy<Option<DateTime<Utc>>> {
    let seconds = prop_oneof![
        8 => 1_500_000_000_i64..1_900_000_000,
        1 => -400_000_000_000_i64..400_000_000_000,
    ];
    option::of(
        (seconds, 0_u32..2_000_000_000)
            .prop_filter_map("a date", |(seconds, nanos)| DateTime::from_timestamp(seconds, nanos)),
    )
    .boxed()
}

fn hashes() -> BoxedStrategy<Hashes> {
    (text(), text(), text(), text())
        .prop_map(|(md5, sha1, sha256, sha512)| Hashes { md5, sha1, sha256, sha512 })
        .boxed()
}

fn process() -> BoxedStrategy<Process> {
    let ancestor = || {
        option::of((option::of(-2..3_i64), text(), text()).prop_map(
            |(pid, image_path, command_line)| ParentProcess {
                pid,
                image_path,
                command_line,
                ..ParentProcess::default()
            },
        ))
    };
    let own = (option::of(-2..3_i64), text(), text(), text(), text(), date(), hashes());
    (own, text(), text(), ancestor(), ancestor())
        .prop_map(|(own, username, user_sid, parent, grandparent)| {
            let (pid, name, image_path, command_line, current_directory, created, hashes) = own;
            Process {
                pid,
                name,
                image_path,
                command_line,
                current_directory,
                created,
                hashes,
                username,
                user_sid,
                parent,
                grandparent,
                ..Process::default()
            }
        })
        .boxed()
}

/// What an alert shows on the host, beside its process.
fn host_evidence() -> BoxedStrategy<Alert> {
    let user = (text(), text(), text()).prop_map(|(name, domain, sid)| User { name, domain, sid });
    let role = select(vec!["target", "scanned"]);
    let file = (role, text(), hashes()).prop_map(|(role, path, hashes)| FileEvidence {
        role,
        path,
        hashes,
        size_bytes: Some(0),
        ..FileEvidence::default()
    });
    let driver = (text(), text(), hashes()).prop_map(|(name, path, hashes)| Driver {
        name,
        path,
        hashes,
        ..Driver::default()
    });
    let registry = (text(), text(), text()).prop_map(|(event_type, target_object, details)| {
        RegistryChange { event_type, target_object, details }
    });
    (vec(user, 0..3), vec(file, 0..3), option::of(driver), vec(registry, 0..3))
        .prop_map(|(users, files, driver, registry)| Alert {
            users,
            files,
            driver,
            registry,
            ..Alert::default()
        })
        .boxed()
}

/// What an alert shows on the host and on the network.
fn evidence() -> BoxedStrategy<Alert> {
    let port = || option::of(-1..70_000_i64);
    let ends = (text(), text(), text()).prop_map(|(source_ip, destination_ip, host)| Connection {
        source_ip,
        destination_ip,
        destination_host: host,
        ..Connection::default()
    });
    let connection = (ends, port(), port(), text()).prop_map(
        |(ends, source_port, destination_port, protocol)| Connection {
            source_port,
            destination_port,
            protocol,
            ..ends
        },
    );
    let dns = (text(), vec(text(), 0..3)).prop_map(|(requested_name, addresses)| DnsResolution {
        requested_name,
        query_type: None,
        ip_addresses: addresses.into_iter().flatten().collect(),
    });
    let url = (text(), text()).prop_map(|(url, host)| UrlRequest { url, host, verb: None });
    let logon = text().prop_map(|source_ip| RemoteLogon { source_ip, ..RemoteLogon::default() });
    let network = (vec(connection, 0..3), vec(dns, 0..2), vec(url, 0..2), option::of(logon));
    (host_evidence(), network)
        .prop_map(|(evidence, (connections, dns, urls, remote_logon))| Alert {
            connections,
            dns,
            urls,
            remote_logon,
            ..evidence
        })
        .boxed()
}

fn agent() -> BoxedStrategy<Agent> {
    (text(), text(), vec(text(), 0..3))
        .prop_map(|(hostname, domain, addresses)| Agent {
            hostname,
            domain,
            ip_addresses: addresses.into_iter().flatten().collect(),
            ..Agent::default()
        })
        .boxed()
}

fn alert() -> BoxedStrategy<Alert> {
    let rule = (text(), text(), text(), text(), vec(text(), 0..3), vec(text(), 0..3));
    let matches = (vec((text(), text()), 0..2), vec((text(), text()), 0..2));
    let dates = (date(), date(), date(), date(), date());
    (evidence(), agent(), option::of(process()), rule, matches, dates, (text(), hashes(), text()))
        .prop_map(|(evidence, agent, process, rule, matches, dates, detection)| {
            let (alert_type, rule_name, rule_content, message, tags, references) = rule;
            let (iocs, rules) = matches;
            Alert {
                agent,
                process,
                alert_type: alert_type.unwrap_or_default(),
                rule_name,
                rule_content,
                message,
                mitre_cells: tags.iter().flatten().rev().cloned().collect(),
                tags: tags.into_iter().flatten().collect(),
                references: references.into_iter().flatten().collect(),
                ioc_matches: iocs
                    .into_iter()
                    .map(|(kind, value)| IocMatch { source_id: None, kind, value })
                    .collect(),
                matched_rules: rules
                    .into_iter()
                    .map(|(namespace, rule_name)| MatchedRule { namespace, rule_name })
                    .collect(),
                alert_time: dates.0,
                detection_time: dates.1,
                event_time: dates.2,
                timestamp: dates.3,
                last_update: dates.4,
                detection_path: detection.0,
                detection_hashes: detection.1,
                api_id: detection.2,
                ..evidence
            }
        })
        .boxed()
}

fn intelligence() -> BoxedStrategy<Option<Intelligence>> {
    let rule = (text(), text(), date(), date(), option::of(any::<u16>()), 0..3_u8);
    option::of(rule.prop_map(|(one, other, created, modified, port, which)| {
        let (name, content) = (one.unwrap_or_default(), other.unwrap_or_default());
        match which {
            0 => Intelligence::Ioc(IocRule {
                kind: name,
                value: content,
                port,
                created,
                modified,
                ..IocRule::default()
            }),
            1 => Intelligence::Sigma(SigmaRule {
                name,
                content,
                created,
                modified,
                ..SigmaRule::default()
            }),
            _ => Intelligence::Yara(YaraFile {
                name,
                content,
                created,
                modified,
                ..YaraFile::default()
            }),
        }
    }))
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_alert_converts_twice_to_the_same_bytes_and_passes_the_gate(
        alert in alert(),
        rule in intelligence(),
        naming in select(vec![IncidentNaming::Title, IncidentNaming::Message]),
    ) {
        let settings = ConvertSettings { naming, ..made::settings() };
        let convert = || convert_alert(&alert, rule.as_ref(), &made::never_seen(), &settings);
        let (first, second) = (convert(), convert());
        let bytes = serde_json::to_vec(&first.bundle).unwrap();
        prop_assert_eq!(&bytes, &serde_json::to_vec(&second.bundle).unwrap());
        prop_assert_eq!(violations(&first.bundle), Vec::<String>::new());
        let root = first.bundle.objects.iter().find(|object| object["id"] == first.root_id);
        prop_assert_eq!(root.map(|root| &root["name"]), Some(&first.identity.name.into()));
        let _ = wanted_intelligence(&alert);
    }
}
