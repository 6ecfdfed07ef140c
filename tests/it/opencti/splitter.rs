//! The splitter against what pycti does with the same bundles.

use std::path::Path;

use harfanglab_incidents::{opencti::split, stix::Bundle};
use serde_json::{Value, json};

use crate::support::skipped::skipped;

/// The bundle as our type; a bundle without an id gets one (ours always have one).
fn bundle(mut value: Value) -> Option<Bundle> {
    if value.get("id").is_none() {
        value["id"] = json!("bundle--made-up");
    }
    serde_json::from_value(value).ok()
}

/// Returns what we make of a bundle, in the form of the vectors; `None` when it is refused.
fn pieces(input: &Value) -> Option<(Vec<Value>, Vec<String>)> {
    let bundle = bundle(input.clone())?;
    let split = split(&bundle).ok()?;
    let read = |text: String| serde_json::from_str(&text).expect("a piece is JSON");
    let pieces = split.pieces.iter().map(|piece| read(piece.to_bundle(&bundle.id))).collect();
    Some((pieces, split.incompatible))
}

fn compare(case: &Value, input: &Value, incompatible: &Value) {
    let name = &case["name"];
    let found = pieces(input);
    if case.get("error").is_some() {
        assert_eq!(found, None, "{name}: pycti refuses it");
        return;
    }
    let (mut found, found_incompatible) = found.unwrap_or_else(|| panic!("{name}: refused"));
    let mut expected = case["bundles"].as_array().unwrap().clone();
    for (found, expected) in found.iter_mut().zip(&mut expected) {
        if input.get("id").is_none() {
            // pycti makes a random id up.
            expected["id"] = found["id"].clone();
        }
        if let Some(version) = case.pointer("/options/event_version") {
            // Not a matter of splitting: an option of the sender that we never use.
            found["x_opencti_event_version"] = version.clone();
        }
    }
    assert_eq!(json!(found), json!(expected), "{name}");
    assert_eq!(json!(found.len()), case["expectations"], "{name}");
    assert_eq!(json!(found_incompatible), *incompatible, "{name}");
}

#[test]
fn bundles_split_as_the_reference_vectors_say() {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    if !shared.exists() {
        skipped("../shared is not here: splitter vectors");
        return;
    }
    let text = std::fs::read_to_string(shared.join("vectors/splitter_vectors.json")).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        // We never leave out references to what is not in the bundle.
        if case.pointer("/options/cleanup") != Some(&json!(true)) {
            compare(case, &case["input"], &case["incompatible_ids"]);
        }
    }
}

#[test]
fn bundles_split_as_our_own_vectors_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/splitter.json");
    let text =
        std::fs::read_to_string(path).expect("tests/vectors/splitter.json is in the project");
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        compare(case, &case["bundle"], &case["incompatible"]);
    }
}

#[test]
fn without_nulls_no_reference_and_no_list_is_null() {
    let bundle = bundle(json!({"objects": [
        {"type": "file", "id": "file--1", "name": "a", "parent_directory_ref": null,
         "object_marking_refs": null, "labels": null},
    ]}))
    .unwrap();
    let split = split(&bundle).unwrap();
    let piece = split.pieces[0].clone().without_nulls();
    assert_eq!(json!(piece), json!({"type": "file", "id": "file--1", "name": "a", "nb_deps": 1}));
}
