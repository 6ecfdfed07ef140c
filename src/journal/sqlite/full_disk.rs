//! Reading the journal on a disk that is full. SQLite needs an index of its write-ahead log to read, as a
//! file beside the journal (`-shm`); where that cannot grow, there are two more ways.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::sqlite::SqliteConnectOptions;

use super::{
    BUSY_TIMEOUT, SqliteDatabase,
    open::{is_full, kind, opening_failed, options, reading, there_is_one},
};
use crate::journal::{error::JournalError, file::FileIdentity};

/// Between two tries to read beside somebody who tries to open the journal.
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

impl SqliteDatabase {
    /// As [`Self::open_beside`], to read only: also on a full disk.
    ///
    /// # Errors
    /// As those of [`Self::open_beside`]; [`JournalError::DiskFull`] when that keeps it from being read.
    pub async fn open_to_read(url: &str) -> Result<Self, JournalError> {
        let file = options(url)?.get_filename().to_owned();
        there_is_one(&file)?;
        if !is_full(&file) {
            return Self::open_beside(url).await;
        }
        let lengths = FileIdentity::at(&file).and_then(|identity| identity.measure());
        let ways = ways_to_read(&file, lengths.map_or(u64::MAX, |lengths| lengths.log));
        let deadline = Instant::now() + BUSY_TIMEOUT;
        loop {
            let mut is_held = false;
            for (way, index) in &ways {
                let mut journal = Self::at(&file, way.clone(), way.clone(), None)?;
                if *index == Index::OfMemory {
                    journal.readers = journal.writer.clone();
                }
                let Err(failure) = journal.begin_to_read(*index).await else {
                    return journal.of_our_version().await;
                };
                if let damaged @ JournalError::Damaged { .. } = opening_failed(&file, &failure) {
                    return Err(damaged);
                }
                is_held |= is_being_opened(&failure);
                // Completely, since SQLite shares what it has open within the process.
                journal.writer.close().await;
            }
            if !is_held || Instant::now() >= deadline {
                return Err(JournalError::DiskFull { file });
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }

    /// Begins to read. By an index in memory it never ends: what follows, on the only connection, reads by that
    /// index. SQLite would choose anew for each statement, and may choose the file of a service that tries to
    /// start just then, which is not filled yet. Nobody writes meanwhile whom the open transaction could hold up.
    async fn begin_to_read(&self, index: Index) -> Result<(), sqlx::Error> {
        let begin = match index {
            Index::AsItIs => "SELECT COUNT(*) FROM sqlite_schema",
            Index::OfMemory => "BEGIN; SELECT COUNT(*) FROM sqlite_schema",
        };
        sqlx::raw_sql(begin).execute(&self.writer).await.map(drop)
    }
}

/// Returns whether reading failed because somebody else tries to open the journal just then: SQLite (busy,
/// locked, read-only) takes the other's index, which is not filled, and not one of its own. It takes a moment.
fn is_being_opened(failure: &sqlx::Error) -> bool {
    matches!(kind(failure), Some(5 | 6 | 8))
}

/// The index of the write-ahead log that is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    /// The file of whoever has the journal open, or none.
    AsItIs,
    /// One that this process makes.
    OfMemory,
}

/// Ways to read, the surest first: with the index that is there, with one in memory, and without the log,
/// which holds nothing after an orderly end.
fn ways_to_read(file: &Path, log_bytes: u64) -> Vec<(SqliteConnectOptions, Index)> {
    let encoded = percent_encode(file.as_os_str().as_encoded_bytes(), NON_ALPHANUMERIC);
    let in_memory = reading(file).filename(format!("file:{encoded}?readonly_shm=1"));
    let mut ways = vec![(reading(file), Index::AsItIs), (in_memory, Index::OfMemory)];
    if log_bytes == 0 {
        ways.push((reading(file).immutable(true), Index::AsItIs));
    }
    ways
}
