//! The endpoint: reads a delivery whole within its bound, verifies it, and answers 202 only when
//! what it held is committed to the journal.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use futures_util::StreamExt;
use serde::Serialize;
use tracing::{error, info, warn};

use super::{
    Door, DoorError, Receipt, Sorted,
    decode::{DecodeError, decode},
    sort,
    verification::Verifier,
};
use crate::clock::Clock;

/// Elements one body may hold.
const ELEMENTS_MAX: usize = 10_000;
/// Longest wait for a commit before the sender is asked to come back.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// What `Retry-After` says, in seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// What the endpoint needs.
pub struct Webhook {
    verifier: Verifier,
    door: Door,
    clock: Clock,
    max_body_bytes: usize,
    max_in_flight: usize,
    in_flight: AtomicUsize,
}

impl Webhook {
    /// An endpoint that lets in what `verifier` verifies, through `door`.
    pub fn new(
        verifier: Verifier,
        door: Door,
        clock: Clock,
        settings: &crate::config::WebhookSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            verifier,
            door,
            clock,
            max_body_bytes: settings.max_body_bytes,
            max_in_flight: settings.max_in_flight,
            in_flight: AtomicUsize::new(0),
        })
    }
}

/// Registers the endpoint at `path`.
pub fn routes(webhook: Arc<Webhook>, path: &str) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let path = path.to_owned();
    move |config| {
        config.app_data(web::Data::from(webhook)).service(
            web::resource(path).route(web::post().to(receive)).default_service(web::to(|| async {
                let error = "this endpoint takes POST";
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error).answer()
            })),
        );
    }
}

/// Why a delivery was not taken, as its sender is told.
struct Refusal {
    status: StatusCode,
    error: Cow<'static, str>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self { status, error: error.into() }
    }

    fn answer(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                response.insert_header((header::ALLOW, "POST"));
            }
            _ => {}
        }
        response.json(serde_json::json!({ "error": self.error }))
    }
}

#[derive(Default, Serialize)]
struct Answer {
    accepted: usize,
    duplicates: usize,
    ignored: usize,
    #[serde(skip_serializing_if = "is_zero")]
    dead_letters: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One of the requests at once; leaving gives the place back.
struct Seat<'a>(&'a AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    webhook: web::Data<Webhook>,
) -> HttpResponse {
    let seats_taken = webhook.in_flight.fetch_add(1, Ordering::Relaxed);
    let _seat = Seat(&webhook.in_flight);
    let response = if seats_taken >= webhook.max_in_flight {
        let error = "too many requests at once; try again shortly";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, error).answer()
    } else {
        take(&request, payload, &webhook).await.unwrap_or_else(|refusal| refusal.answer())
    };
    metrics::counter!("webhook_requests_total", "status" => response.status().as_str().to_owned())
        .increment(1);
    response
}

async fn take(
    request: &HttpRequest,
    payload: web::Payload,
    webhook: &Webhook,
) -> Result<HttpResponse, Refusal> {
    let body = read_body(request, payload, webhook.max_body_bytes).await?;
    let proof = webhook.verifier.verify(request.headers(), &body, webhook.clock.now()).map_err(
        |reason| {
            metrics::counter!("webhook_refused_total", "reason" => reason.reason()).increment(1);
            warn!(reason = %reason, "a delivery was not verified and was refused");
            Refusal::new(StatusCode::UNAUTHORIZED, "not verified")
        },
    )?;
    check_media_type(request)?;
    let elements = decode(&body, ELEMENTS_MAX).map_err(|error| {
        warn!(%error, "a verified delivery cannot be read and was refused");
        let status = match error {
            DecodeError::TooManyElements { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            DecodeError::Empty | DecodeError::NotJson { .. } => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, error.to_string())
    })?;
    let sorted = sort(&proof, elements);
    if sorted.is_connection_test() {
        info!("the console tested the connection");
        return Ok(HttpResponse::Ok().json(Answer::default()));
    }
    store(sorted, webhook).await
}

async fn store(sorted: Sorted, webhook: &Webhook) -> Result<HttpResponse, Refusal> {
    let Sorted { notifications, telemetry } = sorted;
    let ignored = telemetry.len();
    for kind in telemetry {
        metrics::counter!("webhook_ignored_total", "kind" => kind).increment(1);
    }
    let receipt = if notifications.is_empty() {
        Receipt::default()
    } else {
        tokio::time::timeout(COMMIT_TIMEOUT, webhook.door.append(notifications))
            .await
            .unwrap_or_else(|_elapsed| {
                Err(DoorError::Failed("no commit within 10 seconds".to_owned()))
            })
            .map_err(|reason| {
                error!(%reason, "a delivery could not be stored; the sender was asked to come back");
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not stored; try again shortly")
            })?
    };
    Ok(HttpResponse::Accepted().json(Answer {
        accepted: receipt.accepted,
        duplicates: receipt.duplicates,
        ignored,
        dead_letters: receipt.dead_letters,
    }))
}

/// Reads the whole body; at the bound it stops reading, whether the length was announced or not.
async fn read_body(
    request: &HttpRequest,
    mut payload: web::Payload,
    max_bytes: usize,
) -> Result<web::Bytes, Refusal> {
    let too_large = || Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(too_large());
    }
    let mut body = web::BytesMut::with_capacity(announced.unwrap_or(0));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_cut| {
            Refusal::new(StatusCode::BAD_REQUEST, "the body ended before its length")
        })?;
        if body.len() + chunk.len() > max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn check_media_type(request: &HttpRequest) -> Result<(), Refusal> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    if text(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send the body without a content encoding",
        ));
    }
    let media_type = text(header::CONTENT_TYPE).unwrap_or("application/json");
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = ["application/json", "application/x-ndjson", "application/ndjson"];
    if known.contains(&essence.as_str()) {
        Ok(())
    } else {
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"))
    }
}
