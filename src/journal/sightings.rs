//! The journal's notes of sightings of false positives, for platforms that never change the flag
//! of a sighting by bundle.
//!
//! Does not live here: asking and telling OpenCTI (`opencti`), when (`pipeline`).

use chrono::{DateTime, Utc};

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
    /// The time at which it was seen.
    pub seen_at: DateTime<Utc>,
    /// Set when it is one of a false positive.
    pub negative: bool,
}

/// A flag that OpenCTI does not show as it should yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueFlag {
    /// The flag that OpenCTI should show.
    pub flag: SightingFlag,
    /// The number of times that it was tried.
    pub tries: u32,
}
