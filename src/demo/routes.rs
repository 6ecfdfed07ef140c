//! One request of the simulated console from arrival to answer: counted, delayed, spoilt if a fault
//! is due, checked for its token, answered.

use actix_web::{HttpRequest, HttpResponse, http::Method, http::header, web};
use serde_json::json;

use super::{
    faults::detail,
    listing::Listing,
    requests::RequestKind,
    state::{Shared, State, UniqueIdFilter},
    store::Collection,
};

/// Counts a request as being answered for as long as it lives.
struct Answering(Shared);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.lock().requests.at_once -= 1;
    }
}

/// Answers any request.
pub(super) async fn handle(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let (kind, _) = RequestKind::of(request.path());
    let mut query = url::form_urlencoded::parse(request.query_string().as_bytes());
    let offset = query.find(|(name, _)| name == "offset").and_then(|(_, text)| text.parse().ok());
    let (fault, latency) = shared.lock().arrival(kind, offset.unwrap_or_default());
    let _answering = Answering(shared.get_ref().clone());
    if !latency.is_zero() {
        actix_web::rt::time::sleep(latency).await;
    }
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok()).unwrap_or_default();
    match fault {
        Some(fault) => fault.answer(authorization).await,
        None => answer(&mut shared.lock(), &request, authorization),
    }
}

fn answer(state: &mut State, request: &HttpRequest, authorization: &str) -> HttpResponse {
    if authorization.is_empty() {
        return detail(401, "Authentication credentials were not provided.");
    }
    if !state.accepts(authorization) {
        return detail(401, "Invalid token.");
    }
    if request.method() != Method::GET {
        return detail(405, "Method not allowed.");
    }
    let path = request.path();
    match RequestKind::of(path) {
        (RequestKind::Version, _) => HttpResponse::Ok().json(json!({"version": "5.7.29"})),
        (RequestKind::WhoAmI, _) => {
            HttpResponse::Ok().json(json!({"id": 7, "username": "opencti-connector"}))
        }
        (RequestKind::List(collection), _) => list(state, collection, path, request.query_string()),
        (RequestKind::One(collection), Some(id)) => one(state, collection, id),
        (RequestKind::Note, Some(id)) => note(state, id),
        // Handed out once: whoever loses it has lost it.
        (RequestKind::ElasticPull, _) => {
            HttpResponse::Ok().json(state.queue.pop_front().unwrap_or_default())
        }
        // Not JSON: the web server answers here, the API is never reached.
        _ => HttpResponse::NotFound().content_type("text/html").body("<h1>Not Found</h1>"),
    }
}

fn list(state: &State, collection: Collection, path: &str, query: &str) -> HttpResponse {
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let refuse = |parameter: &str, reason: &str| {
        HttpResponse::BadRequest().json(json!({ parameter: [reason] }))
    };
    let mut listing = match Listing::read(collection, &query) {
        Ok(listing) => listing,
        Err((parameter, reason)) => return refuse(&parameter, &reason),
    };
    let asks_for_unique_id = query.iter().any(|(name, _)| name.starts_with("alert_unique_id"));
    match state.unique_id_filter {
        UniqueIdFilter::Ignored => listing.ignore("alert_unique_id"),
        UniqueIdFilter::Refused if asks_for_unique_id => {
            return refuse("alert_unique_id", "Unknown filter.");
        }
        UniqueIdFilter::Honoured | UniqueIdFilter::Refused => {}
    }
    let path = format!("{}{path}", state.next_base);
    HttpResponse::Ok().json(listing.answer(state.records(collection), &path, &query))
}

fn one(state: &State, collection: Collection, id: &str) -> HttpResponse {
    let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
    match (state.records(collection).by_id(&id), collection) {
        (Some(alert), Collection::Alerts) => HttpResponse::Ok().json(json!({ "alert": alert })),
        (Some(item), _) => HttpResponse::Ok().json(item),
        (None, _) => detail(404, "Not found."),
    }
}

fn note(state: &State, threat_id: &str) -> HttpResponse {
    if state.records(Collection::Threats).by_id(threat_id).is_none() {
        return detail(404, "Not found.");
    }
    match state.notes.get(threat_id) {
        Some(note) => HttpResponse::Ok().json(note),
        // The real console does so: a threat without a note is not an error.
        None => HttpResponse::Ok().finish(),
    }
}
