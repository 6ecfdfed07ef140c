//! Fields of the log about a request to the endpoint: an id that its lines share, method and path.
//!
//! The library's own span would add the query, headers and addresses that its sender claims: all of
//! it is chosen by whoever sends, and some senders put secrets there.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
};
use tracing::Span;
use tracing_actix_web::{RequestId, RootSpanBuilder};

/// Characters of a path that are told.
const PATH_MAX: usize = 100;

/// Makes the span of each request.
pub(super) struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        use actix_web::HttpMessage as _;
        let id = request.extensions().get::<RequestId>().copied();
        let path: String = request.path().chars().take(PATH_MAX).collect();
        tracing::info_span!(
            "request",
            request_id = id.map(tracing::field::display),
            method = %request.method(),
            path,
        )
    }

    fn on_request_end<B: MessageBody>(_span: Span, _outcome: &Result<ServiceResponse<B>, Error>) {}
}
