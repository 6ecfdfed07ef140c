//! The indexes that answer what is asked often: SQLite chooses them by itself, and a new index or
//! column may change its mind without a word.

use sqlx::Row as _;
use tempfile::TempDir;

use super::SqliteDatabase;
use crate::journal::sql::{
    claim::{CLAIM, NEXT_FREE, NEXT_LEASE_END},
    counts::{COUNTS, PENDING},
    event_history::KEY_OF,
    merging::{COMPLETE_CASE, UNFINISHED_OF_THREAT},
    pruning::{EMPTY_FINISHED, EMPTY_LETTERS, OLD_IDENTITIES, REMOVING},
    space::{REMOVE_DROPPED, REMOVE_FINISHED, REMOVE_FOLLOW_UPS, REMOVE_SAMPLES, SAMPLES},
    works::CLOSE_FORGOTTEN,
};

/// As many events of each state, every tenth of a threat.
const FILLED: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) \
     INSERT INTO events (console, generation, received_key, received_version, key, version, \
     origin, dialect, body, received_at, happened_at, threat_key, state, due_at, finished_at) \
     SELECT 'https://console.example', 1, 'k' || i, 'v', 'k' || i, 'v', 'push', 'native-alert', \
     'body', i, i, CASE WHEN i % 10 = 0 THEN '7' END, \
     CASE i % 3 WHEN 0 THEN 'pending' WHEN 1 THEN 'delivered' ELSE 'dead' END, i, \
     CASE WHEN i % 3 > 0 THEN i END FROM n";

async fn plan(database: &SqliteDatabase, query: &str) -> String {
    let query = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
    let rows = sqlx::query(query).fetch_all(&database.writer).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_is_asked_often_is_answered_from_its_index_and_sorts_nothing_however_much_there_is() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let database = SqliteDatabase::open(&url).await.unwrap();
    sqlx::query(FILLED).execute(&database.writer).await.unwrap();
    for (query, indexes) in [
        (
            CLAIM.sqlite,
            &[
                "events_put_back (console=? AND due_at<?)",
                "events_not_put_back (console=? AND due_at<?)",
                "events_unfinished (console=? AND key=?)",
            ][..],
        ),
        (CLOSE_FORGOTTEN, &["works_unnoted (console=? AND opened_at<?)"]),
        (NEXT_FREE.sqlite, &["events_due (console=?)", "events_unfinished (console=? AND key=?)"]),
        (NEXT_LEASE_END.sqlite, &["events_leased"]),
        (COMPLETE_CASE.sqlite, &["version USING INDEX events_as_identified (console=? AND key=?"]),
        (UNFINISHED_OF_THREAT, &["events_unfinished_of_threat (console=? AND threat_key=?"]),
        (PENDING, &["COVERING INDEX events_by_state (console=? AND state=? AND follows=?)"]),
        (
            COUNTS.sqlite,
            &[
                "event_counts USING PRIMARY KEY (console=?)",
                "COVERING INDEX events_by_state (console=? AND state=? AND follows=?)",
            ],
        ),
        (
            OLD_IDENTITIES,
            &[
                "incidents_by_age (console=? AND created_at_us<?)",
                "events_as_identified (console=? AND key=?)",
            ],
        ),
        (EMPTY_FINISHED.sqlite, &["events_to_prune (finished_at<?)"]),
        (EMPTY_LETTERS.sqlite, &["events_letters_to_prune (finished_at<?)"]),
        (REMOVE_DROPPED.sqlite, &["events_dropped (finished_at>?)"]),
        (REMOVE_SAMPLES, &["events_samples (received_at>?)"]),
        (REMOVE_FINISHED.sqlite, &["events_to_prune (finished_at>?)"]),
        (REMOVE_FOLLOW_UPS.sqlite, &["events_following_up (due_at>?)"]),
        (SAMPLES.sqlite, &["events_samples (received_at>?)"]),
        (
            REMOVING,
            &[
                "events_pruned (pruned_at>? AND pruned_at<?)",
                "events_of_threat (console=? AND threat_key=? AND pruned_at=?)",
                "events_of_threat (console=? AND threat_key=? AND pruned_at>?)",
            ],
        ),
        (
            KEY_OF.sqlite,
            &[
                "events_as_identified (console=? AND key=?)",
                "events_as_received (console=? AND received_key=?)",
                "INTEGER PRIMARY KEY (rowid=?)",
                "events_by_root (console=? AND root_id=?)",
            ],
        ),
    ] {
        assert_answered_from(&plan(&database, query).await, query, indexes);
    }
}

fn assert_answered_from(plan: &str, query: &str, indexes: &[&str]) {
    for index in indexes {
        assert!(plan.contains(index), "{index} for {query}:\n{plan}");
    }
    // What fits into one claim may be sorted; what waits may not.
    let sorts = plan.lines().any(|step| step == "USE TEMP B-TREE FOR ORDER BY");
    assert!(!sorts || query == CLAIM.sqlite, "{query}:\n{plan}");
    assert!(!plan.contains("SCAN events"), "{query}:\n{plan}");
}

#[tokio::test]
async fn the_counts_that_are_kept_up_are_those_of_the_events_whatever_becomes_of_them() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let database = SqliteDatabase::open(&url).await.unwrap();
    for change in [
        FILLED,
        "UPDATE events SET state = 'delivered', finished_at = 1 WHERE id % 7 = 0",
        "UPDATE events SET follows = id - 1 WHERE id % 5 = 0",
        "UPDATE events SET follows = NULL WHERE id % 15 = 0",
        "UPDATE events SET state = 'dropped' WHERE state = 'dead' AND id % 2 = 0",
        "UPDATE events SET body = '' WHERE id % 4 = 0",
        "UPDATE OR IGNORE events SET state = 'pending', key = 'k1' WHERE id % 11 = 0",
        "DELETE FROM events WHERE id % 3 = 1",
    ] {
        sqlx::query(change).execute(&database.writer).await.unwrap();
        let counted = "SELECT CASE WHEN state = 'pending' AND follows IS NOT NULL \
             THEN 'following-up' ELSE state END AS standing, COUNT(*) AS events, \
             SUM(OCTET_LENGTH(body)) AS bytes FROM events GROUP BY standing ORDER BY standing";
        let kept = "SELECT standing, events, bytes FROM event_counts \
             WHERE events > 0 OR bytes <> 0 ORDER BY standing";
        let read = async |query: &'static str| -> Vec<(String, i64, i64)> {
            let rows = sqlx::query(query).fetch_all(&database.writer).await.unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
        };
        assert_eq!(read(kept).await, read(counted).await, "{change}");
    }
}

/// A length is read from a row's header; a text that is sorted along goes through a temporary file.
#[tokio::test]
async fn the_upgrade_that_adds_up_the_bytes_of_texts_reads_their_lengths_and_not_the_texts() {
    /// Of an instruction that reads a column: no more than its length in bytes is wanted.
    const ONLY_LENGTH: i64 = 0xc0;
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let database = SqliteDatabase::open(&url).await.unwrap();
    let upgrade = include_str!("../migrations/0016_samples_and_bytes.sql");
    let begins = upgrade.find("INSERT INTO event_counts").unwrap();
    let adding = &upgrade[begins..][..upgrade[begins..].find(';').unwrap()];
    let body = "SELECT cid FROM pragma_table_info('events') WHERE name = 'body'";
    let body: i64 = sqlx::query_scalar(body).fetch_one(&database.writer).await.unwrap();
    let explained = sqlx::AssertSqlSafe(format!("EXPLAIN {adding}"));
    let steps = sqlx::query(explained).fetch_all(&database.writer).await.unwrap();
    let of = |step: &sqlx::sqlite::SqliteRow, name: &str| step.get::<i64, _>(name);
    // The first cursor that is opened on the table's root page reads its rows.
    let root = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'events'";
    let root: i64 = sqlx::query_scalar(root).fetch_one(&database.writer).await.unwrap();
    let is = |step: &sqlx::sqlite::SqliteRow, name: &str| step.get::<String, _>("opcode") == name;
    let opened = steps.iter().find(|step| is(step, "OpenRead") && of(step, "p2") == root).unwrap();
    let reads = |step: &&sqlx::sqlite::SqliteRow| {
        is(step, "Column") && of(step, "p1") == of(opened, "p1") && of(step, "p2") == body
    };
    let flags: Vec<i64> = steps.iter().filter(reads).map(|step| of(step, "p5")).collect();
    assert_eq!(flags, [ONLY_LENGTH]);
}
