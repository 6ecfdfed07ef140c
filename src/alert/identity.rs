//! Holds what the id of an incident or case is made from.

use chrono::{DateTime, Utc};

/// Name and creation date of an incident or case: fixed the first time an alert or threat is seen
/// and never changed, because its STIX id is made from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentIdentity {
    /// Name.
    pub name: String,
    /// Creation date, with all of its microseconds.
    pub created: DateTime<Utc>,
}
