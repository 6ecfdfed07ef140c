//! Remembers what a sink has already that not every sink has: what is tried again because of another
//! sink is not sent again to this one.
//!
//! Kept in memory and bounded. What a restart or the bound forgets is sent once more,
//! which changes nothing there but costs its messages. An event whose messages differ from those of
//! the try before, since more is known by now, is sent again.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{journal::EventId, stix::Bundle};

/// Events that are remembered at most; the oldest give way.
const MOST_EVENTS: usize = 50_000;

/// The events that one sink has confirmed, with what they left as.
#[derive(Debug, Default)]
pub(super) struct Confirmations(Mutex<BTreeMap<EventId, u64>>);

impl Confirmations {
    /// Returns whether the sink has confirmed `event` with this content.
    pub(super) fn has(&self, event: EventId, content: u64) -> bool {
        let events = self.0.lock();
        events.get(&event) == Some(&content)
    }

    /// Remembers that the sink has it.
    pub(super) fn add(&self, event: EventId, content: u64) {
        let mut events = self.0.lock();
        events.insert(event, content);
        if events.len() > MOST_EVENTS {
            events.pop_first();
        }
    }

    /// Forgets an event that is not tried again.
    pub(super) fn forget(&self, event: EventId) {
        self.0.lock().remove(&event);
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
        confirmations.add(7, 1);
        assert!(confirmations.has(7, 1));
        assert!(!confirmations.has(8, 1), "another event");
        assert!(!confirmations.has(7, 2), "other content");
        confirmations.add(7, 2);
        assert!(confirmations.has(7, 2) && !confirmations.has(7, 1));
        confirmations.forget(7);
        assert!(!confirmations.has(7, 2));
    }
}
