//! In which order the alerts of one claim fix their incidents, where they may want the same name and
//! date: by their keys, so that after a lost journal each has the same id again.
//!
//! Does not live here: which date is free (`journal`).

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::{intake::dialect::Dialect, journal::Event};

/// The turn of an event to fix its incident; the next one's comes when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _next: Option<oneshot::Sender<()>>,
}

impl Turn {
    /// Waits until it comes.
    pub(super) async fn comes(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: its sender goes.
            let _gone = before.await;
        }
    }
}

/// Gives every event its turn. Alerts of one host and millisecond change places, so that whoever waits
/// for another one never has the place in preparation that the other one needs.
pub(super) fn in_turn(events: Vec<Event>) -> Vec<(Event, Turn)> {
    let mut twins: HashMap<_, Vec<usize>> = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        if event.identity.is_none() && event.dialect != Dialect::NativeThreat {
            let raised = (event.agent_id.as_deref(), event.happened_at.timestamp_millis());
            twins.entry(raised).or_default().push(place);
        }
    }
    let twins: Vec<Vec<usize>> = twins.into_values().filter(|places| places.len() > 1).collect();
    let mut events: Vec<Option<Event>> = events.into_iter().map(Some).collect();
    let mut turns: Vec<Turn> = events.iter().map(|_event| Turn::default()).collect();
    for places in twins {
        let mut of_host: Vec<_> = places.iter().map(|place| events[*place].take()).collect();
        of_host.sort_by(|one, other| {
            let key = |event: &Option<Event>| event.as_ref().map(|event| event.key.clone());
            key(one).cmp(&key(other))
        });
        let mut before = None;
        for (place, event) in places.into_iter().zip(of_host) {
            events[place] = event;
            let (next, waiting) = oneshot::channel();
            turns[place] = Turn { before: before.replace(waiting), _next: Some(next) };
        }
    }
    events.into_iter().flatten().zip(turns).collect()
}
