//! The queue of the console's Elastic connector in pull mode. Reading is destructive: each question
//! takes the oldest chunk away, so nothing here asks twice by itself.
//!
//! Wire facts: `GET /api/data/connectors/elastic/pull/` answers an array of ECS events, or an empty one
//! or nothing once the queue is drained; the user needs the permission "elastic pull". From the public
//! Elastic integration that HarfangLab wrote.

use super::{Console, ConsoleError, error::QUEUE_PATH};

/// Longest chunk that is read, after decompression. A longer one would be gone, so this is far more than
/// was ever seen; there is one at a time, because one reader asks for them.
const CHUNK_LIMIT_BYTES: usize = 64 << 20;

impl Console {
    /// Takes the oldest chunk of the queue: the text of an array of events, or of one event. `None`:
    /// there is none.
    ///
    /// # Errors
    /// [`ConsoleError`]. When an answer was lost on its way, or cannot be used, its chunk is gone.
    pub async fn take_chunk(&self) -> Result<Option<String>, ConsoleError> {
        self.get_once(&QUEUE_PATH, CHUNK_LIMIT_BYTES, |request, answer| {
            let Some(answer) = answer else { return Ok(None) };
            let text = answer.text.trim();
            // An event alone has left the queue, too: it is better taken than lost.
            if !text.starts_with(['[', '{']) {
                return Err(request.unreadable("it is no array of events"));
            }
            let is_empty = text.strip_prefix('[').is_some_and(|rest| rest.trim_start() == "]");
            Ok((!is_empty).then_some(answer.text))
        })
        .await
    }
}
