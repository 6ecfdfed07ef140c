//! The event history of one alert or threat: every version that the journal has of it, and what waits for
//! what.

use chrono::{DateTime, Utc};

use super::{event::EventId, missing_enrichment::MissingEnrichment, works::ListedRefusal};
use crate::alert::IncidentIdentity;

/// Everything the journal knows of an alert or threat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHistory {
    /// The key that identifies it.
    pub key: String,
    /// Name and creation date of its incident or case, once fixed.
    pub identity: Option<IncidentIdentity>,
    /// Its versions and follow-ups, in the order of their arrival.
    pub entries: Vec<HistoryEntry>,
    /// Refusals of it after it was delivered, oldest first.
    pub refusals: Vec<ListedRefusal>,
}

/// One version, or one follow-up of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The event.
    pub id: EventId,
    /// The import generation; grows with each reset in OpenCTI.
    pub generation: i64,
    /// Its version.
    pub version: String,
    /// Under which key it was received, when it was identified later.
    pub received_key: Option<String>,
    /// The way by which it came.
    pub origin: String,
    /// The dialect in which its text is read; `None`: it is of no known one.
    pub dialect: Option<String>,
    /// `pending`, `delivered`, `filtered`, `superseded`, `dead` or `dropped`.
    pub state: String,
    /// The number of times that it was tried.
    pub attempts: u32,
    /// The reason for its state, in plain words.
    pub reason: Option<String>,
    /// The time at which it was received.
    pub received_at: DateTime<Utc>,
    /// The time at which it is due, while it is pending.
    pub due_at: DateTime<Utc>,
    /// Until when a worker has it.
    pub leased_until: Option<DateTime<Utc>>,
    /// The time at which it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// The time at which its text was removed.
    pub pruned_at: Option<DateTime<Utc>>,
    /// STIX id of its incident or case.
    pub root_id: Option<String>,
    /// For a follow-up: the event that it completes.
    pub follows: Option<EventId>,
    /// For a follow-up: what it asks the console for.
    pub missing: Option<MissingEnrichment>,
    /// For a follow-up: until when it asks.
    pub deadline_at: Option<DateTime<Utc>>,
    /// The number of times that it was to leave once more because of what OpenCTI refused.
    pub times_requeued: u32,
}

/// The thing that a pending event waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A worker has it until then at most.
    Worker(DateTime<Utc>),
    /// This event of the same alert has to leave first.
    Event(EventId),
    /// The time of its next try.
    Time(DateTime<Utc>),
    /// Nothing but the next free worker.
    Nothing,
}

impl EventHistory {
    /// Returns what `entry` waits for at `now`; `None` when it has ended.
    pub fn waits_for(&self, entry: &HistoryEntry, now: DateTime<Utc>) -> Option<WaitsFor> {
        if !entry.is_pending() {
            return None;
        }
        if let Some(until) = entry.leased_until.filter(|until| *until > now) {
            return Some(WaitsFor::Worker(until));
        }
        let is_before =
            |other: &&HistoryEntry| other.id != entry.id && other.goes_before(entry, now);
        let before = self.entries.iter().filter(|other| other.is_pending()).find(is_before);
        Some(match before {
            Some(other) => WaitsFor::Event(other.id),
            None if entry.due_at > now => WaitsFor::Time(entry.due_at),
            None => WaitsFor::Nothing,
        })
    }
}

impl HistoryEntry {
    fn is_pending(&self) -> bool {
        self.state == "pending"
    }

    /// Returns whether this pending one is to leave before `other`, which is pending too: the rules of a
    /// claim.
    fn goes_before(&self, other: &Self, now: DateTime<Utc>) -> bool {
        let is_leased = self.leased_until.is_some_and(|until| until > now);
        match (self.follows, other.follows) {
            (None, None) => {
                // What was delivered and is to leave once more.
                let waits_for_its_time = self.root_id.is_some() && self.due_at > now;
                is_leased || (self.id < other.id && !waits_for_its_time)
            }
            (None, Some(_)) => true,
            (Some(_), None) => is_leased,
            (Some(_), Some(_)) => is_leased || (self.id < other.id && self.due_at <= now),
        }
    }
}
