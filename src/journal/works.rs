//! The journal's notes of works in OpenCTI: which are open, what left in them, and what OpenCTI
//! refused of it.
//!
//! ```text
//! opened ──▶ closed ──▶ looked at, again and again ──▶ read: refusals kept, work forgotten, and
//!    │                                                 what was refused for now leaves once more
//!    │                            │
//!    │                            └──▶ lost: objects never came; its events are requeued, and the
//!    │                                 work is closed if it is open, and forgotten
//!    └──▶ left open (a failure, a crash) ──▶ closed
//! ```
//!
//! Does not live here: asking OpenCTI (`opencti`), when to ask and what to make of it (`pipeline`).

use chrono::{DateTime, TimeDelta, Utc};

use super::event::EventId;

/// The objects of one event that left in a work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkPart {
    /// The event.
    pub event: EventId,
    /// STIX ids, in the order in which they left.
    pub objects: Vec<String>,
}

/// A work that is to be closed, or looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWork {
    /// The platform's id of it.
    pub id: String,
    /// The message with which it is still to be closed; `None`: it is closed.
    pub closing: Option<String>,
    /// The number of times that it was looked at in vain.
    pub looks: u32,
    /// The time at which it was opened.
    pub opened_at: DateTime<Utc>,
    /// Its state at the last look; `None` before the first.
    pub standing: Option<WorkStanding>,
    /// Set when the import was started over since it was opened.
    pub was_reset: bool,
    /// Set when its events were requeued because it was lost: it is only to be closed.
    pub is_lost: bool,
}

/// The state of a work in OpenCTI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkStanding {
    /// The words in which OpenCTI shows it; compared, not read.
    pub shown: String,
    /// Since when it has shown that.
    pub since: DateTime<Utc>,
}

/// A work of which objects never reached OpenCTI.
#[derive(Debug, Clone, Copy)]
pub struct LostWork<'a> {
    /// The platform's id of it.
    pub work: &'a str,
    /// The reason why its events are requeued, in plain words.
    pub reason: &'a str,
    /// Waits of an event that is requeued for the first time in an import generation, for the
    /// second time and so on; no more after the last.
    pub waits: &'a [TimeDelta],
    /// The message with which the work is still to be closed.
    pub closing: Option<&'a str>,
    /// Objects of it that OpenCTI refused.
    pub refusals: &'a [Refusal],
}

/// The outcome for the events of a lost work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requeued {
    /// Number of events that were requeued.
    pub pending: usize,
    /// Number of events that need not be: a version is on its way, or was imported again since.
    pub came_otherwise: usize,
    /// Those that were requeued as often as they may.
    pub gave_up: Vec<EventId>,
    /// Those of which the journal has no text any more.
    pub without_text: Vec<EventId>,
}

/// An object of a delivered event that OpenCTI refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The event whose object it was; `None` when that cannot be told.
    pub event: Option<EventId>,
    /// STIX id; empty when OpenCTI did not say it.
    pub object: String,
    /// OpenCTI's own words.
    pub reason: String,
    /// The work it left in.
    pub work: String,
    /// The time at which OpenCTI said it.
    pub refused_at: DateTime<Utc>,
}

/// A refusal, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRefusal {
    /// The refusal.
    pub refusal: Refusal,
    /// The number of times.
    pub times: u32,
    /// The key that identifies the alert or threat, when it is known and still in the journal.
    pub key: Option<String>,
    /// The rule's name.
    pub title: Option<String>,
    /// STIX id of the incident or case.
    pub root_id: Option<String>,
}

/// Outcome of the wish to send an event once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequeueOutcome {
    /// The newest version of its alert or threat leaves once more.
    Pending,
    /// A version of it is on its way already.
    OnItsWay,
    /// It has left once more as often as it may.
    GaveUp,
    /// A version of it came again since a reset started the import over.
    CameAgain,
    /// No delivered version of it has its text any more.
    NotThere,
}

/// Refusals kept at most; older ones are dropped.
pub const MOST_REFUSALS: i64 = 10_000;
