//! The bundle: objects in the order they were added, each id once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::id;

/// A STIX 2.1 bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "bundle")]
pub struct Bundle {
    /// `bundle--<uuid>`, made from the objects' ids.
    pub id: String,
    /// The objects as JSON, in the order they were added.
    pub objects: Vec<Map<String, Value>>,
}

impl Bundle {
    /// This bundle with one more object; its id follows.
    #[must_use]
    pub fn with(self, object: Map<String, Value>) -> Self {
        let mut builder = BundleBuilder::default();
        self.objects.into_iter().chain([object]).for_each(|object| builder.add(object));
        builder.finish()
    }
}

/// Returns the ids that an object refers to, by its `…_ref` and `…_refs` properties.
pub fn references(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    object.iter().filter(|(key, _)| key.ends_with("_ref") || key.ends_with("_refs")).flat_map(
        |(_, value)| {
            let many = value.as_array().into_iter().flatten();
            many.chain([value]).filter_map(Value::as_str)
        },
    )
}

/// Collects the objects of a bundle.
#[derive(Debug, Clone, Default)]
pub struct BundleBuilder {
    objects: Vec<Map<String, Value>>,
    positions: HashMap<String, usize>,
}

impl BundleBuilder {
    /// Adds an object that has an `id`. One that is already there is completed: properties it
    /// lacks are added, lists become the union of both, anything else stays as it was first.
    pub fn add(&mut self, object: Map<String, Value>) {
        let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
        if let Some(&position) = self.positions.get(id) {
            complete(&mut self.objects[position], object);
        } else {
            self.positions.insert(id.to_owned(), self.objects.len());
            self.objects.push(object);
        }
    }

    /// Returns whether an object with this id was added.
    pub fn contains(&self, id: &str) -> bool {
        self.positions.contains_key(id)
    }

    /// The objects added so far.
    pub fn objects(&self) -> &[Map<String, Value>] {
        &self.objects
    }

    /// The bundle; the same ids in the same order make the same bundle id.
    pub fn finish(self) -> Bundle {
        let ids: Vec<Value> =
            self.objects.iter().filter_map(|object| object.get("id").cloned()).collect();
        Bundle { id: id::deterministic("bundle", &Value::Array(ids)), objects: self.objects }
    }
}

fn complete(object: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, value) in later {
        match (object.get_mut(&key), value) {
            (None, value) => {
                object.insert(key, value);
            }
            (Some(Value::Array(items)), Value::Array(more)) => {
                for item in more {
                    if !items.contains(&item) {
                        items.push(item);
                    }
                }
            }
            (Some(_), _) => {}
        }
    }
}
