//! Refusals and their reasons: a name for the metrics, a sentence for the log. Nothing of what was
//! sent is ever in it.

use super::{framing::FramingError, header::HeaderError};
use crate::{
    connections::{HandshakeError, TooManyConnections},
    intake::{decode::DecodeError, verification::NotProven},
};

/// The reason for which a connection or a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    NotProven(#[from] NotProven),
    #[error("its address sent too many wrong tokens and has to wait")]
    TooManyFailures,
    #[error(
        "{0}; see who holds them, or raise HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS or \
         …_SYSLOG_MAX_CONNECTIONS_PER_ADDRESS"
    )]
    TooManyConnections(#[from] TooManyConnections),
    #[error("{0}")]
    Handshake(String),
    #[error("a message is longer than HARFANGLAB_INCIDENTS_SYSLOG_MAX_FRAME")]
    TooLong,
    #[error("{0}; the connection was closed")]
    Framing(#[from] FramingError),
    #[error("a message took too long to arrive; the connection was closed")]
    TooSlow,
    #[error("the connection ended within a message")]
    Cut,
    #[error("nothing came for HARFANGLAB_INCIDENTS_SYSLOG_IDLE_TIMEOUT; the connection was closed")]
    Idle,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(
        "a verified message cannot be read and is kept as a dead letter or a sample: {0}; choose the \
         console's native JSON, with no prefix, and a relay that cuts nothing"
    )]
    NotJson(DecodeError),
}

/// Every reason there is, as metrics name it.
pub const REASONS: &[&str] = &[
    "network",
    "certificate",
    "missing",
    "malformed",
    "mismatch",
    "too_many_failures",
    "too_many_connections",
    "handshake",
    "too_large",
    "framing",
    "too_slow",
    "cut",
    "idle",
    "header",
    "not_json",
];

impl From<HandshakeError> for Refusal {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error.to_string())
    }
}

impl Refusal {
    /// Name in metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NotProven(reason) => reason.reason(),
            Self::TooManyFailures => "too_many_failures",
            Self::TooManyConnections(_) => "too_many_connections",
            Self::Handshake(_) => "handshake",
            Self::TooLong => "too_large",
            Self::Framing(_) => "framing",
            Self::TooSlow => "too_slow",
            Self::Cut => "cut",
            Self::Idle => "idle",
            Self::Header(_) => "header",
            Self::NotJson(_) => "not_json",
        }
    }
}
