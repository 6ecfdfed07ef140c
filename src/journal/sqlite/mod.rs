//! The embedded database: SQLite in WAL mode with `synchronous=FULL`, so that a commit is on disk
//! when it is answered. One connection writes, others read; so changes have one order by themselves.
//!
//! A service starts although its disk is full: the journal is opened then by whichever statement is the
//! first that can (`lend`), and until that nothing is read or written.
//!
//! Does not live here: what is asked of it (`sql`).

mod full_disk;
mod lost;
mod open;
#[cfg(test)]
mod plans;

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{
    AssertSqlSafe, Connection as _, Sqlite, SqliteConnection, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};
use tokio::sync::OnceCell;

use super::{
    JournalError, SMALL_BYTES, Shrunk, Storage,
    file::{FileIdentity, Lengths},
    sql::{
        Change, Column, Columns, Dialect, Lent, LockScope, Order, Session, SqlJournal, Statement,
        Store, Value, query,
    },
    storage::Report,
};
use crate::clock::Clock;

/// Most pages given back to the file system in one step: four megabytes. The log takes as much before.
const PAGES_PER_STEP: u32 = 1_000;
/// Longest time for which cutting the log waits for readers, and holds up writers meanwhile.
const CUT_WAITS: Duration = Duration::from_millis(50);

/// The journal in one SQLite file.
pub type SqliteJournal = SqlJournal<SqliteStore>;

/// One SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    /// One connection, so that writers queue here and not inside SQLite.
    writer: SqlitePool,
    readers: SqlitePool,
    file: Arc<Path>,
    /// The files as they were opened.
    identity: FileIdentity,
    /// Their lengths at the last look.
    lengths: Arc<Mutex<Lengths>>,
    /// Says what happened to a file beside it, while the log is not copied back yet.
    unsaved: Arc<Mutex<Option<String>>>,
    storage: Arc<Storage>,
    /// Set once the file is open, its schema is ours, and no lease of a dead process is left.
    opened: Arc<OnceCell<Opened>>,
    /// Pages that the next step gives back: fewer after one for which the disk had no space.
    pages_per_step: Arc<AtomicU32>,
    /// Held as long as the service has the journal open; commands beside it hold nothing.
    _only_user: Option<Arc<File>>,
}

/// A file that is open.
#[derive(Debug)]
enum Opened {
    /// By the service. Nothing runs on this connection, so that no failure closes it: with the last one
    /// SQLite removes the write-ahead log, which nobody else may.
    BySpareConnection { _spare: SqliteConnection },
    /// Beside the service.
    Beside,
}

/// A change that is not committed yet.
pub(in crate::journal) struct SqliteChange(Lent<Sqlite>);

/// Connections for single statements.
pub(in crate::journal) struct Pool {
    store: SqliteStore,
    connections: SqlitePool,
    report: Report,
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
        self.begin_telling(Report::AnyFailure).await
    }

    async fn begin_upkeep(
        &self,
        _console: &str,
        _order: Order,
    ) -> Result<Self::Change, JournalError> {
        self.begin_telling(Report::Damage).await
    }

    async fn begin_fixing(&self, _scope: LockScope) -> Result<Self::Change, JournalError> {
        self.begin_telling(Report::AnyFailure).await
    }

    fn readers(&self) -> Pool {
        Pool { store: self.clone(), connections: self.readers.clone(), report: Report::Damage }
    }

    fn writer(&self) -> Pool {
        Pool { store: self.clone(), connections: self.writer.clone(), report: Report::AnyFailure }
    }

    fn storage(&self) -> &Storage {
        &self.storage
    }

    async fn check_not_lost(&self) -> Result<(), JournalError> {
        if self.storage.check_not_lost().is_err() {
            self.save_log().await;
        }
        self.storage.check_not_lost()?;
        let looked = self.look_at_files().await;
        self.storage.check_not_lost()?;
        looked
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
        Ok(in_file + self.measure().await?.log)
    }

    async fn give_back(&self) -> Result<u64, JournalError> {
        let before = self.free_pages().await?;
        if before == 0 {
            return Ok(0);
        }
        loop {
            let pages = self.pages_per_step.load(Ordering::Relaxed);
            // The pragma answers a row for each page, and frees them as the rows are read. It frees all
            // of them or none.
            let vacuum = query(format!("PRAGMA incremental_vacuum({pages})"));
            let (next, ended) = match vacuum.fetch_all(&mut self.upkeep()).await {
                Ok(_rows) => ((pages * 2).min(PAGES_PER_STEP), Some(Ok(()))),
                Err(failure) if failure.lacks_space() && pages > 1 => ((pages / 4).max(1), None),
                Err(failure) => (pages, Some(Err(failure))),
            };
            self.pages_per_step.store(next, Ordering::Relaxed);
            if let Some(ended) = ended {
                ended?;
                return Ok(before.saturating_sub(self.free_pages().await?));
            }
        }
    }

    /// The file becomes shorter when the log is copied back into it.
    async fn shrink(&self) -> Result<Shrunk, JournalError> {
        let before = self.measure().await?.file;
        let given_back = self.give_back().await;
        // Also when the log has no room for what is moved: without it there is more.
        let is_held_up = !self.cut_log().await?;
        let is_more = given_back? > 0 && self.free_pages().await? > 0;
        let bytes = before.saturating_sub(self.measure().await?.file);
        Ok(Shrunk { bytes, is_more, is_held_up })
    }
}

impl SqliteStore {
    /// Lends one of these connections. Where the disk was too full to open the journal at the start, this
    /// tries it again. A try may be broken off by whoever has no time to wait for a change of the schema;
    /// the disk guard has.
    async fn lend(
        &self,
        connections: &SqlitePool,
        report: Report,
    ) -> Result<Lent<Sqlite>, JournalError> {
        let opened = self.open().await;
        opened.inspect_err(|failure| self.storage.failed_because(failure.to_string()))?;
        Lent::by(connections, &self.storage, report).await
    }

    /// The storage is told of the failures of this report.
    async fn begin_telling(&self, report: Report) -> Result<SqliteChange, JournalError> {
        let mut lent = self.lend(&self.writer, report).await?;
        let begun = sqlx::raw_sql("BEGIN IMMEDIATE").execute(lent.connection()).await;
        lent.begun(begun)?;
        Ok(SqliteChange(lent))
    }

    /// The writer, of whose failures only damage is told.
    fn upkeep(&self) -> Pool {
        Pool { store: self.clone(), connections: self.writer.clone(), report: Report::Damage }
    }

    /// Pages of the file that hold nothing.
    async fn free_pages(&self) -> Result<u64, JournalError> {
        let count = query("SELECT freelist_count FROM pragma_freelist_count");
        count.fetch_one(&mut self.upkeep()).await?.count(0)
    }

    /// Copies the log back into the file and cuts it; whether all of it was. A reader of an earlier state
    /// is waited for only a moment, because writers wait along. A connection on which that fails, or is
    /// broken off, is closed, so that none is left with the short wait.
    async fn cut_log(&self) -> Result<bool, JournalError> {
        let mut lent = self.lend(&self.writer, Report::Damage).await?;
        let cutting = format!(
            "PRAGMA busy_timeout = {}; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {}",
            CUT_WAITS.as_millis(),
            open::BUSY_TIMEOUT.as_millis()
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(cutting)).fetch_all(lent.connection()).await;
        let rows = lent.ended(rows)?;
        // Only the checkpoint answers three values, of which the first is whether it was held up.
        let outcome = rows.iter().find(|row| sqlx::Row::len(*row) == 3);
        Ok(outcome.map(|row| row.try_get::<i64>(0)).transpose()? == Some(0))
    }

    /// The lengths of its files.
    async fn measure(&self) -> Result<Lengths, JournalError> {
        Ok(self.identity.lengths().await.map_err(sqlx::Error::Io)?)
    }
}

impl Session for SqliteChange {
    type Row = SqliteRow;

    async fn execute(&mut self, statement: Statement) -> Result<u64, JournalError> {
        let is_large = statement.longest_text() > SMALL_BYTES;
        let done = prepared(statement).execute(self.0.connection()).await;
        let changed = self.0.ended(done)?.rows_affected();
        if is_large {
            // A statement that is kept keeps its values until it is run again.
            let forgotten = self.0.connection().clear_cached_statements().await;
            self.0.ended(forgotten)?;
        }
        Ok(changed)
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
        let mut lent = self.store.lend(&self.connections, self.report).await?;
        let done = prepared(statement).execute(lent.connection()).await;
        Ok(lent.ended(done)?.rows_affected())
    }

    async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<SqliteRow>, JournalError> {
        let mut lent = self.store.lend(&self.connections, self.report).await?;
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

    #[tokio::test]
    async fn a_reader_of_an_earlier_state_holds_up_giving_back_and_the_writer_waits_as_long_as_before()
     {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal = SqliteJournal::open(&url, "https://console.example").await.unwrap();
        let waits = async || {
            let timeout = query("SELECT timeout FROM pragma_busy_timeout");
            timeout.fetch_one(&mut journal.store.writer()).await.unwrap().try_get(0)
        };
        let before: i64 = waits().await.unwrap();
        let mut reader = journal.store.readers.begin().await.unwrap();
        sqlx::query("SELECT 1 FROM events").fetch_all(&mut *reader).await.unwrap();
        query("INSERT INTO remembered VALUES ('a', 'b')")
            .execute(&mut journal.store.writer())
            .await
            .unwrap();
        assert!(journal.store.shrink().await.unwrap().is_held_up);
        assert_eq!((waits().await.unwrap(), before), (before, 5_000));
        drop(reader);
        while journal.store.shrink().await.unwrap().is_held_up {}
        assert_eq!(journal.store.measure().await.unwrap().log, 0);
    }
}
