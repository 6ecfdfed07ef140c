//! The console's REST API, asked gently: pages of alerts and threats, one alert or threat, the rule
//! behind an alert, its host, the queue of the Elastic connector, and probes.
//!
//! Lives here: requests with their token, rate, concurrency, quick tries and bounds; the caches of
//! rules; what a console's answer means. Does not live here: waiting that outlasts a few seconds
//! (the journal's), cursors (`sweep`), reading an alert (`intake::dialect`), the operator's filter
//! (`pipeline`).
//!
//! Wire facts come from working public integrations of other products. Where no working use of a
//! filter is known, the answer itself is checked.

mod access;
mod agent;
mod answer;
mod cache;
mod client;
mod error;
mod lookup;
mod lookup_batcher;
mod pages;
mod probe;
mod push_pages;
mod queue;
mod retry;
mod rules;

pub use self::{
    client::Console,
    error::ConsoleError,
    pages::{Filter, Item, Listing, PAGE_LIMIT, Page, RESULT_WINDOW},
};
