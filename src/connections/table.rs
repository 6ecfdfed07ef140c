//! The open connections: who holds them, and which one is closed when a bound is reached.
//!
//! A verified connection is never closed for another one. Of the unverified ones, those of addresses
//! that were not verified of late go first, and among equals the one that was opened first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use tokio_util::sync::CancellationToken;

/// Bounds, in connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) total: usize,
    pub(super) per_address: usize,
}

/// The address that a connection is counted to; `None`: a trusted proxy, which has no bound of its
/// own.
pub(super) type CountedTo = Option<IpAddr>;

/// The order in which unverified connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rank {
    /// Its address was not verified of late.
    Stranger,
    /// Its address was, or it is a trusted proxy's.
    Known,
}

/// One connection in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    rank: Rank,
    number: u64,
}

/// The bound that is reached, all connections within it being verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Address,
    Total,
}

/// Every open connection.
#[derive(Debug)]
pub(super) struct Table {
    bounds: Bounds,
    opened: u64,
    unverified: BTreeMap<Key, Unverified>,
    verified: HashMap<u64, CountedTo>,
    addresses: HashMap<IpAddr, OfAddress>,
}

#[derive(Debug)]
struct Unverified {
    counted_to: CountedTo,
    evicted: CancellationToken,
}

/// The connections of one address.
#[derive(Debug, Default)]
struct OfAddress {
    verified: usize,
    unverified: BTreeSet<Key>,
}

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            opened: 0,
            unverified: BTreeMap::new(),
            verified: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    /// Adds a connection; `evicted` is cancelled when it has to be closed for another one. Closes
    /// one that is unverified when a bound is reached.
    pub(super) fn open(
        &mut self,
        counted_to: CountedTo,
        rank: Rank,
        evicted: &CancellationToken,
    ) -> Result<Key, Full> {
        if let Some(of_address) = counted_to.and_then(|address| self.addresses.get(&address))
            && of_address.unverified.len() + of_address.verified >= self.bounds.per_address
        {
            let longest = of_address.unverified.first().copied().ok_or(Full::Address)?;
            self.evict(longest);
        }
        if self.unverified.len() + self.verified.len() >= self.bounds.total {
            let (longest, _) = self.unverified.first_key_value().ok_or(Full::Total)?;
            self.evict(*longest);
        }
        self.opened += 1;
        let key = Key { rank, number: self.opened };
        self.unverified.insert(key, Unverified { counted_to, evicted: evicted.clone() });
        if let Some(address) = counted_to {
            self.addresses.entry(address).or_default().unverified.insert(key);
        }
        Ok(key)
    }

    /// Keeps the connection from now on, unless it has been evicted.
    pub(super) fn verify(&mut self, key: Key) {
        let Some(connection) = self.unverified.remove(&key) else { return };
        self.verified.insert(key.number, connection.counted_to);
        self.change(connection.counted_to, |of_address| {
            of_address.unverified.remove(&key);
            of_address.verified += 1;
        });
    }

    /// Removes a connection that has ended.
    pub(super) fn close(&mut self, key: Key) {
        if let Some(connection) = self.unverified.remove(&key) {
            self.change(connection.counted_to, |of_address| {
                of_address.unverified.remove(&key);
            });
        } else if let Some(counted_to) = self.verified.remove(&key.number) {
            self.change(counted_to, |of_address| of_address.verified -= 1);
        }
    }

    pub(super) fn unverified(&self) -> usize {
        self.unverified.len()
    }

    pub(super) fn verified(&self) -> usize {
        self.verified.len()
    }

    fn evict(&mut self, key: Key) {
        if let Some(connection) = self.unverified.get(&key) {
            connection.evicted.cancel();
        }
        self.close(key);
    }

    fn change(&mut self, counted_to: CountedTo, change: impl FnOnce(&mut OfAddress)) {
        let Some(address) = counted_to else { return };
        if let Some(of_address) = self.addresses.get_mut(&address) {
            change(of_address);
            if of_address.verified == 0 && of_address.unverified.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Opened {
        key: Key,
        evicted: CancellationToken,
    }

    fn table(total: usize, per_address: usize) -> Table {
        Table::new(Bounds { total, per_address })
    }

    fn open(table: &mut Table, address: &str, rank: Rank) -> Result<Opened, Full> {
        let evicted = CancellationToken::new();
        let counted_to = (address != "proxy").then(|| address.parse().unwrap());
        let key = table.open(counted_to, rank, &evicted)?;
        Ok(Opened { key, evicted })
    }

    fn evicted(opened: &[&Opened]) -> Vec<bool> {
        opened.iter().map(|opened| opened.evicted.is_cancelled()).collect()
    }

    #[test]
    fn the_connection_that_was_unverified_longest_is_closed_and_a_verified_one_never_is() {
        let mut table = table(3, 3);
        let [first, second, third] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
            .map(|address| open(&mut table, address, Rank::Stranger).unwrap());
        table.verify(first.key);
        let fourth = open(&mut table, "192.0.2.4", Rank::Stranger).unwrap();
        assert_eq!(evicted(&[&first, &second, &third, &fourth]), [false, true, false, false]);
        table.verify(second.key);
        assert_eq!(
            (table.verified(), table.unverified()),
            (1, 2),
            "evicted before it was verified"
        );
        table.close(second.key);
        table.verify(third.key);
        table.verify(fourth.key);
        assert_eq!(open(&mut table, "192.0.2.5", Rank::Known).err(), Some(Full::Total));
        assert_eq!(evicted(&[&first, &third, &fourth]), [false; 3]);
        table.close(first.key);
        assert!(open(&mut table, "192.0.2.5", Rank::Stranger).is_ok());
    }

    #[test]
    fn strangers_are_closed_before_addresses_that_were_verified_of_late() {
        let mut table = table(2, 2);
        let known = open(&mut table, "192.0.2.1", Rank::Known).unwrap();
        let stranger = open(&mut table, "192.0.2.2", Rank::Stranger).unwrap();
        let next = open(&mut table, "192.0.2.3", Rank::Stranger).unwrap();
        assert_eq!(evicted(&[&known, &stranger, &next]), [false, true, false]);
    }

    #[test]
    fn an_address_at_its_bound_closes_its_own_and_a_trusted_proxy_has_no_such_bound() {
        let mut table = table(10, 2);
        let other = open(&mut table, "192.0.2.9", Rank::Stranger).unwrap();
        let mut own = || open(&mut table, "192.0.2.1", Rank::Known).unwrap();
        let (first, second, third) = (own(), own(), own());
        assert_eq!(evicted(&[&other, &first, &second, &third]), [false, true, false, false]);
        table.verify(second.key);
        table.verify(third.key);
        assert_eq!(open(&mut table, "192.0.2.1", Rank::Known).err(), Some(Full::Address));
        let proxied: Vec<_> =
            (0..5).map(|_| open(&mut table, "proxy", Rank::Known).unwrap()).collect();
        assert_eq!(evicted(&proxied.iter().collect::<Vec<_>>()), [false; 5]);
        table.close(third.key);
        assert!(open(&mut table, "192.0.2.1", Rank::Known).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_connections_that_have_ended() {
        let mut table = table(4, 2);
        for round in 0..100 {
            let address = format!("192.0.2.{}", round % 7);
            let opened = open(&mut table, &address, Rank::Stranger).unwrap();
            if round % 3 == 0 {
                table.verify(opened.key);
            }
            if round % 2 == 0 || round % 3 == 0 {
                table.close(opened.key);
            }
        }
        let left: Vec<Key> = table.unverified.keys().copied().collect();
        assert!(left.len() <= 4);
        for key in left {
            table.close(key);
        }
        assert!(table.addresses.is_empty() && table.verified.is_empty(), "{table:?}");
    }
}
