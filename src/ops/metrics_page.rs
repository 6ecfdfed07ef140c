//! Metrics in Prometheus' text format.

use std::sync::OnceLock;

use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::Management;

/// Upper bounds of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

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
                    .map_err(|error| error.to_string())
            })
            .clone()
            .map(Self)
            .map_err(MetricsError)
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
    }
    management.metrics.0.run_upkeep();
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(management.metrics.0.render())
}
