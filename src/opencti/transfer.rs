//! Bundles as files that another machine imports: what stands in one and how it is called, in a
//! folder as in S3. OpenCTI's `diode-import` connector reads them; the names are those that other
//! connectors give, with the date in UTC.
//!
//! Does not live here: where the files go (`directory`, `s3`).

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::DateTime;
use serde_json::{Value, json};

use super::registration::CONNECTOR_TYPE;
use crate::{clock::Clock, config::ConnectorSettings, stix::Bundle};

/// The carrier of a file; it says so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    Directory,
    S3,
}

/// Returns the content of a bundle's file.
pub(super) fn content(
    carrier: Carrier,
    settings: &ConnectorSettings,
    bundle: &Bundle,
    applicant: Option<&str>,
) -> Value {
    json!({
        "bundle_type": match carrier {
            Carrier::Directory => "DIRECTORY_BUNDLE",
            Carrier::S3 => "S3_BUNDLE",
        },
        "applicant_id": applicant,
        "connector": {
            "id": settings.id,
            "name": settings.name,
            "type": CONNECTOR_TYPE,
            "scope": settings.scope.join(", "),
            "auto": false,
            "validate_before_import": settings.sending.approval.is_needed(),
        },
        "entities_types": null,
        "bundle": {"type": "bundle", "id": bundle.id, "objects": bundle.objects},
        "update": false,
    })
}

/// Names of files, each given once.
pub(super) struct FileNames {
    /// The beginning of the names of our files, the dash included.
    prefix: String,
    clock: Clock,
    /// The time in the last file's name: names are unique because it only grows.
    last_microsecond: AtomicI64,
}

impl FileNames {
    /// For the files of a connector of this name.
    pub(super) fn new(connector_name: &str, clock: Clock) -> Self {
        let prefix = format!("{}-", file_prefix(connector_name));
        Self { prefix, clock, last_microsecond: AtomicI64::new(0) }
    }

    /// Returns the beginning of all of them.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `<connector>-<date>-<time>-<seconds since 1970, with fraction>.json`.
    pub(super) fn next(&self) -> String {
        let now = self.clock.now().timestamp_micros();
        let last = self
            .last_microsecond
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(now.max(last + 1)))
            .unwrap_or(now);
        let microsecond = now.max(last + 1);
        let date = DateTime::from_timestamp_micros(microsecond).unwrap_or_default();
        format!(
            "{}{}{}.{:06}.json",
            self.prefix,
            date.format("%Y%m%d-%H%M%S-"),
            date.timestamp(),
            date.timestamp_subsec_micros(),
        )
    }

    /// Returns whether we gave this name: `<connector>-<8 digits>-<6 digits>-<seconds>.<fraction>.json`.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        let Some(middle) =
            name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_suffix(".json"))
        else {
            return false;
        };
        let parts: Vec<&str> = middle.split(['-', '.']).collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        matches!(lengths.as_slice(), [8, 6, _, _])
            && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// The connector's name as file names carry it: lower case, blanks as `_`; a path separator must
/// not lead out of the folder.
fn file_prefix(name: &str) -> String {
    name.to_lowercase().replace([' ', '/', '\\'], "_")
}
