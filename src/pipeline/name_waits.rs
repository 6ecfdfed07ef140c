//! Events that are put back because others hold the names of their incidents. That passes within moments, or
//! else something holds the journal's locks: the log says so once, and once more when the last of these events
//! has its name.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tracing::{debug, info, warn};

use crate::journal::EventId;

/// Time for which an event waits before the log says so: the longest pause after any failure of the journal.
const TELL_AFTER: TimeDelta = TimeDelta::minutes(1);
/// Time after which an event that was not put back again counts no longer: another replica has it.
const FORGET_AFTER: TimeDelta = TimeDelta::minutes(5);

/// The events that wait for their names.
#[derive(Debug, Default)]
pub struct NameWaits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waits: HashMap<EventId, Wait>,
    is_told: bool,
}

#[derive(Debug)]
struct Wait {
    since: DateTime<Utc>,
    last: DateTime<Utc>,
}

/// Something for the log.
#[derive(Debug, PartialEq, Eq)]
enum News {
    None,
    /// So many events wait, one of them for too long.
    Long(usize),
    /// None waits any more.
    Over,
}

impl NameWaits {
    /// Notes that an event is put back.
    pub(super) fn put_back(&self, event: EventId, now: DateTime<Utc>) {
        metrics::counter!("events_put_back_for_names_total").increment(1);
        debug!(event, "an event is put back: others hold the name of its incident");
        if let News::Long(events) = self.0.lock().put_back(event, now) {
            warn!(
                event,
                events,
                "alerts wait for others that hold the names of their incidents, for more than {} s: look for \
                 a session of the PostgreSQL server that holds an advisory lock and does nothing, or for a \
                 replica that hangs",
                TELL_AFTER.num_seconds()
            );
        }
    }

    /// Notes that the incident of an event has its name.
    pub(super) fn named(&self, event: EventId, now: DateTime<Utc>) {
        if self.0.lock().named(event, now) == News::Over {
            info!("no alert waits for the name of its incident any more");
        }
    }
}

impl State {
    fn put_back(&mut self, event: EventId, now: DateTime<Utc>) -> News {
        self.forget(now);
        let wait = self.waits.entry(event).or_insert(Wait { since: now, last: now });
        wait.last = now;
        if self.is_told || now - wait.since < TELL_AFTER {
            return News::None;
        }
        self.is_told = true;
        News::Long(self.waits.len())
    }

    fn named(&mut self, event: EventId, now: DateTime<Utc>) -> News {
        if self.waits.is_empty() && !self.is_told {
            return News::None;
        }
        self.waits.remove(&event);
        self.forget(now);
        if self.is_told && self.waits.is_empty() {
            self.is_told = false;
            return News::Over;
        }
        News::None
    }

    fn forget(&mut self, now: DateTime<Utc>) {
        self.waits.retain(|_event, wait| now - wait.last < FORGET_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_long_wait_is_told_once_however_many_events_have_it_and_its_end_once() {
        let mut state = State::default();
        for seconds in (0..60).step_by(12) {
            for event in [1, 2] {
                assert_eq!(state.put_back(event, at(seconds)), News::None, "{seconds}");
            }
        }
        assert_eq!(state.named(3, at(60)), News::None, "another name is free");
        assert_eq!(state.put_back(1, at(60)), News::Long(2));
        assert_eq!(state.put_back(2, at(61)), News::None, "it was told");
        assert_eq!(state.named(1, at(70)), News::None, "one waits still");
        assert_eq!(state.named(2, at(71)), News::Over);
        assert_eq!(state.named(2, at(72)), News::None);
        assert_eq!(state.put_back(1, at(80)), News::None, "it begins anew");
        assert_eq!(state.put_back(1, at(140)), News::Long(1));
    }

    #[test]
    fn short_waits_one_after_another_are_not_told_and_what_another_replica_took_is_forgotten() {
        let mut state = State::default();
        for event in 0..100 {
            assert_eq!(state.put_back(event, at(event * 10)), News::None);
            assert_eq!(state.named(event, at(event * 10 + 5)), News::None);
        }
        state.put_back(1, at(2_000));
        assert_eq!(state.put_back(1, at(2_060)), News::Long(1));
        state.put_back(2, at(2_100));
        assert_eq!(state.named(2, at(2_360)), News::Over, "nobody saw the first again");
    }
}
