//! A console that is away: it refuses connections, answers with errors only, or takes requests and never
//! answers. Every event would try it anew, a few at a time, and a burst of alerts for minutes or hours. So
//! after a few failures in a row the events go on at once with what they bring and what is cached, and
//! now and then one of them asks. What they lack is added once the console answers (`waiting`).

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::harfanglab::ConsoleError;

/// Time between two events that ask during an outage.
const PAUSE: TimeDelta = TimeDelta::seconds(30);
/// Look-ups in a row that fail before an outage begins, each after a few quick tries. One that waits in
/// vain has cost enough by itself.
const FAILURES_MAX: u32 = 3;

/// Remembers that a console is away.
#[derive(Debug, Default)]
pub(super) struct ConsoleOutage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Look-ups that failed since the last answer.
    failures: u32,
    /// Look-ups that the console has answered.
    answers: u64,
    outage: Option<Outage>,
}

#[derive(Debug)]
struct Outage {
    /// The time from which the next event may ask.
    asks_next: DateTime<Utc>,
    /// The latest failure.
    failure: ConsoleError,
}

impl ConsoleOutage {
    /// Returns whether an event may ask: during an outage one a pause, and the others get the failure of
    /// the one before.
    pub(super) fn may_ask(&self, now: DateTime<Utc>) -> Result<(), ConsoleError> {
        let mut state = self.0.lock();
        let Some(outage) = &mut state.outage else { return Ok(()) };
        // A clock that is set back ends the pause, too.
        if now < outage.asks_next && outage.asks_next - now <= PAUSE {
            return Err(outage.failure.clone());
        }
        outage.asks_next = now + PAUSE;
        Ok(())
    }

    /// Returns whether the console is away.
    pub(super) fn is_on(&self) -> bool {
        self.0.lock().outage.is_some()
    }

    /// Returns the number of look-ups that the console has answered.
    pub(super) fn answers(&self) -> u64 {
        self.0.lock().answers
    }

    /// Notes the failure of a look-up that began after `answers_before` answers. A console that has given
    /// another one since is not away: the look-up waited for its turn, or for a slow request, or it is
    /// one that this console cannot answer.
    pub(super) fn failed(&self, failure: &ConsoleError, answers_before: u64, now: DateTime<Utc>) {
        let mut state = self.0.lock();
        if state.answers != answers_before {
            return;
        }
        state.failures += 1;
        if state.outage.is_none() && state.failures < FAILURES_MAX && !failure.is_timeout() {
            return;
        }
        let outage = Outage { asks_next: now + PAUSE, failure: failure.clone() };
        if state.outage.replace(outage).is_none() {
            warn!(
                %failure,
                "the console is away: alerts leave with what they bring and are completed once it \
                 answers; one look-up every {} s asks",
                PAUSE.num_seconds()
            );
        }
    }

    /// Notes an answer of the console, which ends an outage.
    pub(super) fn answered(&self) {
        let mut state = self.0.lock();
        state.answers += 1;
        state.failures = 0;
        if state.outage.take().is_some() {
            info!("the console answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn failing() -> ConsoleError {
        ConsoleError::Failing { path: "/api".to_owned(), status: 502, retry_after: None }
    }

    fn timed_out() -> ConsoleError {
        ConsoleError::TimedOut { path: "/api".to_owned(), after_s: 10 }
    }

    #[test]
    fn during_an_outage_one_event_a_pause_asks_and_after_an_answer_all() {
        let outage = ConsoleOutage::default();
        assert!(outage.may_ask(at(0)).is_ok() && outage.may_ask(at(0)).is_ok());
        outage.failed(&timed_out(), outage.answers(), at(10));
        let asks = |seconds: [i64; 5]| seconds.map(|it| outage.may_ask(at(it)).is_ok());
        assert_eq!(asks([10, 39, 40, 41, 70]), [false, false, true, false, true]);
        assert_eq!(outage.may_ask(at(71)), Err(timed_out()));
        assert!(outage.may_ask(at(0)).is_ok(), "the clock was set back");
        outage.answered();
        assert!(outage.may_ask(at(1)).is_ok() && outage.may_ask(at(1)).is_ok());
    }

    #[test]
    fn a_few_failures_in_a_row_begin_an_outage_and_an_answer_between_them_does_not() {
        let outage = ConsoleOutage::default();
        for _failure in 1..FAILURES_MAX {
            outage.failed(&failing(), outage.answers(), at(0));
        }
        assert!(!outage.is_on());
        outage.answered();
        for failures in 1..=FAILURES_MAX {
            outage.failed(&failing(), outage.answers(), at(0));
            assert_eq!(outage.is_on(), failures == FAILURES_MAX);
        }
    }

    #[test]
    fn a_look_up_in_vain_says_nothing_of_a_console_that_answered_another_since() {
        let outage = ConsoleOutage::default();
        let (slow, later) = (outage.answers(), at(10));
        outage.answered();
        outage.failed(&timed_out(), slow, later);
        assert!(!outage.is_on());
        outage.failed(&timed_out(), outage.answers(), later);
        assert!(outage.is_on());
    }
}
