//! Deterministic ids of observables: the canonical JSON of the properties that STIX 2.1 lists as
//! contributing to the id. For `file` and `process` the platform's own rule, which differs: a file
//! is its first hash, whatever its name; a process is its number and command line (STIX gives it a
//! random id).

use serde_json::{Map, Value, json};

use super::id::deterministic;

/// The id of an observable of type `kind` with these properties; `None` when it has none of those
/// that identify it, and the platform would refuse it.
pub fn observable(kind: &str, properties: &Map<String, Value>) -> Option<String> {
    match kind {
        "file" => return file(properties),
        "process" => return process(properties),
        _ => {}
    }
    let mut contributing = Map::new();
    for &name in contributing_properties(kind) {
        let value = match (name, properties.get(name)) {
            ("hashes", Some(Value::Object(hashes))) => first_hash(hashes),
            (_, value) => value.cloned(),
        };
        contributing.extend(value.map(|value| (name.to_owned(), value)));
    }
    (!contributing.is_empty()).then(|| deterministic(kind, &Value::Object(contributing)))
}

fn contributing_properties(kind: &str) -> &'static [&'static str] {
    match kind {
        "artifact" => &["hashes", "payload_bin"],
        "autonomous-system" => &["number"],
        "directory" => &["path"],
        "mutex" => &["name"],
        "network-traffic" => &[
            "start",
            "end",
            "src_ref",
            "dst_ref",
            "src_port",
            "dst_port",
            "protocols",
            "extensions",
        ],
        "software" => &["name", "cpe", "swid", "vendor", "version"],
        "user-account" => &["account_type", "user_id", "account_login"],
        "windows-registry-key" => &["key", "values"],
        "x509-certificate" => &["hashes", "serial_number"],
        _ => &["value"],
    }
}

fn file(properties: &Map<String, Value>) -> Option<String> {
    let contributing = if let Some(Value::Object(hashes)) = properties.get("hashes") {
        json!({ "hashes": first_hash(hashes)? })
    } else {
        json!({ "name": properties.get("name")?.as_str()?.trim() })
    };
    Some(deterministic("file", &contributing))
}

fn process(properties: &Map<String, Value>) -> Option<String> {
    let command_line = properties.get("command_line")?.as_str()?.trim();
    let mut contributing = json!({ "command_line": command_line });
    if let Some(pid) = properties.get("pid") {
        contributing["pid"] = pid.clone();
    }
    Some(deterministic("process", &contributing))
}

/// The one hash that identifies, in the platform's order of preference.
fn first_hash(hashes: &Map<String, Value>) -> Option<Value> {
    const PREFERENCE: [&str; 10] = [
        "MD5", "SHA-1", "SHA-256", "SHA-512", "SHA3-256", "SHA3-512", "SSDEEP", "SDHASH", "TLSH",
        "LZJD",
    ];
    PREFERENCE.iter().find_map(|&algorithm| {
        let (_, hash) = hashes.iter().find(|(name, _)| name.eq_ignore_ascii_case(algorithm))?;
        Some(json!({ algorithm: hash }))
    })
}
