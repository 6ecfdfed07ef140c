//! Under which key and version the journal knows what was read.

use harfanglab_incidents::intake::dialect::{
    Dialect, key, key_of_threat, read_alert, read_threat, version, version_of_threat,
};
use serde_json::{Value, json};

use super::fixtures::fixture;

fn key_and_version(dialect: Dialect, element: &Value) -> (String, String) {
    let alert = read_alert(dialect, element);
    (key(dialect, element, &element.to_string(), &alert), version(&alert))
}

#[test]
fn pushed_and_rest_alert_have_one_key_and_differ_in_version_with_their_status() {
    let (key, version) = key_and_version(Dialect::NativeAlert, &fixture("sigma_process_5x"));
    let rest = key_and_version(Dialect::NativeAlert, &fixture("rest_alert_details_5x"));
    assert_eq!(rest.0, key);
    assert!(version.starts_with("new|medium|") && rest.1.starts_with("closed|medium|"));
}

#[test]
fn one_threat_key_makes_one_version_however_it_is_typed() {
    let typed = |threat_key: Value| {
        let element = json!({"alert_type": "sigma", "level": "HIGH", "threat_key": threat_key});
        key_and_version(Dialect::NativeAlert, &element).1
    };
    assert_eq!(typed(json!(2912)), "|high|2912");
    assert_eq!(typed(json!(" 2912")), typed(json!(2912)));
    assert_eq!(typed(json!(2912.0)), typed(json!(2912)));
    assert_eq!(typed(json!(null)), "|high|");
}

#[test]
fn an_id_is_one_key_in_any_spelling_and_no_id_is_a_key_of_content() {
    let key = |id: &str, rule: &str| {
        let element = json!({"alert_unique_id": id, "rule_name": rule, "alert_type": "yara"});
        key_and_version(Dialect::NativeAlert, &element).0
    };
    let id = "6d0b4a4e-0d8c-5e7e-9a55-0d1d1f5c8a10";
    assert_eq!(key(id, "a"), id);
    assert_eq!(key(&id.to_uppercase(), "b"), id);
    let nil = "00000000-0000-0000-0000-000000000000";
    assert!(key(nil, "a").starts_with("content:"));
    for nothing in [nil, "None", " null ", "0", "-"] {
        assert_ne!(key(nothing, "a"), key(nothing, "b"), "two alerts never share a key");
    }
}

#[test]
fn the_key_of_an_ecs_alert_is_its_content_in_any_order() {
    let one = json!({"event": {"kind": "alert", "category": ["malware"]}, "@timestamp": "x"});
    let other = json!({"@timestamp": "x", "event": {"category": ["malware"], "kind": "alert"}});
    let changed = json!({"@timestamp": "y", "event": {"category": ["malware"], "kind": "alert"}});
    let key = |element| key_and_version(Dialect::EcsAlert, element).0;
    assert_eq!(key(&one), key(&other));
    assert_ne!(key(&one), key(&changed));
    assert_eq!(key(&one).len(), "ecs:".len() + 64);
}

#[test]
fn a_threat_is_known_by_its_id_and_versioned_by_what_changes() {
    let read = |name: &str| {
        let element = fixture(name);
        let threat = read_threat(&element);
        (key_of_threat(&element.to_string(), &threat), version_of_threat(&threat))
    };
    let integer = read("threat_3x");
    assert_eq!(integer.0, "threat:829");
    assert_eq!(integer.1, "new|high|2024-02-13t14:41:29.162934z|12");
    assert_eq!(read("threat_5x").0, read("rest_threat_5x").0);
    assert_ne!(read("threat_5x").1, read("rest_threat_5x").1);
    let nameless = json!({"log_type": "threat", "id": null});
    let key = key_of_threat(&nameless.to_string(), &read_threat(&nameless));
    assert!(key.starts_with("threat:content:"), "{key}");
}
