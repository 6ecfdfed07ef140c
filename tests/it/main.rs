//! All tests that need a process, a server or a socket, in one binary, by module of `src`. Their names are
//! sentences.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

mod alert;
mod cli;
mod config;
mod connections;
mod convert;
mod demo;
mod harfanglab;
mod http_server;
mod intake;
mod journal;
mod opencti;
mod ops;
mod outbound;
mod pipeline;
mod service;
mod stix;
mod sweep;
mod tls;
