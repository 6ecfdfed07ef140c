//! Alert → STIX and threat → STIX: what the mapping promises, and what the Python connector gets
//! wrong.

use harfanglab_incidents::{
    alert::{Alert, intelligence::Intelligence},
    convert::{Conversion, convert_alert, gate::violations},
};
use serde_json::{Map, Value};

use crate::support::samples;

pub(super) type Object = Map<String, Value>;

/// Converts with the settings most tests share; the result has passed the gate.
pub(super) fn converted(alert: &Alert, rule: Option<&Intelligence>) -> Conversion {
    let conversion = convert_alert(alert, rule, &samples::never_seen(), &samples::settings());
    assert_eq!(violations(&conversion.bundle), Vec::<String>::new());
    conversion
}

pub(super) fn objects<'a>(
    conversion: &'a Conversion,
    kind: &'a str,
) -> impl Iterator<Item = &'a Object> {
    conversion.bundle.objects.iter().filter(move |object| object["type"] == kind)
}

/// The only object of its type.
pub(super) fn one<'a>(conversion: &'a Conversion, kind: &'a str) -> &'a Object {
    let found: Vec<_> = objects(conversion, kind).collect();
    assert_eq!(found.len(), 1, "{kind}: {found:#?}");
    found[0]
}

pub(super) fn none(conversion: &Conversion, kind: &str) -> bool {
    objects(conversion, kind).next().is_none()
}

/// The system identity.
pub(super) fn system(conversion: &Conversion) -> Option<&Object> {
    objects(conversion, "identity").find(|identity| identity["identity_class"] == "system")
}

pub(super) fn id(object: &Object) -> &str {
    object["id"].as_str().unwrap()
}

/// The relationships of a type, as source id and target id.
pub(super) fn ends<'a>(conversion: &'a Conversion, kind: &'a str) -> Vec<(&'a str, &'a str)> {
    objects(conversion, "relationship")
        .filter(|relationship| relationship["relationship_type"] == kind)
        .map(|relationship| {
            let end = |key: &str| relationship[key].as_str().unwrap();
            (end("source_ref"), end("target_ref"))
        })
        .collect()
}

/// Returns what was left out, as `what`.
pub(super) fn left_out(conversion: &Conversion) -> Vec<&str> {
    conversion.left_out.iter().map(|left| left.what).collect()
}
