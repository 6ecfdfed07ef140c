//! A backlog: what it costs the console, and what a pulled plug does to it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    config::Settings,
    demo::{Collection, DemoConsole, DemoConsoleConfig, Generator, RequestKind},
    harfanglab::Console,
    intake::Door,
    journal::{SqliteJournal, write_what_comes_in},
    sweep::{Found, Pace, Pushes, Sweep},
};
use tempfile::TempDir;

use crate::{
    support::{app::is_long, health, opencti::Personality, stage::Stage},
    sweep_world::World,
};

/// Adds `count` alerts, a minute apart, the newest an hour old.
fn fill(console: &DemoConsole, count: i64) {
    let now = Clock::system().now();
    console.seed(now);
    let mut generator = Generator::new(40);
    for number in 0..count {
        let raised_at = now - TimeDelta::minutes(count + 60 - number);
        console.add_alert(generator.next_alert(raised_at).api_item());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_costs_its_pages_and_rules_and_an_empty_sweep_next_to_nothing() {
    let count = if is_long() { 10_000 } else { 1_000 };
    let world = World::start(|console| fill(console, count), |_settings| {}).await;
    let first = world.sweep().await;
    world.settle().await;
    let requests = world.console.requests();
    let pages = requests.of(RequestKind::List(Collection::Alerts));
    println!(
        "{count} alerts: {} requests, {pages} of them pages of alerts, the rest rules",
        requests.total()
    );
    let all_pages = u64::try_from(count).unwrap() / 100;
    assert!(pages <= all_pages + 6, "{requests:?}");
    assert!(requests.total() - pages <= 60, "one a rule, not one an alert: {requests:?}");
    let bundles = world.bundles().len();
    assert_eq!(bundles, usize::try_from(count).unwrap(), "{first:?}");

    let empty = world.sweep().await;
    assert_eq!(empty.new, 0);
    world.settle().await;
    let asked = world.console.requests().total() - requests.total();
    assert!(asked <= 4, "{asked} requests of an empty sweep");
    assert_eq!(world.bundles().len(), bundles, "no message");
}

#[tokio::test]
async fn whenever_the_plug_is_pulled_every_alert_of_the_backlog_arrives() {
    let (kills, count) = if is_long() { (10, 3_000) } else { (3, 300) };
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    stage.home.set("HARFANGLAB_INCIDENTS_BATCH", "10");
    stage.home.set("HARFANGLAB_INCIDENTS_API_RATE", "1000");
    fill(&stage.console, count);
    let seed = 41;
    println!("the seed of the kills is {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..kills {
        let mut app = stage.home.start(&["serve"]);
        // Some while pages are read, some while works are open.
        let works = stage.opencti.works().len();
        let more = random.usize(0..usize::try_from(count).unwrap() / 20 / kills);
        let pages = stage.console.requests().total();
        if more == 0 {
            let one_more = || stage.console.requests().total() > pages;
            while !one_more() {
                tokio::task::yield_now().await;
            }
        } else {
            let enough = |works_now: usize| works_now >= works + more;
            stage.opencti.wait_for("works", |state| enough(state.works.len())).await;
        }
        app.kill().await;
    }
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());
    let waiting = stage.broker.depth(&stage.queue()).await;
    let mut incidents = BTreeSet::new();
    let mut read = 0;
    while read < waiting {
        let some = u16::try_from((waiting - read).min(10_000)).unwrap();
        for message in stage.broker.messages(&stage.queue(), some).await {
            let objects = message.bundle["objects"].as_array().unwrap();
            let ids = objects.iter().filter(|object| object["type"] == "incident");
            incidents.extend(ids.map(|object| object["id"].as_str().unwrap().to_owned()));
        }
        read += u32::from(some);
    }
    assert_eq!(incidents.len(), usize::try_from(count).unwrap(), "seed {seed}: nothing skipped");
}

#[tokio::test]
async fn only_what_a_push_should_have_brought_counts_as_missed() {
    let folder = TempDir::new().unwrap();
    let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let settings = Settings::embedded(url.clone(), folder.path().to_owned(), console.settings());
    let journal = Arc::new(SqliteJournal::open(&url, "https://console.example").await.unwrap());
    let (door, entries) = Door::new(8);
    let _writer =
        tokio::spawn(write_what_comes_in(journal.clone(), entries, Arc::default(), health()));
    let start: chrono::DateTime<chrono::Utc> = "2026-05-26T07:40:00Z".parse().unwrap();
    let minutes = Arc::new(AtomicI64::new(0));
    let passed = Arc::clone(&minutes);
    let clock = Clock::from_fn(move || start + TimeDelta::minutes(passed.load(Ordering::SeqCst)));
    let client = Arc::new(Console::new(&settings.harfanglab).unwrap());
    let sweep = Sweep::new(client, door, journal, settings.import, clock, Pushes::Taken);
    let mut generator = Generator::new(42);
    let mut raise = |minute: i64| {
        let alert = generator.next_alert(start + TimeDelta::minutes(minute));
        console.add_alert(alert.api_item());
        alert
    };

    let old = raise(-30);
    let Found { new, missed, .. } = sweep.run_once(Pace::Schedule).await.unwrap();
    assert_eq!((new, missed), (1, 0), "the first import was missed by no push");
    raise(5);
    raise(10);
    minutes.store(10, Ordering::SeqCst);
    let Found { new, missed, .. } = sweep.run_once(Pace::Schedule).await.unwrap();
    assert_eq!((new, missed), (2, 1), "the push of the youngest may be on its way");
    let closed = serde_json::json!({
        "status": "closed", "last_update": (start + TimeDelta::minutes(11)).to_rfc3339(),
    });
    console.update_alert(old.unique_id(), &closed).unwrap();
    minutes.store(20, Ordering::SeqCst);
    let Found { new, missed, .. } = sweep.run_once(Pace::Schedule).await.unwrap();
    assert_eq!((new, missed), (1, 0), "a changed status was never to be pushed");
}
