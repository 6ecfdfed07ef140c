//! Sightings on the fake platform: merged within thirty days, with a flag that bundles change from 7
//! on only, and lists that are asked by the platform's own ids.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Personality, Refusal, State};

/// Sightings of one indicator on one system are merged within this time.
const MERGED_WITHIN: TimeDelta = TimeDelta::days(30);

/// A sighting as the platform holds it.
#[derive(Debug, Clone)]
pub(crate) struct FakeSighting {
    id: String,
    /// The id that it was first sent under; those of merged ones are not kept.
    standard_id: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(crate) first_seen: DateTime<Utc>,
    pub(crate) last_seen: DateTime<Utc>,
    pub(crate) count: i64,
    pub(crate) negative: bool,
}

impl FakeSighting {
    /// Returns what was sighted, and by whom.
    pub(crate) fn ends(&self) -> [&str; 2] {
        [&self.from, &self.to]
    }
}

fn internal(id: &str) -> String {
    format!("internal-of-{id}")
}

/// Merges a sighting with the one that is there within thirty days. What is sent again inside of the time
/// that is known replaces the count; what makes that time longer adds to it.
pub(super) fn import(sightings: &mut Vec<FakeSighting>, personality: Personality, object: &Value) {
    let text = |key: &str| object[key].as_str().unwrap().to_owned();
    let date = |key: &str| text(key).parse::<DateTime<Utc>>().unwrap();
    let (id, from) = (text("id"), text("sighting_of_ref"));
    let to = object["where_sighted_refs"][0].as_str().unwrap().to_owned();
    let (first_seen, last_seen) = (date("first_seen"), date("last_seen"));
    let negative = object["x_opencti_negative"] == json!(true);
    let count = object["count"].as_i64().unwrap_or(1);
    let found = sightings.iter_mut().find(|known| {
        known.from == from
            && known.to == to
            && known.first_seen - MERGED_WITHIN <= last_seen
            && first_seen <= known.last_seen + MERGED_WITHIN
    });
    if let Some(known) = found {
        let is_longer = first_seen < known.first_seen || last_seen > known.last_seen;
        known.count = if is_longer { known.count + count } else { count };
        known.first_seen = known.first_seen.min(first_seen);
        known.last_seen = known.last_seen.max(last_seen);
        if personality == Personality::V7_260817_0 {
            known.negative = negative;
        }
        return;
    }
    sightings.push(FakeSighting {
        id: format!("internal-sighting-{}", sightings.len() + 1),
        standard_id: id,
        from,
        to,
        first_seen,
        last_seen,
        count,
        negative,
    });
}

/// An indicator or system by any of its ids.
pub(super) fn element(state: &State, arguments: &Value) -> Value {
    let id = arguments["id"].as_str().unwrap_or_default();
    let known =
        state.knowledge.sightings.iter().any(|sighting| sighting.from == id || sighting.to == id);
    if known { json!({"id": internal(id)}) } else { Value::Null }
}

pub(super) fn one(state: &State, arguments: &Value) -> Value {
    let found = state.knowledge.sightings.iter().find(|sighting| {
        arguments["id"] == json!(sighting.id) || arguments["id"] == json!(sighting.standard_id)
    });
    found.map_or(Value::Null, shown)
}

pub(super) fn between(state: &State, arguments: &Value) -> Value {
    let found = state.knowledge.sightings.iter().filter(|sighting| {
        arguments["fromId"] == json!(internal(&sighting.from))
            && arguments["toId"] == json!(internal(&sighting.to))
    });
    json!({"edges": found.map(|sighting| json!({"node": shown(sighting)})).collect::<Vec<_>>()})
}

pub(super) fn patch(state: &mut State, arguments: &Value, patch: &Value) -> Result<Value, Refusal> {
    let found =
        state.knowledge.sightings.iter_mut().find(|sighting| arguments["id"] == json!(sighting.id));
    let Some(sighting) = found else {
        return Err(Refusal::new("FUNCTIONAL_ERROR", "Cannot edit the field, Element not found"));
    };
    assert_eq!(patch[0]["key"], "x_opencti_negative", "{patch}");
    sighting.negative = patch[0]["value"] == json!(["true"]);
    Ok(json!({"fieldPatch": shown(sighting)}))
}

fn shown(sighting: &FakeSighting) -> Value {
    json!({
        "id": sighting.id,
        "standard_id": sighting.standard_id,
        "first_seen": sighting.first_seen,
        "last_seen": sighting.last_seen,
        "x_opencti_negative": sighting.negative,
    })
}
