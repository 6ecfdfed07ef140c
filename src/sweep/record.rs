//! The record of the last sweep, kept in the journal so that a restart does not hide it.
//!
//! Does not live here: showing it (`ops`), when sweeps run (`service`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::{Found, SweepError};
use crate::journal::{Journal, JournalError};

/// Under this name the journal keeps it.
const LAST_SWEEP: &str = "last_sweep";

/// The outcome of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepRecord {
    /// The time at which it began.
    pub began: DateTime<Utc>,
    /// The time at which it ended.
    pub ended: DateTime<Utc>,
    /// Notifications the journal did not have.
    pub new: usize,
    /// Alerts and threats it had already, each counted once.
    pub known: usize,
    /// Of the new ones, alerts that a push should have brought.
    pub missed: usize,
    /// Of the new ones, changes of what the journal had.
    #[serde(default)]
    pub updated: usize,
    /// The reason for which it ended early, in plain words.
    pub failure: Option<String>,
}

impl SweepRecord {
    /// Of a sweep that ended just now.
    pub fn of(
        began: DateTime<Utc>,
        ended: DateTime<Utc>,
        swept: &Result<Found, SweepError>,
    ) -> Self {
        let Found { new, known, missed, updated, .. } = swept.as_ref().copied().unwrap_or_default();
        let failure = swept.as_ref().err().map(ToString::to_string);
        Self { began, ended, new, known, missed, updated, failure }
    }

    /// Keeps it in place of the one before. A journal that cannot be written has said so elsewhere.
    pub async fn keep(&self, journal: &Journal) {
        let Ok(text) = serde_json::to_string(self) else { return };
        if let Err(failure) = journal.remember(LAST_SWEEP, &text).await {
            debug!(%failure, "the journal does not know how the last sweep went");
        }
    }

    /// The one that was kept last, if any was.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn last(journal: &Journal) -> Result<Option<Self>, JournalError> {
        let text = journal.remembered(LAST_SWEEP).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }
}
