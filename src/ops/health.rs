//! The health pages: alive, ready, and what is degraded. OpenCTI or the console being away never
//! makes the service unready: it goes on accepting into the journal.

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::{Management, turns::SharedProbe};
use crate::{
    health::Part,
    journal::{Counts, check_writable},
};

pub(super) async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

/// 200 while the journal can be written, with what is degraded; 503 when it cannot. For each answer
/// as much as an alert is written, by the writer of deliveries, so that it holds for the next one.
pub(super) async fn ready(
    management: web::Data<Management>,
    journal: web::Data<JournalProbe>,
) -> HttpResponse {
    let probed = probe(&management, &journal).await;
    let degraded = management.health.reasons();
    match probed {
        Ok(probed) => {
            let mut answer = json!({
                "status": if degraded.is_empty() { "ready" } else { "degraded" },
                "degraded": degraded,
                "role": management.health.role().name(),
                "journal": shown(&probed.all()),
            });
            let each = management.consoles.iter().zip(&probed.0);
            let consoles: Map<String, Value> = each
                .filter_map(|(console, counts)| {
                    Some((console.label.name()?.to_owned(), json!({ "journal": shown(counts) })))
                })
                .collect();
            if !consoles.is_empty() {
                answer["consoles"] = Value::Object(consoles);
            }
            HttpResponse::Ok().json(answer)
        }
        Err(reason) => HttpResponse::ServiceUnavailable().json(json!({
            "status": "unready",
            "reason": reason,
            "role": management.health.role().name(),
            "degraded": degraded,
        })),
    }
}

fn shown(counts: &Counts) -> Value {
    json!({
        "pending": counts.pending,
        "following_up": counts.following_up,
        "delivered": counts.delivered,
        "filtered": counts.filtered,
        "superseded": counts.superseded,
        "dead_letters": counts.dead,
        "dropped": counts.dropped,
        "text_bytes": {
            "pending": counts.bytes.pending,
            "following_up": counts.bytes.following_up,
            "finished": counts.bytes.finished,
            "dead_letters": counts.bytes.dead,
            "dropped": counts.bytes.dropped,
        },
    })
}

/// The counts of the journal, for each console in their order.
#[derive(Debug, Clone)]
pub(super) struct Probed(Vec<Counts>);

impl Probed {
    /// All consoles together.
    pub(super) fn all(&self) -> Counts {
        self.0.iter().copied().fold(Counts::default(), Counts::and)
    }
}

/// The probe of the journal that everybody shares who asks at once.
pub(super) type JournalProbe = SharedProbe<Result<Probed, String>>;

/// Counts the journal; `Err`: nothing can be accepted, because of that. The health knows of it
/// then.
pub(super) async fn probe(
    management: &web::Data<Management>,
    journal: &JournalProbe,
) -> Result<Probed, String> {
    let shared = management.clone();
    let probed = journal.ask(|| async move { use_journal(&shared).await }).await;
    let degraded = management.health.reasons();
    // As the health says it, in words with what to do.
    match Part::VITAL.iter().find_map(|part| degraded.get(part.name()).cloned()) {
        Some(reason) => Err(reason),
        None => probed,
    }
}

/// Writes to the journal, which is one for all consoles, as a delivery does, and reads from it.
async fn use_journal(management: &Management) -> Result<Probed, String> {
    let mut all = Vec::with_capacity(management.consoles.len());
    for (position, console) in management.consoles.iter().enumerate() {
        all.push(if position == 0 {
            check_writable(&console.journal, &console.door).await?
        } else {
            console.journal.counts().await.map_err(|failure| failure.to_string())?
        });
    }
    Ok(Probed(all))
}
