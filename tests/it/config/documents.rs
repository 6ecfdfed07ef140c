//! Documents that are made of the declared options: they say what the program says. With
//! `HARFANGLAB_INCIDENTS_TEST_UPDATE=1` the tests write them anew instead of comparing them.

use std::{env, fs, path::PathBuf};

use harfanglab_incidents::config::{schema, table};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares the document `name` with what it should be, or writes it.
fn hold(name: &str, wanted: &str) {
    let path = path(name);
    if env::var_os("HARFANGLAB_INCIDENTS_TEST_UPDATE").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let remedy = "run: HARFANGLAB_INCIDENTS_TEST_UPDATE=1 cargo nextest run documents";
    assert!(fs::read_to_string(&path).unwrap() == wanted, "{name} is not up to date; {remedy}");
}

#[test]
fn the_table_of_the_readme_is_made_of_the_declared_options() {
    const HEAD: &str = "| variable | default | meaning |\n|---|---|---|\n";
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let (before, rest) = readme.split_once(HEAD).unwrap();
    let (_rows, after) = rest.split_once("\n\n").unwrap();
    hold("README.md", &format!("{before}{HEAD}{}\n{after}", table()));
}

#[test]
fn the_installed_schema_is_the_one_that_the_program_prints() {
    let printed = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    hold("deploy/opencti/connector_config_schema.json", &printed);
}
