//! Threats that grow while they are swept.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, Generator, Kind},
    opencti::split,
    stix::Bundle,
};
use serde_json::{Value, json};

use crate::support::{app::is_long, service::TestService};

fn threat(id: &str, alerts: usize) -> Value {
    let now = Clock::system().now();
    json!({
        "id": id, "slug": format!("THREAT-{id}"), "status": "new", "level": "high",
        "creation_date": (now - TimeDelta::days(1)).to_rfc3339(),
        "first_seen": (now - TimeDelta::days(1)).to_rfc3339(),
        "last_seen": now.to_rfc3339(), "last_update": now.to_rfc3339(),
        "total_security_event_count": alerts, "top_agents": [], "top_rules": [],
    })
}

/// No message of the bundle is more than a broker takes.
fn messages_are_small(bundle: &Bundle) {
    for piece in split(bundle).unwrap().pieces {
        // A message carries its piece as base64.
        let size = piece.to_bundle(&bundle.id).len() * 4 / 3;
        assert!(size < 1_000_000, "a message of {size} bytes");
    }
}

/// `threats` threats that get `growth` alerts before each of `sweeps` sweeps.
async fn growing(threats: usize, growth: usize, sweeps: usize) {
    let now = Clock::system().now();
    let world = TestService::start(
        |console| console.seed(now - TimeDelta::days(30)),
        |settings| settings.consoles[0].import.threats = true,
    )
    .await;
    world.sweep().await;
    let mut generator = Generator::new(20);
    let mut raised_at = now - TimeDelta::days(1);
    for round in 1..=sweeps {
        for number in 0..threats {
            let id = format!("threat-{number}");
            for _ in 0..growth {
                raised_at += TimeDelta::milliseconds(17);
                let mut alert = generator.alert(Kind::SigmaProcess, raised_at).api_item();
                alert["threat_key"] = id.as_str().into();
                world.console.add_alert(alert);
            }
            let threat = threat(&id, growth * round);
            if round == 1 {
                world.console.add(Collection::Threats, threat);
            } else {
                let changes = json!({
                    "last_update": threat["last_update"], "last_seen": threat["last_seen"],
                    "total_security_event_count": growth * round,
                });
                world.console.update_threat(&id, &changes).unwrap();
            }
        }
        // An alert without a threat comes in as well.
        raised_at += TimeDelta::milliseconds(17);
        let mut alone = generator.alert(Kind::SigmaProcess, raised_at).api_item();
        alone["threat_key"] = Value::Null;
        world.console.add_alert(alone);
        world.sweep().await;
        world.settle().await;
    }
    let change = json!({
        "status": "closed", "last_update": Clock::system().now().to_rfc3339(),
    });
    world.console.update_threat("threat-0", &change).unwrap();
    let before = world.bundles().len();
    world.sweep().await;
    world.settle().await;
    let bundles = world.bundles();
    assert!(bundles.len() > before, "a closed threat is updated");
    all_are_in_their_cases(&bundles, threats, growth, sweeps);
}

/// Each alert is an incident, and the case of each threat refers to all of its own.
fn all_are_in_their_cases(bundles: &[Bundle], threats: usize, growth: usize, sweeps: usize) {
    let mut incidents = 0;
    let mut cases: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for bundle in bundles {
        messages_are_small(bundle);
        for object in &bundle.objects {
            match object["type"].as_str() {
                Some("incident") => incidents += 1,
                Some("case-incident") => {
                    let name = object["name"].as_str().unwrap().to_owned();
                    let case = cases.entry(object["id"].as_str().unwrap().to_owned());
                    // An update without new ones has none: they add up in OpenCTI.
                    let refs = object.get("object_refs").and_then(Value::as_array);
                    let refs = refs.into_iter().flatten().map(|id| id.as_str().unwrap().to_owned());
                    let refs = refs.filter(|id| id.starts_with("incident--"));
                    case.or_insert((name, BTreeSet::new())).1.extend(refs);
                }
                _ => {}
            }
        }
    }
    assert_eq!(incidents, (threats * growth + 1) * sweeps, "each alert once, whatever grew");
    cases.retain(|_, (name, _)| name.contains("threat-"));
    assert_eq!(cases.len(), threats, "one case a threat: {:?}", cases.values());
    for (name, refs) in cases.values() {
        assert_eq!(refs.len(), growth * sweeps, "{name} refers to all its incidents");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_threats_that_grow_over_five_sweeps_are_a_case_each_that_refers_to_everything() {
    growing(50, 2, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threat_of_two_thousand_alerts_is_one_case_in_messages_that_the_broker_takes() {
    if is_long() {
        growing(1, 1_000, 2).await;
    } else {
        growing(1, 200, 2).await;
    }
}
