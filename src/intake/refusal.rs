//! Refusals of a delivery, as its sender is told: a status, a sentence, and when to come back.
//!
//! The sender is never told which secret, network or limit it met; that is for the log.

use std::borrow::Cow;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};

/// Seconds in `Retry-After` when nothing better is known.
const RETRY_AFTER_SECONDS: u64 = 5;

/// The reason for which a delivery was not taken.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: Cow<'static, str>,
    retry_after_seconds: u64,
    is_unfinished: bool,
}

impl Refusal {
    /// `error` is told to the sender.
    pub(super) fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        let (error, retry_after_seconds) = (error.into(), RETRY_AFTER_SECONDS);
        Self { status, error, retry_after_seconds, is_unfinished: false }
    }

    /// Asks to come back after this many seconds; only heard with 429 and 503.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = seconds;
        self
    }

    /// The body is larger than the configuration allows, as it is sent or decompressed.
    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
    }

    /// The service ends.
    pub(super) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not stored; try again shortly")
    }

    /// The sender did not send a whole body, or not in time.
    pub(super) fn unfinished(status: StatusCode, error: &'static str) -> Self {
        Self { is_unfinished: true, ..Self::new(status, error) }
    }

    /// Returns whether no whole body came.
    pub(super) fn is_unfinished(&self) -> bool {
        self.is_unfinished
    }

    /// Returns what the sender is told.
    pub(super) fn error(&self) -> &str {
        &self.error
    }

    /// The reason as the label of a metric, for what is not counted where it is noticed.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self.status {
            StatusCode::BAD_REQUEST => Some("unreadable"),
            StatusCode::REQUEST_TIMEOUT => Some("too_slow"),
            StatusCode::PAYLOAD_TOO_LARGE => Some("too_large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Some("media_type"),
            StatusCode::SERVICE_UNAVAILABLE => Some("not_stored"),
            _ => None,
        }
    }

    /// As a response.
    pub(super) fn answer(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, self.retry_after_seconds));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                response.insert_header((header::ALLOW, "POST"));
            }
            _ => {}
        }
        if self.status.is_client_error() || self.status.is_server_error() {
            // What is left of the body is not worth reading.
            response.force_close();
        }
        response.json(serde_json::json!({ "error": self.error }))
    }
}
