//! The cost of the first fix of an incident on PostgreSQL, in round trips. Figures for a way that takes a
//! millisecond are printed with `HARFANGLAB_INCIDENTS_TEST_LONG=1`.

use std::time::{Duration, Instant};

use harfanglab_incidents::journal::Journal;

use crate::support::{
    app::is_long,
    notifications::identity,
    relay::Relay,
    stores::{CONSOLE, Database, open_postgres},
};

const AT_ONCE: u32 = 8;

/// A journal behind a wire that counts, with so many connections.
async fn behind_relay(connections: u32) -> (Relay, Journal) {
    let place = Database::Postgres.fresh().await;
    let (way, url) = Relay::before_database(&place.url).await;
    let journal = open_postgres(&url, connections, CONSOLE).await;
    (way, journal)
}

async fn fix(journal: &Journal, key: &str, name: &str) {
    journal.fix_identities(&[(key.to_owned(), identity(name))]).await.unwrap();
}

/// Fixes incidents, eight at once, and prints how many there were in a second.
async fn print_rate(journal: &Journal, what: &str, name: impl Fn(u32) -> String) {
    let fixes = 400;
    let began = Instant::now();
    let mut fixing = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE {
        let journal = journal.clone();
        let of_worker = (0..fixes).filter(|at| at % AT_ONCE == worker);
        let names: Vec<_> = of_worker.map(|at| (at, name(at))).collect();
        fixing.spawn(async move {
            for (at, name) in names {
                fix(&journal, &format!("{name} {at}"), &name).await;
            }
        });
    }
    fixing.join_all().await;
    let rate = f64::from(fixes) / began.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} incidents fixed a second, {AT_ONCE} at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_fix_takes_few_round_trips_and_one_after_hundreds_of_its_name_and_date_not_many_more()
 {
    // A single connection, so that none is opened meanwhile; its statements are prepared first.
    let (way, journal) = behind_relay(1).await;
    for key in ["a", "b", "c"] {
        fix(&journal, key, "Warm").await;
    }
    let cost = async |key: &str, name: &str| {
        let before = way.answers();
        fix(&journal, key, name).await;
        way.answers() - before
    };
    let first = cost("1", "Twin").await;
    // The pool asks for a sign of life before and after, which may count for the next one.
    assert!(first <= 6, "lock, row, commit, and two or three signs of life; not {first}");
    let many: Vec<_> = (0..600).map(|key| (format!("2-{key:03}"), identity("Twin"))).collect();
    journal.fix_identities(&many).await.unwrap();
    let later = cost("3", "Twin").await;
    assert!(later <= 10, "and what the alert has, the last date, a free one, its row; not {later}");
    println!("{first} round trips, {later} after 600 others");
    if is_long() {
        let (way, journal) = behind_relay(AT_ONCE).await;
        way.slow_down(Duration::from_millis(1));
        print_rate(&journal, "different names", |at| format!("name {at}")).await;
        print_rate(&journal, "one name", |_at| "One".to_owned()).await;
    }
}
