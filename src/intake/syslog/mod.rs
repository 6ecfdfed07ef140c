//! Syslog intake: HarfangLab's syslog connector speaks to us directly, over TCP or TLS.
//!
//! A connection is admitted by its address, its stream cut into frames (`framing`), each frame taken
//! apart (`header`) and verified (`verification::SyslogVerifier`) before its JSON is read as a posted
//! body is. What one reading of the socket brought is committed together.
//!
//! **There is no acknowledgement in syslog.** What was read is kept in memory until it is committed,
//! and while the journal cannot store, nothing more is read: the console's own buffers fill, and it
//! waits. At a stop the sockets are read for up to a second. What the console sent and we had not read or
//! not committed when the process ends or the connection breaks is gone on this road; the sweep finds it.
//!
//! Bounds: connections; the length of a frame; frames longer than a chunk that are being received at
//! once; the time a frame may take and a connection may be silent. An unverified connection is closed
//! for a new one when all are taken (`connections`).
//!
//! UDP is not offered: a datagram holds less than many alerts do, anybody can send one in another's
//! name, it cannot be made to wait, and nobody would ever know what the kernel dropped.
//!
//! Does not live here: TLS files and sockets (`service`), secrets (`verification`).

mod connection;
mod framing;
pub(in crate::intake) mod header;
mod listener;
mod messages;
mod refusal;
mod standing;

pub use self::{
    header::{HeaderError, Message},
    listener::{Listener, Parts},
    refusal::REASONS,
    standing::{Standing, SyslogStanding},
};

/// Returns the number of cases that the properties of this module are tried with.
#[cfg(test)]
fn cases() -> proptest::prelude::ProptestConfig {
    let is_long = std::env::var_os("HARFANGLAB_INCIDENTS_TEST_LONG").is_some();
    proptest::prelude::ProptestConfig::with_cases(if is_long { 20_000 } else { 256 })
}
