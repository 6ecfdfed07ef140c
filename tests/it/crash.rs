//! The crash judge: who pushes writes down what was answered 2xx, in a ledger outside of the
//! process; meanwhile the binary and RabbitMQ are killed, connections are cut, the console freezes,
//! OpenCTI goes away and another process locks the journal. At the end everything in the ledger must
//! be on the queue, as it was pushed, and nothing else.
//!
//! What happens when follows from a seed, which is printed; `scripts/crash-test.sh` plays it again
//! or plays more of it.

pub(crate) mod judge;
pub(crate) mod producer;
mod trouble;

use std::sync::Arc;

use self::{
    producer::Ledger,
    trouble::{Chaos, Surroundings},
};

/// How much there is to be of it.
#[derive(Debug, Clone, Copy)]
struct Extent {
    seed: u64,
    notifications: usize,
    kills: usize,
    /// So many of the kills strike the broker, too.
    broker_kills: usize,
}

impl Extent {
    /// As the environment says, or small.
    fn wanted() -> Self {
        let number = |name: &str| {
            let text = std::env::var(format!("HARFANGLAB_INCIDENTS_TEST_CRASH_{name}")).ok()?;
            Some(text.parse::<u64>().expect("HARFANGLAB_INCIDENTS_TEST_CRASH_… is a number"))
        };
        let size = |name, usual| number(name).map_or(usual, |many| usize::try_from(many).unwrap());
        let kills = size("KILLS", 4);
        Self {
            seed: number("SEED").unwrap_or_else(|| fastrand::u64(..1_000_000)),
            notifications: size("NOTIFICATIONS", 240),
            kills,
            broker_kills: kills.div_ceil(10),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_and_cut_all_that_was_acknowledged_arrives_as_it_was_and_nothing_else() {
    let extent = Extent::wanted();
    println!("{extent:?}; scripts/crash-test.sh --seed {} plays it again", extent.seed);
    let mut around = Surroundings::new().await;
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
