//! Plans and results of the pushing side.

use secrecy::SecretString;
use url::Url;

/// Alerts to push, their target and their rate.
#[derive(Debug, Clone)]
pub struct PushPlan {
    /// The endpoint.
    pub target: Url,
    /// Header of the static secret.
    pub header: String,
    /// The static secret, the header's whole value.
    pub secret: SecretString,
    /// With what half of the native alerts are signed; `None`: all have the static header.
    pub hmac: Option<HmacCredentials>,
    /// Alerts a second; zero or less: as fast as they are taken.
    pub alerts_per_second: f64,
    /// Alerts in all; `None`: until the future is dropped.
    pub count: Option<u64>,
}

/// A signing proxy's part: `<header>: sha256=<hex of HMAC-SHA256 over the body>`.
#[derive(Debug, Clone)]
pub struct HmacCredentials {
    /// For example `X-Signature-256`.
    pub header: String,
    /// The key.
    pub secret: SecretString,
}

/// The dialect in which an alert was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushDialect {
    /// ECS with the static header.
    Ecs,
    /// Native JSON with the static header.
    Native,
    /// Native JSON with a signature.
    SignedNative,
}

/// One alert was pushed and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Its dialect.
    pub dialect: PushDialect,
    /// Rule name.
    pub title: String,
    /// Host name.
    pub host: String,
    /// `alert_unique_id`, also where the push does not carry it.
    pub unique_id: String,
    /// HTTP status of the last answer.
    pub status: u16,
}

/// The result of a finished plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushSummary {
    /// Alerts answered 2xx.
    pub accepted: u64,
    /// Alerts answered otherwise.
    pub refused: u64,
    /// Telemetry events pushed.
    pub telemetry: u64,
}

/// The reason for which pushing stopped.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The connection test was not answered 2xx.
    #[error("{target} answered the connection test with {status}: check its path and secret")]
    TestRefused {
        /// The endpoint.
        target: Url,
        /// HTTP status.
        status: u16,
    },
    /// No answer.
    #[error("{target} cannot be reached: {why}")]
    Unreachable {
        /// The endpoint.
        target: Url,
        /// The reason.
        why: String,
    },
    /// The HTTP client cannot be built.
    #[error("the pushing client cannot be set up: {0}")]
    Setup(String),
}
