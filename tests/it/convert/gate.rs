//! The gate lets nothing through that OpenCTI refuses.

use harfanglab_incidents::{
    alert::element::{self, MaxValues},
    convert::{Conversion, gate::violations},
    intake::decode::{Element, decode, text_of},
    stix::Bundle,
};
use serde_json::{Value, json};

use super::{
    bundles::{converted, id, objects},
    fixtures,
};
use crate::support::{samples, shared};

/// A good bundle in which the first object of a type was changed.
fn broken(kind: &str, key: &str, value: Value) -> Vec<String> {
    let mut bundle: Bundle = converted(&samples::ioc_alert(), None).bundle;
    let object = bundle.objects.iter_mut().find(|object| object["type"] == kind).unwrap();
    object.insert(key.to_owned(), value);
    violations(&bundle)
}

#[test]
fn the_gate_sees_every_fault_it_knows() {
    let identity = "identity--00000000-0000-4000-8000-000000000000";
    let faults = [
        ("incident", "created_by_ref", json!(identity), "which is not there"),
        ("incident", "description", Value::Null, "is null"),
        ("incident", "labels", json!([]), "is empty"),
        ("incident", "last_seen", json!("2020-01-01T00:00:00.000Z"), "is before"),
        ("incident", "confidence", json!(80), "confidence is never sent"),
        ("incident", "name", json!("a"), "shorter than two"),
        ("indicator", "x_opencti_score", json!("50"), "is no number"),
        ("relationship", "relationship_type", json!("based-on"), "is not allowed"),
        ("relationship", "start_time", json!("2026-01-01T00:00:00.000Z"), "is never sent"),
        ("sighting", "where_sighted_refs", json!([]), "exactly one identity"),
        ("process", "image_ref", json!(identity), "only once in a lifetime"),
        ("attack-pattern", "x_mitre_id", json!("t1005"), "by number and name"),
        ("attack-pattern", "created_by_ref", json!(identity), "would become everyone's"),
        ("file", "hashes", json!({ "SHA-256": "N/A" }), "is malformed"),
    ];
    for (kind, key, value, complaint) in faults {
        let found = broken(kind, key, value);
        assert!(found.iter().any(|found| found.contains(complaint)), "{kind}.{key}: {found:?}");
    }
    let mut lonely = converted(&samples::ioc_alert(), None).bundle;
    lonely.objects.retain(|object| object.get("relationship_type") != Some(&json!("uses")));
    assert!(violations(&lonely)[0].contains("nothing refers to it"));
    let mut twice = converted(&samples::ioc_alert(), None).bundle;
    twice.objects.push(twice.objects[0].clone());
    assert!(violations(&twice)[0].contains("is there twice"));
}

#[test]
fn every_relationship_is_allowed_between_its_ends_on_every_platform() {
    let Some(document) = shared::json("vectors/relationship_matrix.json") else {
        return;
    };
    let mut compared = 0;
    let made = [samples::sigma_alert(), samples::ioc_alert(), samples::network_alert()];
    let made = made.iter().map(|alert| converted(alert, None));
    for conversion in made.chain(of_all_fixtures_and_samples().into_iter().map(|(_, it)| it)) {
        for relationship in objects(&conversion, "relationship") {
            let kind = &relationship["relationship_type"];
            if kind == "related-to" {
                continue;
            }
            let end = |key: &str| {
                let object =
                    conversion.bundle.objects.iter().find(|object| id(object) == relationship[key]);
                platform_type(object.unwrap()["type"].as_str().unwrap())
            };
            let (source, target) = (end("source_ref"), end("target_ref"));
            for (platform, pairs) in document["matrix"].as_object().unwrap() {
                let allowed = pairs[format!("{source} -> {target}")].as_array();
                assert!(
                    allowed.is_some_and(|allowed| allowed.contains(kind)),
                    "{platform}: {source} {kind} {target}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");
}

/// Converts every fixture, and every real payload where the shared folder is.
fn of_all_fixtures_and_samples() -> Vec<(String, Conversion)> {
    let mut all: Vec<(String, Conversion)> = fixtures::fixtures()
        .into_iter()
        .filter_map(|(name, element)| Some((name, fixtures::converted(&element)?)))
        .collect();
    let Some(folder) = shared::shared("samples", "real payloads of HarfangLab") else {
        return all;
    };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let body = std::fs::read(&path).unwrap();
        for element in decode(&text_of(&body), 1_000).unwrap_or_default() {
            let Element::Json { raw } = element else { continue };
            let value = element::read(&raw, MaxValues::default()).unwrap();
            all.extend(fixtures::converted(&value).map(|conversion| (name.clone(), conversion)));
        }
    }
    all
}

#[test]
fn every_fixture_and_every_real_payload_passes_the_gate_and_none_of_their_parts_is_lost() {
    let all = of_all_fixtures_and_samples();
    assert!(all.len() > 30, "{}", all.len());
    for (name, conversion) in all {
        assert_eq!(violations(&conversion.bundle), Vec::<String>::new(), "{name}");
        let ids: Vec<&str> = conversion.case_references().collect();
        let is_case = conversion.root_id.starts_with("case-incident--");
        assert!(is_case || ids.contains(&conversion.root_id.as_str()), "{name}");
        assert!(!ids.iter().any(|id| id.starts_with("sighting--")), "{name}");
    }
}

/// The platform's name of a type, as the matrix writes it.
fn platform_type(kind: &str) -> &str {
    match kind {
        "identity" => "System",
        "incident" => "Incident",
        "indicator" => "Indicator",
        "attack-pattern" => "Attack-Pattern",
        "hostname" => "Hostname",
        "ipv4-addr" => "IPv4-Addr",
        "ipv6-addr" => "IPv6-Addr",
        _ => "Stix-Cyber-Observable",
    }
}
