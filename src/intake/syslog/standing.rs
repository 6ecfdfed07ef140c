//! Standing of the syslog intake, for whoever looks at the status page, and the counting of what was
//! refused. Kept in memory: it tells of this process.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

/// The standing at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Connections that are open.
    pub connections: usize,
    /// The time of the last verified message.
    pub last_message: Option<DateTime<Utc>>,
    /// The time at which the last alert or threat was committed.
    pub last_stored: Option<DateTime<Utc>>,
    /// The number of connections and messages that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// The syslog intake as it stands.
#[derive(Debug)]
pub struct SyslogStanding {
    address: SocketAddr,
    transport: &'static str,
    now: Mutex<Standing>,
    left_bytes: AtomicU64,
}

impl SyslogStanding {
    pub(super) fn new(address: SocketAddr, transport: &'static str) -> Self {
        Self { address, transport, now: Mutex::default(), left_bytes: AtomicU64::new(0) }
    }

    /// Describes the address at which it listens, and the transport.
    pub fn place(&self) -> String {
        format!("{} ({})", self.address, self.transport)
    }

    /// Returns the standing now.
    pub fn now(&self) -> Standing {
        self.now.lock().clone()
    }

    pub(super) fn connected(&self) {
        self.now.lock().connections += 1;
    }

    pub(super) fn disconnected(&self) {
        let mut now = self.now.lock();
        now.connections = now.connections.saturating_sub(1);
    }

    pub(super) fn verified(&self, at: DateTime<Utc>) {
        metrics::counter!("syslog_verified_total").increment(1);
        self.now.lock().last_message = Some(at);
    }

    pub(super) fn stored(&self, at: DateTime<Utc>) {
        self.now.lock().last_stored = Some(at);
    }

    pub(super) fn refused(&self, reason: &'static str) {
        metrics::counter!("syslog_refused_total", "reason" => reason).increment(1);
        *self.now.lock().refused.entry(reason).or_default() += 1;
    }

    /// Counts what a sender had sent when its connection ended with the service, and nobody took.
    pub(super) fn left(&self, bytes: u64) {
        self.left_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how much that was, of all connections together.
    pub(super) fn left_bytes(&self) -> u64 {
        self.left_bytes.load(Ordering::Relaxed)
    }
}
