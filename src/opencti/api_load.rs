//! Loads that are given to OpenCTI's API at once: whole bundles, cleaned and in dependency order, as many
//! together as fit into one request.
//!
//! The platform's worker splits such a bundle without cleaning it and keeps, of two objects with one
//! id, the later. So the cleaning is done here, and two versions of one object never share a load:
//! what the earlier one says and the later one does not would be lost.
//!
//! Does not live here: sending (`api`).

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};

use super::{sink::DeliveryError, splitter::split};
use crate::stix::{Bundle, BundleBuilder};

/// Room in a request for everything but the bundle's objects.
const ENVELOPE_BYTES: usize = 2048;

/// One or more whole bundles as one.
#[derive(Debug)]
pub(super) struct Load {
    /// Positions, in the delivery, of the bundles in it.
    pub(super) members: Vec<usize>,
    /// All of them as one bundle.
    bundle: Bundle,
    bytes: usize,
}

impl Load {
    /// The bundle as JSON text.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(&self.bundle).expect("a bundle holds JSON and nothing else")
    }

    /// Returns the number of objects that it brings.
    pub(super) fn objects(&self) -> usize {
        self.bundle.objects.len()
    }
}

/// A delivery as it will be given to the API.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// The loads to be sent, in order.
    pub(super) loads: Vec<Load>,
    /// Bundles that can never be sent, by their position in the delivery.
    pub(super) refused: Vec<(usize, DeliveryError)>,
}

/// Cleans bundles and packs them into as few loads as their sizes and contents allow.
pub(super) fn pack(bundles: &[Arc<Bundle>], max_body_bytes: usize) -> Loads {
    let mut packed = Loads::default();
    for (position, bundle) in bundles.iter().enumerate() {
        match clean(bundle, max_body_bytes) {
            Ok(cleaned) => add(&mut packed.loads, position, cleaned, max_body_bytes),
            Err(refusal) => packed.refused.push((position, refusal)),
        }
    }
    packed
}

/// The bundles of a load, each as a load of its own.
pub(super) fn apart(load: &Load, bundles: &[Arc<Bundle>], max_body_bytes: usize) -> Vec<Load> {
    let single = |&position: &usize| {
        let (bundle, bytes) = clean(&bundles[position], max_body_bytes).ok()?;
        Some(Load { members: vec![position], bundle, bytes })
    };
    load.members.iter().filter_map(single).collect()
}

/// The objects that OpenCTI can import, in dependency order, without references to nothing; and how
/// many bytes of a request they fill.
fn clean(bundle: &Bundle, max_body_bytes: usize) -> Result<(Bundle, usize), DeliveryError> {
    let refused = |reason: String| DeliveryError::Refused(reason);
    // Kept: a case refers to incidents that are on the platform and not in its bundle, and the
    // conversion leaves no other reference without its object.
    let split = split(bundle).map_err(|error| refused(error.to_string()))?;
    if split.pieces.is_empty() {
        return Err(refused("the bundle holds nothing that OpenCTI can import".to_owned()));
    }
    let pieces = split.pieces.into_iter();
    let objects = pieces.map(|piece| piece.without_nulls().object.into_owned()).collect();
    let cleaned = Bundle { id: bundle.id.clone(), objects };
    let bytes = escaped_bytes(&cleaned);
    if bytes > max_body_bytes {
        return Err(refused(format!(
            "the bundle makes a request of {bytes} bytes, more than the {max_body_bytes} that \
             OpenCTI's API takes"
        )));
    }
    Ok((cleaned, bytes))
}

/// Bytes of the bundle as a text within JSON, where every quote is escaped.
fn escaped_bytes(bundle: &Bundle) -> usize {
    let text = serde_json::to_string(bundle).unwrap_or_default();
    ENVELOPE_BYTES + Value::String(text).to_string().len()
}

fn add(
    loads: &mut Vec<Load>,
    position: usize,
    (bundle, bytes): (Bundle, usize),
    max_body_bytes: usize,
) {
    if let Some(last) = loads.last_mut()
        && last.bytes + bytes <= max_body_bytes
        && agree(&last.bundle, &bundle)
    {
        let mut builder = BundleBuilder::default();
        let objects = std::mem::take(&mut last.bundle.objects).into_iter().chain(bundle.objects);
        objects.for_each(|object| builder.add(object));
        last.bundle = builder.finish();
        last.bytes += bytes;
        last.members.push(position);
    } else {
        loads.push(Load { members: vec![position], bundle, bytes });
    }
}

/// Returns whether every object in both is the same in both.
fn agree(one: &Bundle, other: &Bundle) -> bool {
    let by_id: HashMap<Option<&Value>, &Map<String, Value>> =
        one.objects.iter().map(|object| (object.get("id"), object)).collect();
    other
        .objects
        .iter()
        .all(|object| by_id.get(&object.get("id")).is_none_or(|known| *known == object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bundle(id: u32, name: &str) -> Arc<Bundle> {
        let bundle = serde_json::from_value(json!({
            "type": "bundle",
            "id": format!("bundle--{id}"),
            "objects": [
                {"type": "incident", "id": format!("incident--{id}"), "name": name,
                 "created_by_ref": "identity--1", "object_ref": null, "nb_deps": 7},
                {"type": "identity", "id": "identity--1", "name": "HarfangLab"},
            ],
        }));
        Arc::new(bundle.unwrap())
    }

    fn members(loads: &Loads) -> Vec<Vec<usize>> {
        loads.loads.iter().map(|load| load.members.clone()).collect()
    }

    #[test]
    fn bundles_travel_together_once_each_object_and_in_dependency_order() {
        let loads = pack(&[bundle(1, "one"), bundle(2, "two")], 1 << 20);
        assert_eq!(members(&loads), [[0, 1]]);
        let sent: Value = serde_json::from_str(&loads.loads[0].text()).unwrap();
        let ids: Vec<_> = sent["objects"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
        assert_eq!(ids, ["identity--1", "incident--1", "incident--2"]);
        assert_eq!(sent["type"], "bundle");
        for key in ["nb_deps", "object_ref"] {
            assert!(sent["objects"][1].get(key).is_none(), "{key} is gone");
        }
        assert_eq!(
            members(&Loads {
                loads: apart(&loads.loads[0], &[bundle(1, "one"), bundle(2, "two")], 1 << 20),
                refused: Vec::new()
            }),
            [[0], [1]]
        );
    }

    #[test]
    fn two_versions_of_an_object_leave_one_after_the_other() {
        let loads = pack(&[bundle(1, "new"), bundle(2, "x"), bundle(1, "closed")], 1 << 20);
        assert_eq!(members(&loads), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn a_request_stays_below_the_limit_and_what_alone_exceeds_it_is_refused() {
        let big = "\"".repeat(3000);
        let limit = ENVELOPE_BYTES + 13_000;
        let bundles = [bundle(1, &big), bundle(2, &big), bundle(3, &big.repeat(2)), bundle(4, "x")];
        let loads = pack(&bundles, limit);
        assert_eq!(members(&loads), [vec![0], vec![1], vec![3]], "a quote takes four bytes");
        assert!(
            matches!(&loads.refused[..], [(2, DeliveryError::Refused(why))] if why.contains("bytes"))
        );
        for load in &loads.loads {
            assert!(Value::String(load.text()).to_string().len() < limit);
        }
    }
}
