//! Dead letters as an operator sees them.
//!
//! Does not live here: finding them, and what becomes of them (`sql::dead_letters`).

use chrono::{DateTime, Utc};

use super::event::EventId;
use crate::intake::Origin;

/// Dead letters that are meant: those for which all of this holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Those that a person dropped, instead of those that are dead.
    pub kind: DeadLetterKind,
    /// Only these; empty: all.
    pub ids: Vec<EventId>,
    /// Only those whose reason holds this text, in any case of ASCII letters.
    pub reason: Option<String>,
    /// Only those with the same reason as this one.
    pub like: Option<EventId>,
    /// Only those that ended before this time.
    pub ended_before: Option<DateTime<Utc>>,
    /// Only those that came by this road.
    pub origin: Option<Origin>,
}

/// The two kinds of letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeadLetterKind {
    /// It could not be delivered and waits for a person.
    #[default]
    Dead,
    /// A person dropped it.
    Dropped,
}

impl DeadLetterKind {
    /// The state in the journal.
    pub fn state(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// A dead letter, or one that was dropped, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub id: EventId,
    /// The key that identifies the alert or threat.
    pub key: String,
    /// Its version; empty when its text is of no known dialect.
    pub version: String,
    /// The way by which it came.
    pub origin: String,
    /// The dialect in which its text is read; `None`: it is of no known one.
    pub dialect: Option<String>,
    /// The rule's name.
    pub title: Option<String>,
    /// The time at which it was received.
    pub received_at: DateTime<Utc>,
    /// The time at which it became a letter.
    pub ended_at: DateTime<Utc>,
    /// The number of times that it was tried.
    pub attempts: u32,
    /// The reason why it could not be delivered, in plain words.
    pub reason: String,
    /// Length of its text; 0: the text was removed.
    pub size_bytes: u64,
}

/// Letters with the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterGroup {
    /// The reason that they share.
    pub reason: String,
    /// Number of them.
    pub letters: u64,
    /// The time at which the newest became a letter.
    pub newest_at: DateTime<Utc>,
    /// One of them.
    pub example: EventId,
}

/// Outcome for a dead letter that was asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It waits for the pipeline like anything that has just come in.
    Pending,
    /// A newer version was delivered meanwhile, or the same one by another road.
    Superseded,
    /// Its text is still of no known dialect: it stays a dead letter.
    StillUnreadable,
    /// It is no letter any more, or its text was removed.
    NotThere,
}
