//! Rows that are removed from the journal: their kinds, their age, and their number.
//!
//! Does not live here: removing it (`sql::pruning`, `sql::space`).

use chrono::{DateTime, Utc};

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
