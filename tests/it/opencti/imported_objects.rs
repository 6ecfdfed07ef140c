//! The service's objects in a running OpenCTI, as an analyst sees them: judged
//! by `support::opencti::Knowledge`, which follows the platform's rules. What a reset purges and what a search
//! engine that is away loses is tested in `lost_works`.

use chrono::TimeDelta;
use harfanglab_incidents::{
    alert::{Alert, Threat, ThreatUser},
    convert::{Conversion, convert_alert, convert_threat},
    opencti::split,
    stix::Bundle,
};
use serde_json::{Value, json};

use crate::support::{
    opencti::{Knowledge, Personality},
    samples::{self, text},
};

/// The objects of a bundle in the order in which they leave.
pub(super) fn in_order(bundle: &Bundle) -> Vec<Value> {
    let pieces = split(bundle).unwrap().pieces;
    let of_piece = |text: String| {
        let mut piece: Value = serde_json::from_str(&text).unwrap();
        piece["objects"][0].take()
    };
    pieces.iter().map(|piece| of_piece(piece.to_bundle(&bundle.id))).collect()
}

/// Imports a bundle of which nothing is refused.
pub(super) fn import(knowledge: &mut Knowledge, bundle: &Bundle) {
    for object in in_order(bundle) {
        let imported = knowledge.import(Personality::V7_260817_0, &object);
        assert_eq!(imported, Ok(()), "{object}");
    }
}

fn converted(alert: &Alert) -> Conversion {
    convert_alert(alert, None, &samples::never_seen(), &samples::settings())
}

/// The only object of a type.
fn one(knowledge: &Knowledge, kind: &str) -> Value {
    let found = knowledge.of_type(kind);
    assert_eq!(found.len(), 1, "{kind}: {found:#?}");
    Value::Object(found[0].clone())
}

#[test]
fn triage_counts_no_sighting_again_and_moves_no_date() {
    let mut knowledge = Knowledge::default();
    let mut alert = samples::ioc_alert();
    import(&mut knowledge, &converted(&alert).bundle);
    let first = one(&knowledge, "incident");
    for (status, days) in [("investigating", 1), ("false_positive", 40), ("closed", 400)] {
        alert.status = text(status);
        alert.last_update = alert.alert_time.map(|time| time + TimeDelta::days(days));
        import(&mut knowledge, &converted(&alert).bundle);
        let sightings: Vec<_> =
            knowledge.sightings.iter().map(|it| (it.count, it.last_seen - it.first_seen)).collect();
        assert_eq!(sightings, [(1, TimeDelta::zero())], "{status} after {days} days");
        let incident = one(&knowledge, "incident");
        for seen in ["first_seen", "last_seen"] {
            assert_eq!(incident[seen], first[seen], "{status} after {days} days");
        }
    }
}

/// An alert on a host of its own by a rule of its own, in a process of the operating system.
fn unrelated(host: &str) -> Alert {
    let mut alert = samples::sigma_alert();
    alert.rule_content = None;
    alert.rule_name = Some(format!("A rule for {host}"));
    alert.agent.hostname = text(host);
    alert.agent.ip_addresses.clear();
    alert.detection_path = Some(format!(r"C:\WINDOWS\system32\{host}.dll"));
    let process = alert.process.as_mut().unwrap();
    let number = i64::try_from(host.len()).unwrap();
    process.pid = Some(number);
    process.image_path = text(r"C:\Windows\System32\svchost.exe");
    process.username = text(r"NT AUTHORITY\SYSTEM");
    process.user_sid = text("S-1-5-18");
    process.parent.as_mut().unwrap().pid = Some(number + 1_000);
    alert
}

#[test]
fn unrelated_threats_are_not_tied_by_what_every_host_has() {
    let mut knowledge = Knowledge::default();
    for host in ["ws-1", "srv-23"] {
        let alert = converted(&unrelated(host));
        import(&mut knowledge, &alert.bundle);
        let members: Vec<String> = alert.case_references().map(str::to_owned).collect();
        let threat = Threat {
            id: host.to_owned(),
            slug: Some(format!("threat of {host}")),
            creation_date: Some(samples::at("2026-03-02T10:00:00Z")),
            users: vec![ThreatUser {
                name: text(r"NT AUTHORITY\SYSTEM"),
                sid: text("S-1-5-18"),
                alert_count: None,
            }],
            ..Threat::default()
        };
        let known = samples::never_seen();
        let case = convert_threat(&threat, &members, &known, &samples::settings());
        import(&mut knowledge, &case.bundle);
    }
    assert_eq!(knowledge.of_type("case-incident").len(), 2);
    assert_eq!(knowledge.ties(), []);
    let everywhere: Vec<_> = ["process", "directory"]
        .iter()
        .flat_map(|kind| knowledge.of_type(kind))
        .filter(|object| !object.contains_key("pid"))
        .collect();
    assert!(everywhere.is_empty(), "one for all hosts: {everywhere:#?}");
}

#[test]
fn the_victim_is_not_shown_as_the_attackers_infrastructure() {
    let mut knowledge = Knowledge::default();
    let alert = samples::network_alert();
    let conversion = converted(&alert);
    import(&mut knowledge, &conversion.bundle);
    let shown = knowledge.infrastructure(&conversion.root_id);
    for own in ["WS-Desk-07", "192.0.2.17", "2001:db8::17"] {
        assert!(!shown.contains(own), "{own}: {shown:?}");
    }
    assert!(shown.contains("203.0.113.9"), "where the connection went: {shown:?}");
}

#[test]
fn a_page_shows_what_happened_and_not_only_the_rules_long_text() {
    let mut knowledge = Knowledge::default();
    let mut alert = samples::sigma_alert();
    alert.message = Some("The rule looks for a program that reads what browsers keep. ".repeat(40));
    let conversion = converted(&alert);
    import(&mut knowledge, &conversion.bundle);
    let shown = knowledge.shown(&conversion.root_id);
    for fact in [r"Downloads\browserdump.exe", "--all", r"CORP\zoe", "cmd.exe /c start.bat"] {
        assert!(shown.contains(fact), "{fact}: {shown}");
    }
}

/// A relationship between two ids.
fn related(source: &str, target: &str) -> Value {
    json!({
        "type": "relationship", "id": format!("relationship--{source}-{target}"),
        "relationship_type": "related-to", "source_ref": source, "target_ref": target,
    })
}

fn indicator(name: &str, kind: &str, pattern: &str, valid_from: &str) -> Value {
    json!({
        "type": "indicator", "id": format!("indicator--{name}"), "name": name,
        "pattern_type": kind, "pattern": pattern, "valid_from": valid_from,
    })
}

#[test]
fn the_judge_revokes_indicators_after_the_lifetime_of_their_kind() {
    let mut knowledge = Knowledge::default();
    let platform = Personality::V7_260817_0;
    let kinds = [
        ("address", "stix", "[ipv4-addr:value = '203.0.113.9']", 47),
        ("link", "stix", "[url:value = 'https://a.example/']", 47),
        ("domain", "stix", "[domain-name:value = 'a.example']", 300),
        ("file", "stix", "[file:name = 'a.exe']", 460),
        ("rule", "sigma", "title: a", 470),
    ];
    let start = "2026-01-01T00:00:00Z";
    for (name, kind, pattern, _) in kinds {
        knowledge.import(platform, &indicator(name, kind, pattern, start)).unwrap();
    }
    for (name, _, _, days) in kinds {
        let end = samples::at(start) + TimeDelta::days(days);
        assert!(knowledge.revoked(end).contains(&name), "{name}");
        assert!(!knowledge.revoked(end - TimeDelta::seconds(1)).contains(&name), "{name}");
    }
    let (name, kind, pattern, days) = kinds[4];
    let end = samples::at(start) + TimeDelta::days(days);
    for valid_from in ["2026-03-01T00:00:00Z", "2020-01-01T00:00:00Z"] {
        knowledge.import(platform, &indicator(name, kind, pattern, valid_from)).unwrap();
        assert!(!knowledge.revoked(end).contains(&name), "after {valid_from}");
    }
}

#[test]
fn the_judge_refuses_bad_rules_and_values_and_what_refers_to_nothing() {
    let mut knowledge = Knowledge::default();
    let platform = Personality::V7_260817_0;
    knowledge.refuse_pattern("title: bad");
    knowledge.add_custom_field("x_harfanglab_status", &["new", "closed"]);
    let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let incident = |status: &str| json!({"type": "incident", "id": "incident--1", "x_harfanglab_status": status});
    let words = |result: Result<(), String>| result.unwrap_err();
    let bad = indicator("bad", "sigma", "title: bad", start);
    assert!(words(knowledge.import(platform, &bad)).contains("not correctly formatted"));
    assert!(words(knowledge.import(platform, &incident("odd"))).contains("allowed options"));
    assert_eq!(knowledge.retries, 0, "what is wrong itself is not tried again");
    let good = indicator("good", "sigma", "title: good", start);
    for object in [good, incident("closed"), json!({"type": "identity", "id": "identity--pc"})] {
        knowledge.import(platform, &object).unwrap();
    }
    knowledge.import(platform, &related("indicator--good", "incident--1")).unwrap();
    let sighting = |of: &str| {
        json!({"type": "sighting", "id": format!("sighting--{of}"), "sighting_of_ref": of,
            "where_sighted_refs": ["identity--pc"], "first_seen": start, "last_seen": end})
    };
    knowledge.import(platform, &sighting("indicator--good")).unwrap();
    for object in [related("indicator--bad", "incident--1"), sighting("indicator--bad")] {
        assert!(words(knowledge.import(platform, &object)).contains("MISSING_REFERENCE_ERROR"));
    }
    assert_eq!(knowledge.retries, 8);

    knowledge.delete("indicator--good");
    assert!(knowledge.of_type("relationship").is_empty() && knowledge.sightings.is_empty());
    let again = related("indicator--good", "incident--1");
    assert!(words(knowledge.import(platform, &again)).contains("MISSING_REFERENCE_ERROR"));
}
