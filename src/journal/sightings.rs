//! What the journal keeps of sightings of false positives, for platforms that never change the flag
//! of a sighting by bundle.
//!
//! Does not live here: asking and telling OpenCTI (`opencti`), when (`pipeline`).

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::JournalError;

/// A sighting as it was delivered last. The platform merges the sightings of one indicator on one
/// system, so it is those two that identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SightingFlag {
    /// STIX id as sent; a merged sighting is not found by it.
    pub sighting: String,
    /// STIX id of the indicator.
    pub sighting_of: String,
    /// STIX id of the system.
    pub sighted_by: String,
    /// When it was seen.
    pub seen_at: DateTime<Utc>,
    /// Whether it is one of a false positive.
    pub negative: bool,
}

/// A flag that OpenCTI does not show as it should yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueFlag {
    /// What OpenCTI should show.
    pub flag: SightingFlag,
    /// How often it was tried.
    pub tries: u32,
}

/// The part of the journal that knows sightings of false positives.
#[async_trait]
pub trait SightingJournal: Send + Sync {
    /// Takes note of delivered sightings, in that order. One that says no false positive matters
    /// only where one said so before. They are to be looked at from `due_at` on.
    async fn note_sightings(
        &self,
        flags: &[SightingFlag],
        due_at: DateTime<Utc>,
    ) -> Result<(), JournalError>;

    /// Flags that are to be looked at, the longest due first.
    async fn flags_due(
        &self,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueFlag>, JournalError>;

    /// OpenCTI shows the flag as it should be. Nothing happens when it was noted anew meanwhile.
    async fn flag_shown(&self, flag: &SightingFlag) -> Result<(), JournalError>;

    /// The flag could not be set and is to be tried again at `at`; `None`: given up.
    async fn flag_again(
        &self,
        flag: &SightingFlag,
        at: Option<DateTime<Utc>>,
    ) -> Result<(), JournalError>;

    /// OpenCTI could not be asked: this flag's turn is again at `at`, and nothing is counted.
    async fn postpone_flag(
        &self,
        flag: &SightingFlag,
        at: DateTime<Utc>,
    ) -> Result<(), JournalError>;
}
