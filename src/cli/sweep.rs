//! `sweep`: one sweep, now.

use std::path::Path;

use super::{arguments::SweepArguments, consoles, failure::Failure, job, output, setup};
use crate::sweep::Job;

/// Has the running service sweep, or sweeps.
pub(super) fn run(config: Option<&Path>, arguments: &SweepArguments) -> Result<(), Failure> {
    let settings = setup::load(config)?.settings;
    let chosen = consoles::chosen(&settings, arguments.console.as_deref())?;
    let mut text = String::new();
    for (console, done) in job::run(settings.clone(), &chosen, Job::Sweep)? {
        let (new, known) = (done.new, done.known);
        let prefix = consoles::prefix(&settings, &console);
        text.extend([prefix, format!("swept: {new} new, {known} known already\n")]);
    }
    output::print(&text)
}
