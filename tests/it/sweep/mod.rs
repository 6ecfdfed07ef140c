//! Tests of sweeps and backfills.

mod alerts;
mod backlog;
mod console_clock;
mod elastic_pull;
mod large_items;
mod reconciliation;
mod run_once;
mod threats;
mod wrong_clocks;
