//! A backlog: what it costs the console, and what a pulled plug does to it.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, DemoConsole, Generator, RequestKind},
    sweep::{Found, Pushes},
};

use crate::support::{
    app::is_long,
    manual_sweep::{ManualSweep, change, minute},
    opencti::Personality,
    service::TestService,
    stage::Stage,
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
    let world = TestService::start(|console| fill(console, count), |_settings| {}).await;
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
    let by_hand = ManualSweep::start(Pushes::Taken, |_console, _entry| {}).await;
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
    change(&by_hand.console, old.unique_id(), "closed", minute(11));
    let Found { new, missed, .. } = by_hand.at(20).await;
    assert_eq!((new, missed), (1, 0), "a changed status was never to be pushed");
}

#[tokio::test]
async fn an_alert_that_is_listed_by_its_time_and_by_its_change_counts_once() {
    let by_hand = ManualSweep::start(Pushes::Taken, |_console, _entry| {}).await;
    let mut generator = Generator::new(44);
    for _ in 0..3 {
        by_hand.console.add_alert(generator.next_alert(minute(-1)).api_item());
    }
    by_hand.at(0).await;
    let late = generator.next_alert(minute(4));
    by_hand.console.add_alert(late.api_item());
    change(&by_hand.console, late.unique_id(), "closed", minute(5));
    let before = by_hand.at(5).await;
    assert_eq!(before.new, 1);
    assert!(before.known <= 3, "the journal knew three: {before:?}");
    let after = by_hand.at(6).await;
    assert_eq!(after.new, 0);
    assert!((1..=4).contains(&after.known), "it knows four: {after:?}");
}

#[tokio::test]
async fn what_an_analyst_touches_while_changes_are_read_hides_none_of_the_others() {
    let mut generator = Generator::new(43);
    let alerts: Vec<_> = (0..300).map(|_| generator.next_alert(minute(-60))).collect();
    // From here on alerts are read by the time at which they were raised.
    let newest = generator.next_alert(minute(-1));
    let touched = alerts.clone();
    let is_touched = AtomicBool::new(false);
    let by_hand = ManualSweep::start(Pushes::Taken, move |console, entry| {
        // The first page of changes.
        let is_first = entry.notifications.iter().any(|it| it.body().contains("investigating"));
        if is_first && !is_touched.swap(true, Ordering::SeqCst) {
            for alert in &touched[..50] {
                change(console, alert.unique_id(), "closed", minute(100));
            }
        }
    })
    .await;
    for alert in alerts.iter().chain([&newest]) {
        by_hand.console.add_alert(alert.api_item());
    }
    assert_eq!(by_hand.at(0).await.new, 301);
    for (second, alert) in (0..).zip(&alerts) {
        let at = minute(30) + TimeDelta::seconds(second);
        change(&by_hand.console, alert.unique_id(), "investigating", at);
    }
    let Found { updated, .. } = by_hand.at(110).await;
    assert_eq!(updated, 350, "each once, and those that were touched meanwhile once more");
}
