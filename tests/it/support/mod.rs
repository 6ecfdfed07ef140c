//! Shared by tests: fakes of the remote HTTP services, a broker, a started service, reference data.

pub(crate) mod app;
pub(crate) mod authority;
pub(crate) mod broker;
pub(crate) mod check;
pub(crate) mod chromium;
pub(crate) mod command;
pub(crate) mod configuration;
pub(crate) mod demo_console;
pub(crate) mod journal_file;
pub(crate) mod manual_sweep;
pub(crate) mod memory;
pub(crate) mod notifications;
pub(crate) mod offline;
pub(crate) mod opencti;
pub(crate) mod pipeline;
pub(crate) mod post_delivery_checks;
pub(crate) mod private_broker;
pub(crate) mod private_postgres;
pub(crate) mod programs;
pub(crate) mod recorder;
pub(crate) mod relay;
pub(crate) mod s3;
pub(crate) mod samples;
pub(crate) mod service;
pub(crate) mod shared;
pub(crate) mod skipped;
pub(crate) mod small_disk;
pub(crate) mod sockets;
pub(crate) mod stage;
pub(crate) mod stores;
pub(crate) mod syslog;
pub(crate) mod tls_front;
pub(crate) mod verification;
pub(crate) mod waiting;
/// Parts of which nothing is wrong.
pub(crate) fn health() -> std::sync::Arc<harfanglab_incidents::health::Health> {
    std::sync::Arc::new(harfanglab_incidents::health::Health::new(
        harfanglab_incidents::clock::Clock::system(),
    ))
}
