//! The mapping page for users names exactly what the bundles hold.

use std::collections::BTreeSet;

use harfanglab_incidents::{
    config::RawAttachment,
    convert::{Conversion, attach_raw, convert_alert, convert_threat},
};
use serde_json::json;

use super::{bundles::converted, fixtures, threat};
use crate::support::samples;

const PAGE: &str = include_str!("../../../src/convert/MAPPING.md");

/// Bundles that hold everything there is: of all fixtures, and of alerts made for it.
fn everything() -> Vec<Conversion> {
    let fixtures = fixtures::fixtures();
    let mut all: Vec<_> = fixtures.values().filter_map(fixtures::converted).collect();
    all.push(converted(&samples::network_alert(), None));
    for (kind, value) in [
        ("ip_dst", "203.0.113.7"),
        ("ip_dst", "2001:db8::7"),
        ("domain_name", "x.example"),
        ("url", "https://x.example/"),
    ] {
        all.push(converted(&samples::alert("ioc"), Some(&samples::ioc(kind, value))));
    }
    let settings = samples::settings();
    let mut settings_with_raw = settings.clone();
    settings_with_raw.raw = RawAttachment::Note;
    let known = samples::never_seen();
    let noted = convert_alert(&samples::alert("sigma"), None, &known, &settings_with_raw);
    all.push(attach_raw(noted, &json!({ "alert_type": "sigma" }).to_string(), &settings_with_raw));
    // What alerts show is what their cases refer to.
    let members: Vec<String> =
        all.iter().flat_map(Conversion::case_references).map(str::to_owned).collect();
    let mut named = threat::threat();
    named.tactics.push("T1486".to_owned());
    all.push(convert_threat(&named, &members, &known, &settings));
    let mut connected = samples::network_alert();
    let mut nowhere = connected.connections[0].clone();
    (nowhere.source_ip, nowhere.destination_ip) = (None, None);
    let mut sixth = connected.connections[0].clone();
    (sixth.source_ip, sixth.destination_ip) =
        (samples::text("2001:db8::1"), samples::text("2001:db8::2"));
    connected.connections = vec![nowhere, sixth];
    all.push(converted(&connected, None));
    all
}

fn kind_of(id: &str) -> &str {
    id.split_once("--").unwrap().0
}

/// Headings of the form ### `type`.
fn headings() -> BTreeSet<String> {
    let names = PAGE.lines().filter_map(|line| line.strip_prefix("### `"));
    names.map(|name| name.trim_end_matches('`').to_owned()).collect()
}

/// Edges of the picture as (source, verb, target).
fn edges() -> BTreeSet<(String, String, String)> {
    let picture = PAGE.split("```mermaid").nth(1).unwrap().split("```").next().unwrap();
    let mut edges = BTreeSet::new();
    for line in picture.lines().map(str::trim) {
        let dotted = line
            .split_once(" -. ")
            .and_then(|(from, rest)| Some((from, rest.split_once(" .-> ")?)));
        let solid = line
            .split_once(" -- ")
            .and_then(|(from, rest)| Some((from, rest.split_once(" --> ")?)));
        let Some((sources, (verb, targets))) = dotted.or(solid) else { continue };
        for source in sources.split(" & ") {
            for target in targets.split(" & ") {
                edges.insert((source.to_owned(), verb.to_owned(), target.to_owned()));
            }
        }
    }
    edges
}

#[test]
fn the_page_describes_every_type_that_is_sent_and_no_other() {
    let sent: BTreeSet<String> = everything()
        .iter()
        .flat_map(|conversion| &conversion.bundle.objects)
        .map(|object| object["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(headings(), sent);
}

#[test]
fn the_picture_has_every_edge_that_is_sent_and_no_other() {
    let mut sent = BTreeSet::new();
    for conversion in everything() {
        for object in &conversion.bundle.objects {
            let own = object["type"].as_str().unwrap();
            if own == "relationship" {
                let end = |key: &str| kind_of(object[key].as_str().unwrap()).to_owned();
                let verb = object["relationship_type"].as_str().unwrap().to_owned();
                sent.insert((end("source_ref"), verb, end("target_ref")));
                continue;
            }
            for (key, value) in object {
                let about_source = key.ends_with("created_by_ref") || key == "object_marking_refs";
                if about_source || !(key.ends_with("_ref") || key.ends_with("_refs")) {
                    continue;
                }
                let many = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                for target in many {
                    let target = kind_of(target.as_str().unwrap()).to_owned();
                    sent.insert((own.to_owned(), key.clone(), target));
                }
            }
        }
    }
    let drawn = edges();
    let missing: Vec<_> = sent.difference(&drawn).collect();
    let stale: Vec<_> = drawn.difference(&sent).collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing: {missing:#?}, stale: {stale:#?}");
}
