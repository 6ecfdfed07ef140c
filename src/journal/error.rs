//! Reasons why the journal could not do what was asked, in words for the operator.

use std::path::PathBuf;

use super::failure::{FailureKind, kind_of, lacks_space};

/// Reason why the journal could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database refused or failed.
    #[error("the journal's database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database's schema could not be brought up to date.
    #[error(
        "the journal's schema could not be brought up to date: {0}; one written by a newer \
         version needs that version"
    )]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The file is no journal, or not a whole one.
    #[error(
        "the journal {} is damaged or no journal at all ({reason}). It was left as it is. Stop the \
         service, keep a copy of the file and of those that begin with its name, and put a backup \
         in its place; or save what can be read with `sqlite3 {} .recover`; or move it away, and \
         the service starts an empty one and sweeps again from \
         HARFANGLAB_INCIDENTS_IMPORT_START_DATE, without the dead letters and the pushes that the \
         console does not keep",
        file.display(), file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// SQLite's own words.
        reason: String,
    },
    /// The address of the journal cannot be used.
    #[error("HARFANGLAB_INCIDENTS_JOURNAL_URL: {0}")]
    Address(String),
    /// The file cannot be opened because its disk is full.
    #[error(
        "cannot open {}: its disk is full; free space there, nothing in the journal is lost",
        file.display()
    )]
    DiskFull {
        /// The file.
        file: PathBuf,
    },
    /// Nothing is accepted until the service is restarted, for this reason.
    #[error("{0}")]
    Lost(String),
    /// Nothing failed: another change fixes incidents of the same names, and takes long.
    #[error("others are still fixing incidents of this name")]
    Busy,
    /// A row holds what no version of this program wrote.
    #[error(
        "the journal holds a row that cannot be read: {0}; was it changed by hand, or written by a \
         newer version? Use that version, or put a backup in its place"
    )]
    Corrupt(String),
}

impl JournalError {
    /// Returns whether [`super::Storage`] tells the log of it, from its beginning to its end.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::DiskFull { .. })
            || matches!(self.kind(), Some(FailureKind::Storage(_) | FailureKind::Damage(_)))
    }

    /// Returns whether a smaller change may succeed: the disk had no space for this one.
    pub fn lacks_space(&self) -> bool {
        matches!(self, Self::Database(error) if lacks_space(error))
    }

    /// Returns the kind of failure; `None`: not one of the database.
    pub(super) fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Database(error) => Some(kind_of(error)),
            _ => None,
        }
    }
}
