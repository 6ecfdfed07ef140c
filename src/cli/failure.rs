//! Failures of a command, and the exit code of wrong usage.

use crate::config::Faults;

/// Wrong configuration or usage (`EX_USAGE` of sysexits).
pub(super) const EXIT_USAGE: u8 = 64;

/// A failure of a command to do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration is faulty.
    #[error(transparent)]
    Configuration(#[from] Faults),
    /// The command cannot be run in this way.
    #[error("{0}")]
    Usage(String),
    /// Something went wrong.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
    /// Something is wrong, and the command has said what.
    #[error("see above")]
    AlreadyTold,
}
