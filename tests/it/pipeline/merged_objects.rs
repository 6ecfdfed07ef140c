//! Objects that OpenCTI merges are told from all alerts together: sightings of one indicator on one host, and
//! the case of a threat.

use chrono::TimeDelta;
use harfanglab_incidents::{
    demo::{Collection, Generator, Kind},
    intake::dialect::Dialect,
    stix::{Bundle, time::timestamp},
};
use serde_json::{Map, Value, json};

use super::enrichment::with;
use crate::support::pipeline::{TestPipeline, start};

/// An alert of one rule on one host, raised `days` after the first.
fn sigma_alert(number: u8, days: i64, status: &str) -> Value {
    let item = Generator::new(5).alert(Kind::SigmaProcess, start()).api_item();
    let at = (start() + TimeDelta::days(days)).to_rfc3339();
    let item = with(item, "alert_time", json!(at));
    let item = with(item, "id", json!(format!("page-{number}")));
    let id = format!("6a1b8a36-0c0e-4f7e-9a53-0d6c2f4f7b{number:02}");
    with(with(item, "alert_unique_id", json!(id)), "status", json!(status))
}

fn is_negative(bundle: &Bundle) -> bool {
    let sighting = bundle.objects.iter().find(|object| object["type"] == "sighting");
    sighting.unwrap()["x_opencti_negative"] == json!(true)
}

#[tokio::test]
async fn a_false_positive_leaves_the_sighting_real_while_another_alert_of_it_is() {
    let mut rig = TestPipeline::start(|_| {}).await;
    let mut sent = 0;
    for (number, days, status, negative, why) in [
        (1, 0, "false_positive", true, "the only one"),
        (2, 10, "new", false, "a later real one takes it back"),
        (1, 0, "false_positive", false, "sent again beside the real one"),
        (3, 50, "false_positive", true, "too far from the others"),
        (4, 35, "false_positive", false, "merged with the real one of day 10"),
        (2, 10, "false_positive", true, "now all of them are"),
    ] {
        // The level tells two versions of one status apart.
        let level = if sent == 2 { "low" } else { "high" };
        let item = with(sigma_alert(number, days, status), "level", json!(level));
        rig.sweep(&with(item, "last_update", Value::Null)).await;
        sent += 1;
        let bundles = rig.delivered(sent).await;
        assert_eq!(is_negative(&bundles[sent - 1]), negative, "{why}");
    }
}

#[tokio::test]
async fn a_verdict_prepared_beside_a_real_alert_does_not_leave_after_it() {
    let mut rig = TestPipeline::start(|_| {}).await;
    for pair in 0..8_u8 {
        for (number, status) in [(2 * pair, "new"), (2 * pair + 1, "false_positive")] {
            let item = sigma_alert(number, 100 * i64::from(pair), status);
            rig.sweep(&with(item, "last_update", Value::Null)).await;
        }
    }
    let bundles = rig.delivered(16).await;
    let mut last = std::collections::BTreeMap::new();
    for bundle in &bundles {
        let sighting = bundle.objects.iter().find(|object| object["type"] == "sighting").unwrap();
        last.insert(sighting["first_seen"].to_string(), is_negative(bundle));
    }
    assert_eq!(last.len(), 8);
    assert!(last.values().all(|negative| !negative), "{last:?}");
}

#[tokio::test]
async fn an_indicator_is_the_same_bytes_until_an_alert_comes_a_month_after_the_one_it_is_valid_from()
 {
    let mut rig = TestPipeline::start(|_| {}).await;
    let mut sent: Vec<(String, String)> = Vec::new();
    for (number, day, valid_from) in
        [(1, -60, -60), (2, -50, -60), (3, -29, -29), (1, -60, -29), (4, -80, -29), (5, 9, -29)]
    {
        // The last one is of a clock that is ahead: it was received on day 0.
        let status = if sent.len() == 3 { "closed" } else { "new" };
        rig.sweep(&with(sigma_alert(number, day, status), "last_update", Value::Null)).await;
        let bundle = rig.delivered(sent.len() + 1).await.pop().unwrap();
        let is_indicator = |object: &&Map<String, Value>| object["type"] == "indicator";
        let indicator = bundle.objects.iter().find(is_indicator).unwrap();
        let date = timestamp(start() + TimeDelta::days(valid_from));
        assert_eq!(indicator["valid_from"], json!(date), "alert {number}");
        let bytes = serde_json::to_string(indicator).unwrap();
        assert!(sent.iter().all(|(of, same)| *of != date || *same == bytes), "{bytes}");
        sent.push((date, bytes));
    }
}

fn references(bundle: &Bundle) -> Vec<String> {
    let case = bundle.objects.iter().find(|object| object["type"] == "case-incident").unwrap();
    let references = case.get("object_refs").and_then(Value::as_array).cloned().unwrap_or_default();
    references.iter().map(|reference| reference.as_str().unwrap().to_owned()).collect()
}

fn ids<'a>(bundle: &'a Bundle, kind: &'a str) -> impl Iterator<Item = String> + 'a {
    let found = bundle.objects.iter().filter(move |object| object["type"] == kind);
    found.map(|object| object["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_case_refers_to_what_its_alerts_show_once_and_knows_the_techniques_of_its_rules() {
    let mut rig = TestPipeline::start(|settings| settings.consoles[0].import.threats = true).await;
    rig.console.seed(start());
    let of_threat = |number| with(sigma_alert(number, 0, "new"), "threat_key", json!("8123"));
    let rule_id = of_threat(1)["rule_id"].clone();
    let threat = |status: &str, content: &str| {
        json!({
            "id": "8123", "slug": "brave-otter", "status": status, "level": "high",
            "creation_date": start().to_rfc3339(), "last_update": start().to_rfc3339(),
            "total_security_event_count": 1, "top_agents": [], "top_impacted_users": [],
            "top_rules": [{ "rule_id": rule_id, "rule_name": "any", "rule_type": "sigma" }],
            "note": { "title": "Triage", "content": content },
        })
    };
    let keep = |rig: &TestPipeline, item: &Value| {
        rig.console.add(Collection::Threats, item.clone());
        rig.console.set_note("8123", item["note"].clone());
    };

    rig.sweep(&of_threat(1)).await;
    let alert = rig.delivered(1).await.remove(0);
    // A case waits for alerts that have left and have not ended, under a clock that stands still.
    rig.rest().await;
    let item = threat("new", "First words.");
    keep(&rig, &item);
    rig.push(Dialect::NativeThreat, &item).await;
    let case = rig.delivered(2).await.remove(1);
    let first = references(&case);
    for kind in ["incident", "indicator", "process", "hostname"] {
        for id in ids(&alert, kind) {
            assert!(first.contains(&id), "{id} is not in {first:?}");
        }
    }
    let techniques: Vec<String> = ids(&case, "attack-pattern").collect();
    assert!(!techniques.is_empty() && techniques.iter().all(|id| first.contains(id)));
    assert!(!first.iter().any(|id| id.starts_with("sighting--") || id.starts_with("note--")));

    rig.sweep(&with(of_threat(2), "alert_time", json!("2026-05-27T00:00:00Z"))).await;
    let grown = rig.delivered(3).await.remove(2);
    let second = references(&rig.passed_until(4).await[3]);
    assert!(ids(&grown, "incident").all(|id| second.contains(&id)), "what is new");
    assert!(ids(&alert, "incident").all(|id| !second.contains(&id)), "what is there is not sent");

    let item = threat("investigating", "Other words.");
    keep(&rig, &item);
    rig.push(Dialect::NativeThreat, &item).await;
    let update = rig.delivered(5).await.remove(4);
    assert!(ids(&grown, "incident").all(|id| !references(&update).contains(&id)), "known by now");
    assert!(ids(&update, "note").eq(ids(&case, "note")), "the same note, with other words");
}

/// A threat that says nothing but what it must.
fn bare_threat() -> Value {
    json!({
        "id": "8123", "slug": "brave-otter", "status": "new", "level": "high",
        "creation_date": start().to_rfc3339(), "last_update": start().to_rfc3339(),
        "top_agents": [], "top_impacted_users": [], "top_rules": [],
    })
}

#[tokio::test]
async fn a_case_that_left_before_its_alerts_leaves_once_more_for_all_of_them() {
    let mut rig = TestPipeline::start(|settings| settings.consoles[0].import.threats = true).await;
    rig.push(Dialect::NativeThreat, &bare_threat()).await;
    assert!(references(&rig.delivered(1).await[0]).is_empty());
    for number in 1..=2 {
        rig.sweep(&with(sigma_alert(number, 0, "new"), "threat_key", json!("8123"))).await;
    }
    let bundles = rig.delivered(3).await;
    let references = references(&rig.passed_until(4).await[3]);
    for alert in &bundles[1..] {
        assert!(ids(alert, "incident").all(|id| references.contains(&id)), "{references:?}");
    }
    let counts = rig.until("all left", |counts| counts.delivered == 3).await;
    assert_eq!(counts.pending, 0, "a case that knows all its alerts is left alone");
}
