//! The Elastic connector's queue, read chunk by chunk: each is committed to the journal before the next
//! is asked for.
//!
//! Reading is destructive. A chunk that was handed out and did not arrive, or that was not committed
//! when the process was killed, is gone: the endpoint allows that one loss, and the sweep finds its
//! alerts. So is one that a slow console hands out after a stop has had its time. To wait for less
//! than for any other answer would lose more: each chunk of a console that is slow every day. While the journal cannot store, the chunk at hand is kept and no further one is taken.
//!
//! Does not live here: the request (`harfanglab::queue`), telling that the console denies us
//! (`service::access`).

use std::{iter::Peekable, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    alert::element,
    clock::Clock,
    harfanglab::{Console, ConsoleError},
    intake::{Door, decode::decode, dialect::counted_as, sort, verification::Proof},
};

/// The most events of a chunk that are stored together, and the most bytes of them, unless one event
/// alone has more.
const EVENTS_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 << 20;
/// From an empty queue to the next question.
const EMPTY_PAUSE: Duration = Duration::from_secs(10);
/// Shortest and longest pause after a failure.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Reads the queue of one console.
pub struct ElasticQueue {
    console: Arc<Console>,
    door: Door,
    clock: Clock,
    /// From an empty queue to the next question.
    empty_pause: Duration,
}

impl ElasticQueue {
    /// For the queue of `console`, into `door`.
    pub fn new(console: Arc<Console>, door: Door, clock: Clock) -> Self {
        Self { console, door, clock, empty_pause: EMPTY_PAUSE }
    }

    /// Reads until the end of `term`. A question that is under way then is waited for, as long as
    /// the service lets what is under way leave, and what it brings is stored, until `stop` at the
    /// longest: it has left the console.
    ///
    /// # Errors
    /// [`QueueEnded`]: nothing can be stored any more.
    pub async fn run(
        &self,
        term: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), QueueEnded> {
        info!("the queue of the console's Elastic connector is read");
        let mut pause = PAUSE_MIN;
        let mut told: Option<String> = None;
        while !term.is_cancelled() {
            let wait = match self.console.take_chunk().await {
                Ok(chunk) => {
                    pause = PAUSE_MIN;
                    if told.take().is_some() {
                        info!("the queue of the console's Elastic connector is read again");
                    }
                    let is_empty = chunk.is_none();
                    let outcome = if is_empty { "empty" } else { "chunk" };
                    metrics::counter!("elastic_pulls_total", "outcome" => outcome).increment(1);
                    if let Some(chunk) = chunk {
                        self.keep(&chunk, stop).await?;
                    }
                    if is_empty { self.empty_pause } else { Duration::ZERO }
                }
                Err(failure) => {
                    metrics::counter!("elastic_pulls_total", "outcome" => "failed").increment(1);
                    let reason = failure.to_string();
                    if told.as_ref() != Some(&reason) {
                        tell(&failure);
                    }
                    told = Some(reason);
                    let wait = failure.retry_after().unwrap_or(pause).max(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                    wait
                }
            };
            term.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        Ok(())
    }

    /// Commits a chunk, however long it takes: a large one part by part.
    async fn keep(&self, chunk: &str, stop: &CancellationToken) -> Result<(), QueueEnded> {
        if !chunk.trim_start().starts_with('[') {
            return self.keep_part(chunk, stop).await;
        }
        let mut events = element::items(chunk.trim()).peekable();
        while events.peek().is_some() {
            self.keep_part(&next_part(&mut events, EVENTS_MAX, BYTES_MAX), stop).await?;
        }
        Ok(())
    }

    /// Commits a part of a chunk.
    async fn keep_part(&self, chunk: &str, stop: &CancellationToken) -> Result<(), QueueEnded> {
        let elements = match decode(chunk, EVENTS_MAX) {
            Ok(elements) => elements,
            Err(unusable) => {
                error!(
                    %unusable,
                    "a chunk of the console's queue cannot be used; the next sweep finds its alerts"
                );
                return Ok(());
            }
        };
        let proof = Proof::taken_from_queue(self.clock.now());
        let sorted = sort(&proof, elements, self.door.samples(), self.door.max_values());
        for kind in &sorted.telemetry {
            let kind = counted_as(kind);
            metrics::counter!("elastic_pull_ignored_total", "kind" => kind).increment(1);
        }
        if sorted.notifications.is_empty() {
            return Ok(());
        }
        let count = sorted.notifications.len();
        let mut has_told = false;
        let tell = |reason: &_| {
            if !has_told {
                warn!(
                    %reason,
                    "a chunk of the console's queue cannot be stored yet; it is kept, and no further \
                     one is taken until it is"
                );
            }
            has_told = true;
        };
        let stored = self.door.append_patiently(sorted.notifications, stop, tell).await;
        stored.map(|_receipt| ()).map_err(|_closed| {
            error!(
                count,
                "the service ended before alerts of the console's queue could be stored; the next \
                 sweep finds them"
            );
            QueueEnded
        })
    }
}

/// An array of the next events: the first, and those after it within both bounds.
fn next_part<'a>(
    events: &mut Peekable<impl Iterator<Item = &'a str>>,
    events_max: usize,
    bytes_max: usize,
) -> String {
    let (mut part, mut count) = ("[".to_owned(), 0);
    while let Some(event) = events
        .next_if(|event| count == 0 || (count < events_max && part.len() + event.len() < bytes_max))
    {
        if count > 0 {
            part.push(',');
        }
        part.push_str(event);
        count += 1;
    }
    part.push(']');
    part
}

/// The service ended before a chunk was stored.
#[derive(Debug)]
pub struct QueueEnded;

/// Says what to do; once, until it is another failure.
fn tell(failure: &ConsoleError) {
    if failure.is_denied() {
        warn!(%failure, "the queue of the console's Elastic connector may not be read");
    } else {
        warn!(
            %failure,
            "the queue of the console's Elastic connector could not be read; a chunk that was on its \
             way is found by the sweep"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_chunk_is_taken_in_parts_and_no_event_of_it_is_left_out() {
        let parts = |events_max, bytes_max| {
            let mut events = element::items(r#"[{"a":1}, 7 ,[{}],"x,]",{"b":[2]}]"#).peekable();
            let mut parts = Vec::new();
            while events.peek().is_some() {
                parts.push(next_part(&mut events, events_max, bytes_max));
            }
            parts
        };
        let all = r#"[{"a":1},7,[{}],"x,]",{"b":[2]}]"#;
        assert_eq!(parts(5, 1_000), [all]);
        let by_two = [r#"[{"a":1},7]"#, r#"[[{}],"x,]"]"#, r#"[{"b":[2]}]"#];
        assert_eq!(parts(2, 1_000), by_two);
        assert_eq!(parts(5, 1).len(), 5);
    }
}
