//! Parts shared by commands: the environment and the configuration that it and the file give.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use super::failure::Failure;
use crate::{
    clock::Clock,
    config::{self, ConversionSettings, Loaded},
};

/// The service's configuration.
pub(super) fn load(flag: Option<&Path>) -> Result<Loaded, Failure> {
    let environment = environment();
    let file = file(flag, &environment);
    Ok(config::load(&environment, file.as_deref(), Clock::system().now())?)
}

/// Loads what an offline conversion takes of it.
pub(super) fn load_for_conversion(flag: Option<&Path>) -> Result<ConversionSettings, Failure> {
    let environment = environment();
    let file = file(flag, &environment);
    let now = Clock::system().now();
    Ok(config::load_for_conversion(&environment, file.as_deref(), now)?)
}

fn file(flag: Option<&Path>, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    config::locate(flag, environment, Path::new(""))
}

/// The environment as text. What is not UTF-8 keeps a replacement character, which the loader
/// refuses where the variable is one of its own.
fn environment() -> BTreeMap<String, String> {
    env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect()
}
