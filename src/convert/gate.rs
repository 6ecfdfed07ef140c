//! The last look at a bundle before it leaves: everything OpenCTI is known to refuse, or to take
//! and then regret. A converted bundle has no violations; the check exists so that this is seen
//! to be true of every alert, not believed.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::stix::{Bundle, references};

type Json = Map<String, Value>;

/// References an observable may have with one value only, beside its author.
const SINGLE_REFERENCES: [&str; 2] = ["src_ref", "dst_ref"];

/// Types that are observables.
const OBSERVABLES: [&str; 11] = [
    "directory",
    "domain-name",
    "file",
    "hostname",
    "ipv4-addr",
    "ipv6-addr",
    "network-traffic",
    "process",
    "url",
    "user-account",
    "windows-registry-key",
];

/// Returns what is wrong with a bundle, in words; nothing when it may leave.
pub fn violations(bundle: &Bundle) -> Vec<String> {
    let mut found = Vec::new();
    let mut ids = HashSet::new();
    for object in &bundle.objects {
        if !ids.insert(text(object, "id")) {
            found.push(format!("{} is there twice", text(object, "id")));
        }
    }
    for object in &bundle.objects {
        let mut complaints = Vec::new();
        for (key, value) in object {
            empty_values(key, value, &mut complaints);
        }
        dangling_references(object, &ids, &mut complaints);
        match text(object, "type") {
            "relationship" => relationship(object, &mut complaints),
            "sighting" => sighting(object, &mut complaints),
            "attack-pattern" => technique(object, &mut complaints),
            kind if OBSERVABLES.contains(&kind) => observable(kind, object, &mut complaints),
            _ => named(object, &mut complaints),
        }
        dates_in_order(object, &mut complaints);
        score(object, &mut complaints);
        let id = text(object, "id");
        found.extend(complaints.into_iter().map(|complaint| format!("{id}: {complaint}")));
    }
    unreferenced(bundle, &mut found);
    found
}

fn text<'a>(object: &'a Json, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn empty_values(path: &str, value: &Value, complaints: &mut Vec<String>) {
    match value {
        Value::Null => complaints.push(format!("{path} is null")),
        Value::Array(items) if items.is_empty() => complaints.push(format!("{path} is empty")),
        Value::Array(items) => items.iter().for_each(|item| empty_values(path, item, complaints)),
        Value::Object(members) => {
            for (key, member) in members {
                empty_values(&format!("{path}.{key}"), member, complaints);
            }
        }
        _ => {}
    }
}

/// Lists by which a parent process or a folder refers to what it is there for.
const OUTWARD: [&str; 2] = ["child_refs", "contains_refs"];

/// Finds the objects that nothing refers to: nobody reaches them from the incident or case. Those two stand
/// for themselves, and so does what refers to others.
fn unreferenced(bundle: &Bundle, found: &mut Vec<String>) {
    let referenced: HashSet<&str> = bundle.objects.iter().flat_map(references).collect();
    for object in &bundle.objects {
        let stands_alone = matches!(
            text(object, "type"),
            "incident" | "case-incident" | "note" | "relationship" | "sighting"
        );
        let refers = OUTWARD.iter().any(|key| object.contains_key(*key));
        if !stands_alone && !refers && !referenced.contains(text(object, "id")) {
            found.push(format!("{}: nothing refers to it", text(object, "id")));
        }
    }
}

/// A case may refer to what was delivered before with its alerts; anything else must be in the bundle.
fn dangling_references(object: &Json, ids: &HashSet<&str>, complaints: &mut Vec<String>) {
    let case = text(object, "type") == "case-incident";
    for (key, value) in object {
        let references: Vec<&str> = if key.ends_with("_refs") {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        } else if key.ends_with("_ref") {
            value.as_str().into_iter().collect()
        } else {
            continue;
        };
        for reference in references {
            let elsewhere = case && key == "object_refs" && is_case_member(type_of(reference));
            if reference == text(object, "id") {
                complaints.push(format!("{key} refers to itself"));
            } else if !ids.contains(reference) && !elsewhere {
                complaints.push(format!("{key} refers to {reference}, which is not there"));
            }
        }
    }
}

/// Returns whether a case refers to objects of a type: all that alerts show, but no sighting, whose id the
/// platform forgets.
fn is_case_member(kind: &str) -> bool {
    matches!(kind, "incident" | "indicator" | "identity" | "attack-pattern")
        || OBSERVABLES.contains(&kind)
}

fn relationship(object: &Json, complaints: &mut Vec<String>) {
    let kind = text(object, "relationship_type");
    let source = type_of(text(object, "source_ref"));
    let target = type_of(text(object, "target_ref"));
    let allowed = match (source, kind, target) {
        ("incident", "targets", "identity")
        | ("incident", "uses", "attack-pattern")
        | ("indicator", "indicates", "incident" | "attack-pattern")
        | ("hostname", "resolves-to", "ipv4-addr" | "ipv6-addr")
        | (_, "related-to", _) => true,
        ("indicator", "based-on", target) => OBSERVABLES.contains(&target),
        _ => false,
    };
    if !allowed {
        complaints.push(format!("{source} {kind} {target} is not allowed"));
    }
    if text(object, "source_ref") == text(object, "target_ref") {
        complaints.push("relates an object to itself".to_owned());
    }
    for key in ["start_time", "stop_time"] {
        if object.contains_key(key) {
            complaints.push(format!("{key} is never sent"));
        }
    }
}

fn type_of(id: &str) -> &str {
    id.split_once("--").map_or("", |(kind, _)| kind)
}

fn sighting(object: &Json, complaints: &mut Vec<String>) {
    if type_of(text(object, "sighting_of_ref")) != "indicator" {
        complaints.push("sights something else than an indicator".to_owned());
    }
    let places = object.get("where_sighted_refs").and_then(Value::as_array);
    let places: Vec<&str> = places.into_iter().flatten().filter_map(Value::as_str).collect();
    if places.len() != 1 || type_of(places[0]) != "identity" {
        complaints.push("must be seen by exactly one identity".to_owned());
    }
    for key in ["first_seen", "last_seen"] {
        if text(object, key).is_empty() {
            complaints.push(format!("{key} is missing"));
        }
    }
}

fn observable(kind: &str, object: &Json, complaints: &mut Vec<String>) {
    for key in object.keys().filter(|key| key.ends_with("_ref")) {
        let author = key == "x_opencti_created_by_ref";
        if !author && !SINGLE_REFERENCES.contains(&key.as_str()) {
            complaints.push(format!("{key} can be sent only once in a lifetime"));
        }
    }
    let required: &[&str] = match kind {
        "file" => &["name", "hashes"],
        "process" => &["command_line"],
        "directory" => &["path"],
        "user-account" => &["account_login", "user_id"],
        "windows-registry-key" => &["key"],
        "network-traffic" => &["src_ref", "dst_ref"],
        _ => &["value"],
    };
    if !required.iter().any(|key| object.contains_key(*key)) {
        complaints.push(format!("has none of {}", required.join(", ")));
    }
    let hashes = object.get("hashes").and_then(Value::as_object).into_iter().flatten();
    for (algorithm, hash) in hashes {
        let length = match algorithm.as_str() {
            "MD5" => 32,
            "SHA-1" => 40,
            "SHA-256" => 64,
            "SHA-512" => 128,
            _ => 0,
        };
        let hash = hash.as_str().unwrap_or_default();
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hash.len() != length || !hash.bytes().all(lower) {
            complaints.push(format!("{algorithm} {hash} is malformed"));
        }
    }
}

fn named(object: &Json, complaints: &mut Vec<String>) {
    let required: &[&str] = match text(object, "type") {
        "note" => &["abstract", "content"],
        "indicator" => &["name", "pattern", "valid_from"],
        "incident" => &["name", "created", "first_seen", "last_seen"],
        _ => &["name"],
    };
    for key in required {
        if text(object, key).trim().chars().count() < 2 {
            complaints.push(format!("{key} is shorter than two characters"));
        }
    }
}

/// Everyone's: it must not become ours, or lose its name.
fn technique(object: &Json, complaints: &mut Vec<String>) {
    named(object, complaints);
    let number = text(object, "x_mitre_id");
    if number.is_empty() || number != number.to_uppercase() || number == text(object, "name") {
        complaints.push("is not a technique by number and name".to_owned());
    }
    for key in ["created_by_ref", "object_marking_refs"] {
        if object.contains_key(key) {
            complaints.push(format!("{key} would become everyone's"));
        }
    }
}

/// All dates have one form, so their texts compare as they do.
fn dates_in_order(object: &Json, complaints: &mut Vec<String>) {
    let pairs =
        [("first_seen", "last_seen"), ("created", "modified"), ("valid_from", "valid_until")];
    for (earlier, later) in pairs {
        let (start, end) = (text(object, earlier), text(object, later));
        if !end.is_empty() && end < start {
            complaints.push(format!("{later} {end} is before {earlier} {start}"));
        }
    }
}

fn score(object: &Json, complaints: &mut Vec<String>) {
    if object.contains_key("confidence") {
        complaints.push("confidence is never sent".to_owned());
    }
    if let Some(score) = object.get("x_opencti_score")
        && score.as_u64().is_none_or(|score| score > 100)
    {
        complaints.push(format!("score {score} is no number from 0 to 100"));
    }
}
