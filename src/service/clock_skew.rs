//! Compares this replica's clock with that of the journal's database, for as long as the service runs.
//!
//! Leases go by the database's clock, so that a replica whose clock is wrong neither takes what another
//! one holds nor is robbed of its own. What goes by the replica's own clock is still wrong then: when
//! something is tried again, dates of receipt, the ages that pages and metrics show. So a difference is
//! reported, in the log, the health and a metric, and stops nothing.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    clock::Clock,
    health::{Health, Part},
    journal::Journal,
};

/// Time between two comparisons.
const COMPARE_EVERY: Duration = Duration::from_mins(1);
/// Largest difference that is not reported: clocks that are kept by NTP differ by far less.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(5);

/// Compares until `stop`.
pub(super) async fn watch(
    journal: Journal,
    clock: Clock,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let mut was_apart = false;
    loop {
        match journal.clock_skew(&clock).await {
            Ok(Some(skew)) => was_apart = report(skew, was_apart, &health),
            Ok(None) => {}
            // Whoever uses the journal says what is wrong with it.
            Err(failure) => debug!(%failure, "the database's clock cannot be asked"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(COMPARE_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Reports a difference, to the log when it begins and when it is over; answers whether there is one.
fn report(skew: TimeDelta, was_apart: bool, health: &Health) -> bool {
    metrics::gauge!("journal_clock_skew_seconds").set(skew.as_seconds_f64());
    if skew.abs() <= SKEW_MAX {
        if was_apart {
            info!("the clocks of this replica and of the journal's database agree again");
        }
        health.well(Part::Clock);
        return false;
    }
    let direction = if skew < TimeDelta::zero() { "ahead of" } else { "behind" };
    let seconds = skew.abs().num_seconds();
    let reason = format!(
        "the clock of this replica is {seconds} s {direction} that of the journal's database; keep \
         both set by NTP"
    );
    if !was_apart {
        warn!(%reason, "clocks are apart; leases go by the database's, waiting times by this one");
    }
    health.degraded(Part::Clock, reason);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_more_than_five_seconds_is_reported_until_it_is_over() {
        let health = Health::default();
        let reason = || health.reasons().remove("clock");
        for (skew_ms, told) in [
            (5_000, None),
            (-5_000, None),
            (61_000, Some("61 s behind")),
            (-3_600_000, Some("3600 s ahead of")),
            (20, None),
        ] {
            let is_apart = report(TimeDelta::milliseconds(skew_ms), false, &health);
            assert_eq!(is_apart, told.is_some(), "{skew_ms}");
            match (reason(), told) {
                (Some(reason), Some(told)) => assert!(reason.contains(told), "{reason}"),
                (reason, told) => assert!(reason.is_none() && told.is_none(), "{reason:?}"),
            }
        }
    }
}
