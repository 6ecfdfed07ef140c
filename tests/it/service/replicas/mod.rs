//! Three replicas on one PostgreSQL, Debian's nginx in front: replicas and the database are killed and
//! started again in turn while alerts are pushed. The judge of the crash test must be content; at any
//! moment at most one leads; each claim of an event follows an end of the one before; versions of one
//! alert arrive in their order.

mod claim_audit;
mod cluster;
mod deleted_connector;

use std::{sync::Arc, time::Duration};

use harfanglab_incidents::opencti::HEARTBEAT_INTERVAL;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::{
    crash::{
        judge,
        producer::{self, Ledger},
    },
    replicas::cluster::{REPLICAS, World},
};
use crate::support::{app::is_long, stage::http};

/// Name of the incidents whose versions are watched.
const ORDERED: &str = "Ordered on pc-01";
/// Number of alerts of several versions.
const ORDERED_ALERTS: usize = 12;
/// Their versions, and the severity of each.
const LEVELS: [&str; 4] = ["low", "medium", "high", "critical"];

/// Strikes while alerts are pushed.
#[derive(Debug, Clone, Copy)]
enum Strike {
    /// A replica, by its number, is killed and started again.
    Replica(usize),
    /// Whichever leads is killed; another one must lead within a heartbeat.
    Leader,
    /// A replica is asked to stop, as in a rolling upgrade, and started again.
    Upgrade(usize),
    /// The database is killed and started again.
    Database,
}

const STRIKES: [Strike; 7] = [
    Strike::Replica(0),
    Strike::Leader,
    Strike::Database,
    Strike::Upgrade(1),
    Strike::Replica(2),
    Strike::Database,
    Strike::Leader,
];

/// Returns how many alerts are pushed beside those: as the environment says, or as many as are usual.
fn notifications() -> usize {
    match std::env::var("HARFANGLAB_INCIDENTS_TEST_REPLICAS_NOTIFICATIONS") {
        Ok(text) => text.parse().expect("it is a number"),
        Err(_) if is_long() => 20_000,
        Err(_) => 2_000,
    }
}

fn ordered(number: usize, level: &str) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": format!("ordered-{number}"),
        "status": "new", "level": level, "rule_name": "Ordered",
        // Name and date are what an incident is known by.
        "alert_time": format!("2026-05-26T07:39:{number:02}.447687Z"),
        "agent": { "agentid": "00000000-0000-4000-8000-0000000000a1", "hostname": "pc-01" },
    })
}

/// Pushes a body until it is taken.
async fn push(url: &str, body: &Value) {
    let http = http();
    loop {
        let request =
            http.post(url).header("Authorization", crate::support::app::WEBHOOK_SECRET).json(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return,
            // As a sender does that repeats.
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn strike(world: &mut World, strike: Strike) {
    world.tell(&format!("{strike:?}"));
    match strike {
        Strike::Replica(number) => {
            world.replicas[number].kill().await;
            world.start(number).await;
        }
        Strike::Leader => {
            let leader = world.leader().await;
            world.replicas[leader].kill().await;
            let killed_at = std::time::Instant::now();
            let next = world.leader().await;
            assert_ne!(next, leader);
            assert!(killed_at.elapsed() < HEARTBEAT_INTERVAL, "{:?}", killed_at.elapsed());
            world.start(leader).await;
        }
        Strike::Upgrade(number) => {
            assert!(world.replicas[number].terminate().await.success());
            world.start(number).await;
        }
        Strike::Database => {
            block_in_place(|| world.database.crash());
            world.one_is_unready().await;
            block_in_place(|| world.database.start_again());
            let _leads = world.leader().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_of_three_replicas_and_their_database_is_killed_all_arrives_in_order_and_one_leads()
 {
    let notifications = notifications();
    let Some(mut world) = World::new().await else { return };
    let ledger = Arc::new(Ledger::new(9, notifications));
    let pushing = producer::start(&ledger, &world.endpoint(), &world.stage.console);
    let url = world.url.clone();
    let watch = world.watch_who_leads();

    let step = notifications / (STRIKES.len() + 1);
    ledger.release(step);
    ledger.acknowledged_at_least(step).await;
    let audit = claim_audit::read(&world.journal_url).await;
    assert_eq!(audit.taken_over, 0, "nobody died: no claim follows one that was not ended");

    let levels = LEVELS.iter().cycle();
    let mut levels = levels.take(LEVELS.len());
    for (number, kind) in STRIKES.into_iter().enumerate() {
        let (pushes, level) = (url.clone(), levels.next());
        let ordering = tokio::spawn(async move {
            for alert in (0..ORDERED_ALERTS).filter(|_| level.is_some()) {
                push(&pushes, &ordered(alert, level.unwrap())).await;
            }
        });
        ledger.release(step * (number + 2));
        strike(&mut world, kind).await;
        ledger.acknowledged_at_least(step * (number + 2)).await;
        ordering.await.unwrap();
    }
    ledger.release(notifications);
    ledger.acknowledged_at_least(notifications).await;
    pushing.finish().await;
    world.tell("everything is accepted");
    world.is_drained().await;
    world.tell("everything is delivered");
    let leaders = watch.finish().await;
    world.stop().await;

    let audit = claim_audit::read(&world.journal_url).await;
    let mut found = judge::read_queue(&world.stage).await;
    world.tell("the queue is read");
    let versions = found.take_named(ORDERED);
    let verdict = found.verdict(&ledger);
    println!("{}; {audit:?}; {leaders:?}; {REPLICAS} replicas", verdict.summary());
    verdict.assert_just();
    assert_eq!(leaders.most_at_once, 1, "{leaders:?}");
    assert!(audit.claims > 0, "{audit:?}");
    assert_eq!(audit.too_early, 0, "{audit:?}");
    assert_eq!(audit.out_of_order, 0, "{audit:?}");
    assert_eq!(versions.len(), ORDERED_ALERTS);
    for (id, incidents) in versions {
        let severities = incidents.iter().map(|incident| incident["severity"].as_str().unwrap());
        let place = |severity: &str| LEVELS.iter().position(|level| *level == severity).unwrap();
        let places: Vec<usize> = severities.map(place).collect();
        assert!(places.is_sorted() && places.ends_with(&[LEVELS.len() - 1]), "{id}: {places:?}");
    }
}
