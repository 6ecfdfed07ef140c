//! Ways in which a console, or what stands before it, fails.

use std::io;

use actix_web::{
    HttpResponse,
    body::SizedStream,
    http::{StatusCode, header},
    web::Bytes,
};
use futures_util::stream;
use serde_json::json;

/// One faulty answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with the API's usual `detail`.
    Status(u16),
    /// 429 with `Retry-After`.
    Busy {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// No answer until the client gives up.
    Hang,
    /// The connection closes in the middle of the body.
    CutOff,
    /// A body without end.
    Endless,
    /// This status and body instead of the real ones.
    Answer {
        /// HTTP status.
        status: u16,
        /// `Content-Type`.
        content_type: &'static str,
        /// Body.
        body: &'static str,
    },
    /// 401 that repeats the request's `Authorization` header, as a proxy made for debugging does.
    EchoAuthorization,
}

impl Fault {
    /// 200 with a login page.
    pub const LOGIN_PAGE: Self = Self::Answer {
        status: 200,
        content_type: "text/html; charset=utf-8",
        body: "<!doctype html><title>Sign in</title><form method=post></form>",
    };

    /// 200 with JSON that stops in the middle.
    pub const CUT_TEXT: Self = Self::Answer {
        status: 200,
        content_type: "application/json",
        body: r#"{"count": 3, "next": null, "results": [{"id": "cut"#,
    };

    /// 200 with an object that is not a list.
    pub const WITHOUT_RESULTS: Self = Self::Answer {
        status: 200,
        content_type: "application/json",
        body: r#"{"detail": "the search is not ready"}"#,
    };

    /// The answer; `authorization` is the request's header.
    pub(super) async fn answer(self, authorization: &str) -> HttpResponse {
        match self {
            Self::Status(status) => detail(status, "Simulated failure."),
            Self::Busy { retry_after_s } => {
                let mut answer = detail(429, "Request was throttled.");
                answer.headers_mut().insert(header::RETRY_AFTER, retry_after_s.into());
                answer
            }
            Self::Hang => std::future::pending().await,
            Self::CutOff => {
                let part = Bytes::from_static(br#"{"count": 3, "results": ["#);
                let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
                let body = SizedStream::new(4096, stream::iter([Ok(part), broken]));
                HttpResponse::Ok().content_type("application/json").body(body)
            }
            Self::Endless => {
                let megabyte = Bytes::from(vec![b' '; 1024 * 1024]);
                let body = stream::repeat_with(move || Ok::<_, io::Error>(megabyte.clone()));
                HttpResponse::Ok().content_type("application/json").streaming(body)
            }
            Self::Answer { status, content_type, body } => {
                HttpResponse::build(status_code(status)).content_type(content_type).body(body)
            }
            Self::EchoAuthorization => detail(401, &format!("Rejected: {authorization}")),
        }
    }
}

/// The API's usual form of a refusal.
pub(super) fn detail(status: u16, text: &str) -> HttpResponse {
    HttpResponse::build(status_code(status)).json(json!({ "detail": text }))
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
