//! Health: alive, ready, and what is degraded. OpenCTI or the console being away never makes the
//! service unready: it goes on accepting into the journal.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Management;

/// A part that can be degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// OpenCTI's API.
    OpenCti,
    /// The console's API.
    HarfangLab,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::OpenCti => "opencti",
            Self::HarfangLab => "harfanglab",
        }
    }
}

/// What the parts say of themselves.
#[derive(Debug, Default)]
pub struct Health {
    degraded: Mutex<BTreeMap<Part, String>>,
}

impl Health {
    /// `part` works.
    pub fn well(&self, part: Part) {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).remove(&part);
    }

    /// `part` does not work, because of `reason`.
    pub fn degraded(&self, part: Part, reason: String) {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).insert(part, reason);
    }

    fn reasons(&self) -> BTreeMap<&'static str, String> {
        let degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner);
        degraded.iter().map(|(part, reason)| (part.name(), reason.clone())).collect()
    }
}

pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

/// 200 while the journal can be used, with what is degraded; 503 when it cannot.
pub(super) async fn ready(management: web::Data<Management>) -> HttpResponse {
    let degraded = management.health.reasons();
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
        Err(failure) => HttpResponse::ServiceUnavailable().json(json!({
            "status": "unready",
            "reason": failure.to_string(),
            "degraded": degraded,
        })),
    }
}
