//! Tests of health, metrics, the status page, and of what lies in `deploy/`.

mod connector_metrics;
pub(crate) mod deployment;
mod failure_table;
mod healthcheck;
mod metrics;
pub(crate) mod prometheus;
mod status_page;
