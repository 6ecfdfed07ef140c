//! Techniques, accounts, paths, names and connections, as the mapping promises them.

use harfanglab_incidents::{
    alert::{
        Alert, AntivirusDetection, Binary, Direction, DnsResolution, EventLog, EventLogUser,
        FileEvidence, Hashes, MergedSightings, RegistryChange, UrlRequest, User,
    },
    config::{AccountIdentity, RawAttachment},
    convert::{
        Conversion, ConvertSettings, Known, NetworkTraffic, attach_raw, convert_alert,
        gate::violations,
    },
    stix::id,
};
use serde_json::{Map, Value, json};

use super::bundles::{converted, ends, id as id_of, left_out, none, objects, one};
use crate::support::samples::{self, text};

fn converted_with(alert: &Alert, settings: &ConvertSettings) -> Conversion {
    let conversion = convert_alert(alert, None, &samples::never_seen(), settings);
    assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
    conversion
}

fn values(conversion: &Conversion, kind: &str, key: &str) -> Vec<Value> {
    objects(conversion, kind).map(|object| object[key].clone()).collect()
}

#[test]
fn a_technique_goes_out_under_the_name_and_tactics_of_mitre() {
    let conversion = converted(&samples::sigma_alert(), None);
    let technique = one(&conversion, "attack-pattern");
    assert_eq!(technique["name"], "Credentials from Web Browsers");
    assert_eq!(technique["x_mitre_id"], "T1555.003");
    let phase = json!({ "kill_chain_name": "mitre-attack", "phase_name": "credential-access" });
    assert_eq!(technique["kill_chain_phases"], json!([phase]));
    assert_eq!(id_of(technique), id::technique("attack-pattern", "", Some("t1555.003")));
    assert_eq!(ends(&conversion, "uses"), [(conversion.root_id.as_str(), id_of(technique))]);
}

#[test]
fn techniques_come_from_cells_tags_rule_tags_and_the_text_of_the_rule() {
    let alert = Alert {
        mitre_cells: vec!["persistence__t1547.001".to_owned()],
        tags: vec!["attack.t1086".to_owned(), "attack.t9999".to_owned()],
        ..samples::sigma_alert()
    };
    let conversion = converted(&alert, None);
    let techniques = values(&conversion, "attack-pattern", "x_mitre_id");
    assert_eq!(techniques, ["T1547.001", "T1059.001", "T1555.003"], "T1086 is T1059.001 now");
    assert_eq!(left_out(&conversion), ["attack-pattern"]);
    assert_eq!(phases(&conversion), ["credential-access"], "of the rule, not of this alert");
    let untagged = Alert { rule_content: text(&samples::SIGMA.replace("tags:", "none:")), ..alert };
    assert_eq!(phases(&converted(&untagged, None)), ["persistence"], "of a rule without tags");
    let numbered = samples::SIGMA.replace("  - attack.credential_access\n", "");
    let numbered = Alert { rule_content: Some(numbered), ..samples::sigma_alert() };
    assert_eq!(phases(&converted(&numbered, None)), ["credential-access"], "of its technique");
}

fn phases(conversion: &Conversion) -> Vec<String> {
    let phases = one(conversion, "indicator")["kill_chain_phases"].as_array().unwrap().iter();
    phases.map(|phase| phase["phase_name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_sighting_is_negative_when_its_alert_is_a_false_positive() {
    for (status, negative) in
        [("new", false), ("probable_false_positive", false), ("false_positive", true)]
    {
        let alert = Alert { status: text(status), ..samples::sigma_alert() };
        let conversion = converted(&alert, None);
        assert_eq!(one(&conversion, "sighting")["x_opencti_negative"], json!(negative), "{status}");
    }
}

#[test]
fn a_sighting_stays_real_while_an_alert_that_is_merged_with_it_is() {
    let alert = Alert { status: text("false_positive"), ..samples::sigma_alert() };
    let known = Known { merged_sightings: MergedSightings::Real, ..samples::never_seen() };
    let merged = convert_alert(&alert, None, &known, &samples::settings());
    assert_eq!(one(&merged, "sighting")["x_opencti_negative"], json!(false));
    assert!(merged.sighted.is_some_and(|sighted| sighted.is_false_positive));
}

#[test]
fn an_incident_gets_the_workflow_status_of_its_alert_when_there_is_one_for_it() {
    let workflow = std::collections::BTreeMap::from([("closed".to_owned(), "22bb".to_owned())]);
    let settings = ConvertSettings { workflow, ..samples::settings() };
    for (status, expected) in [("closed", Some(&json!("22bb"))), ("new", None)] {
        let alert = Alert { status: text(status), ..samples::sigma_alert() };
        let conversion = converted_with(&alert, &settings);
        assert_eq!(one(&conversion, "incident").get("x_opencti_workflow_id"), expected);
    }
}

#[test]
fn what_surrounds_an_alert_stands_in_its_description_and_breaks_nothing_of_it() {
    let mut alert = samples::network_alert();
    alert.connections[0].direction = Some(Direction::Outbound);
    alert.process = Some(samples::process());
    let process = alert.process.as_mut().unwrap();
    process.integrity_level = text("High");
    process.binary = Binary {
        signed: Some(false),
        signer: text("Evil | Sons"),
        original_name: text("procdump.exe"),
        import_hash: text(samples::MD5),
        ..Binary::default()
    };
    process.ancestors = (0..20).map(|number| format!(r"C:\{number}.exe")).collect();
    alert.powershell_command = Some(format!("```\n{}", "x".repeat(20_000)));
    alert.antivirus = Some(AntivirusDetection { signature: text("Trojan.X"), kind: text("scan") });
    alert.threat_values = vec!["a`b".to_owned()];
    alert.event_log = Some(EventLog { event_id: Some(4_624), ..EventLog::default() });
    let conversion = converted(&alert, None);
    let description = one(&conversion, "incident")["description"].as_str().unwrap().to_owned();
    for told in [
        "| Integrity | High |",
        r"| Signature | `not signed; by Evil \| Sons` |",
        "original name procdump.exe; import hash",
        r"`C:\7.exe` and 12 more |",
        "| Matched values | ``a`b`` |",
        "| Malware | Trojan.X; found by scan |",
        "| Connections | `outbound 192.0.2.17:51000 → [::ffff:203.0.113.9]:443 C2.Example.ORG. tcp` |",
        "| DNS | `pool.example.net A → 203.0.113.10, 127.0.0.1` |",
        "| URLs | `GET https://drop.example.com/a?b=c` |",
        r"| Registry | `SetValue HKU\S-1-5-21-1\SOFTWARE\Run\Updater = C:\evil.exe` |",
        r"| Logon from | `JUMP-01, 198.51.100.4, port 60001, remote interactive (10), as CORP\ada` |",
        "| Event log | event 4624 |",
        "Script that ran:\n\n````powershell\n```\n",
    ] {
        assert!(description.contains(told), "`{told}` is not in: {description}");
    }
    assert!(description.len() < 12_000, "{}", description.len());
}

#[test]
fn those_whom_a_log_entry_names_are_accounts_and_the_group_that_it_is_about_is_none() {
    let named = |role, name: &str, sid: &str| EventLogUser {
        role,
        user: User { name: text(name), domain: text("CORP"), sid: text(sid) },
    };
    let users = vec![
        named("subject", "ada", "S-1-5-21-1-2-3-1105"),
        named("target", "Domain Admins", "S-1-5-21-1-2-3-512"),
        named("member", "CN=eve,OU=people", "S-1-5-21-1-2-3-1106"),
        named("user", "zoe", "S-1-5-21-1-2-3-1104"),
        named("user", "-", "-"),
    ];
    let logins = |event_id| {
        let entry = EventLog { event_id, users: users.clone(), ..EventLog::default() };
        let alert = Alert { event_log: Some(entry), ..samples::sigma_alert() };
        values(&converted(&alert, None), "user-account", "account_login")
    };
    assert_eq!(logins(Some(4_728)), [json!(r"CORP\zoe"), json!(r"CORP\ada")]);
    assert_eq!(logins(None), [json!(r"CORP\zoe"), json!(r"CORP\ada")], "one has a member");
}

#[test]
fn a_connection_is_an_object_on_platforms_that_take_it_and_its_addresses_on_the_others() {
    let conversion = converted(&samples::network_alert(), None);
    let traffic = one(&conversion, "network-traffic");
    assert_eq!((&traffic["src_port"], &traffic["dst_port"]), (&json!(51_000), &json!(443)));
    assert_eq!(traffic["protocols"], json!(["tcp"]));
    for key in ["src_ref", "dst_ref"] {
        assert!(traffic[key].as_str().unwrap().starts_with("ipv4-addr--"), "{key}");
    }
    let older = NetworkTraffic::AddressesOnly;
    let settings = ConvertSettings { network_traffic: older, ..samples::settings() };
    let older = converted_with(&samples::network_alert(), &settings);
    assert!(none(&older, "network-traffic"));
    assert_eq!(values(&older, "ipv4-addr", "value"), values(&conversion, "ipv4-addr", "value"));

    let mut odd = samples::network_alert();
    (odd.connections[0].source_port, odd.connections[0].destination_port) = (Some(0), Some(70_000));
    odd.connections[0].protocol = text("6");
    let conversion = converted(&odd, None);
    let traffic = one(&conversion, "network-traffic");
    assert!(!traffic.contains_key("src_port") && !traffic.contains_key("dst_port"));
    assert_eq!(traffic["protocols"], json!(["ipv4"]));
    assert!(left_out(&conversion).contains(&"port"));
}

#[test]
fn an_account_is_its_login_unless_its_sid_is_asked_for() {
    let alert = Alert {
        users: vec![
            User { name: text("Système"), domain: text("AUTORITE NT"), sid: text("S-1-5-18") },
            User { name: text("Administrator"), domain: None, sid: text("S-1-5-21-1-2-3-500") },
            User { name: text("www"), domain: None, sid: text("33") },
            User { name: text("user1"), domain: None, sid: text("user1") },
            User { name: text(r"NT AUTHORITY\NETWORK SERVICE"), domain: None, sid: None },
        ],
        ..samples::alert("sigma")
    };
    let conversion = converted(&alert, None);
    let told = values(&conversion, "user-account", "x_opencti_description");
    let kinds: Vec<_> =
        told.iter().map(|it| it.as_str().unwrap().rsplit("Kind: ").next()).collect();
    assert_eq!(
        kinds,
        [
            Some("Local System, the operating system itself"),
            Some("Windows account, built-in Administrator"),
            Some("Unix account"),
            Some("SID: user1"),
            Some("Network Service"),
        ]
    );
    assert!(objects(&conversion, "user-account").all(|account| !account.contains_key("user_id")));

    let settings = ConvertSettings { accounts: AccountIdentity::Sid, ..samples::settings() };
    let conversion = converted_with(&alert, &settings);
    let identity = |account: &super::bundles::Object| {
        (account.get("user_id").cloned(), account.get("account_type").cloned())
    };
    let identities: Vec<_> = objects(&conversion, "user-account").map(identity).collect();
    let sid = |sid: &str, kind: &str| (Some(json!(sid)), Some(json!(kind)));
    assert_eq!(
        identities,
        [
            sid("S-1-5-18", "windows-local"),
            sid("S-1-5-21-1-2-3-500", "windows-local"),
            sid("33", "unix"),
            (None, None),
            (None, None),
        ]
    );
}

#[test]
fn paths_of_every_system_are_split_where_that_system_splits_them() {
    let paths = [
        (r"C:\Program Files\a\a b.exe", r"C:\Program Files\a", "a b.exe"),
        (r"C:\a.exe", "", "a.exe"),
        (r"\\server\share\a.exe", r"\\server\share", "a.exe"),
        (r"\Device\HarddiskVolume3\a.exe", r"\Device\HarddiskVolume3", "a.exe"),
        ("C:/Tools/a.exe", "C:/Tools", "a.exe"),
        ("/usr/bin/env", "", "env"),
        ("/init", "", "init"),
        (r"/tmp/a/a\b c", "/tmp/a", r"a\b c"),
        ("/Applications/App.app/Contents/MacOS/App", "/Applications/App.app/Contents/MacOS", "App"),
    ];
    for (path, folder, name) in paths {
        let alert = Alert { detection_path: text(path), ..samples::alert("ioc") };
        let conversion = converted(&alert, None);
        // None that every machine has.
        let found = objects(&conversion, "directory").next().map(|it| it["path"].as_str().unwrap());
        assert_eq!(found, Some(folder).filter(|folder| !folder.is_empty()), "{path}");
        assert_eq!(one(&conversion, "file")["name"], json!(name), "{path}");
    }
}

#[test]
fn registry_keys_begin_with_the_full_name_of_their_hive() {
    let keys = [
        (r"HKLM\SOFTWARE\x", r"HKEY_LOCAL_MACHINE\SOFTWARE\x"),
        (r"hkcu\x", r"HKEY_CURRENT_USER\x"),
        (r"\REGISTRY\MACHINE\x", r"HKEY_LOCAL_MACHINE\x"),
        (r"\Registry\User\S-1-5-18\x", r"HKEY_USERS\S-1-5-18\x"),
        (r"HKEY_USERS\.DEFAULT\x", r"HKEY_USERS\.DEFAULT\x"),
        ("HKU", "HKEY_USERS"),
        (r"HKLMX\x", r"HKLMX\x"),
    ];
    for (written, full) in keys {
        let change = RegistryChange { target_object: text(written), ..RegistryChange::default() };
        let alert = Alert { registry: vec![change], ..samples::alert("sigma") };
        assert_eq!(one(&converted(&alert, None), "windows-registry-key")["key"], json!(full));
    }
}

#[test]
fn an_internationalised_domain_is_one_name_however_it_is_spelt() {
    let alert = Alert {
        urls: vec![UrlRequest { url: text("https://Bücher.example/"), ..UrlRequest::default() }],
        dns: ["BÜCHER.example.", "xn--bcher-kva.example"]
            .map(|name| DnsResolution { requested_name: text(name), ..DnsResolution::default() })
            .to_vec(),
        ..samples::alert("sigma")
    };
    assert_eq!(one(&converted(&alert, None), "domain-name")["value"], "xn--bcher-kva.example");
}

#[test]
fn a_url_with_quotes_keeps_them_and_its_pattern_escapes_them() {
    let url = r#"https://x.example/it's?q="a\b""#;
    let conversion = converted(&samples::alert("ioc"), Some(&samples::ioc("url", url)));
    assert_eq!(one(&conversion, "url")["value"], json!(url));
    let pattern = r#"[url:value = 'https://x.example/it\'s?q="a\\b"']"#;
    assert_eq!(one(&conversion, "indicator")["pattern"], json!(pattern));
}

#[test]
fn the_alert_itself_goes_along_as_a_note_only_when_asked_for() {
    let alert = samples::alert("sigma");
    let raw = json!({ "msg": "```", "padding": "é".repeat(100_000) }).to_string();
    let plain = converted_with(&alert, &samples::settings());
    assert_eq!(attach_raw(plain.clone(), &raw, &samples::settings()), plain);
    let settings = ConvertSettings { raw: RawAttachment::Note, ..samples::settings() };
    let conversion = attach_raw(plain.clone(), &raw, &settings);
    assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
    let note = one(&conversion, "note");
    assert_eq!(note["object_refs"], json!([conversion.root_id]));
    let content = note["content"].as_str().unwrap();
    assert!(content.len() < 66_000 && content.ends_with("more bytes."), "{}", content.len());
    assert!(content.starts_with("````json\n{"), "nothing in it closes the fence");
    let short = attach_raw(plain, r#"{"b":1,"a":[2]}"#, &settings);
    let content = one(&short, "note")["content"].as_str().unwrap().to_owned();
    assert!(content.contains("{\n  \"b\": 1,\n  \"a\": ["), "{content}");
}

#[test]
fn the_data_of_a_log_entry_is_shown_and_the_address_somebody_logged_on_from_is_related() {
    let datum = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let data = [
        ("AuthenticationPackageName", "NTLM"),
        ("FailureReason", "%%2313"),
        ("IpAddress", "::ffff:198.51.100.77"),
        ("LogonType", "3"),
        ("SubjectLogonId", "0x0"),
        ("WorkstationName", "![x](https://evil.example)|"),
    ];
    let data = data.into_iter().map(|(name, value)| datum(name, value));
    let entry = EventLog {
        event_id: Some(4_625),
        data: data.chain((0..30).map(|number| datum(&format!("z{number:02}"), "1"))).collect(),
        ..EventLog::default()
    };
    let conversion = converted(&Alert { event_log: Some(entry), ..samples::sigma_alert() }, None);
    let description = one(&conversion, "incident")["description"].as_str().unwrap().to_owned();
    let row = description.lines().find(|line| line.starts_with("| Event data |")).unwrap();
    let beginning = r"| Event data | `IpAddress: ::ffff:198.51.100.77`, `WorkstationName: ![x](https://evil.example)\|`, `LogonType: 3 (network)`, `AuthenticationPackageName: NTLM`, `z00: 1`, ";
    assert!(row.starts_with(beginning), "{row}");
    assert!(row.ends_with(" and 10 more |"), "{row}");
    let origin = "Origin of a logon in the event log: `::ffff:198.51.100.77`";
    assert!(values(&conversion, "ipv4-addr", "value").contains(&json!("198.51.100.77")));
    assert!(
        objects(&conversion, "relationship")
            .any(|it| it.get("description") == Some(&json!(origin)))
    );

    for local in ["-", "LOCAL", "127.0.0.1", "::1"] {
        let data = vec![datum("IpAddress", local)];
        let entry = EventLog { data, ..EventLog::default() };
        let conversion =
            converted(&Alert { event_log: Some(entry), ..samples::sigma_alert() }, None);
        let left_out = conversion.left_out.iter().filter(|left| left.why.contains(local)).count();
        let is_origin = |it: &Map<String, Value>| {
            it.get("description")
                .is_some_and(|text| text.as_str().unwrap().starts_with("Origin of a logon"))
        };
        assert!(left_out == 0 && !objects(&conversion, "relationship").any(is_origin), "{local}");
    }
}

#[test]
fn a_file_that_is_known_by_its_name_alone_ties_no_cases_together() {
    let file = |path: &str, hashes| FileEvidence {
        role: "target",
        path: text(path),
        hashes,
        ..FileEvidence::default()
    };
    let hashes = Hashes { md5: Some("b".repeat(32)), ..Hashes::default() };
    let files = vec![file(r"C:\a\bait.docx", Hashes::default()), file(r"C:\a\evil.exe", hashes)];
    let conversion = converted(&Alert { files, ..samples::sigma_alert() }, None);
    let in_case: Vec<&str> = conversion.case_references().collect();
    let is_in_case = |name: &str| {
        let files = conversion.bundle.objects.iter().filter(|it| it["type"] == "file");
        let file = files.into_iter().find(|it| it.get("name") == Some(&json!(name))).unwrap();
        in_case.contains(&file["id"].as_str().unwrap())
    };
    assert!(!is_in_case("bait.docx") && is_in_case("evil.exe"));
}
