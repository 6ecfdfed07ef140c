//! The shared dependencies of deliveries.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{false_positives::NegativeSightings, leases::Leases};
use crate::{
    clock::Clock, config::PipelineSettings, health::Health, journal::Journal, opencti::Sink,
};

/// Delivers to every sink (`deliver`), each through its queue (`sink_queue`).
pub(super) struct Deliverer {
    pub(super) leases: Arc<Leases>,
    pub(super) journal: Journal,
    pub(super) sinks: Vec<Arc<dyn Sink>>,
    pub(super) clock: Clock,
    pub(super) settings: PipelineSettings,
    pub(super) connector_name: String,
    pub(super) arrived: Arc<Notify>,
    pub(super) health: Arc<Health>,
    pub(super) negative_sightings: NegativeSightings,
}
