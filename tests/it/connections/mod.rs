//! Tests of the connection limit of the real binary.

mod handshakes;
pub(crate) mod limit;
mod networks;
mod pipelined_requests;
mod unread_bodies;
