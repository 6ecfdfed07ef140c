//! Moving a SQLite journal into an empty PostgreSQL: every row of every table, in one transaction, so
//! that it is there as a whole or not at all.

use futures_util::TryStreamExt as _;
use sqlx::{Row as _, SqlitePool, sqlite::SqliteRow};

use super::PostgresDatabase;
use crate::journal::{
    database::{
        dialect::Dialect,
        locks::EventLocks,
        session::Change,
        statement::{Statement, Value, query},
    },
    error::JournalError,
    sqlite::SqliteDatabase,
    storage::Report,
};

/// Bytes of text that travel in one statement.
const BYTES_AT_ONCE: usize = 8 << 20;

/// A table: its name, its columns of numbers, and its columns of texts.
type Table = (&'static str, &'static [&'static str], &'static [&'static str]);

/// All that a journal holds.
const TABLES: [Table; 11] = [
    (
        "events",
        &[
            "id",
            "generation",
            "received_at",
            "happened_at",
            "attempts",
            "due_at",
            "finished_at",
            "follows",
            "deadline_at",
            "gave_up_at",
            "updated_at",
            "recurrence",
            "is_version",
            "attempts_before",
            "pruned_at",
            "times_lost",
        ],
        &[
            "console",
            "received_key",
            "received_version",
            "key",
            "version",
            "origin",
            "dialect",
            "body",
            "agent_id",
            "title",
            "threat_key",
            "state",
            "reason",
            "root_id",
            "lacking",
            "shape",
        ],
    ),
    ("incidents", &["created_at_us"], &["console", "key", "name", "folded_id", "wanted_id"]),
    ("remembered", &[], &["name", "value"]),
    (
        "works",
        &["opened_at", "closed_at", "look_at", "looks", "shown_since", "was_reset", "is_lost"],
        &["id", "console", "closing", "shown", "platform"],
    ),
    ("work_parts", &["position", "event"], &["work", "objects"]),
    ("work_indicators", &[], &["indicator", "work"]),
    ("refusals", &["id", "event", "times", "refused_at"], &["console", "object", "reason", "work"]),
    (
        "sighting_flags",
        &["seen_at", "negative", "due_at", "tries"],
        &["console", "sighting_of", "sighted_by", "sighting"],
    ),
    (
        "sightings",
        &["first_seen_at", "last_seen_at", "is_false_positive"],
        &["console", "key", "indicator_id", "place_id"],
    ),
    ("case_objects", &["generation", "is_sent"], &["console", "threat_key", "object_id"]),
    ("refused_rules", &["refused_at"], &["indicator", "name", "reason", "platform"]),
];

/// Lets numbers go on after the highest one that moved.
const GO_ON: [&str; 2] = [
    "SELECT setval(pg_get_serial_sequence('events', 'id'), \
     GREATEST((SELECT MAX(id) FROM events), 1))",
    "SELECT setval(pg_get_serial_sequence('refusals', 'id'), \
     GREATEST((SELECT MAX(id) FROM refusals), 1))",
];

impl PostgresDatabase {
    /// Takes over everything that a SQLite journal holds, of every console; answers how many rows of
    /// each table there were.
    ///
    /// # Errors
    /// [`JournalError::Address`] when something is there already; [`JournalError::Database`] when one
    /// of the two fails. Nothing has changed then.
    pub async fn take_over(
        &self,
        from: &SqliteDatabase,
    ) -> Result<Vec<(&'static str, u64)>, JournalError> {
        let mut change = self.begin("", EventLocks::None, Report::AnyFailure).await?;
        let patient = "SELECT set_config('idle_in_transaction_session_timeout', '0', true)";
        query(patient).execute(&mut change).await?;
        let mut moved = Vec::with_capacity(TABLES.len());
        for table in &TABLES {
            refuse_if_not_empty(&mut change, table.0).await?;
            moved.push((table.0, copy(from.connections(), &mut change, table).await?));
        }
        for statement in GO_ON {
            query(statement).fetch_all(&mut change).await?;
        }
        change.commit().await?;
        Ok(moved)
    }
}

/// Also keeps others from beginning to write there.
async fn refuse_if_not_empty(change: &mut Change, table: &'static str) -> Result<(), JournalError> {
    query(format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).execute(change).await?;
    let there = query(format!("SELECT 1 FROM {table} LIMIT 1")).fetch_all(change).await?;
    if there.is_empty() {
        return Ok(());
    }
    Err(JournalError::Address(format!(
        "there is a journal in this database already (its table {table} has rows); nothing was moved. \
         Name an empty database or schema"
    )))
}

async fn copy(from: &SqlitePool, change: &mut Change, table: &Table) -> Result<u64, JournalError> {
    let (name, numbers, texts) = *table;
    let columns = [numbers, texts].concat().join(", ");
    let reading = sqlx::AssertSqlSafe(format!("SELECT {columns} FROM {name}"));
    let mut rows = sqlx::query(reading).fetch(from);
    let into = format!("INSERT INTO {name} ({columns}) VALUES ");
    let rows_at_once = Dialect::Postgres.values_max() / (numbers.len() + texts.len());
    let (mut insert, mut waiting, mut bytes, mut moved) = (query(into.clone()), 0, 0, 0);
    while let Some(row) = rows.try_next().await? {
        bytes += add(&mut insert, &row, table, waiting == 0)?;
        waiting += 1;
        if waiting == rows_at_once || bytes > BYTES_AT_ONCE {
            let full = std::mem::replace(&mut insert, query(into.clone()));
            moved += full.execute(change).await?;
            (waiting, bytes) = (0, 0);
        }
    }
    if waiting > 0 {
        moved += insert.execute(change).await?;
    }
    Ok(moved)
}

/// Adds a row; answers how many bytes of text it has.
fn add(
    insert: &mut Statement,
    row: &SqliteRow,
    (_name, numbers, texts): &Table,
    is_first: bool,
) -> Result<usize, JournalError> {
    let mut bytes = 0;
    let first_value = insert.values.len() + 1;
    for number in *numbers {
        insert.values.push(Value::Number(row.try_get(*number)?));
    }
    for text in *texts {
        let text: Option<String> = row.try_get(*text)?;
        bytes += text.as_deref().map_or(0, str::len);
        insert.values.push(text.as_deref().into());
    }
    let places: Vec<_> = (first_value..=insert.values.len()).map(|it| format!("${it}")).collect();
    let comma = if is_first { "" } else { ", " };
    insert.push(&format!("{comma}({})", places.join(", ")));
    Ok(bytes)
}
