//! `harfanglab-incidents`: takes HarfangLab EDR alerts as they are pushed, keeps them durably,
//! enriches them, converts them to STIX 2.1 and delivers them to OpenCTI.
//!
//! One road: `intake` (or `sweep`) → `journal` → `pipeline` (enrich → convert → deliver).
//! `http_server` and `intake::syslog` take connections, both within the limit of `connections`.
//! Arrows point one way; see each module's header for what lives there and what does not.

#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "`cli::output` escapes what is printed"
)]

/// The version of this binary.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit this binary was built from, short, with `-dirty` when the tree differed from it;
/// `unknown` when the build could not tell.
pub const COMMIT: &str = env!("HARFANGLAB_INCIDENTS_COMMIT");

pub mod alert;
mod bounded_file;
pub mod cli;
pub mod clock;
mod complaints;
pub mod config;
pub mod connections;
pub mod convert;
pub mod demo;
mod disk;
mod escape;
pub mod harfanglab;
pub mod health;
pub mod http_server;
pub mod intake;
pub mod journal;
pub mod label;
pub mod opencti;
pub mod ops;
pub mod outbound;
pub mod pipeline;
pub mod service;
pub mod stix;
pub mod sweep;
pub mod tls;
