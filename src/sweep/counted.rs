//! Remembers what one sweep or backfill has counted: the list of changes, and queries that overlap,
//! bring an alert again.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use parking_lot::Mutex;

use crate::harfanglab::{Item, Listing};

/// Most items that are remembered, at 8 bytes each; further ones may be counted again.
const REMEMBERED_MAX: usize = 1_000_000;

/// The items that were counted.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<HashSet<u64>>);

impl Counted {
    /// Notes `item`, and tells whether it was noted before. One without an id never was.
    pub(super) fn note(&self, of: Listing, item: &Item) -> bool {
        let text = |field: &str| item.value().get(field)?.as_str();
        let Some(id) = text("id").or_else(|| text("alert_unique_id")) else { return false };
        let is_threat = of.changes() == Listing::ChangedThreats;
        let mut hasher = DefaultHasher::new();
        (is_threat, id).hash(&mut hasher);
        let hash = hasher.finish();
        let mut counted = self.0.lock();
        if counted.len() < REMEMBERED_MAX { !counted.insert(hash) } else { counted.contains(&hash) }
    }
}
