//! The project's fixtures from their text to their bundle: read by eye, in a form that leaves out
//! what all objects share, and changed at random.

use std::{collections::BTreeMap, fs, path::Path};

use harfanglab_incidents::{
    convert::{
        Conversion, carried_intelligence, convert_alert, convert_threat, gate::violations,
        wanted_intelligence,
    },
    intake::dialect::{Dialect, Recognised, read_alert, read_threat, recognise},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};

use super::bundles::{Object, id};
use crate::support::samples;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alerts");

/// All fixtures by name.
pub(super) fn fixtures() -> BTreeMap<String, Value> {
    let read = |path: &Path| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    fs::read_dir(FIXTURES)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(&path)))
        .collect()
}

/// Converts what HarfangLab sent; `None` for telemetry and what is of no known form.
pub(super) fn converted(element: &Value) -> Option<Conversion> {
    let (known, settings) = (samples::never_seen(), samples::settings());
    match recognise(element) {
        Recognised::Notification(Dialect::NativeThreat) => {
            Some(convert_threat(&read_threat(element), &[], &known, &settings))
        }
        Recognised::Notification(dialect) => {
            let alert = read_alert(dialect, element);
            let _ = wanted_intelligence(&alert);
            let rule = carried_intelligence(&alert);
            Some(convert_alert(&alert, rule.as_ref(), &known, &settings))
        }
        _ => None,
    }
}

/// The bundle as people read it: a line an object, references by name, without what all objects
/// share (`each_object_is_signed` looks at that), and what was left out.
fn readable(conversion: &Conversion) -> String {
    let objects = &conversion.bundle.objects;
    let names: BTreeMap<&str, String> =
        objects.iter().map(|object| (id(object), name(object))).collect();
    let mut lines: Vec<String> = objects.iter().map(|object| line(object, &names)).collect();
    lines.extend(conversion.left_out.iter().map(|it| format!("LEFT OUT {}: {}", it.what, it.why)));
    lines.join("\n")
}

fn name(object: &Object) -> String {
    let kind = object["type"].as_str().unwrap();
    let keys = ["name", "value", "path", "command_line", "key", "account_login", "abstract"];
    let known = keys.iter().find_map(|key| object.get(*key)?.as_str());
    format!("{kind} {}", known.unwrap_or_else(|| id(object)))
}

fn line(object: &Object, names: &BTreeMap<&str, String>) -> String {
    let label = |id: &Value| {
        id.as_str().and_then(|id| names.get(id).cloned()).unwrap_or_else(|| id.to_string())
    };
    if object["type"] == "relationship" {
        let told = object.get("description").map(|told| format!(" ({told})")).unwrap_or_default();
        let kind = object["relationship_type"].as_str().unwrap();
        return format!(
            "{} -{kind}-> {}{told}",
            label(&object["source_ref"]),
            label(&object["target_ref"])
        );
    }
    let mut own = object.clone();
    let shared = [
        "type",
        "spec_version",
        "id",
        "created_by_ref",
        "x_opencti_created_by_ref",
        "object_marking_refs",
    ];
    own.retain(|key, _| !shared.contains(&key.as_str()));
    for (key, value) in &mut own {
        match value {
            Value::Array(items) if key.ends_with("_refs") => {
                for item in items {
                    *item = json!(label(item));
                }
            }
            value if key.ends_with("_ref") => *value = json!(label(value)),
            _ => {}
        }
    }
    format!("{}: {}", object["type"].as_str().unwrap(), Value::Object(own))
}

#[test]
fn every_fixture_converts_as_it_was_read_by_eye() {
    for (name, element) in fixtures() {
        let Some(conversion) = converted(&element) else {
            assert!(name.contains("telemetry"), "{name} becomes nothing");
            continue;
        };
        assert_eq!(violations(&conversion.bundle), Vec::<String>::new(), "{name}");
        for relationship in super::bundles::objects(&conversion, "relationship") {
            let is_shown = relationship["target_ref"] == conversion.root_id
                && relationship["relationship_type"] == "related-to";
            let says_what = relationship.contains_key("description");
            assert!(!is_shown || says_what, "{name}: {relationship:?}");
        }
        insta::assert_snapshot!(name.clone(), readable(&conversion));
    }
}

#[test]
fn each_object_is_signed_and_shared_knowledge_is_not() {
    for (name, element) in fixtures() {
        let Some(conversion) = converted(&element) else { continue };
        let objects = &conversion.bundle.objects;
        let (author, marking) = (id(&objects[0]), id(&objects[1]));
        for object in &objects[2..] {
            let signed = ["created_by_ref", "x_opencti_created_by_ref"]
                .iter()
                .any(|key| object.get(*key) == Some(&json!(author)));
            let marked = object.get("object_marking_refs") == Some(&json!([marking]));
            let shared = object["type"] == "attack-pattern";
            assert_eq!((signed, marked), (!shared, !shared), "{name}: {object:?}");
        }
    }
}

/// Values that have no business where they are put.
fn odd() -> impl Strategy<Value = Value> {
    let known = select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("-"),
        json!("a"),
        json!("N/A"),
        json!("0"),
        json!("S-1-5-18"),
        json!("été.example."),
        json!("\u{feff}\u{0}"),
        json!("9999999-13-45T99:99:99Z"),
        json!("2026-02-03T04:05:06"),
        json!("found by an IOC: url=https://x.example/'\"?a=b"),
        json!("attack.t1059.001"),
        json!([]),
        json!([null]),
        json!(["T1059", {}]),
        json!({}),
        json!({ "a": [] }),
    ]);
    prop_oneof![4 => known, 1 => any::<String>().prop_map(Value::from)]
}

/// Any JSON at all, a few levels deep.
fn json_value() -> impl Strategy<Value = Value> {
    let keys = select(vec!["id", "name", "value", "type", "hostname", "sha256", "timestamp", "x"]);
    odd().prop_recursive(3, 12, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((keys.clone(), inner), 0..4).prop_map(|members| {
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            }),
        ]
    })
}

/// The runs of a property; many more when the big sizes are wanted.
pub(super) fn cases(usual: u32) -> ProptestConfig {
    let long = crate::support::app::is_long();
    ProptestConfig { cases: if long { usual * 50 } else { usual }, ..ProptestConfig::default() }
}

/// Every place in a document, the document itself aside.
fn places(value: &Value, path: &str, found: &mut Vec<String>) {
    let mut visit = |key: &str, value: &Value| {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        found.push(path.clone());
        places(value, &path, found);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| visit(key, value)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| visit(&index.to_string(), value));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn whatever_stands_in_a_notification_it_converts_twice_to_the_same_bytes_and_passes_the_gate(
        fixture in any::<Index>(),
        changes in vec((any::<Index>(), odd()), 0..12),
    ) {
        let fixtures = fixtures();
        let (name, element) = fixtures.iter().nth(fixture.index(fixtures.len())).unwrap();
        let mut element = element.clone();
        for (place, value) in changes {
            let mut paths = Vec::new();
            places(&element, "", &mut paths);
            if !paths.is_empty() {
                *element.pointer_mut(&paths[place.index(paths.len())]).unwrap() = value;
            }
        }
        converts_twice_to_the_same(name, &element)?;
    }

    #[test]
    fn any_json_in_any_of_the_known_fields_at_once_costs_no_notification(
        fixture in any::<Index>(),
        // Of a hundred places, how many hold something else.
        share in 1_usize..100,
        values in vec((0_usize..100, json_value()), 1..120),
    ) {
        let fixtures = fixtures();
        let (name, element) = fixtures.iter().nth(fixture.index(fixtures.len())).unwrap();
        let mut element = element.clone();
        let mut paths = Vec::new();
        places(&element, "", &mut paths);
        // From the leaves up, so that what holds a replaced one can be replaced, too.
        for (path, (chance, value)) in paths.iter().rev().zip(values.iter().cycle()) {
            // What makes it an alert stays.
            let is_mark = ["/log_type", "/alert_type", "/event/kind"].contains(&path.as_str());
            if *chance < share && !is_mark && let Some(place) = element.pointer_mut(path) {
                *place = value.clone();
            }
        }
        converts_twice_to_the_same(name, &element)?;
    }
}

fn converts_twice_to_the_same(name: &str, element: &Value) -> Result<(), TestCaseError> {
    let Some(first) = converted(element) else { return Ok(()) };
    let second = converted(element);
    let bytes = |conversion: &Conversion| serde_json::to_vec(&conversion.bundle).unwrap();
    prop_assert_eq!(Some(bytes(&first)), second.as_ref().map(bytes), "{}", name);
    prop_assert_eq!(violations(&first.bundle), Vec::<String>::new(), "{}: {}", name, element);
    Ok(())
}
