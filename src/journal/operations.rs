//! What an operator does with the journal beside the pipeline: dead letters, the story of an alert,
//! pruning, and how large the journal is.
//!

use chrono::{DateTime, Utc};

use super::event::EventId;
use crate::intake::Origin;

/// Dead letters that are meant: those for which all of this holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Those that a person dropped, instead of those that are dead.
    pub kind: LetterKind,
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
pub enum LetterKind {
    /// It could not be delivered and waits for a person.
    #[default]
    Dead,
    /// A person dropped it.
    Dropped,
}

impl LetterKind {
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
pub struct Letter {
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
pub struct LetterGroup {
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

/// Times before which something is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneBefore {
    /// Bodies of what was delivered, filtered or superseded before this time.
    pub finished: Option<DateTime<Utc>>,
    /// Bodies of letters that died or were dropped before this time.
    pub letters: Option<DateTime<Utc>>,
    /// Rows whose body was removed before this time.
    pub rows: Option<DateTime<Utc>>,
}

/// Kinds of data that may be removed when space runs short, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removable {
    /// Texts of letters that were dropped before dropping removed them.
    DroppedTexts,
    /// Samples of unknown kinds, with their rows.
    Samples,
    /// Texts of what was delivered, filtered or superseded.
    FinishedTexts,
    /// Texts of follow-ups that wait for the console, which end with that.
    FollowUps,
}

impl Removable {
    /// Everything, in the order in which it goes.
    pub const ALL: [Self; 4] =
        [Self::DroppedTexts, Self::Samples, Self::FinishedTexts, Self::FollowUps];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::DroppedTexts => "dropped",
            Self::Samples => "sample",
            Self::FinishedTexts => "finished",
            Self::FollowUps => "following_up",
        }
    }
}

/// Numbers of what one step of pruning removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Bodies of finished events.
    pub bodies: u64,
    /// Bodies of letters; those that were dead are dropped with that.
    pub letters: u64,
    /// Rows.
    pub rows: u64,
    /// Pages given back to the file system.
    pub pages: u64,
}

impl Pruned {
    /// Returns whether there was nothing to do.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The outcome of shrinking the journal's file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shrunk {
    /// By how much the file became smaller.
    pub bytes: u64,
    /// Another step gives back more.
    pub is_more: bool,
    /// Somebody still reads an earlier state: until then nothing can be given back.
    pub is_held_up: bool,
}
