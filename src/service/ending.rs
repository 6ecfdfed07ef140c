//! The end of the service: within the time that those who started it let it have, and not without a word
//! of what is left.
//!
//! Does not live here: what ends, and in which order (`service`).

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::manager;
use crate::journal::Journal;

/// Longest time from the beginning of a stop until what is still under way is left where it is: less
/// than what the files of `deploy` let a stop take.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Of it the longest time that what is under way gets to leave once nothing more is accepted.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
/// Longest time for counting what is left.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A stop that is under way.
pub(super) struct Ending {
    deadline: Instant,
}

impl Ending {
    /// It begins now.
    pub(super) fn begins() -> Self {
        Self { deadline: Instant::now() + STOP_DEADLINE }
    }

    /// Waits until everything has `ended`, within the time that is left, and logs how it went: what is
    /// left comes with the next start.
    pub(super) async fn when(self, ended: impl Future<Output = ()>, journals: &[Journal]) {
        let is_done = timeout_at(self.drain_until(Instant::now()), ended).await.is_ok();
        // A journal that cannot be read keeps nobody from stopping.
        let counting = join_all(journals.iter().map(Journal::pending));
        let counted = timeout(LAST_LOOK, counting).await;
        let counted = counted.ok().map(|counts| counts.into_iter().sum::<Result<u64, _>>());
        let pending = counted.and_then(Result::ok);
        let outcome = if is_done {
            info!(pending, "stopped; nothing was left under way");
            "stopped; nothing was left under way"
        } else {
            warn!(
                pending,
                deadline_seconds = DRAIN_DEADLINE.as_secs(),
                "stopped at the deadline; what was under way is in the journal and will be tried \
                 again"
            );
            "stopped at the deadline"
        };
        manager::status(outcome);
    }

    /// Until when what is under way may leave if nothing more is accepted from `now` on.
    fn drain_until(&self, now: Instant) -> Instant {
        self.deadline.min(now + DRAIN_DEADLINE)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The first number behind `name` in a file of `deploy`.
    fn seconds(file: &str, name: &str) -> u64 {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
        let text = fs::read_to_string(path).unwrap();
        let (_, rest) = text.split_once(name).unwrap_or_else(|| panic!("{name} in {file}"));
        let digits: String = rest
            .chars()
            .skip_while(|letter| !letter.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().unwrap()
    }

    #[test]
    fn a_stop_takes_less_time_than_any_supervisor_lets_it_have() {
        for (file, name) in [
            ("docker-compose.yml", "stop_grace_period:"),
            ("systemd/harfanglab-incidents.service", "TimeoutStopSec="),
            ("kubernetes/deployment.yaml", "terminationGracePeriodSeconds:"),
            ("kubernetes/statefulset.yaml", "terminationGracePeriodSeconds:"),
        ] {
            let allowed = Duration::from_secs(seconds(file, name));
            assert!(STOP_DEADLINE + LAST_LOOK < allowed, "{file}: {allowed:?}");
        }
    }

    #[test]
    fn who_closes_slowly_takes_from_the_time_of_what_is_under_way_and_none_beyond_it() {
        let began = Instant::now();
        let ending = Ending { deadline: began + STOP_DEADLINE };
        assert_eq!(ending.drain_until(began), began + DRAIN_DEADLINE);
        assert_eq!(ending.drain_until(began + DRAIN_DEADLINE), began + STOP_DEADLINE);
    }
}
