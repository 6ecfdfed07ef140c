//! The reference data beside the project, read in place and never copied. It is not always there:
//! a test that needs it says so and passes. Where it is, a missing file in it fails.

use std::{
    fs::{self},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::skipped::skipped;

/// The path of `relative` under `../shared`, or `None` (said aloud, with `what` is skipped) where
/// that folder is absent. Where it is present, a missing file fails the test.
pub(crate) fn shared(relative: &str, what: &str) -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    if !folder.is_dir() {
        skipped(&format!("../shared is not here: {what}"));
        return None;
    }
    let path = folder.join(relative);
    assert!(path.exists(), "../shared is here, but {relative} is missing");
    Some(path)
}

/// A JSON file of the shared folder.
pub(crate) fn json(relative: &str) -> Option<Value> {
    shared(relative, relative).map(|path| read_json(&path))
}

/// A JSON file of the project's own under `tests/`.
pub(crate) fn own_json(file: &str) -> Value {
    read_json(&Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).join(file))
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{} is not JSON: {error}", path.display()))
}

/// A file of `deploy/`.
pub(crate) fn deployed(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

/// Returns the text of a file of `deploy/`.
pub(crate) fn read_deployed(name: &str) -> String {
    let path = deployed(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
