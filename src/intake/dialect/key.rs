//! Under which key and version the journal knows an alert or threat. Two notifications with one
//! key are about one event; with one key and one version they say the same of it.
//!
//! A pushed alert and the same alert of the REST API have the same key and version. An ECS alert
//! has no id, so its key is made of its content until it is matched with an alert of the console.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Dialect, native};
use crate::alert::{
    Alert, Threat,
    element::{self, content_hash},
};

/// Key of an alert: its `alert_unique_id` in lower case; without one, `content:` and the SHA-256
/// of the canonical JSON of its `text`; for an ECS alert `ecs:` and that hash.
///
/// The nil UUID and the words of programs for nothing, such as `None`, count as no id: they stand where
/// a console or forwarder had none to give, and two alerts must never share a key.
pub fn key(dialect: Dialect, element: &Value, text: &str, alert: &Alert) -> String {
    if dialect == Dialect::EcsAlert {
        return format!("ecs:{}", content_hash(text));
    }
    key_of_identified(alert).unwrap_or_else(|| {
        let inner = native::is_wrapped(element).then(|| element::field(text, native::WRAPPER));
        format!("content:{}", content_hash(inner.flatten().unwrap_or(text)))
    })
}

/// Key of an alert by its `alert_unique_id` alone, if it has one.
pub fn key_of_identified(alert: &Alert) -> Option<String> {
    alert.unique_id.as_deref().and_then(usable_id)
}

/// Key of a threat: `threat:` and its id in lower case, or the hash of the canonical JSON of its `text` when
/// the id cannot be read.
pub fn key_of_threat(text: &str, threat: &Threat) -> String {
    match usable_id(&threat.id) {
        Some(id) => format!("threat:{id}"),
        None => format!("threat:content:{}", content_hash(text)),
    }
}

/// Key of a text that is of no dialect: `text:` and its SHA-256.
pub fn key_of_text(text: &str) -> String {
    format!("text:{}", hex::encode(Sha256::digest(text.as_bytes())))
}

/// Version of an alert: `status|level|threat`, in lower case, empty where missing. Equal for equal
/// content, whatever dialect brought it.
pub fn version(alert: &Alert) -> String {
    joined([
        alert.status.as_deref().unwrap_or_default(),
        alert.level.as_deref().unwrap_or_default(),
        alert.threat_key.as_deref().unwrap_or_default(),
    ])
}

/// Returns the date of an alert's last change: `last_update`, which the REST API gives, else the last date of
/// its
/// status history, which consoles from 4.13 on push.
pub fn updated_at(alert: &Alert) -> Option<DateTime<Utc>> {
    let changes = alert.status_history.iter();
    alert.last_update.or_else(|| changes.filter_map(|change| change.time).max())
}

/// Version of a threat: `status|level|last update|number of alerts`; the date in UTC, whatever
/// offset the console wrote.
pub fn version_of_threat(threat: &Threat) -> String {
    let last_update = threat
        .last_update
        .map(|date| date.to_rfc3339_opts(SecondsFormat::Micros, true))
        .unwrap_or_default();
    let alert_count = threat.alert_count.map(|count| count.to_string()).unwrap_or_default();
    joined([
        threat.status.as_deref().unwrap_or_default(),
        threat.level.as_deref().unwrap_or_default(),
        &last_update,
        &alert_count,
    ])
}

fn joined<const COUNT: usize>(parts: [&str; COUNT]) -> String {
    parts.map(|part| part.trim().to_lowercase()).join("|")
}

/// Words for no id, in small letters.
const NO_ID: [&str; 9] = ["", "-", "0", "n/a", "nan", "nil", "none", "null", "undefined"];

fn usable_id(id: &str) -> Option<String> {
    let id = id.trim();
    match Uuid::parse_str(id) {
        Ok(uuid) if uuid.is_nil() => None,
        Ok(uuid) => Some(uuid.to_string()),
        Err(_) => Some(id.to_lowercase()).filter(|id| !NO_ID.contains(&id.as_str())),
    }
}
