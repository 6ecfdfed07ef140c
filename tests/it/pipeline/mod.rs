//! Tests of batches: enrichment, leases, retries, works and their checks.

mod console_away;
mod distinct_incidents;
mod enrichment;
mod interrupted_works;
mod leases;
mod lost_works;
mod merged_objects;
mod post_delivery_checks;
mod refused_rules;
mod requeue;
mod retries;
mod sink_defects;
