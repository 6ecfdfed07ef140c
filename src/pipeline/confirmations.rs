//! Which sinks have an event already that not every sink has: what is tried again because of one
//! sink is not sent again to the others.
//!
//! Kept in memory and bounded. What a restart or the bound forgets is sent once more to every sink,
//! which changes nothing there but costs its messages. An event whose messages differ from those of
//! the try before, since more is known by now, is sent to every sink.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{journal::EventId, stix::Bundle};

/// Events that are remembered at most; the oldest give way.
const MOST_EVENTS: usize = 50_000;

/// What one event left as, and who has it.
#[derive(Debug)]
struct Confirmed {
    content: u64,
    sinks: Vec<usize>,
}

/// The sinks, by their position, that have confirmed events.
#[derive(Debug, Default)]
pub(super) struct Confirmations(Mutex<BTreeMap<EventId, Confirmed>>);

impl Confirmations {
    /// Whether `sink` has confirmed `event` with this content.
    pub(super) fn has(&self, sink: usize, event: EventId, content: u64) -> bool {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.get(&event).is_some_and(|it| it.content == content && it.sinks.contains(&sink))
    }

    /// Remembers that `sink` has it.
    pub(super) fn add(&self, sink: usize, event: EventId, content: u64) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Confirmed { content, sinks: Vec::new() };
        let confirmed = events.entry(event).or_insert_with(new);
        if confirmed.content != content {
            *confirmed = new();
        }
        confirmed.sinks.push(sink);
        if events.len() > MOST_EVENTS {
            events.pop_first();
        }
    }

    /// Forgets an event that is not tried again.
    pub(super) fn forget(&self, event: EventId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&event);
    }
}

/// Tells the messages of one event from others.
pub(super) fn content(bundles: &[Arc<Bundle>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for bundle in bundles {
        let text = serde_json::to_vec(&**bundle);
        text.expect("a bundle holds JSON and nothing else").hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_has_what_it_confirmed_until_it_is_other_content_or_forgotten() {
        let confirmations = Confirmations::default();
        confirmations.add(0, 7, 1);
        assert!(confirmations.has(0, 7, 1));
        assert!(!confirmations.has(1, 7, 1), "another sink");
        assert!(!confirmations.has(0, 7, 2), "other content");
        confirmations.add(1, 7, 2);
        assert!(!confirmations.has(0, 7, 2), "the first has only what it was before");
        confirmations.forget(7);
        assert!(!confirmations.has(1, 7, 2));
    }
}
