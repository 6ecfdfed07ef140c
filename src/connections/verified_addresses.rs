//! Addresses from which a delivery was verified within the last hour. They go before strangers when
//! there is not enough for all.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::network_of;

/// Time for which an address is remembered.
const MEMORY: TimeDelta = TimeDelta::hours(1);
/// Addresses remembered at once: about a quarter of a megabyte.
const ADDRESSES_MAX: usize = 4_096;

/// The addresses, an IPv6 /64 being one.
#[derive(Debug, Default)]
pub(super) struct VerifiedAddresses(Mutex<HashMap<IpAddr, DateTime<Utc>>>);

impl VerifiedAddresses {
    /// Notes that a delivery from this address was verified. When there are too many, the one that
    /// was verified longest ago is forgotten.
    pub(super) fn note(&self, address: IpAddr, now: DateTime<Utc>) {
        let address = network_of(address);
        let mut addresses = self.0.lock();
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            addresses.retain(|_address, at| now - *at < MEMORY);
            let oldest = addresses.iter().min_by_key(|(_address, at)| **at);
            if addresses.len() >= ADDRESSES_MAX
                && let Some(oldest) = oldest.map(|(address, _at)| *address)
            {
                addresses.remove(&oldest);
            }
        }
        addresses.insert(address, now);
    }

    /// Returns whether a delivery from this address was verified within the last hour.
    pub(super) fn is_known(&self, address: IpAddr, now: DateTime<Utc>) -> bool {
        self.0.lock().get(&network_of(address)).is_some_and(|at| now - *at < MEMORY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + minutes * 60, 0).unwrap()
    }

    #[test]
    fn an_address_is_known_for_an_hour_and_with_it_its_network_of_ipv6() {
        let addresses = VerifiedAddresses::default();
        addresses.note("192.0.2.1".parse().unwrap(), at(0));
        addresses.note("2001:db8::1".parse().unwrap(), at(0));
        let is_known = |address: &str, now| addresses.is_known(address.parse().unwrap(), now);
        assert!(is_known("192.0.2.1", at(59)) && !is_known("192.0.2.2", at(0)));
        assert!(is_known("2001:db8::2", at(59)) && !is_known("2001:db8:0:1::1", at(0)));
        assert!(!is_known("192.0.2.1", at(60)));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten() {
        let addresses = VerifiedAddresses::default();
        let address = |number: u32| IpAddr::V4(number.into());
        let count = u32::try_from(ADDRESSES_MAX).unwrap();
        addresses.note(address(0), at(0));
        (1..=count).for_each(|number| addresses.note(address(number), at(1)));
        assert_eq!(addresses.0.lock().len(), ADDRESSES_MAX);
        assert!(!addresses.is_known(address(0), at(1)) && addresses.is_known(address(1), at(1)));
    }
}
