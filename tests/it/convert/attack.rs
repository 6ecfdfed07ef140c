//! Rules tagged by ATT&CK 18, by ATT&CK 19 and by no version of it.

use harfanglab_incidents::{
    alert::{Alert, Threat, ThreatRule},
    convert::convert_threat,
};
use serde_json::{Value, json};

use super::bundles::{converted, none, objects, one};
use crate::support::samples;

/// One rule as its author tagged it by ATT&CK 18, and later by ATT&CK 19.
const RETAGGED: [(&[&str], &[&str]); 8] = [
    (
        &["attack.defense-evasion", "attack.t1562.001"],
        &["attack.defense-impairment", "attack.t1685"],
    ),
    (
        &["attack.defense_evasion", "attack.t1562.002", "attack.t1112"],
        &["attack.defense-impairment", "attack.t1685.001", "attack.t1112"],
    ),
    (&["attack.defense_evasion", "attack.t1036.005"], &["attack.stealth", "attack.t1036.005"]),
    (
        &["attack.defense-evasion", "attack.t1070.001", "attack.t1070.004"],
        &["attack.stealth", "attack.defense-impairment", "attack.t1685.005", "attack.t1070.004"],
    ),
    (
        &["attack.initial-access", "attack.defense-evasion", "attack.t1656"],
        &["attack.initial-access", "attack.stealth", "attack.t1684.001"],
    ),
    (&["attack.defense-evasion"], &["attack.stealth"]),
    (
        &["attack.execution", "attack.defense-evasion", "attack.t1064"],
        &["attack.execution", "attack.stealth", "attack.t1064"],
    ),
    (&["attack.impact", "attack.t1490"], &["attack.impact", "attack.t1490"]),
];

/// An alert whose Sigma rule carries these tags, as the rule's text and as the alert's own.
fn tagged(tags: &[&str]) -> Alert {
    let lines = format!("  - {}\n", tags.join("\n  - "));
    let rule =
        samples::SIGMA.replace("  - attack.credential_access\n  - attack.t1555.003\n", &lines);
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    Alert { tags, rule_content: Some(rule), mitre_cells: Vec::new(), ..samples::sigma_alert() }
}

#[test]
fn a_rule_tagged_by_attack_18_names_the_same_as_when_it_is_tagged_by_attack_19() {
    for (by_18, by_19) in RETAGGED {
        let [old, new] = [by_18, by_19].map(|tags| converted(&tagged(tags), None));
        let techniques = |conversion| objects(conversion, "attack-pattern").cloned().collect();
        let [of_old, of_new]: [Vec<_>; 2] = [techniques(&old), techniques(&new)];
        assert_eq!(of_old, of_new, "{by_18:?}");
        let phases = |conversion| one(conversion, "indicator").get("kill_chain_phases").cloned();
        assert_eq!(phases(&old), phases(&new), "{by_18:?}");
        assert!(phases(&old).is_some());
        assert_eq!((old.left_out, new.left_out), (Vec::new(), Vec::new()), "{by_18:?}");
        let text = serde_json::to_string(&of_old).unwrap();
        assert!(!text.contains("defense-evasion"), "{by_18:?}");
    }
}

#[test]
fn a_cell_of_attack_19_gives_technique_tactic_and_phase() {
    let alert = Alert {
        mitre_cells: vec!["defense-impairment__t1685.001".to_owned()],
        ..samples::alert("hlai")
    };
    let conversion = converted(&alert, None);
    let technique = one(&conversion, "attack-pattern");
    assert_eq!(technique["x_mitre_id"], "T1685.001");
    assert_eq!(technique["name"], "Disable or Modify Windows Event Log");
    let phase = json!({ "kill_chain_name": "mitre-attack", "phase_name": "defense-impairment" });
    assert_eq!(technique["kill_chain_phases"], json!([phase]));
    let description = one(&conversion, "incident")["description"].as_str().unwrap();
    assert!(description.contains("| Tactics | defense-impairment |"), "{description}");
}

#[test]
fn techniques_have_no_dates_and_retired_ones_no_phases() {
    let conversion = converted(&tagged(&["attack.t1555.003"]), None);
    let dates = |technique: &serde_json::Map<String, Value>| {
        ["created", "modified"].map(|key| technique.contains_key(key))
    };
    assert_eq!(dates(one(&conversion, "attack-pattern")), [false, false]);
    let retired = converted(&tagged(&["attack.execution", "attack.t1064"]), None);
    let technique = one(&retired, "attack-pattern");
    assert_eq!(
        (&technique["x_mitre_id"], &technique["name"]),
        (&json!("T1064"), &json!("Scripting"))
    );
    assert!(!technique.contains_key("kill_chain_phases"), "{technique:?}");
}

#[test]
fn unknown_tactics_and_techniques_are_reported_once_each() {
    let conversion = converted(&tagged(&["attack.evading", "attack.t9999", "attack.s0002"]), None);
    let told = |left_out: &[harfanglab_incidents::convert::LeftOut]| -> Vec<_> {
        left_out.iter().map(|it| format!("{}: {}", it.what, it.why)).collect()
    };
    let expected = [
        "tactic: evading is no tactic of ATT&CK 19; check the tags of the rule",
        "attack-pattern: T9999 is no technique of ATT&CK 19; check the tags of the rule",
    ];
    assert_eq!(told(&conversion.left_out), expected);
    assert!(none(&conversion, "attack-pattern"));

    let rule = ThreatRule { tags: vec!["attack.t9999".to_owned()], ..ThreatRule::default() };
    let threat = Threat {
        tactics: vec!["evading".to_owned(), "defense_evasion".to_owned()],
        creation_date: Some(samples::at("2026-03-02T10:00:00Z")),
        rules: vec![rule],
        ..Threat::default()
    };
    let conversion = convert_threat(&threat, &[], &samples::never_seen(), &samples::settings());
    assert_eq!(told(&conversion.left_out), expected);
}
