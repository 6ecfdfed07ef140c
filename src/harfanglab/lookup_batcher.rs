//! Look-ups of pushed alerts that wait for the next request, and what earlier requests showed beside what
//! was asked for.
//!
//! Does not live here: the requests (`push_pages`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, oneshot};

use super::ConsoleError;

/// Neighbours remembered at most, of about 100 bytes each.
const NEIGHBOURS: u64 = 20_000;
/// Time for which they are remembered.
const NEIGHBOURS_FOR: Duration = Duration::from_mins(2);

/// The id of an alert's page on the console, which is not that of the alert.
pub(super) type Answer = Result<Option<String>, ConsoleError>;

/// A push whose alert is asked for.
#[derive(Debug, Clone)]
pub(super) struct Push {
    /// Its `alert_unique_id`.
    pub(super) id: String,
    /// The agent that raised it.
    pub(super) agent_id: Option<String>,
    /// The time at which it was raised, as the push says.
    pub(super) time: Option<DateTime<Utc>>,
}

/// A push, and the way to whoever waits for the answer.
pub(super) struct Waiting {
    pub(super) push: Push,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The pushes whose look-ups wait for the next request, and the turn to make it.
pub(super) struct LookupBatcher {
    waiting: Mutex<Vec<Waiting>>,
    pub(super) turn: Turn<()>,
    /// Pages that were listed, by the keys of their alerts.
    pub(super) neighbours: Cache<String, String>,
}

impl LookupBatcher {
    pub(super) fn new() -> Self {
        let neighbours =
            Cache::builder().max_capacity(NEIGHBOURS).time_to_live(NEIGHBOURS_FOR).build();
        Self { waiting: Mutex::default(), turn: Turn::default(), neighbours }
    }

    /// Waits for the next request.
    pub(super) fn join(&self, push: Push) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().push(Waiting { push, answer });
        answered
    }

    /// Takes all that wait.
    pub(super) fn take_waiting(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.waiting.lock())
    }
}

impl Push {
    pub(super) fn key(&self) -> String {
        key(&self.id)
    }
}

/// Ids are compared whatever their case.
pub(super) fn key(id: &str) -> String {
    id.to_ascii_lowercase()
}
