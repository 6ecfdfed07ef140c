//! The time for which an event waits for its next try, and the end of that wait when its sink is back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::journal::Journal;

/// First wait of a failed try.
const FIRST: Duration = Duration::from_secs(2);

/// The wait after try number `attempt` (from 1): doubles each time, up to `longest`. Events spread
/// by their id, so that a backlog does not come back all at once: up to a quarter is added.
pub(super) fn wait(attempt: u32, event: i64, longest: Duration) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(20)));
    let base = doubled.min(longest);
    let spread = u32::try_from(event.rem_euclid(64)).unwrap_or(0);
    base + base * spread / 256
}

/// Returns the reason why an event is put back that this sink could not take. All of a sink begin alike.
pub(super) fn reason(sink: &str, detail: &str) -> String {
    format!("the sink `{sink}` {detail}")
}

/// Makes due what was put back because this sink could not take it.
pub async fn try_now(sink: &str, journal: &Journal, arrived: &Notify, now: DateTime<Utc>) {
    match journal.make_due(&reason(sink, ""), now).await {
        Ok(0) => {}
        Ok(events) => {
            info!(sink, events, "events that waited for the sink are tried again now");
            arrived.notify_one();
        }
        Err(failure) => warn!(%failure, sink, "events wait on though the sink is back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let longest = Duration::from_mins(10);
        assert_eq!(wait(1, 0, longest), Duration::from_secs(2));
        assert_eq!(wait(3, 0, longest), Duration::from_secs(8));
        assert_eq!(wait(40, 0, longest), longest);
        assert!(wait(40, 63, longest) < longest * 5 / 4);
        assert_ne!(wait(5, 1, longest), wait(5, 2, longest));
    }
}
