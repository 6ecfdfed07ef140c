//! Reasons for which the console could not be asked, in words an operator can act on. No variant carries a
//! query
//! string, a header or a token.

use std::time::Duration;

/// The path of the Elastic connector's queue below the console's address, as its segments.
pub(super) const QUEUE_PATH: [&str; 6] = ["api", "data", "connectors", "elastic", "pull", ""];

/// A request to the console that brought no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// 401: the console does not know the token.
    #[error(
        "HarfangLab does not accept the API token (401 on {path}: {said}). Make a new one in the \
         console under Administration › Users › Generate token and set HARFANGLAB_INCIDENTS_TOKEN; \
         what waits is imported then"
    )]
    TokenRefused {
        /// Path that was asked.
        path: String,
        /// The text of the console.
        said: String,
    },
    /// 403: the console knows the token, but its user may not do this.
    #[error(
        "HarfangLab knows the API token, but its user may not read {path} (403: {said}). {}",
        permission(path)
            .unwrap_or("Give that user a role that can read alerts, threats and threat intelligence; \
                        what waits is imported then")
    )]
    Forbidden {
        /// Path that was asked.
        path: String,
        /// The text of the console.
        said: String,
    },
    /// 429: too many requests.
    #[error(
        "HarfangLab asks for fewer requests (429 on {path}). It is asked again later; a lower \
         HARFANGLAB_INCIDENTS_API_RATE avoids this"
    )]
    Busy {
        /// Path that was asked.
        path: String,
        /// `Retry-After`, when the console gave one in seconds.
        retry_after: Option<Duration>,
    },
    /// 5xx.
    #[error("HarfangLab fails on {path} ({status}). It is asked again later")]
    Failing {
        /// Path that was asked.
        path: String,
        /// HTTP status.
        status: u16,
        /// `Retry-After`, when the console gave one in seconds.
        retry_after: Option<Duration>,
    },
    /// 404 of the API itself: it has no such object.
    #[error("HarfangLab has nothing at {path}")]
    NotFound {
        /// Path that was asked.
        path: String,
    },
    /// Another 4xx, or a 404 that is not the API's.
    #[error(
        "HarfangLab refuses {path} ({status}: {said}). Check that HARFANGLAB_INCIDENTS_URL is the \
         console's address, with its port; if it is, this console's version answers differently"
    )]
    Refused {
        /// Path that was asked.
        path: String,
        /// HTTP status.
        status: u16,
        /// The text of the console.
        said: String,
    },
    /// An id or name out of an alert that cannot stand in a request: the fault is the alert's, not the
    /// console's.
    #[error("HarfangLab cannot be asked with an id or name of this alert: {why}")]
    Unaskable {
        /// The fault in it.
        why: &'static str,
    },
    /// No connection, or it broke.
    #[error("HarfangLab cannot be reached for {path}: {why}. It is asked again later")]
    Unreachable {
        /// Path that was asked.
        path: String,
        /// The innermost cause and the remedy.
        why: String,
    },
    /// No whole answer in time.
    #[error(
        "HarfangLab did not answer {path} within {after_s} s. It is asked again later; \
         HARFANGLAB_INCIDENTS_API_TIMEOUT sets how long to wait"
    )]
    TimedOut {
        /// Path that was asked, or the look-ups that took too long together.
        path: String,
        /// The timeout in seconds, rounded up.
        after_s: u64,
    },
    /// An answer that is cut, not JSON, or not what this path answers.
    #[error(
        "HarfangLab's answer for {path} cannot be used: {why}. If this stays, check that \
         HARFANGLAB_INCIDENTS_URL is the console itself and not a proxy's login or error page"
    )]
    Unreadable {
        /// Path that was asked.
        path: String,
        /// The fault in it.
        why: String,
    },
    /// An answer longer than is ever read.
    #[error(
        "HarfangLab's answer for {path} is longer than {limit_bytes} bytes, which is not read. Check \
         that HARFANGLAB_INCIDENTS_URL is the console itself; if it is, please report this as a defect"
    )]
    TooLarge {
        /// Path that was asked.
        path: String,
        /// The bound in bytes.
        limit_bytes: usize,
    },
    /// The client cannot be built from the settings.
    #[error("the HarfangLab client cannot be set up: {0}")]
    Setup(String),
}

impl ConsoleError {
    /// Refuses an address longer than any console takes.
    pub(super) const TOO_LONG: Self =
        Self::Unaskable { why: "it is longer than any address may be" };

    /// The kind of error as the label of a metric.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::TokenRefused { .. } | Self::Forbidden { .. } => "denied",
            Self::Busy { .. } => "busy",
            Self::Failing { .. } => "failing",
            Self::NotFound { .. } => "not_found",
            Self::Refused { .. } | Self::Unaskable { .. } => "refused",
            Self::Unreachable { .. } | Self::Setup(_) => "unreachable",
            Self::TimedOut { .. } => "timed_out",
            Self::Unreadable { .. } | Self::TooLarge { .. } => "unusable",
        }
    }

    /// Returns whether the same request can succeed later, once the console, the network or the operator
    /// has put something right. A refused token counts: what waits for it must go on waiting.
    pub fn is_transient(&self) -> bool {
        self.is_denied() || self.is_worth_a_quick_try()
    }

    /// Returns whether the token is refused or its user lacks a permission: a person must act, so ask
    /// slowly and say it once.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::TokenRefused { .. } | Self::Forbidden { .. })
    }

    /// Returns the time for which the console asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } | Self::Failing { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Returns whether the time for an answer is over.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Returns whether asking again within seconds makes sense.
    pub(super) fn is_worth_a_quick_try(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::Failing { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Unreadable { .. }
        )
    }

    /// Returns whether the request cannot be made at all, now or later.
    pub fn is_unaskable(&self) -> bool {
        matches!(self, Self::Unaskable { .. })
    }

    /// Returns whether the API itself says that this object does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Returns the remedy for a refusal of `path`, if that is the queue's.
fn permission(path: &str) -> Option<&'static str> {
    path.ends_with(&QUEUE_PATH.join("/")).then_some(
        "Give that user the permission \"elastic pull\", or set \
         HARFANGLAB_INCIDENTS_ELASTIC_PULL=false; everything else goes on",
    )
}
