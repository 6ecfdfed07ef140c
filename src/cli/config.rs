//! `config`, `config reference` and `config schema`.

use std::path::Path;

use super::{failure::Failure, output, setup};
use crate::config::{reference as configuration_reference, schema as configuration_schema};

/// Prints the configuration in effect, and on stderr what deserves attention in it.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let loaded = setup::load(config)?;
    for warning in &loaded.warnings {
        output::say(&format!("warning: {warning}"));
    }
    output::print(&loaded.effective.to_string())
}

/// Prints the commented reference.
pub(super) fn reference() -> Result<(), Failure> {
    output::print(&configuration_reference())
}

/// Prints the JSON schema of the environment variables.
pub(super) fn schema() -> Result<(), Failure> {
    output::print(&format!("{:#}\n", configuration_schema()))
}
