//! Metrics in Prometheus' text format.

use std::sync::OnceLock;

use actix_web::{HttpResponse, web};
use chrono::{DateTime, TimeDelta};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use strum::VariantArray as _;

use super::{
    ManagedConsole, Management, catalogue,
    health::{self, JournalProbe},
    recorder::Labelling,
    turns::Turns,
};
use crate::{
    clock::Clock,
    health::{Part, Place},
    journal::answer_in_time,
    label::ConsoleLabel,
};

/// Upper bounds of the histograms, in seconds: from a cached look-up to an outage of a night.
const LATENCY_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0, 43_200.0];

/// The recorder cannot be installed.
#[derive(Debug, thiserror::Error)]
#[error("the metrics recorder cannot be installed: {0}")]
pub struct MetricsError(String);

/// The recorder of this process.
#[derive(Debug, Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder, once a process, and starts the series of these consoles.
    ///
    /// # Errors
    /// Fails when another recorder is installed already.
    pub fn install(consoles: &[ConsoleLabel]) -> Result<Self, MetricsError> {
        static INSTALLED: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
        let installed = INSTALLED.get_or_init(|| {
            let builder = PrometheusBuilder::new().set_buckets(&LATENCY_BUCKETS);
            let recorder = builder.map_err(|error| error.to_string())?.build_recorder();
            let handle = recorder.handle();
            metrics::set_global_recorder(Labelling::new(recorder))
                .map_err(|error| error.to_string())?;
            Ok(handle)
        });
        let handle = installed.clone().map_err(MetricsError)?;
        catalogue::start(consoles);
        Ok(Self(handle))
    }

    /// Everything counted by now, in Prometheus' text format.
    pub(super) fn rendered(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

pub(super) async fn page(
    management: web::Data<Management>,
    turns: web::Data<Turns>,
    probe: web::Data<JournalProbe>,
) -> HttpResponse {
    let _turn = match turns.of_scrape().await {
        Ok(turn) => turn,
        Err(busy) => return busy,
    };
    let measuring = async {
        for console in &management.consoles {
            console.label.on(measure(console, &management.clock)).await;
        }
    };
    // The health knows what the probe found; a gauge that is not read in time stays as it was.
    let _known = tokio::join!(health::probe(&management, &probe), answer_in_time(measuring));
    let degraded = management.health.degraded_places();
    for &part in Part::VARIANTS {
        for console in &management.consoles {
            let place = Place::of(part, &console.label);
            let value = if degraded.contains(&place) { 1.0 } else { 0.0 };
            place.console.now(|| {
                metrics::gauge!("part_degraded", "part" => part.name()).set(value);
            });
        }
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(management.metrics.rendered())
}

/// Records the counts of the journal for one console.
async fn measure(console: &ManagedConsole, clock: &Clock) {
    let Ok(counts) = console.journal.counts().await else { return };
    for (state, count) in [
        ("pending", counts.pending),
        ("following_up", counts.following_up),
        ("delivered", counts.delivered),
        ("filtered", counts.filtered),
        ("superseded", counts.superseded),
        ("dead", counts.dead),
        ("dropped", counts.dropped),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "no journal holds 2^52 events")]
        metrics::gauge!("journal_events", "state" => state).set(count as f64);
    }
    for (state, bytes) in [
        ("pending", counts.bytes.pending),
        ("following_up", counts.bytes.following_up),
        ("finished", counts.bytes.finished),
        ("dead", counts.bytes.dead),
        ("dropped", counts.bytes.dropped),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "no journal has 2^52 bytes")]
        metrics::gauge!("journal_text_bytes", "state" => state).set(bytes as f64);
    }
    let now = clock.now();
    let age = |oldest: Option<i64>| {
        let oldest = oldest.and_then(DateTime::from_timestamp_millis);
        let age = oldest.map_or(TimeDelta::zero(), |oldest| now - oldest);
        age.as_seconds_f64().max(0.0)
    };
    metrics::gauge!("journal_oldest_pending_age_seconds").set(age(counts.oldest_pending_ms));
    for (state, oldest) in [
        ("pending", counts.oldest_pending_ms),
        ("following_up", counts.oldest_following_up_ms),
        ("dead", counts.oldest_dead_ms),
    ] {
        metrics::gauge!("journal_oldest_age_seconds", "state" => state).set(age(oldest));
    }
}
