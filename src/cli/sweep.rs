//! `sweep`: one sweep, now.

use std::path::Path;

use super::{arguments::SweepArguments, consoles, failure::Failure, job, setup};
use crate::sweep::Job;

/// Has the running service sweep, or sweeps.
pub(super) fn run(config: Option<&Path>, arguments: &SweepArguments) -> Result<(), Failure> {
    let settings = setup::load(config)?.settings;
    let chosen = consoles::chosen(&settings, arguments.console.as_deref())?;
    let ended = job::run(settings.clone(), &chosen, Job::Sweep)?;
    consoles::print_each(&settings, ended, |done| {
        format!("swept: {} new, {} known already", done.new, done.known)
    })
}
