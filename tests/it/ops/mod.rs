//! Tests of health, metrics, the status page, and of what lies in `deploy/`.

mod connector_metrics;
mod deployment;
mod failure_table;
mod healthcheck;
mod metrics;
mod prometheus;
mod status_page;
