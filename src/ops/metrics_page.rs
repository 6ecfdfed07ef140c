//! Metrics in Prometheus' text format.

use std::sync::OnceLock;

use actix_web::{HttpResponse, web};
use chrono::{DateTime, TimeDelta};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{Management, catalogue};
use crate::health::Part;

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
    /// Installs the recorder, once a process.
    ///
    /// # Errors
    /// When another recorder is installed already.
    pub fn install() -> Result<Self, MetricsError> {
        static INSTALLED: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
        INSTALLED
            .get_or_init(|| {
                PrometheusBuilder::new()
                    .set_buckets(&LATENCY_BUCKETS)
                    .and_then(PrometheusBuilder::install_recorder)
                    .inspect(|_recorder| catalogue::start())
                    .map_err(|error| error.to_string())
            })
            .clone()
            .map(Self)
            .map_err(MetricsError)
    }

    /// Everything counted by now, in Prometheus' text format.
    pub(super) fn rendered(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

pub(super) async fn page(management: web::Data<Management>) -> HttpResponse {
    if let Ok(counts) = management.journal.counts().await {
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
        let now = management.clock.now();
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
    let degraded = management.health.reasons();
    for part in Part::ALL {
        let value = if degraded.contains_key(part.name()) { 1.0 } else { 0.0 };
        metrics::gauge!("part_degraded", "part" => part.name()).set(value);
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(management.metrics.rendered())
}
