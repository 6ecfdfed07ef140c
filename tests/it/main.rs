//! All tests that cross a room or a wire, in one binary. Names are sentences.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

mod attacks;
mod backpressure;
mod broker;
mod broker_faults;
mod broker_tls;
mod check;
mod command_line;
mod configuration;
mod configuration_secrets;
mod console;
mod console_faults;
mod consoles;
mod consoles_apart;
mod consoles_configuration;
mod consoles_state;
mod consumer;
mod conversion;
mod crash;
mod deployment;
mod dialects;
mod enrichment;
mod faults;
mod hostile_posts;
mod ids;
mod journal;
mod journal_damage;
mod journal_model;
mod known_objects;
mod letters;
mod life;
mod limits;
mod platform;
mod pruning;
mod restart;
mod road;
mod secrets;
mod sinks;
mod soak;
mod splitter;
mod status_page;
mod sweep;
mod sweep_backlog;
mod sweep_jobs;
mod sweep_judge;
mod sweep_threats;
mod sweep_world;
mod verification;
mod webhook_access;
mod wire;
mod works;
