//! Notices that what is stored would not be found after a restart, because a file of the journal was
//! removed, replaced or cut while it is open. SQLite notices that late or never: it goes on writing to a
//! log that was removed, and has what was cut off in its memory.
//!
//! Files become shorter in good order, too, when free pages are given back. Every page is then in the file,
//! or in that end of the log that is not copied back yet.

use std::sync::Arc;

use super::{Opened, SqliteDatabase};
use crate::journal::{
    database::statement::query,
    error::JournalError,
    file::{Gone, Lengths},
    storage::Report,
};

impl SqliteDatabase {
    /// Tells the storage when the journal is lost.
    pub(super) async fn look_at_files(self: &Arc<Self>) -> Result<(), JournalError> {
        match self.identity.look().await {
            Some(Ok(lengths)) => self.check_lengths(lengths).await,
            Some(Err(Gone::File(reason))) => {
                self.storage.lost(reason);
                Ok(())
            }
            Some(Err(Gone::Beside(happened))) => {
                let is_saved = self.is_log_copied_back().await;
                self.storage.lost(self.reason(&happened, is_saved));
                if !is_saved {
                    *self.unsaved.lock() = Some(happened);
                }
                Ok(())
            }
            // It says nothing about the files.
            None => Ok(()),
        }
    }

    /// Tries again to save what is in a log that was removed: a reader may have held it up before.
    pub(super) async fn save_log(self: &Arc<Self>) {
        let Some(happened) = self.unsaved.lock().clone() else { return };
        if self.is_log_copied_back().await && self.unsaved.lock().take().is_some() {
            self.storage.saved(self.reason(&happened, true));
        }
    }

    /// Saves what is in a log that was removed, which lasts only as long as it is open.
    async fn is_log_copied_back(self: &Arc<Self>) -> bool {
        let database = Arc::clone(self);
        // Not broken off together with who asks: that would close the connection, and none replaces it.
        let copied = tokio::spawn(async move { database.cut_log().await }).await;
        matches!(copied, Ok(Ok(true)))
    }

    /// Returns what happened and what to do.
    fn reason(&self, happened: &str, is_saved: bool) -> String {
        let file = self.file.display();
        if is_saved {
            return format!(
                "{happened}; everything was copied into {file}: stop the service, remove {file}-wal and \
                 {file}-shm where they are, and start it again"
            );
        }
        format!(
            "{happened}, and what it holds could not be copied into {file} yet, which is tried again \
             every second. The service still has the old one open and delivers what waits in it: stop it \
             once it is copied, or when journal_events{{state=\"pending\"}} of /metrics is 0, remove \
             {file}-wal and {file}-shm where they are, and start it again"
        )
    }

    async fn check_lengths(&self, lengths: Lengths) -> Result<(), JournalError> {
        let before = *self.lengths.lock();
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
        *self.lengths.lock() = lengths;
        Ok(())
    }

    /// Returns whether file and log are long enough for the pages in them.
    async fn holds_every_page(&self) -> Result<bool, JournalError> {
        // Nobody commits meanwhile, or gives pages back.
        let mut change = self.begin(Report::Damage).await?;
        let pages = query("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size");
        let pages = pages.fetch_one(&mut change).await?;
        let (pages, page_bytes) = (pages.count("page_count")?, pages.count("page_size")?);
        // Answers three values and does nothing; they are negative when it is no log.
        let noop =
            query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&mut self.reader().await?).await?;
        let (in_log, copied) = (noop.count("log")?, noop.count("checkpointed")?);
        let lengths = self.measure().await;
        change.roll_back().await?;
        let lengths = lengths?;
        let only_in_log = in_log.saturating_sub(copied);
        Ok(lengths.file / page_bytes + only_in_log >= pages
            && lengths.log >= log_bytes(in_log, page_bytes))
    }
}

/// Returns the length of a write-ahead log of so many frames, by "WAL-mode File Format" in SQLite's manual: a
/// header of 32 bytes, then 24 bytes and a page a frame.
fn log_bytes(frames: u64, page_bytes: u64) -> u64 {
    match frames {
        0 => 0,
        frames => 32 + frames * (24 + page_bytes),
    }
}
