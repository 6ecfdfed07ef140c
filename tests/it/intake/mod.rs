//! Tests of everything that takes deliveries: webhook, syslog, verification, junk.

pub(crate) mod attacks;
pub(crate) mod hostile_posts;
mod junk;
pub(crate) mod memory_budget;
pub(crate) mod syslog;
mod unverified_senders;
pub(crate) mod verification;
pub(crate) mod webhook;
