//! Bounds how many answers of the management address are read from the journal at a time, so that no
//! number of requests takes the journal's readers from deliveries and from `/readyz`.
//!
//! Pages wait for their turn, and so do scrapes of metrics, apart from each other; after a few seconds
//! the answer is 503 with `Retry-After`. Readiness never waits for a turn: requests that come while a
//! probe of the journal runs share its answer ([`SharedProbe`]).

use std::time::Duration;

use actix_web::{HttpResponse, http::header};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, WeakShared},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Longest wait for a turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Turns at reading the journal.
pub(super) struct Turns {
    pages: Semaphore,
    scrapes: Semaphore,
}

impl Turns {
    /// One page and one scrape at a time: each reads with one connection.
    pub(super) fn new() -> Self {
        Self { pages: Semaphore::new(1), scrapes: Semaphore::new(1) }
    }

    /// Waits until a page may be rendered; dropping the turn ends it. `Err`: the answer that asks the
    /// client to come back.
    pub(super) async fn of_page(&self) -> Result<SemaphorePermit<'_>, HttpResponse> {
        wait(&self.pages, PATIENCE).await
    }

    /// As [`Self::of_page`], until metrics may be measured.
    pub(super) async fn of_scrape(&self) -> Result<SemaphorePermit<'_>, HttpResponse> {
        wait(&self.scrapes, PATIENCE).await
    }
}

async fn wait(turns: &Semaphore, patience: Duration) -> Result<SemaphorePermit<'_>, HttpResponse> {
    // The semaphores are never closed.
    let turn = timeout(patience, turns.acquire()).await.ok().and_then(Result::ok);
    turn.ok_or_else(|| {
        HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, PATIENCE.as_secs()))
            .body("too many ask at once; come back in a few seconds\n")
    })
}

/// A probe whose answer is shared by everybody who asks while it runs.
pub(super) struct SharedProbe<T: Clone>(Mutex<Option<WeakShared<BoxFuture<'static, T>>>>);

impl<T: Clone> SharedProbe<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Answers by the probe that runs; begins `probe` where none does. It runs for as long as somebody
    /// waits for it.
    pub(super) async fn ask<F>(&self, probe: impl FnOnce() -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let shared = {
            let mut running = self.0.lock();
            let current = running.as_ref().and_then(WeakShared::upgrade);
            // The answer of one that has ended may be older than the question.
            if let Some(current) = current.filter(|current| current.peek().is_none()) {
                current
            } else {
                let begun = probe().boxed().shared();
                *running = begun.downgrade();
                begun
            }
        };
        shared.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn whoever_gets_no_turn_in_time_is_asked_to_come_back_and_other_turns_are_free() {
        let turns = Turns::new();
        let page = turns.of_page().await.unwrap();
        let answer = wait(&turns.pages, Duration::from_millis(1)).await.unwrap_err();
        let retry_after = answer.headers().get("Retry-After").unwrap();
        assert_eq!((answer.status().as_u16(), retry_after.to_str().unwrap()), (503, "5"));
        drop(turns.of_scrape().await.unwrap());
        drop(page);
        drop(turns.of_page().await.unwrap());
    }

    #[tokio::test]
    async fn a_thousand_questions_at_once_are_answered_by_one_probe_and_the_next_by_another() {
        let (shared, probes) = (SharedProbe::new(), AtomicUsize::new(0));
        let (finish, finished) = oneshot::channel::<usize>();
        let mut finished = Some(finished);
        let questions: Vec<_> = (0..1_000)
            .map(|_| {
                let finished = finished.take();
                shared.ask(|| {
                    probes.fetch_add(1, Ordering::Relaxed);
                    async { finished.expect("only the first probe begins").await }
                })
            })
            .collect();
        let (answers, sent) = futures_util::join!(join_all(questions), async { finish.send(7) });
        sent.unwrap();
        assert!(answers.iter().all(|answer| *answer == Ok(7)));
        assert_eq!(probes.load(Ordering::Relaxed), 1);
        assert_eq!(shared.ask(|| async { Ok(8) }).await, Ok(8));
    }
}
