//! Tests of everything that takes deliveries: webhook, syslog, verification, junk.

mod attacks;
mod hostile_posts;
mod junk;
mod memory_budget;
mod syslog;
mod unverified_senders;
mod verification;
mod webhook;
