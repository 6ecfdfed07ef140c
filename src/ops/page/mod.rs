//! The status page at `/` of the management address: is it working, what came and left, what waits,
//! what a person has to decide. Rendered here in full: no script, no request to anywhere else.
//!
//! Without the management token it shows numbers, times and reasons; with it also alerts and their
//! texts, and lets dead letters be tried again or dropped (`gate` says how that is kept safe). The
//! content security policy allows the page's own style and its own forms, nothing else.
//!
//! Does not live here: health and metrics for machines (`ops::health`, `ops::metrics_page`).

mod chart;
mod connections;
mod gate;
mod job;
mod layout;
mod letters;
mod snapshot;
mod view;
mod words;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
    web,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tracing::{error, info};

pub(super) use self::gate::Gate;
use self::{
    gate::Denied,
    layout::{Actions, Refresh, Viewer, document},
    snapshot::Snapshot,
};
use super::{ManagedConsole, Management, health::JournalProbe, turns::Turns};
use crate::{
    escape,
    journal::{DeadLetter, DeadLetterFilter, DeadLetterKind, EventId, JournalError, Retried},
};

/// The parameters of the address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// Each letter after this event, instead of a line a reason.
    #[serde(default)]
    after: EventId,
    /// Each letter with the same reason as this one.
    like: Option<EventId>,
    /// The action that was just done, to be told.
    done: Option<Done>,
}

/// The action that was just done with a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Done {
    Pending,
    Superseded,
    StillUnreadable,
    NotThere,
    Dropped,
}

impl Done {
    /// Its name in the address, and what is told.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Pending => ("pending", "It is on its way again."),
            Self::Superseded => (
                "superseded",
                "A newer version was delivered meanwhile, or the same one by another road: it is \
                 superseded.",
            ),
            Self::StillUnreadable => (
                "still-unreadable",
                "This version of the service cannot read its text either: it stays a dead letter.",
            ),
            Self::NotThere => ("not-there", "It is no dead letter any more."),
            Self::Dropped => (
                "dropped",
                "It is dropped, and its text is removed. The same version, when it comes again, is a \
                 duplicate.",
            ),
        }
    }
}

/// Says what a browser may do with what is answered.
pub(super) async fn guarded(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: it would take the origin from the page's own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    if let Ok(policy) = header::HeaderValue::from_str(&policy()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// The page's own style by its digest, its icon, its own forms; nothing else.
fn policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(layout::STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    )
}

/// `GET /`
pub(super) async fn status(
    request: HttpRequest,
    management: web::Data<Management>,
    gate: web::Data<Gate>,
    (turns, probe): (web::Data<Turns>, web::Data<JournalProbe>),
    asked: Option<web::Query<Asked>>,
) -> HttpResponse {
    let visitor = match gate.visitor(&request, management.clock.now()) {
        Ok(visitor) => visitor,
        Err(denied) => return refuse(denied),
    };
    let actions = if gate.has_token() { Actions::WithToken } else { Actions::Never };
    let asked = asked.map(web::Query::into_inner).unwrap_or_default();
    let _turn = match turns.of_page().await {
        Ok(turn) => turn,
        Err(busy) => return busy,
    };
    let snapshot = Snapshot::take(&management, &probe, &asked).await;
    let told = asked.done.map(|done| done.words().1);
    page(StatusCode::OK, view::status(&snapshot, &management, Viewer { visitor, actions }, told))
}

/// `GET /sign-in`: makes the browser ask for the token, and goes back.
pub(super) async fn sign_in(
    request: HttpRequest,
    management: web::Data<Management>,
    gate: web::Data<Gate>,
) -> HttpResponse {
    match gate.operator(&request, management.clock.now()) {
        Ok(()) => see("/"),
        Err(denied) => refuse(denied),
    }
}

/// `GET /letters/{id}`
pub(super) async fn letter(
    request: HttpRequest,
    management: web::Data<Management>,
    gate: web::Data<Gate>,
    turns: web::Data<Turns>,
    id: web::Path<EventId>,
) -> HttpResponse {
    match opened(&request, &management, &gate, &turns, *id).await {
        Ok((kind, letter, text)) => page(StatusCode::OK, letters::in_full(&letter, kind, &text)),
        Err(refusal) => refusal,
    }
}

/// `GET /letters/{id}/text`: as it was received, to be saved, never to be shown as a page.
pub(super) async fn text(
    request: HttpRequest,
    management: web::Data<Management>,
    gate: web::Data<Gate>,
    turns: web::Data<Turns>,
    id: web::Path<EventId>,
) -> HttpResponse {
    match opened(&request, &management, &gate, &turns, *id).await {
        Ok((_kind, letter, text)) => HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .insert_header((
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"dead-letter-{}.txt\"", letter.id),
            ))
            .body(text),
        Err(refusal) => refusal,
    }
}

/// `POST /letters/{id}/retry`
pub(super) async fn retry(
    request: HttpRequest,
    management: web::Data<Management>,
    gate: web::Data<Gate>,
    id: web::Path<EventId>,
) -> HttpResponse {
    changed(&request, &management, &gate, async |console, now| {
        let became = match console.journal.retry(&[*id], now).await?.first() {
            Some(Retried::Pending) => Done::Pending,
            Some(Retried::Superseded) => Done::Superseded,
            Some(Retried::StillUnreadable) => Done::StillUnreadable,
            Some(Retried::NotThere) | None => return Ok(None),
        };
        console.arrived.notify_one();
        let words = became.words().0;
        info!(event = *id, became = words, "a dead letter was asked for again on the status page");
        Ok(Some(became))
    })
    .await
}

/// `POST /letters/{id}/drop`
pub(super) async fn discard(
    request: HttpRequest,
    management: web::Data<Management>,
    gate: web::Data<Gate>,
    id: web::Path<EventId>,
) -> HttpResponse {
    changed(&request, &management, &gate, async |console, now| {
        if console.journal.discard(&[*id], now).await? == 0 {
            return Ok(None);
        }
        info!(event = *id, "a dead letter was dropped on the status page");
        Ok(Some(Done::Dropped))
    })
    .await
}

/// Lets an operator change a letter, with whichever console it is: `change` answers `None` for those that
/// do not have it.
async fn changed(
    request: &HttpRequest,
    management: &Management,
    gate: &Gate,
    change: impl AsyncFn(&ManagedConsole, DateTime<Utc>) -> Result<Option<Done>, JournalError>,
) -> HttpResponse {
    let now = management.clock.now();
    if let Err(denied) = gate.change(request, now) {
        return refuse(denied);
    }
    let mut done = Done::NotThere;
    for console in &management.consoles {
        match change(console, now).await {
            Err(failure) => return unusable(&failure),
            Ok(Some(became)) => done = became,
            Ok(None) => {}
        }
    }
    see(&format!("/?done={}", done.words().0))
}

/// The letter with its text, for operators alone; `Err`: the answer that says why not.
async fn opened(
    request: &HttpRequest,
    management: &Management,
    gate: &Gate,
    turns: &Turns,
    id: EventId,
) -> Result<(DeadLetterKind, DeadLetter, String), HttpResponse> {
    gate.operator(request, management.clock.now()).map_err(refuse)?;
    let _turn = turns.of_page().await?;
    let found = found(management, id).await.map_err(|failure| unusable(&failure))?;
    found.ok_or_else(not_there)
}

/// The letter with its text, if it is one; ids are those of the database, so that one console at most
/// has it.
async fn found(
    management: &Management,
    id: EventId,
) -> Result<Option<(DeadLetterKind, DeadLetter, String)>, JournalError> {
    for console in &management.consoles {
        for kind in [DeadLetterKind::Dead, DeadLetterKind::Dropped] {
            let filter = DeadLetterFilter { kind, ids: vec![id], ..DeadLetterFilter::default() };
            let mut letters = console.journal.dead_letters(&filter, 0, 1).await?;
            let Some(letter) = letters.pop() else { continue };
            let text = console.journal.text(id).await?.unwrap_or_default();
            return Ok(Some((kind, letter, text)));
        }
    }
    Ok(None)
}

fn refuse(denied: Denied) -> HttpResponse {
    match denied {
        Denied::NoToken => {
            let mut response = explanation(
                StatusCode::UNAUTHORIZED,
                "Sign in",
                "Any user name; the password is HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN.",
            );
            let challenge = "Basic realm=\"HarfangLab incidents: any user, the management token\", \
                             charset=\"UTF-8\"";
            let challenge = header::HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
        Denied::NoneConfigured => explanation(
            StatusCode::FORBIDDEN,
            "Read-only",
            "Set HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN and restart to read dead letters, try them \
             again or drop them here.",
        ),
        Denied::Wait { seconds } => {
            let mut response = explanation(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong tokens",
                &format!("Come back in {seconds} seconds."),
            );
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Denied::ForeignPage => explanation(
            StatusCode::FORBIDDEN,
            "Not from here",
            "Changes are only taken from the forms of this page itself. Scripts use \
             `harfanglab-incidents dead-letters`.",
        ),
    }
}

fn not_there() -> HttpResponse {
    let words = "It is no dead letter any more; `harfanglab-incidents events show` tells what became \
                 of it.";
    explanation(StatusCode::NOT_FOUND, "Not there", words)
}

fn unusable(failure: &JournalError) -> HttpResponse {
    error!(%failure, "the journal could not do what was asked for on the status page");
    let words = format!("Nothing was changed: {failure}");
    explanation(StatusCode::SERVICE_UNAVAILABLE, "The journal cannot be used", &words)
}

fn explanation(status: StatusCode, title: &str, words: &str) -> HttpResponse {
    let body = html! {
        header { p.brand { a href="/" { "HarfangLab incidents" } } }
        main { section { h1 { (title) } p { (words) } p { a href="/" { "Back to the status page" } } } }
    };
    page(status, document(title, Refresh::Never, &body))
}

fn page(status: StatusCode, markup: Markup) -> HttpResponse {
    // What no template has shown by its number is escaped here.
    let text = escape::lines(&markup.into_string()).into_owned();
    HttpResponseBuilder::new(status).content_type("text/html; charset=utf-8").body(text)
}

fn see(address: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, address)).finish()
}
