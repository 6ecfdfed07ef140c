//! The embedded database: SQLite in WAL mode with `synchronous=FULL`, so that a commit is on disk
//! when it is answered. One connection writes, others read; so changes have one order by themselves.
//!
//! Does not live here: what is asked of it (`sql`).

mod log;
mod open;
#[cfg(test)]
mod plans;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{
    AssertSqlSafe, Sqlite, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    JournalError, Storage,
    sql::{
        Change, Column, Columns, Dialect, Lent, Order, Session, SqlJournal, Statement, Store,
        Value, query,
    },
};
use crate::clock::Clock;

/// Pages given back to the file system in one step: four megabytes at most.
const PAGES_PER_STEP: u32 = 1_000;

/// The journal in one SQLite file.
pub type SqliteJournal = SqlJournal<SqliteStore>;

/// One SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    /// One connection, so that writers queue here and not inside SQLite.
    writer: SqlitePool,
    readers: SqlitePool,
    file: Arc<Path>,
    storage: Arc<Storage>,
    /// Held as long as the service has the journal open; commands beside it hold nothing.
    _only_user: Option<Arc<File>>,
}

/// A change that is not committed yet.
pub(in crate::journal) struct SqliteChange(Lent<Sqlite>);

/// Connections for single statements.
pub(in crate::journal) struct Pool {
    pool: SqlitePool,
    /// Told what fails; `None`: nothing is changed here.
    storage: Option<Arc<Storage>>,
}

impl Store for SqliteStore {
    type Change = SqliteChange;
    type Pool = Pool;
    type Row = SqliteRow;

    const DIALECT: Dialect = Dialect::Sqlite;
    /// For each value of a statement sqlx's driver walks over the names of all of them, so that a
    /// statement of 20,000 values takes minutes.
    const VALUES_MAX: usize = 256;

    /// Holds the write lock from its start, whatever it takes part in.
    async fn begin(&self, _console: &str, _order: Order) -> Result<Self::Change, JournalError> {
        let mut lent = Lent::by(&self.writer, Some(&self.storage)).await?;
        let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(lent.connection()).await;
        lent.begun(begun)?;
        Ok(SqliteChange(lent))
    }

    fn readers(&self) -> Pool {
        Pool { pool: self.readers.clone(), storage: None }
    }

    fn writer(&self) -> Pool {
        Pool { pool: self.writer.clone(), storage: Some(Arc::clone(&self.storage)) }
    }

    fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The service is the only one that takes leases.
    async fn lease_time(
        &self,
        _change: &mut Self::Change,
        now: DateTime<Utc>,
    ) -> Result<i64, JournalError> {
        Ok(now.timestamp_millis())
    }

    async fn clock_skew(&self, _clock: &Clock) -> Result<Option<TimeDelta>, JournalError> {
        Ok(None)
    }

    async fn used_bytes(&self) -> Result<u64, JournalError> {
        let used = query(
            "SELECT (page_count - freelist_count) * page_size \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        );
        let in_file = used.fetch_one(&mut self.readers()).await?.count(0)?;
        Ok(in_file + length(&self.log()))
    }

    async fn give_back(&self) -> Result<u64, JournalError> {
        let free = async || {
            let count = query("SELECT freelist_count FROM pragma_freelist_count");
            count.fetch_one(&mut self.writer()).await?.count(0)
        };
        let before = free().await?;
        if before == 0 {
            return Ok(0);
        }
        // The pragma answers a row for each page, and frees them as the rows are read.
        let vacuum = query(format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})"));
        vacuum.fetch_all(&mut self.writer()).await?;
        Ok(before.saturating_sub(free().await?))
    }

    /// The file becomes shorter when the log is copied back into it.
    async fn shrink(&self) -> Result<u64, JournalError> {
        let before = length(&self.file);
        let given_back = self.give_back().await;
        // Also when the log has no room for what is moved: without it there is more. Busy readers are
        // waited for a few seconds; whether the log could be cut then is seen by its size.
        query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&mut self.writer()).await?;
        given_back?;
        Ok(before.saturating_sub(length(&self.file)))
    }
}

impl SqliteStore {
    /// The write-ahead log beside the file.
    fn log(&self) -> PathBuf {
        let mut log = self.file.as_os_str().to_owned();
        log.push("-wal");
        PathBuf::from(log)
    }
}

/// In bytes; 0: it is not there.
fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

impl Session for SqliteChange {
    type Row = SqliteRow;

    async fn execute(&mut self, statement: Statement) -> Result<u64, JournalError> {
        let done = prepared(statement).execute(self.0.connection()).await;
        Ok(self.0.ended(done)?.rows_affected())
    }

    async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, JournalError> {
        let rows = prepared(statement).fetch_all(self.0.connection()).await;
        self.0.ended(rows)
    }
}

impl Change for SqliteChange {
    async fn also(&mut self, _console: &str, _order: Order) -> Result<(), JournalError> {
        Ok(())
    }

    async fn commit(mut self) -> Result<(), JournalError> {
        self.0.check()?;
        let done = sqlx::raw_sql("COMMIT").execute(self.0.connection()).await;
        self.0.done(done)
    }

    async fn roll_back(mut self) -> Result<(), JournalError> {
        let done = sqlx::raw_sql("ROLLBACK").execute(self.0.connection()).await;
        self.0.done(done)
    }
}

impl Session for Pool {
    type Row = SqliteRow;

    async fn execute(&mut self, statement: Statement) -> Result<u64, JournalError> {
        let mut lent = Lent::by(&self.pool, self.storage.as_ref()).await?;
        let done = prepared(statement).execute(lent.connection()).await;
        Ok(lent.ended(done)?.rows_affected())
    }

    async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, JournalError> {
        let mut lent = Lent::by(&self.pool, self.storage.as_ref()).await?;
        let rows = prepared(statement).fetch_all(lent.connection()).await;
        lent.ended(rows)
    }
}

fn prepared(statement: Statement) -> Query<'static, Sqlite, SqliteArguments> {
    #[cfg(test)]
    super::plans::note(&statement);
    let (text, values) = statement.into_parts(SqliteStore::VALUES_MAX);
    let prepared = sqlx::query(AssertSqlSafe(text));
    values.into_iter().fold(prepared, |prepared, value| match value {
        Value::Number(number) => prepared.bind(number),
        Value::Text(text) => prepared.bind(text),
    })
}

impl Columns for SqliteRow {
    fn try_get<'r, T: Column<'r>>(&'r self, place: usize) -> Result<T, JournalError> {
        Ok(sqlx::Row::try_get(self, place)?)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_change_of_which_a_statement_was_broken_off_is_never_committed() {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal = SqliteJournal::open(&url, "https://console.example").await.unwrap();
        let mut change = journal.store.begin("", Order::None).await.unwrap();
        // As by whoever is cancelled while it waits.
        let _broken_off = change.0.connection();
        change.execute(query("INSERT INTO remembered VALUES ('a', 'b')")).await.unwrap();
        change.commit().await.unwrap_err();
        let mut change = journal.store.begin("", Order::None).await.unwrap();
        change.execute(query("INSERT INTO remembered VALUES ('a', 'c')")).await.unwrap();
        change.commit().await.unwrap();
    }
}
