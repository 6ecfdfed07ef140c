//! The fault table: one row a fault, with what was done, what the service answered, and what was
//! left in the journal. Rows are cheap; what takes a broker of its own, a console of thousands or a
//! disk of its own is tested at length beside this table.

mod journal;
mod posts;
mod remote_services;

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use harfanglab_incidents::journal::Counts;

use crate::support::{app::Home, stores::open_sqlite};

/// Rows that run at once: each starts a process or two.
const AT_ONCE: usize = 4;
/// Number of rows that the table must have.
const AT_LEAST: usize = 24;

/// The effect of a fault.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Statuses, exit codes, and the words that say what to do.
    answered: String,
    /// The journal's contents afterwards.
    left: String,
}

/// A fault and what must come of it.
struct Row {
    part: &'static str,
    name: &'static str,
    done: &'static str,
    answered: &'static str,
    left: &'static str,
    seen: BoxFuture<'static, Seen>,
}

/// The journal of `home`, which no service has open any more.
async fn left_in(home: &Home) -> String {
    let console: url::Url = home.get("HARFANGLAB_INCIDENTS_URL").parse().unwrap();
    let url = format!("sqlite:{}", home.journal().display());
    let journal = open_sqlite(&url, console.as_str()).await;
    told(&journal.counts().await.unwrap())
}

fn told(counts: &Counts) -> String {
    let states = [
        (counts.pending, "pending"),
        (counts.delivered, "delivered"),
        (counts.filtered, "filtered"),
        (counts.superseded, "superseded"),
        (counts.dead, "dead"),
    ];
    let states = states.iter().filter(|(count, _)| *count > 0);
    let states: Vec<String> = states.map(|(count, state)| format!("{count} {state}")).collect();
    if states.is_empty() { "nothing".to_owned() } else { states.join(", ") }
}

#[tokio::test]
async fn each_fault_has_its_answer_and_leaves_in_the_journal_what_it_must() {
    let rows: Vec<Row> =
        posts::rows().into_iter().chain(journal::rows()).chain(remote_services::rows()).collect();
    assert!(rows.len() >= AT_LEAST, "{}", rows.len());
    let ended: Vec<(Row, Seen)> = stream::iter(rows)
        .map(async |mut row| {
            let run = std::mem::replace(&mut row.seen, Box::pin(std::future::pending()));
            let seen = run.await;
            (row, seen)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    println!("{} faults: name · done · answered · left in the journal", ended.len());
    for (row, seen) in &ended {
        println!("{}: {} · {} · {} · {}", row.part, row.name, row.done, seen.answered, seen.left);
    }
    for (row, seen) in ended {
        let wanted = Seen { answered: row.answered.to_owned(), left: row.left.to_owned() };
        assert_eq!(seen, wanted, "{}: {}", row.part, row.name);
    }
}
