//! The health pages: alive, ready, and what is degraded. OpenCTI or the console being away never
//! makes the service unready: it goes on accepting into the journal.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Management;
use crate::health::Part;

pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

/// 200 while the journal can be used, with what is degraded; 503 when it cannot.
pub(super) async fn ready(management: web::Data<Management>) -> HttpResponse {
    let degraded = management.health.reasons();
    let unready = |reason: &str| {
        HttpResponse::ServiceUnavailable()
            .json(json!({ "status": "unready", "reason": reason, "degraded": degraded }))
    };
    for part in [Part::Journal, Part::Room] {
        if let Some(reason) = degraded.get(part.name()) {
            return unready(reason);
        }
    }
    match management.journal.counts().await {
        Ok(counts) => HttpResponse::Ok().json(json!({
            "status": if degraded.is_empty() { "ready" } else { "degraded" },
            "degraded": degraded,
            "journal": {
                "pending": counts.pending,
                "following_up": counts.following_up,
                "delivered": counts.delivered,
                "filtered": counts.filtered,
                "superseded": counts.superseded,
                "dead_letters": counts.dead,
                "dropped": counts.dropped,
            },
        })),
        Err(failure) => unready(&failure.to_string()),
    }
}
