//! A few quick tries. An outage that lasts is the journal's to wait out, so the whole of a call
//! stays well below a lease: at most [`TRIES`] tries, at most [`TIMEOUTS`] of them timed out, and
//! never a wait longer than [`LONGEST_WAIT`].

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use super::ConsoleError;

/// Tries of one call, the first included.
const TRIES: usize = 4;
/// Tries that may time out: each costs a whole request timeout.
const TIMEOUTS: u32 = 2;
/// First wait; doubles, and up to as much again is added at random.
const FIRST_WAIT: Duration = Duration::from_millis(150);
/// A console that asks for a longer pause gets it from the journal.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Calls `attempt` until it answers or no further quick try makes sense.
pub(super) async fn quickly<T, Attempt, Answer>(attempt: Attempt) -> Result<T, ConsoleError>
where
    Attempt: FnMut() -> Answer,
    Answer: Future<Output = Result<T, ConsoleError>>,
{
    let backoff = ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_max_times(TRIES - 1)
        .with_jitter();
    let mut timeouts = 0;
    attempt
        .retry(backoff)
        .when(ConsoleError::is_worth_a_quick_try)
        .adjust(move |error, wait| {
            if matches!(error, ConsoleError::TimedOut { .. }) {
                timeouts += 1;
            }
            if timeouts >= TIMEOUTS { None } else { next_wait(error, wait) }
        })
        .notify(|error, wait| {
            tracing::debug!(%error, wait_ms = wait.as_millis(), "asking HarfangLab again");
        })
        .await
}

/// The planned wait, or the longer one the console asked for; `None` ends the quick tries.
fn next_wait(error: &ConsoleError, planned: Option<Duration>) -> Option<Duration> {
    let planned = planned?;
    match error.retry_after() {
        Some(asked) if asked > LONGEST_WAIT => None,
        Some(asked) => Some(planned.max(asked)),
        None => Some(planned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(retry_after_s: Option<u64>) -> ConsoleError {
        ConsoleError::Busy {
            path: "/api".to_owned(),
            retry_after: retry_after_s.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_pause_the_console_asks_for_is_kept_unless_it_is_the_journals_to_keep() {
        let planned = Duration::from_millis(150);
        assert_eq!(next_wait(&busy(None), Some(planned)), Some(planned));
        assert_eq!(next_wait(&busy(Some(0)), Some(planned)), Some(planned));
        assert_eq!(next_wait(&busy(Some(3)), Some(planned)), Some(Duration::from_secs(3)));
        assert_eq!(next_wait(&busy(Some(60)), Some(planned)), None);
        assert_eq!(next_wait(&busy(Some(3)), None), None);
    }
}
