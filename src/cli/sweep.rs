//! `sweep`: one sweep, now.

use std::path::Path;

use super::{failure::Failure, job, output, setup};
use crate::sweep::Job;

/// Has the running service sweep, or sweeps.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let settings = setup::load(config)?.settings;
    let done = job::run(settings, Job::Sweep)?;
    let (new, known) = (done.new, done.known);
    output::print(&format!("swept: {new} new, {known} known already\n"))
}
