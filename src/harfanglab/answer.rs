//! Meaning of one HTTP answer of the console: its status, then its body, which is read to a bound
//! and must be JSON. Knows nothing of paths or of what the JSON holds.

use std::{error::Error, io, sync::Arc, time::Duration};

use reqwest::{Response, StatusCode, header};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ConsoleError;
use crate::{
    alert::element::{self, MaxValues},
    outbound,
    tls::{Peer, Remedies},
};

/// The console in advice on TLS.
const PEER: Peer = Peer {
    name: "the console",
    authorities: "HARFANGLAB_INCIDENTS_SSL_VERIFY",
    unchecked: ", or turn the check off with HARFANGLAB_INCIDENTS_SSL_VERIFY=false",
    remedies: Remedies::OfUrl("HARFANGLAB_INCIDENTS_URL"),
};
/// The remedy for a request that got no answer, unless TLS failed.
const CHECK: &str = "check HARFANGLAB_INCIDENTS_URL, network and proxy";

/// Longest body that is read of what can be asked for again, after decompression. A page of 100 alerts
/// is about 1 MiB.
pub(super) const BODY_LIMIT_BYTES: usize = 16 << 20;
/// Longest body that is read beside others; larger ones take turns.
const SMALL_BODY_BYTES: usize = 1 << 20;
/// Bytes of a refusal that are read.
const REFUSAL_LIMIT_BYTES: usize = 64 * 1024;
/// Longest piece of the console's own words that an error repeats, in characters.
const SAID_LIMIT: usize = 200;

/// The request that an answer is judged against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// Path, for errors.
    pub path: &'a str,
    /// Request timeout, for errors.
    pub timeout: Duration,
    /// Never repeated, even where a server does.
    pub token: &'a str,
    /// The most values that are built of one item.
    pub max_values: MaxValues,
    /// Longest body that is read, after decompression.
    pub limit_bytes: usize,
}

/// The text of an answer: well-formed JSON, of which nothing is built yet.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Kept as long as a large text is.
    _turn: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
impl From<Value> for Answer {
    fn from(value: Value) -> Self {
        Self { text: value.to_string(), _turn: None }
    }
}

impl Request<'_> {
    /// Reads an answer: the JSON of a success (`None` for an empty body), else what it means. A large
    /// one waits for the turn that `large` has, within the request's timeout.
    pub(super) async fn read(
        self,
        response: Response,
        large: Option<&Arc<Semaphore>>,
    ) -> Result<Option<Answer>, ConsoleError> {
        let status = response.status();
        let retry_after = retry_after(&response);
        let looks_like_html = is_html(&response);
        if !status.is_success() {
            let body = self.beginning(response).await;
            return Err(self.refusal(status, retry_after, &body));
        }
        let (body, turn) = self.body(response, large).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let not_json = |error: String| {
            self.unreadable(if looks_like_html {
                "it is a web page".to_owned()
            } else {
                format!("it is not whole JSON ({error})")
            })
        };
        let text = String::from_utf8(body).map_err(|error| not_json(error.to_string()))?;
        element::check(&text).map_err(|unread| not_json(unread.to_string()))?;
        Ok(Some(Answer { text, _turn: turn }))
    }

    /// An answer that is not what the path answers.
    pub(super) fn unreadable(self, why: impl Into<String>) -> ConsoleError {
        ConsoleError::Unreadable { path: self.path.to_owned(), why: why.into() }
    }

    /// A request that got no answer, or not all of it.
    pub(super) fn failure(self, error: reqwest::Error) -> ConsoleError {
        let path = self.path.to_owned();
        if error.is_timeout() {
            let after_s = self.timeout.as_millis().div_ceil(1000);
            return ConsoleError::TimedOut {
                path,
                after_s: after_s.try_into().unwrap_or(u64::MAX),
            };
        }
        if error.is_decode() {
            let is_cut = is_cut_off(&error);
            let why = if is_cut { "it was cut off midway" } else { "its compression is broken" };
            return self.unreadable(why);
        }
        let why = outbound::why_no_answer(error, &PEER, CHECK);
        ConsoleError::Unreachable { path, why }
    }

    /// Reads the beginning of a refusal, as far as it is worth reading.
    async fn beginning(self, mut response: Response) -> Vec<u8> {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > REFUSAL_LIMIT_BYTES {
                body.truncate(REFUSAL_LIMIT_BYTES);
                break;
            }
        }
        body
    }

    async fn body(
        self,
        mut response: Response,
        large: Option<&Arc<Semaphore>>,
    ) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), ConsoleError> {
        let (mut body, mut turn) = (Vec::new(), None);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(error))? {
            if body.len() + chunk.len() > self.limit_bytes {
                let (path, limit_bytes) = (self.path.to_owned(), self.limit_bytes);
                return Err(ConsoleError::TooLarge { path, limit_bytes });
            }
            if body.len() + chunk.len() > SMALL_BODY_BYTES
                && turn.is_none()
                && let Some(large) = large
            {
                // It is never closed: there always is a turn in the end.
                turn = Arc::clone(large).acquire_owned().await.ok();
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, turn))
    }

    fn refusal(
        self,
        status: StatusCode,
        retry_after: Option<Duration>,
        body: &[u8],
    ) -> ConsoleError {
        let path = self.path.to_owned();
        let json = serde_json::from_slice::<Value>(body).ok();
        let said = self.said(json.as_ref());
        match status {
            StatusCode::UNAUTHORIZED => ConsoleError::TokenRefused { path, said },
            StatusCode::FORBIDDEN => ConsoleError::Forbidden { path, said },
            StatusCode::TOO_MANY_REQUESTS => ConsoleError::Busy { path, retry_after },
            StatusCode::REQUEST_TIMEOUT => {
                ConsoleError::Failing { path, status: status.as_u16(), retry_after }
            }
            // A 404 page that is not JSON is the web server's: no such route, not no such object.
            StatusCode::NOT_FOUND if json.is_some() => ConsoleError::NotFound { path },
            // Nothing but the address differs from one request to the next.
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                ConsoleError::TOO_LONG
            }
            status if status.is_server_error() => {
                ConsoleError::Failing { path, status: status.as_u16(), retry_after }
            }
            status => ConsoleError::Refused { path, status: status.as_u16(), said },
        }
    }

    /// The `detail` of a refusal, else its JSON, short and without the token.
    fn said(self, json: Option<&Value>) -> String {
        let Some(json) = json else {
            return "no reason given".to_owned();
        };
        let text = match json.get("detail").and_then(Value::as_str) {
            Some(detail) => detail.to_owned(),
            None => json.to_string(),
        };
        let text = if self.token.is_empty() { text } else { text.replace(self.token, "***") };
        text.chars().filter(|c| !c.is_control()).take(SAID_LIMIT).collect()
    }
}

/// `Retry-After` in seconds; the form with a date is not read, since no console is known to use it.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    seconds.parse().ok().map(Duration::from_secs)
}

fn is_html(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.to_str().is_ok_and(|text| text.contains("html")))
}

/// Returns whether a compressed answer ended early, by its connection or by itself.
fn is_cut_off(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>()
            && let UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe = error.kind()
        {
            return true;
        }
        cause = inner.source();
    }
    false
}
