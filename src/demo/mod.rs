//! A simulated HarfangLab, for the `demo` command, tests and benchmarks: the REST side as a small
//! stateful server ([`DemoConsole`]), the pushing side ([`Pusher`]), and the alerts they share
//! ([`Generator`]).
//!
//! It is stricter than the real console where that is unknown, so that a request which only happens
//! to work is noticed. Hosts, users, hashes, rules and domains are invented (documentation address
//! ranges, `.example` names).
//!
//! Does not live here: wiring it to the service (`cli`).

mod alerts;
mod console;
mod ecs;
mod evidence;
mod faults;
mod generator;
mod hosts;
mod kinds;
mod listing;
mod plan;
mod processes;
mod push;
mod random;
mod requests;
mod routes;
mod rules;
mod state;
mod store;
mod telemetry;

pub use self::{
    alerts::DemoAlert,
    console::{DemoConsole, DemoConsoleConfig},
    faults::Fault,
    generator::Generator,
    kinds::Kind,
    plan::{HmacCredentials, PushDialect, PushError, PushPlan, PushSummary, Pushed},
    push::Pusher,
    requests::{RequestKind, Requests},
    state::UniqueIdFilter,
    store::Collection,
};
