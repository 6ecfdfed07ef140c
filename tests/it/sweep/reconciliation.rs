//! The judge: pushes are lost, repeated and late, analysts change their minds, and the console
//! fails now and then. In the end OpenCTI has what the console has, and got each version once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, DemoAlert, Fault, Generator, RequestKind},
    stix::Bundle,
};
use serde_json::{Value, json};

use crate::support::{
    app::is_long,
    service::{DeliveredVersion, TestService},
    stage::{http, post_by},
};

/// Rounds in which alerts are raised, each ended by a sweep.
const ROUNDS: usize = 10;
/// Rounds until the last change has been made.
const ALL_ROUNDS: usize = ROUNDS + 7;

/// An alert, what becomes of its push and of its status.
struct Story {
    alert: DemoAlert,
    raised_in: usize,
    /// The rounds in which it is pushed.
    pushed_in: Vec<usize>,
    is_ecs: bool,
    /// The rounds in which its status changes, and to what.
    changes: Vec<(usize, &'static str)>,
}

fn stories(seed: u64, count: usize, now: DateTime<Utc>) -> Vec<Story> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut generator = Generator::new(seed);
    let begin = now - TimeDelta::minutes(i64::try_from(count).unwrap() + 60);
    (0..count)
        .map(|number| {
            let raised_at = begin + TimeDelta::minutes(i64::try_from(number).unwrap());
            let raised_in = number * ROUNDS / count;
            let pushed_in = match random.usize(0..100) {
                0..5 => Vec::new(),
                5..10 => vec![raised_in, raised_in],
                10..15 => vec![raised_in + random.usize(1..5)],
                _ => vec![raised_in],
            };
            let mut changes = Vec::new();
            if random.usize(0..100) < 10 {
                let first = raised_in + random.usize(1..4);
                let status = random.choice(["false_positive", "closed", "investigating"]);
                changes.push((first, status.unwrap()));
                if random.bool() {
                    changes.push((first + random.usize(1..4), "new"));
                }
            }
            let is_ecs = random.usize(0..3) == 0;
            let alert = generator.next_alert(raised_at);
            Story { alert, raised_in, pushed_in, is_ecs, changes }
        })
        .collect()
}

impl Story {
    /// The statuses that it had, in order.
    fn statuses(&self) -> Vec<&'static str> {
        std::iter::once("new").chain(self.changes.iter().map(|(_, status)| *status)).collect()
    }

    fn push(&self) -> Value {
        if self.is_ecs { self.alert.ecs() } else { self.alert.native() }
    }
}

/// Pushes until it is taken, as a sender does that is told to come again.
async fn push(client: &reqwest::Client, world: &TestService, body: &Value) {
    loop {
        match post_by(client, &world.webhook, body).await.0.as_u16() {
            202 => return,
            status => assert_eq!(status, 503),
        }
    }
}

async fn judge(seed: u64, count: usize) {
    eprintln!("the judge's seed is {seed}, with {count} alerts");
    let now = Clock::system().now();
    let world = TestService::start(|console| console.seed(now), |_settings| {}).await;
    let client = http();
    let stories = stories(seed, count, now);
    let mut random = fastrand::Rng::with_seed(seed ^ 0xFA17);
    for round in 0..ALL_ROUNDS {
        let alerts = RequestKind::List(Collection::Alerts);
        // Few are passed over by the client's quick tries, many end the sweep.
        let failures = [0, 0, 0, 1, 2, 7][random.usize(0..6)];
        world.console.fail_next(alerts, failures, Fault::Status(500));
        for story in &stories {
            if story.raised_in == round {
                world.console.add_alert(story.alert.api_item());
            }
            for (_, status) in story.changes.iter().filter(|(at, _)| *at == round) {
                let last_update = Clock::system().now().to_rfc3339();
                let change = json!({ "status": status, "last_update": last_update });
                world.console.update_alert(story.alert.unique_id(), &change).unwrap();
            }
        }
        let pushes = stories.iter().flat_map(|story| {
            let times = story.pushed_in.iter().filter(|at| **at == round).count();
            std::iter::repeat_n(story.push(), times)
        });
        let pushes: Vec<Value> = pushes.collect();
        stream::iter(pushes)
            .for_each_concurrent(8, async |body| push(&client, &world, &body).await)
            .await;
        world.sweep().await;
        world.settle().await;
    }
    world.console.heal();
    world.sweep().await;
    world.settle().await;
    let idle = world.sweep().await;
    assert_eq!(idle.new, 0, "seed {seed}: the second of two sweeps finds nothing");
    let bundles = world.bundles();
    let (sent, incidents) = world.end().await;
    each_version_was_sent_once_in_order(seed, &stories, &sent);
    what_was_sent_is_the_truth(seed, &stories, &bundles, &incidents);
}

fn each_version_was_sent_once_in_order(seed: u64, stories: &[Story], sent: &[DeliveredVersion]) {
    let mut statuses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for DeliveredVersion { key, version } in sent {
        let status = version.split('|').next().unwrap_or_default();
        statuses.entry(key).or_default().push(status);
    }
    for story in stories {
        let sent = statuses.remove(story.alert.unique_id()).unwrap_or_default();
        let what = (story.raised_in, &story.pushed_in, story.is_ecs, &story.changes);
        assert_eq!(sent, story.statuses(), "seed {seed}, {}: {what:?}", story.alert.unique_id());
    }
    assert_eq!(statuses, BTreeMap::new(), "seed {seed}: nothing else was sent");
}

/// The identity of a sighting in OpenCTI: its indicator and where it was seen.
type Merged = (String, String);

fn what_was_sent_is_the_truth(
    seed: u64,
    stories: &[Story],
    bundles: &[Bundle],
    incidents: &[(String, String, i64)],
) {
    let mut last: BTreeMap<(String, i64), Option<Merged>> = BTreeMap::new();
    let mut flags: BTreeMap<Merged, bool> = BTreeMap::new();
    for bundle in bundles {
        let of_type = |kind: &str| bundle.objects.iter().find(|object| object["type"] == kind);
        let incident = of_type("incident").expect("each bundle is of an incident");
        let created: DateTime<Utc> = incident["created"].as_str().unwrap().parse().unwrap();
        let identity =
            (incident["name"].as_str().unwrap().to_owned(), created.timestamp_millis() * 1_000);
        let sighting = of_type("sighting").map(|sighting| {
            let text = |id: &Value| id.as_str().unwrap().to_owned();
            let merged =
                (text(&sighting["sighting_of_ref"]), text(&sighting["where_sighted_refs"][0]));
            // The platform takes the flag of the last one for all that it merges.
            flags.insert(merged.clone(), sighting["x_opencti_negative"] == json!(true));
            merged
        });
        last.insert(identity, sighting);
    }
    let moments: BTreeMap<&str, (&str, i64)> = incidents
        .iter()
        .map(|(key, name, created_us)| {
            (key.as_str(), (name.as_str(), created_us - created_us % 1_000))
        })
        .collect();
    let mut truth: BTreeMap<Merged, bool> = BTreeMap::new();
    let mut expected = BTreeSet::new();
    for story in stories {
        let (name, created_us) = moments.get(story.alert.unique_id()).expect("it has an incident");
        let identity = ((*name).to_owned(), *created_us);
        let sent = last.get(&identity);
        let sighting = sent.unwrap_or_else(|| panic!("seed {seed}: {identity:?} was sent"));
        if let Some(merged) = sighting {
            let is_false_positive = story.statuses().last() == Some(&"false_positive");
            *truth.entry(merged.clone()).or_insert(true) &= is_false_positive;
        }
        expected.insert(identity);
    }
    assert_eq!(
        flags, truth,
        "seed {seed}: negative is what the console says of all that is merged"
    );
    assert_eq!(expected.len(), stories.len(), "seed {seed}: one incident an alert");
    assert_eq!(last.keys().cloned().collect::<BTreeSet<_>>(), expected, "seed {seed}: no other");
    let sightings = last.values().flatten().count();
    assert!(sightings > stories.len() / 4, "seed {seed}: {sightings} sightings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_late_and_repeated_pushes_and_changed_minds_end_in_the_truth_and_each_version_is_sent_once()
 {
    if !is_long() {
        return judge(1, 500).await;
    }
    for seed in 1..=10 {
        judge(seed, 5_000).await;
    }
}
