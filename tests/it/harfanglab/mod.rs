//! Tests of the client of the console's API against the simulated console.

mod compressed_answers;
pub(crate) mod console_faults;
mod lookup_batcher;
mod lookups;
mod pages;
mod rules;
