//! Deterministic ids, exactly as OpenCTI's client makes them, so that what another connector (or
//! an earlier run) sent is recognised. An id is `<type>--<uuid5>` of the canonical JSON of the
//! properties that identify an object of its type.
//!
//! Dates come in as the text that is hashed: for incidents, cases and notes Python's `isoformat()`
//! (see `time`), for everything else the text that stands in the object.
//!
//! Does not live here: ids of observables (`observable_id`).

use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use super::canonical::canonical;

/// Namespace of every deterministic id of STIX 2.1.
const NAMESPACE: Uuid = uuid!("00abedb4-aa42-466c-9c01-fed23315a9b7");

/// The id of a `kind` whose identifying properties are `contributing`.
pub fn deterministic(kind: &str, contributing: &Value) -> String {
    let uuid = Uuid::new_v5(&NAMESPACE, canonical(contributing).as_bytes());
    format!("{kind}--{uuid}")
}

/// `incident`, `case-incident`, `case-rfi`, `case-rft` or `task`. A missing date is hashed as null.
pub fn dated(kind: &str, name: &str, created: Option<&str>) -> String {
    deterministic(kind, &json!({ "name": folded(name), "created": created }))
}

/// An incident. `created` is Python's `isoformat()` of the date.
pub fn incident(name: &str, created: &str) -> String {
    dated("incident", name, Some(created))
}

/// A case incident. `created` is Python's `isoformat()` of the date.
pub fn case_incident(name: &str, created: &str) -> String {
    dated("case-incident", name, Some(created))
}

/// An identity of class `organization`, `system`, ….
pub fn identity(name: &str, class: &str) -> String {
    let contributing = json!({ "name": folded(name), "identity_class": class.to_lowercase() });
    deterministic("identity", &contributing)
}

/// An indicator.
pub fn indicator(pattern: &str) -> String {
    deterministic("indicator", &json!({ "pattern": stripped(pattern) }))
}

/// An `attack-pattern` or `course-of-action`: by its number, else by its name.
pub fn technique(kind: &str, name: &str, mitre_id: Option<&str>) -> String {
    match mitre_id.map(folded).filter(|number| !number.is_empty()) {
        Some(number) => deterministic(kind, &json!({ "x_mitre_id": number })),
        None => named(kind, name),
    }
}

/// A `malware`, `tool`, `infrastructure`, `vulnerability` or other type known by its name alone.
pub fn named(kind: &str, name: &str) -> String {
    deterministic(kind, &json!({ "name": folded(name) }))
}

/// A report. `published` is the text that stands in the object.
pub fn report(name: &str, published: &str) -> String {
    deterministic("report", &json!({ "name": folded(name), "published": published }))
}

/// A grouping.
pub fn grouping(name: &str, context: &str, created: Option<&str>) -> String {
    let mut contributing = json!({ "name": folded(name), "context": folded(context) });
    insert(&mut contributing, "created", created);
    deterministic("grouping", &contributing)
}

/// Observed data, by the ids of its objects in their order.
pub fn observed_data(objects: &[String]) -> String {
    deterministic("observed-data", &json!({ "objects": objects }))
}

/// A note. `created` is Python's `isoformat()` of the date.
pub fn note(created: Option<&str>, content: &str, title: Option<&str>) -> String {
    let mut contributing = json!({ "content": stripped(content) });
    insert(&mut contributing, "created", created);
    let title = title.map(stripped).filter(|title| !title.is_empty());
    insert(&mut contributing, "attribute_abstract", title);
    deterministic("note", &contributing)
}

/// A relationship. A `stop` without a `start` is not hashed.
pub fn relationship(
    kind: &str,
    source: &str,
    target: &str,
    start: Option<&str>,
    stop: Option<&str>,
) -> String {
    let mut contributing =
        json!({ "relationship_type": kind, "source_ref": source, "target_ref": target });
    insert(&mut contributing, "start_time", start);
    insert(&mut contributing, "stop_time", start.and(stop));
    deterministic("relationship", &contributing)
}

/// A sighting. A `last_seen` without a `first_seen` is not hashed.
pub fn sighting<Place: AsRef<str>>(
    of: &str,
    places: &[Place],
    first_seen: Option<&str>,
    last_seen: Option<&str>,
) -> String {
    let places: Vec<&str> = places.iter().map(AsRef::as_ref).collect();
    let mut contributing =
        json!({ "type": "sighting", "sighting_of_ref": of, "where_sighted_refs": places });
    insert(&mut contributing, "first_seen", first_seen);
    insert(&mut contributing, "last_seen", first_seen.and(last_seen));
    deterministic("sighting", &contributing)
}

/// A marking definition: the five of TLP have fixed ids.
pub fn marking_definition(kind: &str, definition: &str) -> String {
    let fixed = match (kind, definition) {
        ("TLP", "TLP:CLEAR" | "TLP:WHITE") => "613f2e26-407d-48c7-9eca-b8e91df99dc9",
        ("TLP", "TLP:GREEN") => "34098fce-860f-48ae-8e50-ebd3cc5e41da",
        ("TLP", "TLP:AMBER") => "f88d31f6-486f-44da-b317-01333bde0b82",
        ("TLP", "TLP:AMBER+STRICT") => "826578e1-40ad-459f-bc73-ede076f81f37",
        ("TLP", "TLP:RED") => "5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
        _ => {
            let contributing = json!({ "definition_type": kind, "definition": definition });
            return deterministic("marking-definition", &contributing);
        }
    };
    format!("marking-definition--{fixed}")
}

/// An external reference: by its URL, else by source and number; with neither it has no id, and
/// the platform does not keep it.
pub fn external_reference(
    url: Option<&str>,
    source_name: Option<&str>,
    external_id: Option<&str>,
) -> Option<String> {
    let contributing = match (url, source_name, external_id) {
        (Some(url), _, _) => json!({ "url": url }),
        (None, Some(source_name), Some(external_id)) => {
            json!({ "source_name": source_name, "external_id": external_id })
        }
        _ => return None,
    };
    Some(deterministic("external-reference", &contributing))
}

/// A phase of a kill chain.
pub fn kill_chain_phase(chain: &str, phase: &str) -> String {
    let contributing = json!({ "phase_name": phase, "kill_chain_name": chain });
    deterministic("kill-chain-phase", &contributing)
}

/// A label.
pub fn label(value: &str) -> String {
    deterministic("label", &json!({ "value": value }))
}

/// A value of an open vocabulary.
pub fn vocabulary(name: &str, category: &str) -> String {
    deterministic("vocabulary", &json!({ "name": folded(name), "category": category }))
}

fn insert(contributing: &mut Value, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        contributing[key] = Value::from(value);
    }
}

/// Python's `lower()` and then `strip()`.
fn folded(text: &str) -> String {
    stripped(&text.to_lowercase()).to_owned()
}

/// Python's `strip()`: the file, group, record and unit separators count as white space there.
fn stripped(text: &str) -> &str {
    text.trim_matches(|character: char| {
        character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
    })
}
