//! `serve`: the service itself, also without any command.

use std::path::Path;

use super::{allocator, failure::Failure, logging, runtime, setup};
use crate::{clock::Clock, config::Loaded, service::Service};

/// Loads, starts logging, and runs the service to its end.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    allocator::give_back_large_blocks();
    let Loaded { settings, warnings, .. } = setup::load(config)?;
    logging::start_queued(&settings.connector)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let served = runtime::run(async |stop| {
        let service = Service::start(settings, Clock::system(), Vec::new()).await?;
        Box::pin(service.run(stop)).await
    })?;
    served.map_err(|error| {
        // A line of the log like all others: that is where it is looked for.
        tracing::error!(%error, "the service ended: {error}");
        Failure::AlreadyTold
    })
}
