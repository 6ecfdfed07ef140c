//! The refusal of a self-signed certificate, as `rustls` hands it on.

use std::fmt;

/// A peer showed a self-signed certificate that is not trusted.
#[derive(Clone, Copy)]
pub(super) struct SelfSigned;

impl fmt::Debug for SelfSigned {
    /// `rustls` shows the error of a verifier by this.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("self-signed certificate")
    }
}

impl fmt::Display for SelfSigned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl std::error::Error for SelfSigned {}
