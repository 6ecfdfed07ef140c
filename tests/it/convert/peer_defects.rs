//! Shows what the Python connector does wrong, one test a row of its list of defects.

use harfanglab_incidents::{
    alert::{
        Agent, Alert, Hashes, Process, Threat, ThreatNote,
        intelligence::{Intelligence, YaraFile},
    },
    config::Marking,
    convert::{Wanted, convert_alert, convert_threat, gate::violations, wanted_intelligence},
};
use serde_json::json;

use super::bundles::{converted, ends, id, left_out, none, objects, one, system};
use crate::support::samples::{self, text};

#[test]
fn an_alert_of_any_type_becomes_an_incident_also_when_its_rule_is_not_found() {
    for alert_type in ["hurukaiav", "ransom", "hlai", "correlation", "a type of tomorrow", ""] {
        let conversion = converted(&samples::alert(alert_type), None);
        assert_eq!(id(one(&conversion, "incident")), conversion.root_id);
        assert!(none(&conversion, "indicator") && none(&conversion, "sighting"));
    }
    let unfound = Alert { rule_id: text("7"), ..samples::alert("sigma") };
    assert!(none(&converted(&unfound, None), "indicator"));
}

#[test]
fn an_ioc_that_is_no_hash_breaks_nothing_and_is_an_indicator_too() {
    for (kind, value) in [
        ("filename", "a.exe"),
        ("filepath", "/opt/a"),
        ("ip_src", "203.0.113.1"),
        ("ip_dst", "203.0.113.1"),
        ("ip_both", "2001:db8::1"),
        ("domain_name", "x.example"),
        ("url", "https://x.example/"),
    ] {
        let conversion = converted(&samples::alert("ioc"), Some(&samples::ioc(kind, value)));
        assert_eq!(one(&conversion, "indicator")["name"], json!(value), "{kind}");
        assert_eq!(conversion.identity.name, format!("{value} on WS-Desk-07"));
    }
}

#[test]
fn the_rule_of_an_ioc_alert_is_found_whatever_its_message_says_and_without_one() {
    let hash = samples::SHA256;
    for message in [
        format!("Driver was found malicious by an IOC: {hash}"),
        format!("found by an IOC: hash = {hash}"),
        format!("driver hash={hash} is blacklisted, not blocked"),
    ] {
        let alert = Alert { message: Some(message.clone()), ..samples::alert("ioc") };
        let wanted = Wanted::Ioc { kind: None, value: hash.to_owned() };
        assert_eq!(wanted_intelligence(&alert), Some(wanted), "{message}");
    }
    let url = "http://x.example/?a=b&c=d";
    let with_equals = Alert { message: Some(format!("IOC: url={url}")), ..samples::alert("ioc") };
    assert_eq!(
        wanted_intelligence(&with_equals),
        Some(Wanted::Ioc { kind: None, value: url.to_owned() })
    );
    let silent = Alert { message: text(""), ..samples::ioc_alert() };
    assert!(!none(&converted(&silent, None), "indicator"), "the alert shows what matched");
}

#[test]
fn a_binary_yara_alert_is_traced_to_the_file_of_the_rule_that_matched() {
    let alert = samples::yara_alert();
    assert_eq!(alert.rule_name.as_deref(), Some("YARA binary check"));
    let candidates = vec!["loaders.yar".to_owned(), "loader_stub".to_owned()];
    assert_eq!(wanted_intelligence(&alert), Some(Wanted::Yara { candidates }));
    let conversion = converted(&alert, Some(&samples::yara()));
    assert_eq!(one(&conversion, "indicator")["pattern"], json!(samples::YARA));
}

#[test]
fn a_rule_without_content_or_dates_and_a_threat_without_anything_lose_only_that() {
    let bare = YaraFile { name: "loaders.yar".to_owned(), ..YaraFile::default() };
    let conversion = converted(&samples::yara_alert(), Some(&Intelligence::Yara(bare.clone())));
    assert!(none(&conversion, "indicator"));
    assert_eq!(left_out(&conversion), ["indicator"]);
    let undated = YaraFile { content: samples::YARA.to_owned(), ..bare };
    let conversion = converted(&samples::yara_alert(), Some(&Intelligence::Yara(undated)));
    let indicator = one(&conversion, "indicator");
    assert_eq!(indicator["created"], "2026-03-02T00:00:00.000Z", "the day of the alert");
    let empty = Threat {
        id: "9".to_owned(),
        level: text("High"),
        note: Some(ThreatNote { title: text("Empty"), ..ThreatNote::default() }),
        ..Threat::default()
    };
    let conversion = convert_threat(&empty, &[], &samples::never_seen(), &samples::settings());
    assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
    let case = one(&conversion, "case-incident");
    assert_eq!((&case["name"], &case["severity"]), (&json!("HarfangLab threat 9"), &json!("high")));
    assert!(none(&conversion, "note"));
}

#[test]
fn the_pattern_of_a_hash_comes_from_the_ioc_and_not_from_the_process() {
    let mut alert = samples::ioc_alert();
    alert.process.as_mut().unwrap().hashes.sha256 = Some("ee".repeat(32));
    let conversion = converted(&alert, None);
    let pattern = format!("[file:hashes.'SHA-256' = '{}']", samples::SHA256);
    assert_eq!(one(&conversion, "indicator")["pattern"], json!(pattern));
}

#[test]
fn values_in_patterns_are_escaped() {
    let rule = samples::ioc("filepath", r"C:\O'Neil\it's.exe");
    let conversion = converted(&samples::alert("ioc"), Some(&rule));
    assert_eq!(
        one(&conversion, "indicator")["pattern"],
        json!(r"[file:parent_directory_ref.path = 'C:\\O\'Neil' AND file:name = 'it\'s.exe']")
    );
}

#[test]
fn the_indicator_detects_and_its_score_is_a_number() {
    let conversion = converted(&samples::ioc_alert(), None);
    let indicator = one(&conversion, "indicator");
    assert_eq!(indicator["x_opencti_detection"], json!(true));
    assert_eq!(indicator["x_opencti_score"], json!(70));
    assert!(!indicator.contains_key("detection"));
}

#[test]
fn a_sigma_indicator_bears_the_full_name_of_its_rule() {
    let conversion = converted(&samples::sigma_alert(), None);
    let indicator = one(&conversion, "indicator");
    assert_eq!(indicator["name"], "Credential Dump of a Browser");
    assert_eq!(indicator["pattern"], json!(samples::SIGMA.trim()));
}

#[test]
fn an_indicator_is_based_on_what_it_matched_and_never_the_other_way_round() {
    let conversion = converted(&samples::ioc_alert(), None);
    let indicator = id(one(&conversion, "indicator"));
    let file = objects(&conversion, "file").find(|file| file["name"] == "browserdump.exe").unwrap();
    assert_eq!(ends(&conversion, "based-on"), [(indicator, id(file))]);
    assert_eq!(ends(&conversion, "indicates"), [(indicator, conversion.root_id.as_str())]);
    assert!(ends(&conversion, "related-to").contains(&(id(file), &conversion.root_id)));
}

#[test]
fn one_rule_on_ten_hosts_at_one_instant_is_ten_sightings() {
    let ids: std::collections::HashSet<String> = (0..10)
        .map(|number| {
            let mut alert = samples::sigma_alert();
            alert.agent.hostname = Some(format!("WS-{number}"));
            let conversion = converted(&alert, None);
            let sighting = one(&conversion, "sighting");
            assert_eq!(sighting["where_sighted_refs"], json!([id(system(&conversion).unwrap())]));
            id(sighting).to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 10);
    let nowhere = Alert { agent: Agent::default(), ..samples::sigma_alert() };
    let conversion = converted(&nowhere, None);
    let author = id(one(&conversion, "identity"));
    assert_eq!(one(&conversion, "sighting")["where_sighted_refs"], json!([author]));
}

#[test]
fn alerts_of_one_rule_on_one_host_at_one_instant_are_one_incident_each_with_its_link() {
    let conversions = ["first", "second", "third"]
        .map(|page| converted(&Alert { api_id: text(page), ..samples::sigma_alert() }, None));
    let urls: Vec<_> = conversions
        .iter()
        .map(|conversion| one(conversion, "incident")["external_references"][0]["url"].clone())
        .collect();
    assert_eq!(conversions[0].root_id, conversions[2].root_id);
    assert_eq!(urls[1], "https://console.example:8443/security-event/second/summary");
    assert_ne!(urls[0], urls[2], "the platform adds references up");
}

#[test]
fn techniques_whose_mitre_name_is_unknown_are_not_sent_and_no_tag_can_break_an_alert() {
    let written = [
        vec!["ATTACK.T9999".to_owned(), "attack.execution".to_owned()],
        vec!["attack.".to_owned(), "attack.t".to_owned(), "T105.001".to_owned()],
        Vec::new(),
    ];
    for tags in written {
        let alert = Alert { mitre_cells: tags.clone(), tags, ..samples::alert("sigma") };
        let conversion = converted(&alert, None);
        assert!(none(&conversion, "attack-pattern"));
    }
    let conversion = converted(&samples::sigma_alert(), None);
    let technique = one(&conversion, "attack-pattern");
    assert_eq!(technique["name"], "Credentials from Web Browsers");
    assert!(!technique.contains_key("created_by_ref"));
    assert!(!technique.contains_key("object_marking_refs"));
    let phases = &one(&conversion, "indicator")["kill_chain_phases"];
    let phase = json!({ "kill_chain_name": "mitre-attack", "phase_name": "credential-access" });
    assert_eq!(phases, &json!([phase]));
}

#[test]
fn what_is_missing_or_malformed_costs_only_itself() {
    let mut no_process = samples::sigma_alert();
    no_process.process = None;
    let mut no_host = samples::sigma_alert();
    no_host.agent = Agent::default();
    let mut bare_process = samples::sigma_alert();
    bare_process.process = Some(Process { pid: Some(4), ..Process::default() });
    let mut odd_hash = samples::sigma_alert();
    odd_hash.process.as_mut().unwrap().hashes =
        Hashes { md5: text("N/A"), sha1: text(""), sha256: text(samples::SHA256), sha512: None };
    let mut undated = samples::sigma_alert();
    (undated.alert_time, undated.event_time) = (None, None);
    undated.unreadable_dates = vec!["alert_time: yesterday".to_owned()];
    let mut backwards = samples::sigma_alert();
    backwards.last_update = Some(samples::at("2020-01-01T00:00:00Z"));

    for alert in [&no_process, &no_host, &bare_process, &odd_hash, &undated, &backwards] {
        assert!(!none(&converted(alert, None), "incident"));
    }
    assert_eq!(converted(&no_host, None).identity.name, "Credential Dump of a Browser");
    assert_eq!(left_out(&converted(&bare_process, None)), ["process"]);
    let conversion = converted(&odd_hash, None);
    assert_eq!(left_out(&conversion), ["hash"]);
    assert_eq!(one(&conversion, "file")["hashes"], json!({ "SHA-256": samples::SHA256 }));
    let conversion = converted(&undated, None);
    assert_eq!(left_out(&conversion), ["date", "date"]);
    assert_eq!(conversion.identity.created, samples::never_seen().received_at);
    let conversion = converted(&backwards, None);
    let incident = one(&conversion, "incident");
    assert_eq!(incident["last_seen"], "2026-03-02T10:00:00.031Z", "triage moves it nowhere");
}

#[test]
fn an_alert_without_message_is_named_after_its_rule() {
    let unsaid = Alert { message: None, rule_name: text("Beacon"), ..samples::alert("sigma") };
    assert_eq!(converted(&unsaid, None).identity.name, "Beacon on WS-Desk-07");
    let nameless = Alert { message: None, ..samples::alert("hlai") };
    assert_eq!(converted(&nameless, None).identity.name, "HarfangLab hlai alert on WS-Desk-07");
}

#[test]
fn every_marking_is_what_it_says() {
    let ids = [
        (Marking::Clear, "613f2e26-407d-48c7-9eca-b8e91df99dc9"),
        (Marking::Green, "34098fce-860f-48ae-8e50-ebd3cc5e41da"),
        (Marking::Amber, "f88d31f6-486f-44da-b317-01333bde0b82"),
        (Marking::AmberStrict, "826578e1-40ad-459f-bc73-ede076f81f37"),
        (Marking::Red, "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
    ];
    for (marking, uuid) in ids {
        let settings =
            harfanglab_incidents::convert::ConvertSettings { marking, ..samples::settings() };
        let known = samples::never_seen();
        let conversion = convert_alert(&samples::sigma_alert(), None, &known, &settings);
        assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
        let marking_id = format!("marking-definition--{uuid}");
        assert_eq!(id(one(&conversion, "marking-definition")), marking_id);
        let marked = |object: &&super::bundles::Object| {
            object["id"] != marking_id && object["type"] != "attack-pattern"
        };
        for object in conversion.bundle.objects.iter().filter(marked) {
            assert_eq!(object["object_marking_refs"], json!([marking_id]));
        }
    }
}

#[test]
fn sid_parent_command_line_network_registry_labels_and_table_are_there() {
    let conversion = converted(&samples::sigma_alert(), None);
    let account = one(&conversion, "user-account");
    assert_eq!(account["account_login"], json!(r"CORP\zoe"));
    assert!(account["x_opencti_description"].as_str().unwrap().contains("S-1-5-21-1-2-3-1104"));
    assert!(!account.contains_key("user_id"));
    assert_eq!(objects(&conversion, "process").count(), 2);
    let incident = one(&conversion, "incident");
    let labels = json!(["sigma"]);
    assert_eq!(incident["labels"], labels);
    let description = incident["description"].as_str().unwrap();
    assert!(description.contains(r"--all \| more"), "{description}");
    assert!(description.starts_with("| Fact | Value |"), "{description}");

    let conversion = converted(&samples::network_alert(), None);
    let values = |kind: &str| -> Vec<String> {
        let found = objects(&conversion, kind).map(|object| object["value"].as_str().unwrap());
        found.map(str::to_owned).collect()
    };
    assert_eq!(values("domain-name"), ["c2.example.org", "pool.example.net", "drop.example.com"]);
    assert_eq!(values("url"), ["https://drop.example.com/a?b=c"]);
    let addresses = ["192.0.2.17", "203.0.113.9", "203.0.113.10", "198.51.100.4"];
    assert_eq!(values("ipv4-addr"), addresses);
    let key = one(&conversion, "windows-registry-key");
    assert_eq!(key["key"], json!(r"HKEY_USERS\S-1-5-21-1\SOFTWARE\Run"));
    assert_eq!(key["values"], json!([{ "name": "Updater", "data": r"C:\evil.exe" }]));
}
