//! The files in `deploy/`, held to the program: the sample configuration, the schema, the names of
//! metrics in rules and dashboard, and in files beside this one a real Prometheus and a real nginx.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use harfanglab_incidents::{
    clock::Clock,
    config::{load, schema},
};
use serde_json::Value;

use crate::support::shared::read_deployed;

/// Loads `file` with this environment and nothing else.
fn faults(file: Option<&str>, environment: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yml");
    let path = file.map(|text| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    });
    let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match load(&pairs.collect::<BTreeMap<_, _>>(), path.as_deref(), Clock::system().now()) {
        Ok(loaded) => {
            assert_eq!(loaded.warnings, Vec::<String>::new());
            Vec::new()
        }
        Err(faults) => faults.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn the_sample_configuration_starts_the_service_once_every_changeme_is_changed() {
    let sample = read_deployed("config.yml.sample");
    let untouched = faults(Some(&sample), &[]).join("\n");
    for option in ["OPENCTI_TOKEN", "CONNECTOR_ID", "HARFANGLAB_INCIDENTS_TOKEN"] {
        assert!(untouched.contains(option), "{option}: {untouched}");
    }
    let filled = sample.replace("ChangeMe", "0b3cf0a8-7a5c-4a0f-9d4f-0d6b6f1f7c11");
    assert_eq!(faults(Some(&filled), &[]), Vec::<String>::new());
}

#[test]
fn manifest_and_image_name_the_version_of_the_program() {
    let manifest: Value =
        serde_json::from_str(&read_deployed("opencti/connector_manifest.json")).unwrap();
    assert_eq!(manifest["container_version"], env!("CARGO_PKG_VERSION"));
    let dockerfile = read_deployed("Dockerfile");
    assert!(dockerfile.contains(concat!("ARG VERSION=", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_variable_that_the_examples_set_is_known_to_the_program() {
    let schema = schema();
    let known = |name: &str| {
        let name = name.strip_suffix("_FILE").unwrap_or(name);
        schema["properties"].get(name).is_some()
    };
    let mut seen = 0;
    for file in [
        "docker-compose.yml",
        "Dockerfile",
        "systemd/harfanglab-incidents.service",
        "kubernetes/statefulset.yaml",
        "kubernetes/deployment.yaml",
        "kubernetes/config.env",
    ] {
        let text = read_deployed(file);
        for word in text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')) {
            let is_variable = ["OPENCTI_", "CONNECTOR_", "HARFANGLAB_INCIDENTS_"]
                .iter()
                .any(|prefix| word.starts_with(prefix));
            // Compose's own variables and the build argument are no options of the program.
            let is_compose =
                file == "docker-compose.yml" && !text.contains(&format!("      {word}:"));
            if is_variable
                && !is_compose
                && word != "HARFANGLAB_INCIDENTS_COMMIT"
                && word != "OPENCTI_"
            {
                assert!(known(word), "{file}: {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn compose_asks_for_exactly_what_its_sample_environment_has() {
    let compose = read_deployed("docker-compose.yml");
    let asked: std::collections::BTreeSet<_> = compose
        .split("${")
        .skip(1)
        .map(|rest| rest.split([':', '}']).next().unwrap().to_owned())
        .collect();
    let given = read_deployed(".env.sample");
    let given = given.lines().filter_map(|line| line.split_once('='));
    let given: std::collections::BTreeSet<_> =
        given.map(|(name, _value)| name.to_owned()).filter(|name| !name.starts_with('#')).collect();
    assert_eq!(asked, given);
}
