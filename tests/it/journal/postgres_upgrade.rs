//! Rolling upgrades on PostgreSQL: replicas of the version before go on while those of the next one start
//! and bring the schema up to date. Once this program is the next version, on the schema before its last
//! step, where another connection sends what a replica sent then; and once it is the version before: the
//! next one is its schema with one more step.

use std::{sync::Arc, time::Duration};

use harfanglab_incidents::journal::{
    DeadLetterFilter, Journal, Outcome, PostgresDatabase, PruneBefore,
};
use sqlx::{
    Connection as _, PgConnection, PgPool, Row as _, SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};
use tokio::{sync::watch, task::JoinSet};

use crate::support::{
    notifications::{delivered, native, start},
    stores::{CONNECTIONS, CONSOLE, Database, Fresh},
};

static SCHEMA: Migrator = sqlx::migrate!("src/journal/migrations/postgres");

const NEXT_VERSION: i64 = 9_999;
/// A step as a later version may bring it: tables, columns, an index. It also notes who took it.
const NEXT_STEP: &str = "CREATE TABLE taken (by_process BIGINT NOT NULL);
    INSERT INTO taken SELECT pg_backend_pid();
    ALTER TABLE events ADD COLUMN tenant TEXT;
    ALTER TABLE events ADD COLUMN urgency BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE incidents ADD COLUMN tenant TEXT;
    CREATE INDEX events_of_tenant ON events (console, tenant) WHERE tenant IS NOT NULL;";
const STARTERS: usize = 8;
const OLD_REPLICAS: usize = 2;
/// Rounds of each replica before and after the step.
const ROUNDS: usize = 6;
const LEASE: Duration = Duration::from_mins(5);

fn next_schema() -> Migrator {
    let kind = MigrationType::Simple;
    let step = Migration::new(NEXT_VERSION, "next".into(), kind, NEXT_STEP.into_sql_str(), false);
    Migrator::with_migrations(SCHEMA.iter().cloned().chain([step]).collect())
}

/// All that a replica does with an alert: it comes, is delivered, comes again; another one dies and is
/// tried again; texts are pruned.
async fn round(journal: &Journal, name: &str) {
    let (alert, broken) = (native(name, "new"), native(&format!("{name}-broken"), "new"));
    journal.append(&[vec![alert.clone(), broken]]).await.unwrap();
    assert_eq!(journal.append(&[vec![alert]]).await.unwrap()[0].duplicates, 1);
    for event in journal.claim(10, LEASE, start()).await.unwrap() {
        let outcome = if event.key.contains("broken") && event.claim.fence == 1 {
            Outcome::Dead { reason: "broken".to_owned() }
        } else {
            delivered()
        };
        journal.finish(&[(event.claim, outcome)], start()).await.unwrap();
    }
    let letters = journal.dead_letters(&DeadLetterFilter::default(), 0, 10).await.unwrap();
    let letters: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
    journal.retry(&letters, start()).await.unwrap();
    journal.remember("cursor", name).await.unwrap();
    journal.counts().await.unwrap();
    let old = PruneBefore {
        finished: Some(start() + chrono::TimeDelta::minutes(1)),
        letters: None,
        rows: None,
    };
    journal.prune(old, 10, start()).await.unwrap();
}

/// A replica that works until it is told to stop; it tells how many rounds it has done.
fn works(
    journal: Journal,
    number: usize,
    stop: watch::Receiver<bool>,
    working: &mut JoinSet<()>,
) -> watch::Receiver<usize> {
    let (done, rounds) = watch::channel(0);
    working.spawn(async move {
        while !*stop.borrow() {
            let name = format!("alert-{number}-{}", *done.borrow());
            round(&journal, &name).await;
            done.send_modify(|rounds| *rounds += 1);
        }
        while !journal.is_drained().await.unwrap() {
            for event in journal.claim(10, LEASE, start()).await.unwrap() {
                journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
            }
        }
    });
    rounds
}

async fn number(place: &Fresh, query: &'static str) -> i64 {
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    sqlx::query(query).fetch_one(&mut connection).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_of_the_version_before_go_on_while_of_many_that_start_one_takes_the_next_step() {
    let place = Arc::new(Database::Postgres.fresh().await);
    let (stop, stopped) = watch::channel(false);
    let mut working = JoinSet::new();
    let mut replicas = Vec::new();
    for number in 0..OLD_REPLICAS {
        let journal = place.replica().await;
        replicas.push(works(journal, number, stopped.clone(), &mut working));
    }
    for rounds in &mut replicas {
        rounds.wait_for(|rounds| *rounds >= ROUNDS).await.unwrap();
    }
    let mut starting = JoinSet::new();
    for _ in 0..STARTERS {
        let place = Arc::clone(&place);
        starting.spawn(async move {
            let pool = PgPool::connect(&place.url).await.unwrap();
            next_schema().run(&pool).await.unwrap();
            pool.close().await;
        });
    }
    starting.join_all().await;
    for rounds in &mut replicas {
        let before = *rounds.borrow();
        rounds.wait_for(|rounds| *rounds >= before + ROUNDS).await.unwrap();
    }
    stop.send_replace(true);
    working.join_all().await;

    assert_eq!(number(&place, "SELECT COUNT(*) FROM taken").await, 1, "one took the step");
    let rounds: usize = replicas.iter().map(|rounds| *rounds.borrow()).sum();
    let all = number(&place, "SELECT COUNT(*) FROM events WHERE state = 'delivered'").await;
    assert_eq!(all, i64::try_from(rounds * 2).unwrap(), "what came is delivered, once");
    let urgent = number(&place, "SELECT COUNT(*) FROM events WHERE urgency = 0").await;
    assert_eq!(urgent, all, "rows of the version before have what the next one added");

    let again = PostgresDatabase::open(&place.url, None, CONNECTIONS).await.unwrap_err();
    assert!(again.to_string().contains("written by a newer version needs that version"), "{again}");
    let beside = PostgresDatabase::open_beside(&place.url, None).await.unwrap_err();
    assert!(beside.to_string().contains("of another version than this program"), "{beside}");
}

/// Statements that a replica sends all the time, as it was sent since the first schema: an alert comes,
/// is claimed, and is delivered.
const SINCE_THE_FIRST: [&str; 3] = [
    "INSERT INTO events (console, generation, received_key, received_version, key, version, \
     origin, dialect, body, received_at, happened_at, state, due_at, recurrence) \
     VALUES ($1, 1, $2, 'new', $2, 'new', 'push', 'native-alert', '{}', 1, 1, 'pending', 1, 0) \
     ON CONFLICT DO NOTHING",
    "UPDATE events SET attempts = attempts + 1, leased_until = 2 \
     WHERE console = $1 AND key = $2 AND state = 'pending'",
    "UPDATE events SET state = 'delivered', root_id = 'incident--1', leased_until = NULL, \
     finished_at = 3 WHERE console = $1 AND key = $2 AND state = 'pending'",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_start_on_the_schema_before_the_last_step_all_serve_and_what_came_before_counts()
{
    let place = Arc::new(Database::Postgres.fresh().await);
    let before: Vec<Migration> = SCHEMA.iter().take(SCHEMA.iter().len() - 1).cloned().collect();
    let mut old = PgConnection::connect(&place.url).await.unwrap();
    Migrator::with_migrations(before).run(&mut old).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let (done, mut rounds) = watch::channel(0);
    let working = tokio::spawn(async move {
        while !*stopped.borrow() {
            let key = format!("old-{}", *done.borrow());
            for statement in SINCE_THE_FIRST {
                let asked = sqlx::query(statement).bind(CONSOLE).bind(&key);
                assert_eq!(asked.execute(&mut old).await.unwrap().rows_affected(), 1);
            }
            let waits = sqlx::query(SINCE_THE_FIRST[0]).bind(CONSOLE).bind(format!("{key}-waits"));
            waits.execute(&mut old).await.unwrap();
            done.send_modify(|rounds| *rounds += 1);
        }
    });
    rounds.wait_for(|rounds| *rounds >= ROUNDS).await.unwrap();
    let mut starting = JoinSet::new();
    for number in 0..STARTERS {
        let place = Arc::clone(&place);
        starting.spawn(async move {
            let journal = place.replica().await;
            let alert = native(&format!("new-{number}"), "new");
            assert_eq!(journal.append(&[vec![alert]]).await.unwrap()[0].accepted, 1);
            journal
        });
    }
    let replicas = starting.join_all().await;
    let before = *rounds.borrow();
    rounds.wait_for(|rounds| *rounds >= before + ROUNDS).await.unwrap();
    stop.send_replace(true);
    working.await.unwrap();

    let of_old = u64::try_from(*rounds.borrow()).unwrap();
    let of_new = u64::try_from(STARTERS).unwrap();
    for journal in &replicas {
        let counts = journal.counts().await.unwrap();
        assert_eq!((counts.delivered, counts.pending), (of_old, of_old + of_new), "{counts:?}");
    }
    while !replicas[0].is_drained().await.unwrap() {
        for event in replicas[0].claim(100, LEASE, start()).await.unwrap() {
            replicas[1].finish(&[(event.claim, delivered())], start()).await.unwrap();
        }
    }
    let counts = replicas[2].counts().await.unwrap();
    assert_eq!((counts.delivered, counts.pending), (of_old * 2 + of_new, 0), "{counts:?}");
}

/// Returns why the version before could not go on with this statement's outcome; `None` when it can.
fn takes_away(statement: &str) -> Option<&'static str> {
    let words: Vec<String> = statement.split_whitespace().map(str::to_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["CREATE", "TABLE" | "INDEX" | "FUNCTION" | "TRIGGER", ..]
        | ["INSERT", "INTO", ..]
        | ["LOCK", "TABLE", ..]
        | ["ALTER", "TABLE", _, "SET", ..] => None,
        ["ALTER", "TABLE", _, "ADD", "COLUMN", ref column @ ..] => {
            let must_be_given = column.windows(2).any(|pair| pair == ["NOT", "NULL"])
                && !column.contains(&"DEFAULT");
            must_be_given.then_some("a column that the version before does not give")
        }
        ["CREATE", "UNIQUE", ..] => Some("a rule that the version before does not keep"),
        _ => Some("something is gone or means something else"),
    }
}

/// The statements of a step, without comments and without what functions do inside.
fn statements(step: &str) -> Vec<String> {
    let lines = step.lines().map(|line| line.split_once("--").map_or(line, |(text, _)| text));
    let text = lines.collect::<Vec<_>>().join(" ");
    let outside: Vec<&str> = text.split("$$").step_by(2).collect();
    let statements = outside.concat();
    let statements = statements.split(';').map(str::trim).filter(|text| !text.is_empty());
    statements.map(str::to_owned).collect()
}

#[test]
fn a_step_of_the_schema_only_adds_so_that_the_version_before_can_go_on_beside_it() {
    for step in SCHEMA.iter().skip(1) {
        for statement in statements(step.sql.as_str()) {
            let why = takes_away(&statement);
            assert_eq!(why, None, "step {}: {statement}", step.version);
        }
    }
    assert!(statements(NEXT_STEP).iter().all(|statement| takes_away(statement).is_none()));
    for wrong in [
        "ALTER TABLE events DROP COLUMN title",
        "ALTER TABLE events RENAME COLUMN title TO rule",
        "ALTER TABLE events ADD COLUMN tenant TEXT NOT NULL",
        "CREATE UNIQUE INDEX once ON events (title)",
        "DROP TABLE works",
        "UPDATE events SET state = 'done' WHERE state = 'delivered'",
    ] {
        assert!(takes_away(wrong).is_some(), "{wrong}");
    }
}
