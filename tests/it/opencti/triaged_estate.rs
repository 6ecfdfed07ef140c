//! An estate of unrelated hosts whose alerts are triaged: what the platform holds in the end.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, DemoConsole, Generator, Kind},
};
use serde_json::{Value, json};

use super::imported_objects::{import, in_order};
use crate::support::{
    app::{is_long, patience},
    opencti::Knowledge,
    service::TestService,
};

/// Days between the oldest alert and today: indicators of an address live for 47.
const DAYS: i64 = 45;
/// Days between the alerts of one threat: the platform merges what a sighting of one host and rule has within
/// thirty days, whatever the order in which they come.
const DAYS_OF_THREAT: i64 = 20;

/// Fills a console with alerts of `threats` threats, each on hosts of its own; answers what the alerts are
/// known by.
fn fill(console: &DemoConsole, alerts: usize, threats: usize) -> Vec<String> {
    let now = Clock::system().now();
    let mut generator = Generator::new(7);
    let mut unique_ids = Vec::new();
    for number in 0..alerts {
        let threat = number % threats;
        let share = |part: usize, days: i64| {
            TimeDelta::days(days) * i32::try_from(part).unwrap() / i32::try_from(alerts).unwrap()
        };
        let age = share(threat * alerts / threats, DAYS - DAYS_OF_THREAT - 1)
            + share(number, DAYS_OF_THREAT)
            + TimeDelta::hours(1);
        let alert = generator.next_alert(now - age);
        let host = format!("{}-{threat}", alert.host());
        let mut item = alert.api_item();
        item["threat_key"] = format!("threat-{threat}").into();
        item["agent"]["agentid"] = format!("agent of {host}").into();
        item["agent"]["hostname"] = host.into();
        unique_ids.push(alert.unique_id().to_owned());
        console.add_alert(item);
    }
    for threat in 0..threats {
        let date = (now - TimeDelta::days(DAYS)).to_rfc3339();
        console.add(
            Collection::Threats,
            json!({
                "id": format!("threat-{threat}"), "slug": format!("THREAT-{threat}"),
                "status": "new", "level": "high", "creation_date": date, "first_seen": date,
                "last_seen": now.to_rfc3339(), "last_update": now.to_rfc3339(),
                "total_security_event_count": alerts / threats, "top_agents": [], "top_rules": [],
            }),
        );
    }
    unique_ids
}

/// The platform's objects, and the ids under which each alert's sighting was ever sent.
#[derive(Default)]
struct Seen {
    knowledge: Knowledge,
    sightings: BTreeMap<String, BTreeSet<String>>,
    bundles: usize,
}

impl Seen {
    /// Imports what was delivered since the last time.
    fn import_new(&mut self, world: &TestService) {
        for bundle in world.bundles().iter().skip(self.bundles) {
            self.bundles += 1;
            import(&mut self.knowledge, bundle);
            for sighting in in_order(bundle).iter().filter(|object| object["type"] == "sighting") {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let alert = text(&sighting["external_references"][0]["external_id"]);
                self.sightings.entry(alert).or_default().insert(text(&sighting["id"]));
            }
        }
    }

    /// Ends and time of every sighting that the platform shows.
    fn windows(&self) -> Vec<String> {
        let windows = self.knowledge.sightings.iter();
        windows.map(|it| format!("{:?} {} {}", it.ends(), it.first_seen, it.last_seen)).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_changes_of_status_add_no_sighting_and_nothing_ties_unrelated_threats() {
    let (alerts, threats) = if is_long() { (300, 20) } else { (66, 6) };
    let now = Clock::system().now();
    let mut unique_ids = Vec::new();
    let world = TestService::start(
        |console| {
            console.seed(now - TimeDelta::days(DAYS));
            unique_ids = fill(console, alerts, threats);
        },
        |settings| {
            settings.consoles[0].import.threats = true;
            // No alert leaves first without its rule because this machine is slow.
            settings.consoles[0].harfanglab.request_timeout = 10 * patience();
        },
    )
    .await;
    let mut seen = Seen::default();
    world.sweep().await;
    world.settle().await;
    seen.import_new(&world);
    assert!(seen.bundles >= alerts, "{} bundles", seen.bundles);
    let at_first = seen.windows();
    for status in ["investigating", "false_positive", "closed"] {
        let change = json!({
            "status": status, "last_update": Clock::system().now().to_rfc3339(),
        });
        for unique_id in &unique_ids {
            world.console.update_alert(unique_id, &change).unwrap();
        }
        let before = seen.bundles;
        world.sweep().await;
        world.settle().await;
        seen.import_new(&world);
        assert!(seen.bundles >= before + alerts, "each alert was sent as {status}");
        let windows = seen.windows();
        let moved: Vec<_> = windows.iter().filter(|it| !at_first.contains(it)).collect();
        assert!(moved.is_empty() && windows.len() == at_first.len(), "as {status}: {moved:#?}");
    }
    let many: Vec<_> = seen.sightings.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(many.is_empty(), "one sighting id an alert, for ever: {many:?}");
    assert!(seen.sightings.len() > alerts / 2, "{} sightings", seen.sightings.len());

    assert_eq!(seen.knowledge.revoked(now), Vec::<&str>::new());
    let cases = seen.knowledge.of_type("case-incident").len();
    assert!(cases >= threats, "{cases} cases");
    let ties = seen.knowledge.ties();
    assert!(!ties.is_empty(), "one rule ties the cases of its alerts");
    for tie in &ties {
        let common: Vec<_> =
            tie.shared.iter().filter(|key| seen.knowledge.is_on_every_host(key)).collect();
        assert!(common.is_empty(), "{:?} are tied by {common:?}", tie.cases);
    }
    println!(
        "{alerts} alerts, {cases} cases, {} sightings sent, {} shown, {} pairs of cases tied",
        seen.sightings.len(),
        at_first.len(),
        ties.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_indicator_of_an_old_rule_is_not_revoked_while_alerts_of_it_come() {
    let now = Clock::system().now();
    let mut alert =
        Generator::new(7).alert(Kind::SigmaProcess, now - TimeDelta::hours(1)).api_item();
    let rule =
        alert["rule_content"].as_str().unwrap().replace("date: 2026/01/15", "date: 2023/01/15");
    assert!(rule.contains("2023/01/15"), "{rule}");
    alert["rule_content"] = rule.into();
    let fill = |console: &DemoConsole| {
        console.seed(now);
        console.add_alert(alert);
    };
    let world = TestService::start(fill, |_| {}).await;
    world.sweep().await;
    world.settle().await;
    let mut seen = Seen::default();
    seen.import_new(&world);
    let indicators = seen.knowledge.of_type("indicator");
    assert_eq!(indicators.len(), 1);
    let created = indicators[0]["created"].as_str().unwrap();
    assert!(created.starts_with("2023-01-15"), "the rule's own: {created}");
    assert_eq!(seen.knowledge.revoked(now), Vec::<&str>::new());
}
