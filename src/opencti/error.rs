//! Reasons for which OpenCTI did not do what it was asked, in words that tell an operator what to do.
//!
//! GraphQL errors come with HTTP status 200 and a code; what stands in front of the platform
//! (proxies, load balancers, maintenance pages) answers with other statuses and often in HTML.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    outbound::{self, ClientError},
    tls::{Peer, Remedies},
};

/// OpenCTI in advice on TLS.
const PEER: Peer = Peer {
    name: "OpenCTI",
    authorities: "OPENCTI_SSL_VERIFY or HTTPS_CA_CERTIFICATES",
    unchecked: "",
    remedies: Remedies::OfUrl("OPENCTI_URL"),
};
/// The remedy where there is no answer, unless TLS failed.
const CHECK: &str = "check OPENCTI_URL, network and proxy";

/// Longest text of a remote message that an error carries, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// The reason for which a call to OpenCTI failed.
#[derive(Debug, thiserror::Error)]
pub enum OpenCtiError {
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A header from the configuration cannot be sent.
    #[error("{0} cannot be sent as an HTTP header: it holds a line break or a control character")]
    Header(String),
    /// No answer: connection, TLS or time-out.
    #[error("OpenCTI at {host} does not answer: {reason}")]
    Unreachable {
        /// Host and port, without credentials.
        host: String,
        /// The innermost cause and the remedy.
        reason: String,
    },
    /// The token is unknown, revoked or expired.
    #[error("OpenCTI does not accept the token: set OPENCTI_TOKEN to a valid API token")]
    BadToken,
    /// The token's user lacks a right.
    #[error(
        "OpenCTI refuses {operation}: the user of OPENCTI_TOKEN lacks a right ({message}); \
         give it the role \"Connector\""
    )]
    Forbidden {
        /// The request.
        operation: &'static str,
        /// The message of the platform.
        message: String,
    },
    /// The account that we are to have cannot be had.
    #[error(
        "the service account cannot be made: {0}; make the user and its token in OpenCTI and set \
         CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT=false"
    )]
    ServiceAccount(String),
    /// Too many requests.
    #[error(
        "OpenCTI answers that there are too many requests (429); it is asked again later. If this \
         lasts, raise the rate limit of OpenCTI or of the proxy in front of it"
    )]
    RateLimited,
    /// The request is larger than the platform or a proxy in front of it takes.
    #[error(
        "{operation} is too large for OpenCTI or the proxy in front of it (413); raise the proxy's \
         limit for a body, and OpenCTI's app:max_payload_body_size"
    )]
    TooLarge {
        /// The request.
        operation: &'static str,
    },
    /// The platform does not understand the request.
    #[error(
        "OpenCTI does not understand {operation}: {message}; this program knows OpenCTI 6.4 to 7, and \
         `harfanglab-incidents check` says which version yours is"
    )]
    Validation {
        /// The request.
        operation: &'static str,
        /// The message of the platform.
        message: String,
        /// True where a field, an argument or the document is unknown, not a value.
        unknown_field: bool,
    },
    /// The connector is not known, because it was deleted in OpenCTI: it must register again.
    #[error("OpenCTI does not know this connector: it was deleted there")]
    ConnectorUnknown,
    /// Not the platform answers but what stands in front of it.
    #[error(
        "not OpenCTI but a page in front of it answers ({status}): maintenance, start-up, \
         or a wrong OPENCTI_URL"
    )]
    NotThePlatform {
        /// HTTP status.
        status: StatusCode,
    },
    /// Everything else.
    #[error("OpenCTI answers {code} to {operation}: {message}")]
    Other {
        /// The request.
        operation: &'static str,
        /// The error's code, or the HTTP status.
        code: String,
        /// The message of the platform.
        message: String,
    },
}

impl OpenCtiError {
    /// The kind of error as the label of a metric.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::RateLimited => "rate_limited",
            Self::BadToken | Self::Forbidden { .. } => "denied",
            Self::NotThePlatform { .. } => "not_opencti",
            _ => "refused",
        }
    }

    /// Returns whether the same request may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::RateLimited
            | Self::ConnectorUnknown
            | Self::NotThePlatform { .. } => true,
            Self::Other { code, .. } => matches!(
                code.as_str(),
                "LOCK_ERROR" | "DATABASE_ERROR" | "UNKNOWN_ERROR" | "INTERNAL_SERVER_ERROR"
            ),
            _ => false,
        }
    }

    /// Returns whether OpenCTI as a whole answers nothing at the moment, whatever it is asked.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::RateLimited
                | Self::NotThePlatform { .. }
                | Self::BadToken
        )
    }

    /// Returns whether the platform refused a field, argument or document that it does not know.
    pub(super) fn names_unknown_field(&self) -> bool {
        matches!(self, Self::Validation { unknown_field: true, .. })
    }

    /// Returns whether the platform does not know the work any more.
    pub fn is_work_gone(&self) -> bool {
        matches!(self, Self::Other { code, .. }
            if code == "WORK_NOT_ALIVE" || code == "RESOURCE_NOT_FOUND")
    }

    /// From a transport error.
    pub(super) fn unreachable(host: &str, error: reqwest::Error) -> Self {
        let reason = outbound::why_no_answer(error, &PEER, CHECK);
        Self::Unreachable { host: host.to_owned(), reason }
    }

    /// Returns the error of a caller that waits no longer than `wait` for an answer of `host`.
    pub(super) fn no_answer_within(host: String, wait: Duration) -> Self {
        let reason = format!("no answer within {} s; {CHECK}", wait.as_secs());
        Self::Unreachable { host, reason }
    }

    /// From an answer that is not a GraphQL one.
    pub(super) fn from_status(operation: &'static str, status: StatusCode, body: &str) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge { operation },
            StatusCode::UNAUTHORIZED => Self::BadToken,
            _ if status.is_client_error() && !body.trim_start().starts_with('<') => {
                Self::Other { operation, code: status.as_u16().to_string(), message: shorten(body) }
            }
            _ => Self::NotThePlatform { status },
        }
    }

    /// From the first entry of a GraphQL answer's `errors`. The code is `extensions.code`, which
    /// older platforms repeat as `name`.
    pub(super) fn from_graphql(operation: &'static str, error: &Value) -> Self {
        let text = |pointer: &str| error.pointer(pointer).and_then(Value::as_str);
        let code = text("/extensions/code").or_else(|| text("/name")).unwrap_or("UNKNOWN_ERROR");
        let message = shorten(text("/message").unwrap_or("no message"));
        // 6.4 answers VALIDATION_ERROR where newer ones answer BAD_USER_INPUT.
        match code {
            "AUTH_REQUIRED" | "AUTH_FAILURE" => Self::BadToken,
            "FORBIDDEN_ACCESS" => Self::Forbidden { operation, message },
            "GRAPHQL_VALIDATION_FAILED" => {
                Self::Validation { operation, message, unknown_field: true }
            }
            "BAD_USER_INPUT" | "VALIDATION_ERROR" => {
                let unknown_field = message.contains("is not defined by type");
                Self::Validation { operation, message, unknown_field }
            }
            "FUNCTIONAL_ERROR" if message.contains("No connector found") => Self::ConnectorUnknown,
            _ => Self::Other { operation, code: code.to_owned(), message },
        }
    }
}

fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(code: &str, message: &str) -> OpenCtiError {
        let error = json!({"message": message, "extensions": {"code": code}});
        OpenCtiError::from_graphql("RegisterConnector", &error)
    }

    #[test]
    fn codes_become_words_and_say_whether_waiting_helps() {
        assert!(matches!(of("AUTH_REQUIRED", "You must be logged in"), OpenCtiError::BadToken));
        assert!(!of("FORBIDDEN_ACCESS", "CONNECTORAPI").is_retryable());
        assert!(of("FUNCTIONAL_ERROR", "No connector found with the specified ID").is_retryable());
        assert!(of("DATABASE_ERROR", "search engine").is_retryable());
        let page = OpenCtiError::from_status(
            "HealthCheck",
            StatusCode::SERVICE_UNAVAILABLE,
            "<html>back soon</html>",
        );
        assert!(page.is_retryable() && page.to_string().contains("maintenance"), "{page}");
    }

    #[test]
    fn only_an_unknown_field_calls_for_the_baseline() {
        let unknown = "Field \"version\" is not defined by type \"RegisterConnectorInput\".";
        assert!(of("BAD_USER_INPUT", unknown).names_unknown_field());
        assert!(of("VALIDATION_ERROR", unknown).names_unknown_field());
        assert!(of("GRAPHQL_VALIDATION_FAILED", "Unknown argument").names_unknown_field());
        assert!(!of("BAD_USER_INPUT", "Expected value of type Int").names_unknown_field());
        let mandatory = "Validation against schema failed on attribute [enrichment_resolution]";
        assert!(!of("FUNCTIONAL_ERROR", mandatory).names_unknown_field());
    }

    #[test]
    fn long_remote_texts_are_cut_between_characters() {
        let error = of("UNKNOWN_ERROR", &"é".repeat(1000)).to_string();
        assert!(error.chars().count() < 400, "{error}");
    }
}
