//! The connection limit of a listener, for deliveries and for syslog alike: bounds in total and per
//! address, which unverified connection is closed for a new one (`table`), the addresses that were
//! verified of late (`verified_addresses`), and TLS handshakes (`handshakes`).
//!
//! A connection is unverified until a delivery on it has proved a secret.
//!
//! Does not live here: sockets (`http_server`, `intake::syslog`), allowed networks (`intake`).

mod handshakes;
mod table;
mod verified_addresses;

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use metrics::Gauge;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

pub use self::handshakes::HandshakeError;
use self::{
    handshakes::Handshakes,
    table::{Bounds, Full, Key, Rank, Table},
    verified_addresses::VerifiedAddresses,
};
use crate::clock::Clock;

/// Connections that may wait for one of the verified ones to end.
pub const WAITING_MAX: usize = 64;
/// Longest time that one waits.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds between two notes of a connection that its address was verified.
const NOTE_EVERY_SECONDS: i64 = 60;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A sender, or a proxy that is not trusted.
    Direct(IpAddr),
    /// A trusted proxy: many senders, so that no bound per address holds.
    TrustedProxy(IpAddr),
}

/// The reason for which a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManyConnections {
    /// The address has too many.
    #[error("its address has as many connections as one address may have")]
    OfItsAddress,
    /// There are too many.
    #[error("all connections are taken by verified senders")]
    InTotal,
    /// The connection was closed for a newer one.
    #[error("all connections are taken, and this one had been unverified longest")]
    Evicted,
}

/// The connection limit of one listener. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConnectionLimit(Arc<Limit>);

#[derive(Debug)]
struct Limit {
    table: Mutex<Table>,
    known: VerifiedAddresses,
    handshakes: Handshakes,
    closed: Notify,
    waiting: Semaphore,
    clock: Clock,
    unverified_gauge: Gauge,
    verified_gauge: Gauge,
}

/// An open connection within the limit, counted until it is dropped.
#[derive(Debug)]
pub struct OpenConnection {
    limit: Arc<Limit>,
    key: Key,
    rank: Rank,
    address: IpAddr,
    evicted: CancellationToken,
    /// The time of the last note that the address was verified, in seconds; zero: never.
    noted_at: AtomicI64,
}

impl ConnectionLimit {
    /// At most `total` connections to the listener that metrics name `listener`, and at most
    /// `per_address` from one address.
    pub fn new(listener: &'static str, total: usize, per_address: usize, clock: Clock) -> Self {
        let bounds = Bounds { total: total.max(1), per_address: per_address.max(1) };
        let gauge = |state: &'static str| metrics::gauge!("connections_open", "listener" => listener, "state" => state);
        Self(Arc::new(Limit {
            table: Mutex::new(Table::new(bounds)),
            known: VerifiedAddresses::default(),
            handshakes: Handshakes::default(),
            closed: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
            clock,
            unverified_gauge: gauge("unverified"),
            verified_gauge: gauge("verified"),
        }))
    }

    /// Admits a connection, closing an unverified one for it when a bound is reached. When all there
    /// may be are verified, waits a while for one of them to end.
    ///
    /// The first attempt is made by the call itself, not by the future, so that connections are
    /// admitted in the order in which they came.
    ///
    /// # Errors
    /// [`TooManyConnections`]; the connection is to be closed.
    pub fn admit(
        &self,
        peer: Peer,
    ) -> impl Future<Output = Result<OpenConnection, TooManyConnections>> + Send + use<> {
        let (limit, at_once) = (self.clone(), self.try_admit(peer));
        async move {
            match at_once {
                Err(TooManyConnections::InTotal) => limit.admit_when_one_ends(peer).await,
                admitted_or_not => admitted_or_not,
            }
        }
    }

    async fn admit_when_one_ends(&self, peer: Peer) -> Result<OpenConnection, TooManyConnections> {
        let full = TooManyConnections::InTotal;
        let Ok(_waiting) = self.0.waiting.try_acquire() else { return Err(full) };
        let admitted = async {
            loop {
                self.0.closed.notified().await;
                match self.try_admit(peer) {
                    Err(TooManyConnections::InTotal) => {}
                    admitted_or_not => {
                        if admitted_or_not.is_err() {
                            // The place is still free, for another one that waits.
                            self.0.closed.notify_one();
                        }
                        return admitted_or_not;
                    }
                }
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, admitted).await.unwrap_or(Err(full))
    }

    fn try_admit(&self, peer: Peer) -> Result<OpenConnection, TooManyConnections> {
        let (Peer::Direct(address) | Peer::TrustedProxy(address)) = peer;
        let (rank, counted_to) = match peer {
            Peer::TrustedProxy(_) => (Rank::Known, None),
            Peer::Direct(_) if self.0.known.is_known(address, self.0.clock.now()) => {
                (Rank::Known, Some(network_of(address)))
            }
            Peer::Direct(_) => (Rank::Stranger, Some(network_of(address))),
        };
        let evicted = CancellationToken::new();
        let opened = self.0.change(|table| table.open(counted_to, rank, &evicted));
        let key = opened.map_err(|full| match full {
            Full::Address => TooManyConnections::OfItsAddress,
            Full::Total => TooManyConnections::InTotal,
        })?;
        let (limit, noted_at) = (Arc::clone(&self.0), AtomicI64::new(0));
        Ok(OpenConnection { limit, key, rank, address, evicted, noted_at })
    }
}

impl Limit {
    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table.lock();
        let changed = change(&mut table);
        self.unverified_gauge.set(count(table.unverified()));
        self.verified_gauge.set(count(table.verified()));
        changed
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are never so many connections")]
fn count(connections: usize) -> f64 {
    connections as f64
}

/// Returns the address to which `address` is counted: whoever has one of IPv6 has its whole /64.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

impl OpenConnection {
    /// Notes that a delivery of `sender` on this connection was verified: it is kept from now on. Behind a
    /// proxy `sender` is another address than the connection's.
    pub fn verified(&self, sender: IpAddr) {
        let now = self.limit.clock.now();
        let noted_at = self.noted_at.load(Ordering::Relaxed);
        if noted_at == 0 {
            self.limit.change(|table| table.verify(self.key));
        }
        if (now.timestamp() - noted_at).abs() >= NOTE_EVERY_SECONDS {
            self.limit.known.note(self.address, now);
            self.noted_at.store(now.timestamp().max(1), Ordering::Relaxed);
        }
        if sender != self.address {
            self.limit.known.note(sender, now);
        }
    }

    /// Returns whether a delivery of `sender` to this listener was verified within the last hour.
    pub fn knows(&self, sender: IpAddr) -> bool {
        self.limit.known.is_known(sender, self.limit.clock.now())
    }

    /// Returns whether a delivery on this connection has been verified.
    pub fn is_verified(&self) -> bool {
        self.noted_at.load(Ordering::Relaxed) != 0
    }

    /// Returns whether the connection has to be closed for another one.
    pub fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }

    /// Runs `doing` until it ends or the connection has to be closed for another one.
    ///
    /// # Errors
    /// [`TooManyConnections::Evicted`].
    pub async fn unless_evicted<T>(
        &self,
        doing: impl Future<Output = T>,
    ) -> Result<T, TooManyConnections> {
        let done = self.evicted.run_until_cancelled(doing).await;
        done.ok_or(TooManyConnections::Evicted)
    }

    /// Makes the TLS handshake on this connection.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub async fn handshake(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        self.limit.handshakes.finish(config, stream, self).await
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.limit.change(|table| table.close(self.key));
        self.limit.closed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn limit(total: usize) -> ConnectionLimit {
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        ConnectionLimit::new("test", total, 100, Clock::from_fn(move || now))
    }

    fn peer(number: u32) -> Peer {
        Peer::Direct(IpAddr::V4(number.into()))
    }

    #[tokio::test]
    async fn when_all_are_verified_a_new_connection_waits_until_one_ends() {
        let limit = limit(2);
        let (one, other) =
            (limit.admit(peer(1)).await.unwrap(), limit.admit(peer(2)).await.unwrap());
        one.verified(one.address);
        other.verified(other.address);
        let third = limit.admit(peer(3));
        tokio::pin!(third);
        assert!(third.as_mut().now_or_never().is_none());
        drop(one);
        assert!(third.await.is_ok());
        assert!(other.unless_evicted(async {}).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_that_was_verified_goes_before_strangers_on_its_next_connection() {
        let limit = limit(2);
        let first = limit.admit(peer(1)).await.unwrap();
        first.verified(first.address);
        drop(first);
        let known = limit.admit(peer(1)).await.unwrap();
        let stranger = limit.admit(peer(2)).await.unwrap();
        let _next = limit.admit(peer(3)).await.unwrap();
        assert!(known.unless_evicted(async {}).await.is_ok());
        let evicted = stranger.unless_evicted(std::future::pending::<()>()).await;
        assert_eq!(evicted, Err(TooManyConnections::Evicted));
        assert!(!known.is_verified(), "only what is proved on a connection counts for it");
    }
}
