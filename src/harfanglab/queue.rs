//! The queue of the console's Elastic connector in pull mode. Reading is destructive: each question
//! takes the oldest chunk away, so nothing here asks twice by itself.
//!
//! Wire facts: `GET /api/data/connectors/elastic/pull/` answers an array of ECS events, or an empty one
//! or nothing once the queue is drained; the user needs the permission "elastic pull". From the public
//! Elastic integration that HarfangLab wrote.

use serde_json::Value;

use super::{Console, ConsoleError};

impl Console {
    /// Takes the oldest chunk of the queue; empty: there is none.
    ///
    /// # Errors
    /// [`ConsoleError`]. When an answer was lost on its way, or cannot be used, its chunk is gone.
    pub async fn take_chunk(&self) -> Result<Vec<Value>, ConsoleError> {
        let path = ["api", "data", "connectors", "elastic", "pull", ""];
        self.get_once(&path, |request, answer| match answer {
            None => Ok(Vec::new()),
            Some(Value::Array(events)) => Ok(events),
            // It has left the queue: an event alone is better taken than lost.
            Some(event @ Value::Object(_)) => Ok(vec![event]),
            Some(_) => Err(request.unreadable("it is no array of events")),
        })
        .await
    }
}
