//! Tests of the journal, on both databases, and under damage.

mod claim_order;
mod concurrent_writers;
mod damage;
pub(crate) mod dead_letters;
pub(crate) mod events;
mod full_disk;
mod large_batches;
mod lost_file;
mod migrate;
mod model;
mod pgbouncer;
mod poolers;
mod postgres_tls;
mod postgres_upgrade;
mod pruning;
mod records;
mod refused_rules;
mod silent_postgres;
mod versions;
