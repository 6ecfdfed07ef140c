//! Notices that what is stored would not be found after a restart, because a file of the journal was
//! removed, replaced or cut while it is open. SQLite notices that late or never: it goes on writing to a
//! log that was removed, and has what was cut off in its memory.
//!
//! Files become shorter in good order, too, when free pages are given back. Every page is then in the file,
//! or in that end of the log that is not copied back yet.

use std::sync::PoisonError;

use super::{Opened, SqliteStore};
use crate::journal::{
    JournalError,
    file::{Gone, Lengths},
    sql::{Change as _, Columns as _, Store as _, query},
    storage::Report,
};

/// Bytes of the log's header, and of that of each page in it ("WAL-mode File Format" in SQLite's manual).
const LOG_HEADER_BYTES: i64 = 32;
const FRAME_HEADER_BYTES: i64 = 24;

impl SqliteStore {
    /// Tells the storage when the journal is lost.
    pub(super) async fn look_at_files(&self) -> Result<(), JournalError> {
        match self.identity.look().await {
            Some(Ok(lengths)) => self.check_lengths(lengths).await,
            Some(Err(Gone::File(reason))) => {
                self.storage.lost(reason);
                Ok(())
            }
            Some(Err(Gone::Beside(happened))) => {
                self.storage.lost(self.copy_log_back(&happened).await);
                Ok(())
            }
            // A disk that does not answer says nothing.
            None => Ok(()),
        }
    }

    /// Saves what is in a log that was removed, as long as it is open, and answers what happened and what
    /// to do.
    async fn copy_log_back(&self, happened: &str) -> String {
        let file = self.file.display();
        match self.cut_log().await {
            Ok(true) => format!(
                "{happened}; everything was copied into {file}: stop the service, remove {file}-wal and \
                 {file}-shm where they are, and start it again"
            ),
            _ => format!(
                "{happened}, and what it holds could not be copied into {file}. The service still has \
                 the old one open and delivers what waits in it: stop it when \
                 journal_events{{state=\"pending\"}} of /metrics is 0, remove {file}-wal and {file}-shm \
                 where they are, and start it again"
            ),
        }
    }

    async fn check_lengths(&self, lengths: Lengths) -> Result<(), JournalError> {
        let last = || self.lengths.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *last();
        let is_shorter = lengths.file < before.file || lengths.log < before.log;
        let is_ours = matches!(self.opened.get(), Some(Opened::BySpareConnection { .. }));
        let may_be_cut = is_shorter && is_ours;
        if may_be_cut && (lengths.file == 0 || !self.holds_every_page().await?) {
            self.storage.lost(format!(
                "the journal's file {} or its log was cut while the service runs: stop the service, \
                 keep a copy of the file and of those that begin with its name, and put a backup in \
                 its place; then start it again",
                self.file.display()
            ));
            return Ok(());
        }
        *last() = lengths;
        Ok(())
    }

    /// Returns whether file and log are long enough for the pages in them.
    async fn holds_every_page(&self) -> Result<bool, JournalError> {
        // Nobody commits meanwhile, or gives pages back.
        let mut change = self.begin_telling(Report::Damage).await?;
        let pages = query("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size");
        let pages = pages.fetch_one(&mut change).await?;
        let (pages, page_bytes) = (pages.try_get::<i64>(0)?, pages.try_get::<i64>(1)?);
        // Answers three values and does nothing; none of them counts when it is no log.
        let log = query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&mut self.readers()).await?;
        let (in_log, copied) = (log.try_get::<i64>(1)?.max(0), log.try_get::<i64>(2)?.max(0));
        let lengths = self.measure().await?;
        change.roll_back().await?;
        let bytes = |length: u64| i64::try_from(length).unwrap_or(i64::MAX);
        let log_bytes = match in_log {
            0 => 0,
            frames => LOG_HEADER_BYTES + frames * (FRAME_HEADER_BYTES + page_bytes),
        };
        let only_in_log = in_log - copied;
        Ok(bytes(lengths.file) / page_bytes + only_in_log >= pages
            && bytes(lengths.log) >= log_bytes)
    }
}
