//! A threat becomes a case.

use harfanglab_incidents::{
    alert::{Threat, ThreatAgent, ThreatNote, ThreatRule, ThreatUser},
    convert::{Conversion, Known, MOST_CASE_OBJECTS, convert_threat, gate::violations},
};
use serde_json::json;

use super::bundles::{id, none, objects, one};
use crate::support::samples::{self, at, text};

pub(super) fn threat() -> Threat {
    Threat {
        id: "8123".to_owned(),
        slug: text("brave-otter-17"),
        status: text("new"),
        level: text("critical"),
        creation_date: Some(at("2026-03-02T10:00:00.182748Z")),
        first_seen: Some(at("2026-03-02T09:00:00Z")),
        last_seen: Some(at("2026-03-02T11:00:00Z")),
        last_update: Some(at("2026-03-02T11:00:01Z")),
        alert_count: Some(12),
        alert_counts_by_level: vec![("critical".to_owned(), 2), ("low".to_owned(), 10)],
        tactics: vec!["Execution".to_owned(), "Impact".to_owned()],
        agents: ["WS-Desk-07", "DB01"]
            .map(|name| ThreatAgent {
                hostname: text(name),
                os_type: text("windows"),
                alert_count: Some(6),
                ..ThreatAgent::default()
            })
            .to_vec(),
        users: vec![
            ThreatUser {
                name: text(r"CORP\zoe"),
                sid: text("S-1-5-21-1-2-3-1104"),
                alert_count: Some(9),
            },
            ThreatUser {
                name: text(r"NT AUTHORITY\SYSTEM"),
                sid: text("S-1-5-18"),
                alert_count: None,
            },
        ],
        rules: vec![ThreatRule {
            name: text("Canary file deleted"),
            level: text("critical"),
            kind: text("ransom"),
            alert_count: Some(2),
            tags: vec!["attack.t1486".to_owned(), "attack.impact".to_owned()],
            ..ThreatRule::default()
        }],
        note: Some(ThreatNote {
            title: text("Triage"),
            content: text("Isolated by the night shift."),
            creation_date: Some(at("2026-03-02T12:00:00Z")),
            last_update: None,
        }),
    }
}

fn converted(threat: &Threat, incident_ids: &[String], known: &Known) -> Conversion {
    let conversion = convert_threat(threat, incident_ids, known, &samples::settings());
    assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
    conversion
}

#[test]
fn a_threat_in_full() {
    let incident_ids = ["incident--5b0c6b4e-1111-5222-8333-444455556666".to_owned()];
    let conversion = converted(&threat(), &incident_ids, &samples::never_seen());
    insta::assert_json_snapshot!(conversion.bundle);
}

#[test]
fn a_threat_whose_busiest_agent_changes_stays_the_same_case() {
    let first = converted(&threat(), &[], &samples::never_seen());
    assert_eq!(first.identity.name, "brave-otter-17 on WS-Desk-07");
    let known = Known { identity: Some(first.identity.clone()), ..samples::never_seen() };
    let mut later = threat();
    later.agents.reverse();
    later.slug = None;
    assert_eq!(converted(&later, &[], &known).root_id, first.root_id);
}

#[test]
fn a_threat_without_agents_dates_slug_or_level_is_a_case_all_the_same() {
    let bare = Threat { id: "9".to_owned(), ..Threat::default() };
    let conversion = converted(&bare, &[], &samples::never_seen());
    let case = one(&conversion, "case-incident");
    assert_eq!(case["name"], "HarfangLab threat 9");
    assert_eq!(case["created"], "2026-03-02T10:00:05.000Z");
    assert!(!case.contains_key("severity") && !case.contains_key("object_refs"));
    for (level, severity, priority) in
        [("informational", "low", "P4"), ("High", "high", "P2"), ("medium", "medium", "P3")]
    {
        let levelled = Threat { level: text(level), ..threat() };
        let conversion = converted(&levelled, &[], &samples::never_seen());
        let case = one(&conversion, "case-incident");
        assert_eq!((&case["severity"], &case["priority"]), (&json!(severity), &json!(priority)));
    }
}

#[test]
fn a_note_without_content_is_left_out_and_one_without_dates_takes_those_of_its_case() {
    let noted = |note: ThreatNote| {
        let threat = Threat { note: Some(note), ..threat() };
        converted(&threat, &[], &samples::never_seen())
    };
    assert!(none(&noted(ThreatNote::default()), "note"));
    let conversion = noted(ThreatNote { content: text("Seen."), ..ThreatNote::default() });
    let note = one(&conversion, "note");
    assert_eq!(note["created"], one(&conversion, "case-incident")["created"]);
    assert_eq!(note["abstract"], "Linked to brave-otter-17 on WS-Desk-07");
}

#[test]
fn a_case_names_the_techniques_of_its_rules_and_counts_its_alerts_by_level() {
    let conversion = converted(&threat(), &[], &samples::never_seen());
    let technique = one(&conversion, "attack-pattern");
    assert_eq!(technique["x_mitre_id"], "T1486");
    let case = one(&conversion, "case-incident");
    assert!(case["object_refs"].as_array().unwrap().contains(&json!(id(technique))));
    let description = case["description"].as_str().unwrap();
    for told in [
        "| By level | critical 2; low 10 |",
        "| Hosts | WS-Desk-07 (6); DB01 (6) |",
        r"| Users | `CORP\zoe (9); NT AUTHORITY\SYSTEM` |",
        "| Rules | Canary file deleted, critical ransom (2) |",
        "| Techniques | T1486 Data Encrypted for Impact |",
    ] {
        assert!(description.contains(told), "`{told}` is not in: {description}");
    }
}

#[test]
fn a_changed_note_goes_out_under_the_id_of_its_last_content() {
    let first = converted(&threat(), &[], &samples::never_seen());
    let first_id = id(one(&first, "note")).to_owned();
    assert_eq!(first.note_id.as_ref(), Some(&first_id));
    let mut changed = threat();
    changed.note.as_mut().unwrap().content = text("All is well again.");
    let known = Known { note_id: Some(first_id.clone()), ..samples::never_seen() };
    let second = converted(&changed, &[], &known);
    assert_eq!(id(one(&second, "note")), first_id);
    assert_eq!(one(&second, "note")["content"], "All is well again.");
    assert!(second.note_id.is_some_and(|next| next != first_id), "the next change comes under it");
}

#[test]
fn no_case_message_has_more_than_five_hundred_references() {
    let agent =
        |number| ThreatAgent { hostname: Some(format!("WS-{number}")), ..ThreatAgent::default() };
    let agents = (0..2_000).map(agent).collect();
    let object_ids: Vec<String> = (0..MOST_CASE_OBJECTS)
        .map(|number| format!("incident--00000000-0000-5000-8000-{number:012}"))
        .collect();
    let conversion = converted(&Threat { agents, ..threat() }, &object_ids, &samples::never_seen());
    let references = one(&conversion, "case-incident")["object_refs"].as_array().unwrap();
    assert!(references.len() <= 500, "{}", references.len());
    assert!(object_ids.iter().all(|id| references.contains(&json!(id))));
}

#[test]
fn an_incident_is_referenced_once_however_often_it_is_named() {
    let incident_id = "incident--5b0c6b4e-1111-5222-8333-444455556666".to_owned();
    let twice = [incident_id.clone(), incident_id.clone()];
    let conversion = converted(&threat(), &twice, &samples::never_seen());
    let case = one(&conversion, "case-incident");
    let references = case["object_refs"].as_array().unwrap();
    assert_eq!(references.iter().filter(|reference| **reference == json!(incident_id)).count(), 1);
    for host in objects(&conversion, "hostname") {
        assert!(references.contains(&json!(id(host))));
    }
}
