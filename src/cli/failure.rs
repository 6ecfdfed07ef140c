//! How a command fails, and the exit code that tells it.

use std::process::ExitCode;

use super::output;
use crate::config::Faults;

/// Wrong configuration or usage (`EX_USAGE` of sysexits).
pub(super) const EXIT_USAGE: u8 = 64;

/// Why a command did not do what it was asked.
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

impl Failure {
    /// Tells it on stderr, once, and turns it into an exit code.
    pub(super) fn report(&self) -> ExitCode {
        match self {
            Self::Configuration(faults) => {
                output::say(&format!("error: {faults}"));
                ExitCode::from(EXIT_USAGE)
            }
            Self::Usage(what) => {
                output::say(&format!("error: {what}"));
                ExitCode::from(EXIT_USAGE)
            }
            Self::Other(error) => {
                output::say(&format!("error: {}", output::line_of(&format!("{error:#}"))));
                ExitCode::FAILURE
            }
            Self::AlreadyTold => ExitCode::FAILURE,
        }
    }
}
