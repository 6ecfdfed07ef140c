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
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::OnceCell;

use super::{
    database::{
        connection::Connection,
        session::{Change, Session},
        statement::query,
    },
    error::JournalError,
    file::{FileIdentity, Lengths},
    pruning::Shrunk,
    storage::{Report, Storage},
};

/// Most pages given back to the file system in one step: four megabytes. The log takes as much before.
const PAGES_PER_STEP: u32 = 1_000;
/// Longest time for which cutting the log waits for readers, and holds up writers meanwhile.
const CUT_WAITS: Duration = Duration::from_millis(50);

/// Time for which a connection waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One SQLite file.
#[derive(Debug)]
pub struct SqliteDatabase {
    /// One connection, so that writers queue here and not inside SQLite.
    writer: SqlitePool,
    readers: SqlitePool,
    file: Box<Path>,
    /// The files as they were opened.
    identity: FileIdentity,
    /// Their lengths at the last look.
    lengths: Mutex<Lengths>,
    /// Says what happened to a file beside it, while the log is not copied back yet.
    unsaved: Mutex<Option<String>>,
    storage: Arc<Storage>,
    /// Set once the file is open, its schema is ours, and no lease of a dead process is left.
    opened: OnceCell<Opened>,
    /// Pages that the next step gives back: fewer after one for which the disk had no space.
    pages_per_step: AtomicU32,
    /// Held as long as the service has the journal open; commands beside it hold nothing.
    _only_user: Option<File>,
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

impl SqliteDatabase {
    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(super) async fn check_not_lost(self: &Arc<Self>) -> Result<(), JournalError> {
        if self.storage.check_not_lost().is_err() {
            self.save_log().await;
        }
        self.storage.check_not_lost()?;
        let looked = self.look_at_files().await;
        self.storage.check_not_lost()?;
        looked
    }

    pub(super) async fn used_bytes(&self) -> Result<u64, JournalError> {
        let used = query(
            "SELECT (page_count - freelist_count) * page_size AS bytes \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        );
        let in_file = used.fetch_one(&mut self.reader().await?).await?.count("bytes")?;
        Ok(in_file + self.measure().await?.log)
    }

    pub(super) async fn give_back(&self) -> Result<u64, JournalError> {
        let before = self.free_pages().await?;
        if before == 0 {
            return Ok(0);
        }
        loop {
            let pages = self.pages_per_step.load(Ordering::Relaxed);
            // The pragma answers a row for each page, and frees them as the rows are read. It frees all
            // of them or none.
            let vacuum = query(format!("PRAGMA incremental_vacuum({pages})"));
            let freed = vacuum.fetch_all(&mut self.writer(Report::Damage).await?).await;
            let (next, ended) = match freed {
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

    /// Gives back what is free. The file becomes shorter when the log is copied back into it.
    pub(super) async fn shrink(&self) -> Result<Shrunk, JournalError> {
        let before = self.measure().await?.file;
        let given_back = self.give_back().await;
        // Also when the log has no space for what is moved: without it there is more.
        let is_held_up = !self.cut_log().await?;
        let is_more = given_back? > 0 && self.free_pages().await? > 0;
        let bytes = before.saturating_sub(self.measure().await?.file);
        Ok(Shrunk { bytes, is_more, is_held_up })
    }

    /// Begins a change, which holds the write lock from its start. The storage is told of the failures of
    /// this report.
    pub(super) async fn begin(&self, report: Report) -> Result<Change, JournalError> {
        self.writer(report).await?.begin("BEGIN IMMEDIATE", Vec::new()).await
    }

    /// Lends a connection for a single statement that changes nothing.
    pub(super) async fn reader(&self) -> Result<Session, JournalError> {
        Ok(Session::Sqlite(self.lend(&self.readers, Report::Damage).await?))
    }

    /// Lends the connection that writes. The storage is told of the failures of this report.
    pub(super) async fn writer(&self, report: Report) -> Result<Session, JournalError> {
        Ok(Session::Sqlite(self.lend(&self.writer, report).await?))
    }

    /// Lends one of these connections. Where the disk was too full to open the journal at the start, this
    /// tries it again. A try may be broken off by whoever has no time to wait for a change of the schema;
    /// the disk guard has.
    async fn lend(
        &self,
        connections: &SqlitePool,
        report: Report,
    ) -> Result<Connection<Sqlite>, JournalError> {
        let opened = self.bring_up_to_date_once().await;
        opened.inspect_err(|failure| self.storage.failed_because(failure.to_string()))?;
        Connection::lend(connections, &self.storage, report).await
    }

    /// Counts the pages of the file that hold nothing.
    async fn free_pages(&self) -> Result<u64, JournalError> {
        let count = query("SELECT freelist_count FROM pragma_freelist_count");
        count.fetch_one(&mut self.writer(Report::Damage).await?).await?.count("freelist_count")
    }

    /// Copies the log back into the file and cuts it; returns whether all of it was. A reader of an earlier
    /// state is waited for only a moment, because writers wait along. A connection on which that fails, or
    /// is broken off, is closed, so that none is left with the short wait.
    async fn cut_log(&self) -> Result<bool, JournalError> {
        let mut connection = self.lend(&self.writer, Report::Damage).await?;
        let cutting = format!(
            "PRAGMA busy_timeout = {}; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {}",
            CUT_WAITS.as_millis(),
            BUSY_TIMEOUT.as_millis()
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(cutting)).fetch_all(connection.start()).await;
        let rows = connection.ended(rows)?;
        // Only the checkpoint answers whether it was held up.
        Ok(rows.iter().find_map(|row| row.try_get("busy").ok()) == Some(0_i64))
    }

    /// Measures its files.
    async fn measure(&self) -> Result<Lengths, JournalError> {
        Ok(self.identity.lengths().await.map_err(sqlx::Error::Io)?)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn a_reader_of_an_earlier_state_holds_up_giving_back_and_the_writer_waits_as_long_as_before()
     {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let database = SqliteDatabase::open(&url).await.unwrap();
        let writer = async || database.writer(Report::AnyFailure).await.unwrap();
        let waits = async || {
            let timeout = query("SELECT timeout FROM pragma_busy_timeout");
            timeout.fetch_one(&mut writer().await).await.unwrap().number("timeout")
        };
        let before = waits().await.unwrap();
        let mut reader = database.readers.begin().await.unwrap();
        sqlx::query("SELECT 1 FROM events").fetch_all(&mut *reader).await.unwrap();
        let insert = query("INSERT INTO remembered VALUES ('a', 'b')");
        insert.execute(&mut writer().await).await.unwrap();
        assert!(database.shrink().await.unwrap().is_held_up);
        assert_eq!((waits().await.unwrap(), before), (before, 5_000));
        drop(reader);
        while database.shrink().await.unwrap().is_held_up {}
        assert_eq!(database.measure().await.unwrap().log, 0);
    }
}
