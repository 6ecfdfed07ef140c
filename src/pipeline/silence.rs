//! A console that takes requests and never answers. Every event would wait for it until its deadline, a
//! few at a time, and a burst of alerts for hours. So once one has waited in vain the others go on at
//! once with what is cached, and now and then one of them asks again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// Time between two events that wait for a silent console.
const PAUSE: TimeDelta = TimeDelta::seconds(30);

/// Whether a console is silent.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<Option<DateTime<Utc>>>);

impl Silence {
    /// Returns whether the event that asks may wait for an answer: during a silence one a pause.
    pub(super) fn lets_wait(&self, now: DateTime<Utc>) -> bool {
        let mut waits_next = self.waits_next();
        // A clock that is set back ends it, too.
        let is_pause = waits_next.is_some_and(|at| now < at && at - now <= PAUSE);
        if waits_next.is_some() && !is_pause {
            *waits_next = Some(now + PAUSE);
        }
        !is_pause
    }

    /// An event waited until its deadline.
    pub(super) fn goes_on(&self, now: DateTime<Utc>) {
        *self.waits_next() = Some(now + PAUSE);
    }

    /// The console answered.
    pub(super) fn ends(&self) {
        *self.waits_next() = None;
    }

    fn waits_next(&self) -> MutexGuard<'_, Option<DateTime<Utc>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn during_a_silence_one_event_a_pause_waits_and_after_an_answer_all() {
        let silence = Silence::default();
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        assert!(silence.lets_wait(at(0)) && silence.lets_wait(at(0)));
        silence.goes_on(at(10));
        let waits = |seconds: [i64; 5]| seconds.map(|it| silence.lets_wait(at(it)));
        assert_eq!(waits([10, 39, 40, 41, 70]), [false, false, true, false, true]);
        assert!(silence.lets_wait(at(0)), "the clock was set back");
        silence.ends();
        assert!(silence.lets_wait(at(1)) && silence.lets_wait(at(1)));
    }
}
