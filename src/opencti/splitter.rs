//! Cuts a bundle into one-object bundles in dependency order, exactly as pycti 7.260817.0 does:
//! same order, same `nb_deps`, same dropped references.
//!
//! Every object is visited depth-first through its `…_ref` and `…_refs` keys. `nb_deps` is one plus
//! the sum over its references, a shared dependency counting once per path; the result is sorted by
//! it, stably, so that what is referred to always leaves before what refers to it. Of a cycle the
//! reference that would close it is dropped.
//!
//! Does not live here: the message around a piece (`message`), and what our own rule adds on top
//! ([`Piece::without_nulls`] is a separate step, so that the bare algorithm can be compared).

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::stix_types::is_supported;
use crate::stix::Bundle;

const OPENCTI_EXTENSION: &str = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba";

/// What happens to references whose target is not in the bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dangling {
    /// They stay: the target is known to be on the platform.
    Keep,
    /// They are dropped (pycti's `cleanup_inconsistent_bundle`): each would cost the platform's
    /// worker four tries and then an error.
    Drop,
}

/// Why a bundle cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A relationship lacks one of its ends altogether.
    #[error("{id} has no {end}")]
    NoEnd {
        /// The relationship.
        id: String,
        /// `source_ref` or `target_ref`.
        end: &'static str,
    },
    /// An object without an id cannot be referred to, nor sent.
    #[error("object number {position} of the bundle has no id")]
    NoId {
        /// Counted from 1.
        position: usize,
    },
}

/// A bundle in pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// What is to be sent, in order.
    pub pieces: Vec<Piece>,
    /// Ids of objects the platform could not take: of an unknown type, or without both ends.
    pub incompatible: Vec<String>,
}

/// One object of a split bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// `nb_deps`: how many objects, this one included, must be there for it to be complete.
    pub dependencies: u64,
    /// The object, with its `nb_deps` key.
    pub object: Map<String, Value>,
}

impl Piece {
    /// Removes keys without a value. A null reference is an error for observables on every
    /// platform, and newer ones read a null as an order to clear what is stored.
    #[must_use]
    pub fn without_nulls(mut self) -> Self {
        self.object.retain(|_, value| !value.is_null());
        self
    }

    /// The one-object bundle that OpenCTI's worker imports, as JSON text.
    pub fn to_bundle(&self, bundle_id: &str) -> String {
        let bundle = OneObject {
            kind: "bundle",
            id: bundle_id,
            spec_version: "2.1",
            x_opencti_seq: self.dependencies,
            objects: [&self.object],
        };
        bundle.written()
    }
}

/// A bundle that borrows its object: each is written once, and copied by nobody.
#[derive(Serialize)]
struct OneObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    spec_version: &'static str,
    x_opencti_seq: u64,
    objects: [&'a Map<String, Value>; 1],
}

impl OneObject<'_> {
    fn written(&self) -> String {
        serde_json::to_string(self).expect("its keys are texts, and nothing else can fail")
    }
}

/// Splits `bundle` into one-object pieces in the order in which they must be sent.
pub fn split(bundle: &Bundle, dangling: Dangling) -> Result<Split, SplitError> {
    let mut splitter = Splitter::new(bundle, dangling)?;
    for object in &bundle.objects {
        splitter.enlist(text(object, "id"), &mut Vec::new())?;
    }
    let Splitter { mut items, order, incompatible, .. } = splitter;
    let mut pieces: Vec<Piece> = order
        .into_iter()
        .map(|slot| {
            let object = std::mem::take(&mut items[slot]);
            let dependencies = object.get("nb_deps").and_then(Value::as_u64).unwrap_or(1);
            Piece { dependencies, object }
        })
        .collect();
    pieces.sort_by_key(|piece| piece.dependencies);
    Ok(Split { pieces, incompatible })
}

struct Splitter {
    dangling: Dangling,
    /// The objects; references drop out of them as the visit goes on.
    items: Vec<Map<String, Value>>,
    /// Every id, also the platform's internal ones, to its object. Of two objects with one id the
    /// later counts.
    slots: HashMap<String, usize>,
    /// Ids that are done.
    done: HashSet<String>,
    /// What an id was found to refer to so far: keeps two objects from referring to each other.
    references: HashMap<String, HashSet<String>>,
    order: Vec<usize>,
    incompatible: Vec<String>,
}

impl Splitter {
    fn new(bundle: &Bundle, dangling: Dangling) -> Result<Self, SplitError> {
        let mut slots = HashMap::new();
        for (slot, object) in bundle.objects.iter().enumerate() {
            if text(object, "id").is_empty() {
                return Err(SplitError::NoId { position: slot + 1 });
            }
            slots.extend(ids_of(object).map(|id| (id.to_owned(), slot)));
        }
        Ok(Self {
            dangling,
            items: bundle.objects.clone(),
            slots,
            done: HashSet::new(),
            references: HashMap::new(),
            order: Vec::new(),
            incompatible: Vec::new(),
        })
    }

    /// Visits an object and everything it refers to; answers its `nb_deps`.
    fn enlist(&mut self, id: &str, parents: &mut Vec<String>) -> Result<u64, SplitError> {
        let Some(&slot) = self.slots.get(id) else {
            return Ok(0);
        };
        if self.done.contains(id) {
            return Ok(self.items[slot].get("nb_deps").and_then(Value::as_u64).unwrap_or(1));
        }
        self.references.entry(id.to_owned()).or_default();
        let mut dependencies = 1;
        let visited = self.items[slot].keys().filter(|key| is_visited(key));
        let keys: Vec<String> = visited.cloned().collect();
        for key in keys {
            if key.ends_with("_refs") {
                dependencies += self.visit_list(slot, &key, id, parents)?;
            } else if key.ends_with("_ref") {
                dependencies += self.visit_single(slot, &key, id, parents)?;
            } else if key == "external_references" {
                keep_first(&mut self.items[slot], &key, external_reference_identity);
            } else if key == "kill_chain_phases" {
                keep_first(&mut self.items[slot], &key, kill_chain_identity);
            }
        }
        self.items[slot].insert("nb_deps".to_owned(), dependencies.into());
        // A cycle may have come by here a second time and finished the object meanwhile.
        if !self.done.contains(id) {
            if is_compatible(&self.items[slot], id)? {
                self.order.push(slot);
            } else {
                self.incompatible.push(id.to_owned());
            }
            let ids: Vec<String> = ids_of(&self.items[slot]).map(str::to_owned).collect();
            self.done.extend(ids);
        }
        Ok(dependencies)
    }

    fn visit_list(
        &mut self,
        slot: usize,
        key: &str,
        id: &str,
        parents: &mut Vec<String>,
    ) -> Result<u64, SplitError> {
        let Some(Value::Array(targets)) = self.items[slot].get(key).cloned() else {
            return Ok(0);
        };
        let mut kept: Vec<Value> = Vec::new();
        let mut dependencies = 0;
        for target in &targets {
            if let Some(found) = target.as_str().filter(|t| self.may_refer(id, t, parents)) {
                dependencies += self.follow(id, found, parents)?;
                if !kept.contains(target) {
                    kept.push(target.clone());
                }
            }
            // Set anew for each target, because a cycle sees the object as it is by then.
            self.items[slot].insert(key.to_owned(), Value::Array(kept.clone()));
        }
        Ok(dependencies)
    }

    fn visit_single(
        &mut self,
        slot: usize,
        key: &str,
        id: &str,
        parents: &mut Vec<String>,
    ) -> Result<u64, SplitError> {
        let target = self.items[slot].get(key).and_then(Value::as_str).map(str::to_owned);
        if let Some(target) = target.filter(|target| self.may_refer(id, target, parents)) {
            return self.follow(id, &target, parents);
        }
        self.items[slot].insert(key.to_owned(), Value::Null);
        Ok(0)
    }

    fn may_refer(&self, id: &str, target: &str, parents: &[String]) -> bool {
        let dropped = self.dangling == Dangling::Drop && !self.slots.contains_key(target);
        let mutual = self.references.get(target).is_some_and(|targets| targets.contains(id));
        is_supported(target)
            && !dropped
            && !mutual
            && target != id
            && !parents.iter().any(|parent| parent == target)
    }

    fn follow(
        &mut self,
        id: &str,
        target: &str,
        parents: &mut Vec<String>,
    ) -> Result<u64, SplitError> {
        self.references.entry(id.to_owned()).or_default().insert(target.to_owned());
        parents.push(target.to_owned());
        let dependencies = self.enlist(target, parents);
        parents.pop();
        dependencies
    }
}

/// Whether something is done about this key.
fn is_visited(key: &str) -> bool {
    key.ends_with("_ref")
        || key.ends_with("_refs")
        || key == "external_references"
        || key == "kill_chain_phases"
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// An object's own id, then the platform's internal ones where it carries them.
fn ids_of(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let extension = object.get("extensions").and_then(|all| all.get(OPENCTI_EXTENSION));
    let internal = extension.and_then(|ours| ours.get("id")).and_then(Value::as_str);
    [text(object, "id"), text(object, "x_opencti_id"), internal.unwrap_or_default()]
        .into_iter()
        .filter(|id| !id.is_empty())
}

fn is_compatible(object: &Map<String, Value>, id: &str) -> Result<bool, SplitError> {
    let is_set = |key: &str| object.get(key).is_some_and(|value| !value.is_null());
    match text(object, "type") {
        "relationship" => {
            for end in ["source_ref", "target_ref"] {
                if !object.contains_key(end) {
                    return Err(SplitError::NoEnd { id: id.to_owned(), end });
                }
            }
            Ok(is_set("source_ref") && is_set("target_ref"))
        }
        "sighting" => {
            let places = object.get("where_sighted_refs").and_then(Value::as_array);
            Ok(is_set("sighting_of_ref") && places.is_some_and(|places| !places.is_empty()))
        }
        _ => Ok(is_supported(id)),
    }
}

/// Keeps the first entry of each identity; entries without one go.
fn keep_first(
    object: &mut Map<String, Value>,
    key: &str,
    identity: fn(&Value) -> Option<(String, String)>,
) {
    if let Some(Value::Array(entries)) = object.get_mut(key) {
        let mut seen = HashSet::new();
        entries.retain(|entry| identity(entry).is_some_and(|identity| seen.insert(identity)));
    }
}

/// An external reference is identified by its URL, else by source name and external id together.
fn external_reference_identity(reference: &Value) -> Option<(String, String)> {
    let field = |name: &str| reference.get(name).and_then(Value::as_str);
    match field("url") {
        Some(url) => Some((url.to_owned(), String::new())),
        // A blank in front keeps it apart from any URL with the same text.
        None => {
            Some((format!(" {}", field("source_name")?), format!(" {}", field("external_id")?)))
        }
    }
}

fn kill_chain_identity(phase: &Value) -> Option<(String, String)> {
    let field = |name: &str| phase.get(name).and_then(Value::as_str).map(str::to_owned);
    Some((field("kill_chain_name")?, field("phase_name")?))
}
