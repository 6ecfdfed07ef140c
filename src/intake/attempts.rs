//! Failed attempts, counted per address, so that nobody guesses secrets at leisure: a bucket that
//! each failure fills by one and that empties at the rate of the limit.
//!
//! Only failures fill it, and only that address's own. `governor` cannot answer whether there is
//! room without taking it, so the same algorithm stands here: per address one date, at which its
//! bucket will be empty. What is kept is bounded; when there are more addresses than that, those
//! that will be forgiven soonest are forgotten.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::connections::network_of;

/// Addresses remembered at once: about four megabytes.
const ADDRESSES_MAX: usize = 65_536;
/// In which a full bucket empties.
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// The failures of each address.
pub(crate) struct FailedAttempts {
    cost: TimeDelta,
    addresses_max: usize,
    empty_at: Mutex<HashMap<IpAddr, DateTime<Utc>>>,
    trying: Mutex<HashSet<IpAddr>>,
}

/// The only attempt that an address makes although it failed too often.
pub(crate) struct OnlyAttempt<'a> {
    attempts: &'a FailedAttempts,
    address: IpAddr,
}

impl Drop for OnlyAttempt<'_> {
    fn drop(&mut self) {
        self.attempts.trying.lock().remove(&self.address);
    }
}

impl FailedAttempts {
    /// At most this many failures a minute and address.
    pub(crate) fn new(max_per_minute: u32) -> Self {
        let cost = MINUTE / i32::try_from(max_per_minute.max(1)).unwrap_or(i32::MAX);
        let (empty_at, trying) = (Mutex::default(), Mutex::default());
        Self { cost, addresses_max: ADDRESSES_MAX, empty_at, trying }
    }

    /// Returns the seconds for which this address has to wait before it may try again; `None`: it may.
    pub(crate) fn wait_seconds(&self, address: IpAddr, now: DateTime<Utc>) -> Option<u64> {
        let empty_at = *self.empty_at.lock().get(&network_of(address))?;
        // The bucket is full as long as one more failure does not fit.
        let wait = (empty_at - now).min(MINUTE) + self.cost - MINUTE;
        (wait > TimeDelta::zero())
            .then(|| u64::try_from(wait.num_milliseconds()).unwrap_or(0).div_ceil(1000).max(1))
    }

    /// Notes a failure of this address. Answers whether it has none left.
    pub(crate) fn note(&self, address: IpAddr, now: DateTime<Utc>) -> Exhausted {
        let mut empty_at = self.empty_at.lock();
        if empty_at.len() >= self.addresses_max {
            forget_some(&mut empty_at, now);
        }
        let empty = empty_at.entry(network_of(address)).or_insert(now);
        // Neither requests that were under way together nor a clock set back lock anybody out for
        // longer than a minute.
        *empty = ((*empty).max(now) + self.cost).min(now + MINUTE);
        if *empty - now + self.cost > MINUTE { Exhausted::Yes } else { Exhausted::No }
    }

    /// Lets an address that failed too often make one attempt, until what is answered is dropped; `None`:
    /// it makes one.
    pub(crate) fn only_one(&self, address: IpAddr) -> Option<OnlyAttempt<'_>> {
        let address = network_of(address);
        self.trying.lock().insert(address).then(|| OnlyAttempt { attempts: self, address })
    }
}

/// The state of an address after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// It has to wait.
    Yes,
    /// It may try again at once.
    No,
}

/// Drops what has been forgiven, and when that is too little, the half that will be soonest.
fn forget_some(empty_at: &mut HashMap<IpAddr, DateTime<Utc>>, now: DateTime<Utc>) {
    let before = empty_at.len();
    empty_at.retain(|_address, empty| *empty > now);
    if empty_at.len() > before / 2 {
        let mut dates: Vec<DateTime<Utc>> = empty_at.values().copied().collect();
        let middle = dates.len() / 2;
        let (_sooner, median, _later) = dates.select_nth_unstable(middle);
        let median = *median;
        empty_at.retain(|_address, empty| *empty > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURES: u32 = 3;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_failure_after_the_last_has_to_wait_and_others_have_not() {
        let attempts = FailedAttempts::new(FAILURES);
        let bad = address("192.0.2.1");
        for count in 1..=FAILURES {
            assert_eq!(attempts.wait_seconds(bad, at(0)), None, "{count}");
            let last = if count == FAILURES { Exhausted::Yes } else { Exhausted::No };
            assert_eq!(attempts.note(bad, at(0)), last, "{count}");
        }
        assert_eq!(attempts.wait_seconds(bad, at(0)), Some(20));
        assert_eq!(attempts.wait_seconds(bad, at(19)), Some(1));
        assert_eq!(attempts.wait_seconds(address("192.0.2.2"), at(0)), None);
        assert_eq!(attempts.wait_seconds(bad, at(20)), None, "one in twenty seconds");
        attempts.note(bad, at(20));
        assert_eq!(attempts.wait_seconds(bad, at(20)), Some(20));
        assert_eq!(attempts.wait_seconds(bad, at(40)), None);
        for _ in 0..100 {
            attempts.note(bad, at(40));
        }
        assert_eq!(attempts.wait_seconds(bad, at(-9999)), Some(20), "the clock was set back");
    }

    #[test]
    fn an_address_makes_one_attempt_at_a_time_and_others_make_theirs() {
        let attempts = FailedAttempts::new(1);
        let first = attempts.only_one(address("192.0.2.1"));
        assert!(first.is_some() && attempts.only_one(address("192.0.2.1")).is_none());
        assert!(attempts.only_one(address("192.0.2.2")).is_some());
        drop(first);
        assert!(attempts.only_one(address("192.0.2.1")).is_some());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let attempts = FailedAttempts::new(1);
        attempts.note(address("2001:db8::1"), at(0));
        assert_eq!(attempts.wait_seconds(address("2001:db8::ffff:2"), at(0)), Some(60));
        assert_eq!(attempts.wait_seconds(address("2001:db8:0:1::1"), at(0)), None);
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered_longest() {
        let mut attempts = FailedAttempts::new(FAILURES);
        attempts.addresses_max = 100;
        let worst = address("192.0.2.1");
        for _ in 0..FAILURES {
            attempts.note(worst, at(0));
        }
        for number in 0..10_000 {
            attempts.note(IpAddr::V4(number.into()), at(0));
            assert!(attempts.empty_at.lock().len() <= 100);
        }
        assert_eq!(attempts.wait_seconds(worst, at(0)), Some(20));
    }
}
