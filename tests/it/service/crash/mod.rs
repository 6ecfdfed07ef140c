//! The crash judge: who pushes writes down what was answered 2xx, in a ledger outside of the
//! process; meanwhile the binary and RabbitMQ are killed, connections are cut, the console freezes,
//! OpenCTI goes away and another process locks the journal. At the end everything in the ledger must
//! be on the queue, as it was pushed, and nothing else. Once with the journal in its file, and once in a
//! PostgreSQL that is killed, too.
//!
//! The order of faults follows from a seed, which is printed; `scripts/crash-test.sh` plays it again
//! or plays more of it.

mod faults;
pub(crate) mod judge;
pub(crate) mod producer;
mod store;

use std::sync::Arc;

use super::crash::{
    faults::{Chaos, Surroundings},
    producer::Ledger,
};
use crate::support::app::is_long;

/// The extent of a run.
#[derive(Debug, Clone, Copy)]
struct Extent {
    seed: u64,
    notifications: usize,
    kills: usize,
    /// So many of the kills strike the broker, too.
    broker_kills: usize,
    /// And so many the database, where there is one.
    database_kills: usize,
}

impl Extent {
    /// As the environment says, or of this usual size: kills, and notifications for each.
    fn wanted(usual_kills: usize, usual_notifications: usize) -> Self {
        let number = |name: &str| {
            let text = std::env::var(format!("HARFANGLAB_INCIDENTS_TEST_CRASH_{name}")).ok()?;
            Some(text.parse::<u64>().expect("HARFANGLAB_INCIDENTS_TEST_CRASH_… is a number"))
        };
        let size = |name, usual| number(name).map_or(usual, |many| usize::try_from(many).unwrap());
        let kills = size("KILLS", usual_kills);
        Self {
            seed: number("SEED").unwrap_or_else(|| fastrand::u64(..1_000_000)),
            notifications: size("NOTIFICATIONS", usual_notifications),
            kills,
            broker_kills: kills.div_ceil(10),
            database_kills: 0,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_and_cut_all_that_was_acknowledged_arrives_as_it_was_and_nothing_else() {
    let extent = Extent::wanted(4, 240);
    println!("{extent:?}; scripts/crash-test.sh --seed {} plays it again", extent.seed);
    Box::pin(judge_all(Surroundings::with_file().await, extent)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_was_acknowledged_arrives_too_when_the_postgresql_of_the_journal_is_killed() {
    let (kills, notifications) = if is_long() { (40, 8_000) } else { (4, 240) };
    let extent = Extent::wanted(kills, notifications);
    // The broker by one in ten, as before; of the others every second one.
    let extent = Extent { database_kills: extent.kills.div_ceil(2), ..extent };
    println!("{extent:?}; scripts/crash-test.sh --postgres --seed {} plays it again", extent.seed);
    Box::pin(judge_all(Surroundings::with_server().await, extent)).await;
}

async fn judge_all(mut around: Surroundings, extent: Extent) {
    let ledger = Arc::new(Ledger::new(extent.seed, extent.notifications));
    let pushing = producer::start(&ledger, &around.endpoint(), &around.console);

    let mut chaos = Chaos::new(extent);
    while let Some((threshold, share)) = chaos.next_threshold() {
        ledger.release(share);
        ledger.acknowledged_at_least(threshold).await;
        chaos.strike(&mut around, &ledger).await;
    }
    ledger.release(extent.notifications);
    ledger.acknowledged_at_least(extent.notifications).await;
    pushing.finish().await;
    around.recover();
    around.run_to_the_end().await;

    let verdict = judge::read_queue(&around.stage).await.verdict(&ledger);
    let turned_away = ledger.turned_away();
    println!("{}; {turned_away} deliveries turned away; {}", chaos.summary(), verdict.summary());
    verdict.assert_just();
    around.assert_that_it_still_works().await;
}
