//! The configuration loader from outside: an environment that is complete, and what a test changes in it.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use harfanglab_incidents::config::{Faults, Loaded, load};

/// The variables that a compose file of the Python connector sets, and nothing else.
pub(crate) const PEER_ENVIRONMENT: [(&str, &str); 16] = [
    ("OPENCTI_URL", "http://opencti:8080/"),
    ("OPENCTI_TOKEN", "d8d8e2b6-opencti-token"),
    ("CONNECTOR_ID", "0b3cf0a8-7a5c-4a0f-9d4f-0d6b6f1f7c11"),
    ("CONNECTOR_NAME", "HarfangLab EDR"),
    ("CONNECTOR_SCOPE", "harfanglab, edr"),
    ("CONNECTOR_DURATION_PERIOD", "PT10M"),
    ("CONNECTOR_RUN_AND_TERMINATE", "true"),
    ("HARFANGLAB_INCIDENTS_URL", "https://edr.example.org:8443"),
    ("HARFANGLAB_INCIDENTS_SSL_VERIFY", "False"),
    ("HARFANGLAB_INCIDENTS_TOKEN", "console-token-0123456789"),
    ("HARFANGLAB_INCIDENTS_IMPORT_THREATS", "yes"),
    ("HARFANGLAB_INCIDENTS_ALERT_STATUSES", "new, investigating"),
    ("HARFANGLAB_INCIDENTS_ALERT_TYPES", "YARA, sigma ,ioc,"),
    ("HARFANGLAB_INCIDENTS_DEFAULT_MARKING", "TLP:WHITE"),
    ("HARFANGLAB_INCIDENTS_DEFAULT_SCORE", "50"),
    ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "P30D"),
];

/// Returns the time at which configurations are read.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("within range")
}

/// Returns an environment of these pairs.
pub(crate) fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The peer's environment with `changes` on top; an empty value takes a variable away.
pub(crate) fn load_with(changes: &[(&str, &str)]) -> Result<Loaded, Faults> {
    let mut all = environment(&PEER_ENVIRONMENT);
    all.extend(environment(changes));
    load(&all, None, now())
}

/// Writes a file that only its owner reads, as secrets and certificates must be.
pub(crate) fn write_private(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("a fresh folder takes files");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
    path
}
