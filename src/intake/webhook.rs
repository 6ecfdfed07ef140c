//! The endpoint: admits a delivery by where it comes from, reads it whole within its bound, verifies
//! it, and answers 202 only when what it held is committed to the journal.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::{error, info, warn};

use super::{
    Door, DoorError, Receipt, Sorted,
    attempts::{Exhausted, FailedAttempts, OnlyAttempt},
    body::{self, Body},
    decode::{self, DecodeError, decode},
    dialect::counted_as,
    memory::{Charge, Standing},
    refusal::Refusal,
    sort,
    source::Sources,
    verification::{Glance, NotVerified, Proof, Strength, Verifier},
};
use crate::{clock::Clock, complaints::Complaints, connections::OpenConnection};

/// Elements one body may hold.
const ELEMENTS_MAX: usize = 10_000;
/// Longest wait for a commit before the sender is asked to come back.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds after which to come back while the journal has no room: making some takes a person.
const NO_ROOM_RETRY_AFTER_SECONDS: u64 = 60;

/// The parts of the endpoint.
pub struct Webhook {
    verifier: Arc<ArcSwap<Verifier>>,
    sources: Sources,
    failed: FailedAttempts,
    complaints: Complaints,
    locked_out: Complaints,
    not_stored: Complaints,
    door: Door,
    clock: Clock,
    max_body_bytes: usize,
    max_in_flight: usize,
    in_flight: AtomicUsize,
    strangers_in_flight: AtomicUsize,
}

impl Webhook {
    /// An endpoint that lets in what `verifier` verifies, through `door`. Whoever holds on to
    /// `verifier` can put another in its place.
    pub fn new(
        verifier: Arc<ArcSwap<Verifier>>,
        door: Door,
        clock: Clock,
        settings: &crate::config::WebhookSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            verifier,
            sources: Sources::new(&settings.access),
            failed: FailedAttempts::new(settings.access.max_failures_per_minute),
            complaints: Complaints::default(),
            locked_out: Complaints::default(),
            not_stored: Complaints::default(),
            door,
            clock,
            max_body_bytes: settings.max_body_bytes,
            max_in_flight: settings.max_in_flight,
            in_flight: AtomicUsize::new(0),
            strangers_in_flight: AtomicUsize::new(0),
        })
    }

    /// Returns the sources whose connections are taken, and which of them are proxies.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }
}

/// Registers the endpoint at `path`.
pub fn routes(webhook: Arc<Webhook>, path: &str) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let path = path.to_owned();
    move |config| {
        // Its own data: another console's endpoint may be beside it.
        let with_slash = format!("{path}/");
        let endpoint = web::resource([path, with_slash]).app_data(web::Data::from(webhook));
        config.service(endpoint.route(web::post().to(receive)).default_service(web::to(
            || async {
                let error = "this endpoint takes POST";
                Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error).answer()
            },
        )));
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

/// Places among the requests at once. Dropping it gives them back.
struct InFlight<'a>(&'a Webhook, Standing);

impl<'a> InFlight<'a> {
    /// Takes a place; strangers have a quarter of all.
    ///
    /// # Errors
    /// All are taken.
    fn take(webhook: &'a Webhook, standing: Standing) -> Result<Self, Refusal> {
        let places = Self(webhook, standing);
        let most = webhook.max_in_flight;
        let mut is_full = webhook.in_flight.fetch_add(1, Ordering::Relaxed) >= most;
        if standing == Standing::Stranger {
            let strangers = webhook.strangers_in_flight.fetch_add(1, Ordering::Relaxed);
            is_full |= strangers >= most.div_ceil(4);
        }
        if !is_full {
            return Ok(places);
        }
        metrics::counter!("webhook_refused_total", "reason" => "too_many_at_once").increment(1);
        let error = "too many requests at once; try again shortly";
        Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, error))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let Self(webhook, standing) = self;
        webhook.in_flight.fetch_sub(1, Ordering::Relaxed);
        if *standing == Standing::Stranger {
            webhook.strangers_in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    webhook: web::Data<Webhook>,
) -> HttpResponse {
    let console = webhook.door.console().clone();
    console.on(answer(request, payload, webhook)).await
}

async fn answer(
    request: HttpRequest,
    payload: web::Payload,
    webhook: web::Data<Webhook>,
) -> HttpResponse {
    let response = take(&request, payload, &webhook).await.unwrap_or_else(|refusal| {
        if let Some(reason) = refusal.reason() {
            metrics::counter!("webhook_refused_total", "reason" => reason).increment(1);
        }
        refusal.answer()
    });
    metrics::counter!("webhook_requests_total", "status" => response.status().as_str().to_owned())
        .increment(1);
    response
}

async fn take(
    request: &HttpRequest,
    payload: web::Payload,
    webhook: &Webhook,
) -> Result<HttpResponse, Refusal> {
    let address = admit(request, webhook)?;
    let began = webhook.clock.now();
    let glance = webhook.verifier.load().glance(request.headers());
    let is_proven = matches!(glance, Ok(Glance::Proven(_)));
    let connection = request.conn_data::<Arc<OpenConnection>>();
    let is_known = is_proven || connection.is_some_and(|connection| connection.knows(address));
    let standing = if is_known { Standing::Known } else { Standing::Stranger };
    let in_flight = InFlight::take(webhook, standing)?;
    let mut only_attempt = None;
    may_try(webhook, address, glance, &mut only_attempt, began)?;
    let glanced = glance.map_err(|reason| not_verified(webhook, address, reason, began))?;
    let memory = webhook.door.memory();
    let read = body::read(request, payload, webhook.max_body_bytes, (memory, standing)).await;
    let now = webhook.clock.now();
    let mut sent = read.inspect_err(|refusal| {
        if refusal.is_unfinished() && glanced == Glance::Signed {
            count_failure(webhook, address, now);
        }
    })?;
    metrics::counter!("webhook_body_bytes_total").increment(sent.bytes.len() as u64);
    // Again, for those who began many attempts before the first one failed.
    may_try(webhook, address, Ok(glanced), &mut only_attempt, now)?;
    let verified = webhook.verifier.load().verify(request.headers(), &sent.bytes, now);
    let proof = verified.map_err(|reason| not_verified(webhook, address, reason, now))?;
    metrics::counter!("webhook_verified_total").increment(1);
    drop(only_attempt);
    memory.verified(&mut sent.charge);
    if let Some(connection) = connection {
        connection.verified(address);
    }
    let unreadable = |refusal: &Refusal| {
        warn!(error = refusal.error(), "a verified delivery cannot be read and was refused");
    };
    let encoding = body::encoding(request).inspect_err(unreadable)?;
    // Large ones that wait are bounded by the memory of their bodies, and must not keep others out.
    let _in_flight = if sent.charge.is_large() { None } else { Some(in_flight) };
    if sent.charge.is_large() {
        memory.take_turn(&mut sent.charge).await?;
    }
    let decoded = body::decoded(sent, encoding, webhook.max_body_bytes, memory).await;
    let (sorted, charge) = read_elements(proof, decoded.inspect_err(unreadable)?, webhook).await?;
    if sorted.is_connection_test() {
        info!("the console tested the connection");
        return Ok(HttpResponse::Ok().json(Answer::default()));
    }
    store(sorted, charge, webhook).await
}

/// Reads the elements of a body, and lets go of it. A large one is read beside this thread.
async fn read_elements(
    proof: Proof,
    body: Body,
    webhook: &Webhook,
) -> Result<(Sorted, Charge), Refusal> {
    let Body { bytes, charge } = body;
    let door = webhook.door.clone();
    let read = move || {
        decode(&decode::text_of(&bytes), ELEMENTS_MAX)
            .map(|elements| sort(&proof, elements, door.samples(), door.max_values()))
    };
    let read = if charge.has_turn() {
        web::block(read).await.map_err(|_stopping| Refusal::stopping())?
    } else {
        read()
    };
    let sorted = read.map_err(|error| {
        warn!(%error, "a verified delivery cannot be read and was refused");
        let status = match error {
            DecodeError::TooManyElements { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            DecodeError::Empty | DecodeError::NotJson { .. } => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, error.to_string())
    })?;
    Ok((sorted, charge))
}

fn not_stored(webhook: &Webhook, reason: &DoorError) -> Refusal {
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not stored; try again shortly");
    if *reason == DoorError::NoRoom {
        // Told once, by who watches the room.
        return refusal.retry_after(NO_ROOM_RETRY_AFTER_SECONDS);
    }
    if let Some(left_out) = webhook.not_stored.due(webhook.clock.now()) {
        error!(
            %reason,
            left_out,
            "a delivery could not be stored; the sender was asked to come back"
        );
    }
    refusal
}

/// The address that this request is counted to, when it may post.
fn admit(request: &HttpRequest, webhook: &Webhook) -> Result<IpAddr, Refusal> {
    let forbidden = || Refusal::new(StatusCode::FORBIDDEN, "not from there");
    // Over a socket of TCP there is always a peer.
    let peer = request.peer_addr().ok_or_else(forbidden)?.ip();
    webhook.sources.admit(peer, request.headers()).map_err(|reason| {
        metrics::counter!("webhook_refused_total", "reason" => "network").increment(1);
        if let Some(left_out) = webhook.complaints.due(webhook.clock.now()) {
            warn!(%reason, left_out, "a delivery was refused for where it comes from");
        }
        forbidden()
    })
}

/// Refuses who has failed too often of late, but for a proof that nobody can have guessed: a strong
/// secret, or a signature, of which such an address may try one at a time.
fn may_try<'a>(
    webhook: &'a Webhook,
    address: IpAddr,
    glance: Result<Glance, NotVerified>,
    only_attempt: &mut Option<OnlyAttempt<'a>>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let Some(seconds) = webhook.failed.wait_seconds(address, now) else {
        return Ok(());
    };
    match glance {
        Ok(Glance::Proven(Strength::Strong)) => return Ok(()),
        Ok(Glance::Signed) if only_attempt.is_some() => return Ok(()),
        Ok(Glance::Signed) => {
            *only_attempt = webhook.failed.only_one(address);
            if only_attempt.is_some() {
                return Ok(());
            }
        }
        Ok(Glance::Proven(Strength::Weak)) | Err(_) => {}
    }
    metrics::counter!("webhook_refused_total", "reason" => "too_many_failures").increment(1);
    let error = "too many failed attempts; try again later";
    Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, error).retry_after(seconds))
}

fn not_verified(
    webhook: &Webhook,
    address: IpAddr,
    reason: NotVerified,
    now: DateTime<Utc>,
) -> Refusal {
    metrics::counter!("webhook_refused_total", "reason" => reason.reason()).increment(1);
    if let Some(left_out) = webhook.complaints.due(now) {
        warn!(%reason, %address, left_out, "a delivery was not verified and was refused");
    }
    count_failure(webhook, address, now);
    Refusal::new(StatusCode::UNAUTHORIZED, "not verified")
}

fn count_failure(webhook: &Webhook, address: IpAddr, now: DateTime<Utc>) {
    if webhook.failed.note(address, now) == Exhausted::Yes
        && let Some(left_out) = webhook.locked_out.due(now)
    {
        warn!(
            %address,
            left_out,
            "an address failed too often and gets 429 for a while; if it is your proxy, name it in \
             HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES, so that each client is counted alone"
        );
    }
}

async fn store(sorted: Sorted, charge: Charge, webhook: &Webhook) -> Result<HttpResponse, Refusal> {
    let ignored = sorted.ignored();
    let Sorted { notifications, telemetry, .. } = sorted;
    for kind in telemetry {
        metrics::counter!("webhook_ignored_total", "kind" => counted_as(&kind)).increment(1);
    }
    let receipt = if notifications.is_empty() {
        Receipt::default()
    } else {
        let door = webhook.door.clone();
        // By itself: what waits for the journal is in memory whether its sender waits or not.
        let console = door.console().clone();
        let appended = tokio::spawn(console.on(async move {
            let receipt = door.append(notifications).await;
            drop(charge);
            receipt
        }));
        let failed = |reason: &str| Err(DoorError::Failed(reason.to_owned()));
        match tokio::time::timeout(COMMIT_TIMEOUT, appended).await {
            Ok(Ok(receipt)) => receipt,
            Ok(Err(_defect)) => failed("it broke off by a defect"),
            Err(_elapsed) => failed("no commit within 10 seconds"),
        }
        .map_err(|reason| not_stored(webhook, &reason))?
    };
    Ok(HttpResponse::Accepted().json(Answer {
        accepted: receipt.accepted,
        duplicates: receipt.duplicates,
        ignored,
        dead_letters: receipt.dead_letters,
    }))
}
