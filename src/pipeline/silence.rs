//! A console that takes requests and never answers. Every event would wait for it until its deadline, a
//! few at a time, and a burst of alerts for hours. So once one has waited in vain the others go on at
//! once with what is cached, and now and then one of them asks again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

/// Time between two events that wait for a silent console.
const PAUSE: TimeDelta = TimeDelta::seconds(30);

/// Remembers that a console is silent.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The time from which the next event may wait, during a silence.
    waits_next: Option<DateTime<Utc>>,
    /// Look-ups that the console has answered.
    answers: u64,
}

impl Silence {
    /// Returns whether the event that asks may wait for an answer: during a silence one a pause.
    pub(super) fn lets_wait(&self, now: DateTime<Utc>) -> bool {
        let mut state = self.state();
        let waits_next = &mut state.waits_next;
        // A clock that is set back ends it, too.
        let is_pause = waits_next.is_some_and(|at| now < at && at - now <= PAUSE);
        if waits_next.is_some() && !is_pause {
            *waits_next = Some(now + PAUSE);
        }
        !is_pause
    }

    /// Returns the number of look-ups that the console has answered.
    pub(super) fn answers(&self) -> u64 {
        self.state().answers
    }

    /// Notes that a look-up waited in vain that began after `answers_before` answers. A console that has
    /// given another one since is not silent: the look-up waited for its turn, or for a slow request.
    pub(super) fn goes_on(&self, answers_before: u64, now: DateTime<Utc>) {
        let mut state = self.state();
        if state.answers != answers_before {
            return;
        }
        if state.waits_next.replace(now + PAUSE).is_none() {
            warn!(
                "the console answers no look-up in time: only one alert every {} s waits for it now",
                PAUSE.num_seconds()
            );
        }
    }

    /// Notes an answer of the console, which ends a silence.
    pub(super) fn ends(&self) {
        let mut state = self.state();
        state.answers += 1;
        if state.waits_next.take().is_some() {
            info!("the console answers again");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn during_a_silence_one_event_a_pause_waits_and_after_an_answer_all() {
        let silence = Silence::default();
        assert!(silence.lets_wait(at(0)) && silence.lets_wait(at(0)));
        silence.goes_on(silence.answers(), at(10));
        let waits = |seconds: [i64; 5]| seconds.map(|it| silence.lets_wait(at(it)));
        assert_eq!(waits([10, 39, 40, 41, 70]), [false, false, true, false, true]);
        assert!(silence.lets_wait(at(0)), "the clock was set back");
        silence.ends();
        assert!(silence.lets_wait(at(1)) && silence.lets_wait(at(1)));
    }

    #[test]
    fn a_look_up_in_vain_says_nothing_of_a_console_that_answered_another_since() {
        let silence = Silence::default();
        let (slow, later) = (silence.answers(), at(10));
        silence.ends();
        silence.goes_on(slow, later);
        assert!(silence.lets_wait(later));
        silence.goes_on(silence.answers(), later);
        assert!(!silence.lets_wait(later));
    }
}
