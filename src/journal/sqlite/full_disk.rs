//! Reading the journal on a disk that is full. SQLite needs an index of its write-ahead log to read, as a
//! file beside the journal (`-shm`); where that cannot grow, there are two more ways.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sqlx::sqlite::SqliteConnectOptions;

use super::{
    SqliteDatabase,
    open::{is_full, opening_failed, options, reading, there_is_one},
};
use crate::journal::{error::JournalError, file::FileIdentity};

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
        let log = lengths.map_or(u64::MAX, |lengths| lengths.log);
        for (way, index) in ways_to_read(&file, log) {
            let mut journal = Self::at(&file, way.clone(), way, None)?;
            let begun = match index {
                Index::OfMemory => {
                    journal.readers = journal.writer.clone();
                    journal.begin_to_read().await
                }
                Index::AsItIs => journal.schema_version().await.map(drop),
            };
            match begun {
                Ok(()) => return journal.of_our_version().await,
                Err(damaged @ JournalError::Damaged { .. }) => return Err(damaged),
                // Completely, since SQLite shares what it has open within the process.
                Err(_in_this_way) => journal.writer.close().await,
            }
        }
        Err(JournalError::DiskFull { file })
    }

    /// Begins to read on the only connection, and never ends: what follows reads by the index that is in memory
    /// now. SQLite would choose anew for each statement, and may choose the file of a service that tries to
    /// start just then, which is not filled yet. Nobody writes meanwhile whom the open transaction could hold up.
    async fn begin_to_read(&self) -> Result<(), JournalError> {
        let begun = sqlx::raw_sql("BEGIN; SELECT COUNT(*) FROM sqlite_schema");
        begun.execute(&self.writer).await.map_err(|error| opening_failed(self.file(), &error))?;
        self.schema_version().await.map(drop)
    }
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
