//! Any alert at all: converts, converts again to the same bytes, and passes the gate.

use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    alert::{
        Agent, Alert, AntivirusDetection, Binary, Connection, CorrelatedEvent, Correlation,
        Direction, DnsResolution, Driver, EventLog, EventLogUser, FileEvidence, FirewallFilter,
        Hashes, IocMatch, MatchedRule, ParentProcess, Process, RegistryChange, RemoteLogon,
        StatusChange, UrlRequest, User,
        intelligence::{Intelligence, IocRule, SigmaRule, YaraFile},
    },
    config::IncidentNaming,
    convert::{ConvertSettings, convert_alert, gate::violations, wanted_intelligence},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::support::samples;

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
        samples::MD5,
        samples::SHA1,
        samples::SHA256,
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
        samples::SIGMA,
        samples::YARA,
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
    let shown = (binary(), vec(text(), 0..12), text());
    (own, text(), text(), ancestor(), ancestor(), shown)
        .prop_map(|(own, username, user_sid, parent, grandparent, shown)| {
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
                binary: shown.0,
                ancestors: shown.1.into_iter().flatten().collect(),
                integrity_level: shown.2,
                ..Process::default()
            }
        })
        .boxed()
}

fn binary() -> BoxedStrategy<Binary> {
    let certificate = (text(), text(), text(), text(), text());
    let resource = (text(), text(), text(), text(), text(), text());
    (option::of(any::<bool>()), certificate, resource)
        .prop_map(|(signed, certificate, resource)| Binary {
            signed,
            signature_status: certificate.0,
            signer: certificate.1,
            issuer: certificate.2,
            serial_number: certificate.3,
            thumbprint: certificate.4,
            company: resource.0,
            product: resource.1,
            description: resource.2,
            file_version: resource.3,
            original_name: resource.4,
            import_hash: resource.5,
        })
        .boxed()
}

/// Makes what surrounds an alert: log entry, correlation, firewall filter, antivirus, script, history.
fn surroundings() -> BoxedStrategy<Alert> {
    let role = select(vec!["subject", "target", "member", "user"]);
    let named = (role, text(), text(), text()).prop_map(|(role, name, domain, sid)| EventLogUser {
        role,
        user: User { name, domain, sid },
    });
    let datum = (select(vec!["IpAddress", "LogonType", "ImagePath", "a|b"]), text());
    let data = vec(datum, 0..6).prop_map(|data| {
        let data = data.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        data.collect()
    });
    let event_id = option::of(4_600..4_800_i64);
    let entry = (event_id, text(), text(), date(), vec(named, 0..4), data).prop_map(
        |(event_id, channel, computer, time, users, data)| EventLog {
            data,
            event_id,
            channel,
            computer,
            time,
            users,
            ..EventLog::default()
        },
    );
    let event = (text(), option::of(any::<bool>())).prop_map(|(rule_id, has_own_alert)| {
        CorrelatedEvent { rule_id, has_own_alert, ..CorrelatedEvent::default() }
    });
    let correlation = (date(), date(), vec(event, 0..20), vec(text(), 0..12)).prop_map(
        |(start, end, events, values)| Correlation {
            start,
            end,
            events,
            values: values.into_iter().flatten().collect(),
            ..Correlation::default()
        },
    );
    let filter = (text(), text(), date()).prop_map(|(name, description, time)| FirewallFilter {
        name,
        description,
        time,
        ..FirewallFilter::default()
    });
    let found =
        (text(), text()).prop_map(|(signature, kind)| AntivirusDetection { signature, kind });
    let change = (text(), date()).prop_map(|(action, time)| StatusChange { action, time });
    let blocks =
        (option::of(entry), option::of(correlation), option::of(filter), option::of(found));
    (blocks, text(), vec(change, 0..12), vec(text(), 0..12), text())
        .prop_map(|(blocks, powershell_command, status_history, threat_values, status)| Alert {
            event_log: blocks.0,
            correlation: blocks.1,
            firewall_filter: blocks.2,
            antivirus: blocks.3,
            powershell_command,
            status_history,
            threat_values: threat_values.into_iter().flatten().collect(),
            status,
            ..Alert::default()
        })
        .boxed()
}

/// Makes what an alert shows on the host, beside its process.
fn host_evidence() -> BoxedStrategy<Alert> {
    let user = (text(), text(), text()).prop_map(|(name, domain, sid)| User { name, domain, sid });
    let role = select(vec!["target", "scanned"]);
    let file = (role, text(), hashes(), binary()).prop_map(|(role, path, hashes, binary)| {
        FileEvidence { role, path, hashes, size_bytes: Some(0), binary }
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
    (surroundings(), vec(user, 0..3), vec(file, 0..3), option::of(driver), vec(registry, 0..3))
        .prop_map(|(surroundings, users, files, driver, registry)| Alert {
            users,
            files,
            driver,
            registry,
            ..surroundings
        })
        .boxed()
}

/// Makes what an alert shows on the host and on the network.
fn evidence() -> BoxedStrategy<Alert> {
    let port = || option::of(-1..70_000_i64);
    let direction = option::of(select(vec![Direction::Inbound, Direction::Outbound]));
    let ends = (text(), text(), text(), direction).prop_map(
        |(source_ip, destination_ip, destination_host, direction)| Connection {
            source_ip,
            destination_ip,
            destination_host,
            direction,
            ..Connection::default()
        },
    );
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
    let logon = (text(), text(), text()).prop_map(|(source_ip, name, domain)| RemoteLogon {
        source_ip,
        account: User { name, domain, sid: None },
        ..RemoteLogon::default()
    });
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
        let settings = ConvertSettings { naming, ..samples::settings() };
        let convert = || convert_alert(&alert, rule.as_ref(), &samples::never_seen(), &settings);
        let (first, second) = (convert(), convert());
        let bytes = serde_json::to_vec(&first.bundle).unwrap();
        prop_assert_eq!(&bytes, &serde_json::to_vec(&second.bundle).unwrap());
        prop_assert_eq!(violations(&first.bundle), Vec::<String>::new());
        let root = first.bundle.objects.iter().find(|object| object["id"] == first.root_id);
        prop_assert_eq!(root.map(|root| &root["name"]), Some(&first.identity.name.into()));
        let _ = wanted_intelligence(&alert);
    }
}
