//! A backlog: what it costs the console, and what a pulled plug does to it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    clock::Clock,
    config::Settings,
    demo::{Collection, DemoAlert, DemoConsole, DemoConsoleConfig, Generator, RequestKind},
    harfanglab::Console,
    intake::{Door, Entry},
    journal::{SqliteJournal, write_what_comes_in},
    sweep::{Found, Pace, Pushes, Sweep},
};
use serde_json::json;
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

/// A sweep by hand: a console, a journal and a clock that is moved by the minute. What is read goes
/// through `between` on its way to the journal.
struct ByHand {
    console: DemoConsole,
    sweep: Sweep,
    minutes: Arc<AtomicI64>,
    _folder: TempDir,
}

fn start() -> DateTime<Utc> {
    "2026-05-26T07:40:00Z".parse().unwrap()
}

fn minute(minute: i64) -> DateTime<Utc> {
    start() + TimeDelta::minutes(minute)
}

impl ByHand {
    async fn start(between: impl Fn(&DemoConsole, &Entry) + Send + 'static) -> Arc<Self> {
        let folder = TempDir::new().unwrap();
        let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let settings =
            Settings::embedded(url.clone(), folder.path().to_owned(), console.settings());
        let journal = Arc::new(SqliteJournal::open(&url, "https://console.example").await.unwrap());
        let (inner, entries) = Door::new(8);
        tokio::spawn(write_what_comes_in(journal.clone(), entries, Arc::default(), health()));
        let (door, mut entries) = Door::new(8);
        let minutes = Arc::new(AtomicI64::new(0));
        let passed = Arc::clone(&minutes);
        let clock = Clock::from_fn(move || minute(passed.load(Ordering::SeqCst)));
        let client = Arc::new(Console::new(&settings.harfanglab).unwrap());
        let sweep = Sweep::new(client, door, journal, settings.import, clock, Pushes::Taken);
        let by_hand = Arc::new(Self { console, sweep, minutes, _folder: folder });
        let whole = Arc::downgrade(&by_hand);
        tokio::spawn(async move {
            while let Some(entry) = entries.recv().await {
                if let Some(whole) = whole.upgrade() {
                    between(&whole.console, &entry);
                }
                let _gone = entry.reply.send(inner.append_in_turn(entry.notifications).await);
            }
        });
        by_hand
    }

    async fn at(&self, minute: i64) -> Found {
        self.minutes.store(minute, Ordering::SeqCst);
        self.sweep.run_once(Pace::Schedule).await.unwrap()
    }
}

/// Changes the status of an alert at this instant.
fn change(console: &DemoConsole, alert: &DemoAlert, status: &str, at: DateTime<Utc>) {
    let changes = json!({"status": status, "last_update": at.to_rfc3339()});
    console.update_alert(alert.unique_id(), &changes).unwrap();
}

#[tokio::test]
async fn only_what_a_push_should_have_brought_counts_as_missed() {
    let by_hand = ByHand::start(|_console, _entry| {}).await;
    let mut generator = Generator::new(42);
    let mut raise = |at: i64| {
        let alert = generator.next_alert(minute(at));
        by_hand.console.add_alert(alert.api_item());
        alert
    };

    let old = raise(-30);
    let Found { new, missed, .. } = by_hand.at(0).await;
    assert_eq!((new, missed), (1, 0), "the first import was missed by no push");
    raise(5);
    raise(10);
    let Found { new, missed, .. } = by_hand.at(10).await;
    assert_eq!((new, missed), (2, 1), "the push of the youngest may be on its way");
    change(&by_hand.console, &old, "closed", minute(11));
    let Found { new, missed, .. } = by_hand.at(20).await;
    assert_eq!((new, missed), (1, 0), "a changed status was never to be pushed");
}

#[tokio::test]
async fn what_an_analyst_touches_while_changes_are_read_hides_none_of_the_others() {
    let mut generator = Generator::new(43);
    let alerts: Vec<_> = (0..300).map(|_| generator.next_alert(minute(-60))).collect();
    let touched = alerts.clone();
    let is_touched = AtomicBool::new(false);
    let by_hand = ByHand::start(move |console, entry| {
        // The first page of changes.
        let is_first = entry.notifications.iter().any(|it| it.body().contains("investigating"));
        if is_first && !is_touched.swap(true, Ordering::SeqCst) {
            for alert in &touched[..50] {
                change(console, alert, "closed", minute(100));
            }
        }
    })
    .await;
    for alert in &alerts {
        by_hand.console.add_alert(alert.api_item());
    }
    assert_eq!(by_hand.at(0).await.new, 300);
    for (second, alert) in (0..).zip(&alerts) {
        let at = minute(30) + TimeDelta::seconds(second);
        change(&by_hand.console, alert, "investigating", at);
    }
    let Found { updated, .. } = by_hand.at(110).await;
    assert_eq!(updated, 350, "each once, and those that were touched meanwhile once more");
}
