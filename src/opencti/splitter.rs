//! Cuts a bundle into one-object bundles in dependency order, exactly as pycti 7.260817.0 does:
//! same order, same `nb_deps`, same dropped references. References to what is not in the bundle stay: it is on
//! the platform already.
//!
//! Every object is visited depth-first through its `…_ref` and `…_refs` keys. `nb_deps` is one plus
//! the sum over its references, a shared dependency counting once per path; the result is sorted by
//! it, stably, so that what is referred to always leaves before what refers to it. Of a cycle the
//! reference that would close it is dropped.
//!
//! Does not live here: the message around a piece (`message`), and what our own rule adds on top
//! ([`Piece::without_nulls`] is a separate step, so that the bare algorithm can be compared).

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::stix_types::is_supported;
use crate::stix::Bundle;

/// Under this key a piece tells its number of dependencies.
const DEPENDENCIES: &str = "nb_deps";
const OPENCTI_EXTENSION: &str = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba";

/// The reason for which a bundle cannot be split.
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
pub struct Split<'a> {
    /// The pieces to be sent, in order.
    pub pieces: Vec<Piece<'a>>,
    /// Ids of objects the platform could not take: of an unknown type, or without both ends.
    pub incompatible: Vec<String>,
}

/// One object of a split bundle, borrowed from it unless the splitter changed something.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece<'a> {
    /// `nb_deps`: how many objects, this one included, must be there for it to be complete.
    pub dependencies: u64,
    /// The object. Its `nb_deps` key is added when it is written.
    pub object: Cow<'a, Map<String, Value>>,
}

impl Piece<'_> {
    /// Removes keys without a value. A null reference is an error for observables on every
    /// platform, and newer ones read a null as an order to clear what is stored.
    #[must_use]
    pub fn without_nulls(mut self) -> Self {
        if self.object.values().any(Value::is_null) {
            self.object.to_mut().retain(|_, value| !value.is_null());
        }
        self
    }

    /// The one-object bundle that OpenCTI's worker imports, as JSON text.
    pub fn to_bundle(&self, bundle_id: &str) -> String {
        let bundle = OneObject {
            kind: "bundle",
            id: bundle_id,
            spec_version: "2.1",
            x_opencti_seq: self.dependencies,
            objects: [self],
        };
        bundle.written()
    }
}

/// The object with its `nb_deps`, as it leaves.
impl Serialize for Piece<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &*self.object {
            map.serialize_entry(key, value)?;
        }
        map.serialize_entry(DEPENDENCIES, &self.dependencies)?;
        map.end()
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
    objects: [&'a Piece<'a>; 1],
}

impl OneObject<'_> {
    fn written(&self) -> String {
        serde_json::to_string(self).expect("its keys are texts, and nothing else can fail")
    }
}

/// Splits `bundle` into one-object pieces in the order in which they must be sent.
pub fn split(bundle: &Bundle) -> Result<Split<'_>, SplitError> {
    let mut splitter = Splitter::new(bundle)?;
    for object in &bundle.objects {
        splitter.enlist(text(object, "id"), &mut Vec::new())?;
    }
    let Splitter { items, order, incompatible, .. } = splitter;
    let mut pieces: Vec<Piece> = order.into_iter().map(|slot| items[slot].piece()).collect();
    pieces.sort_by_key(|piece| piece.dependencies);
    Ok(Split { pieces, incompatible })
}

/// An object of the bundle while the visit goes on.
struct Item<'a> {
    object: &'a Map<String, Value>,
    /// The values that some of its keys hold instead by now.
    changes: Vec<(&'a str, Change<'a>)>,
    /// `nb_deps`: what it says itself, until it was visited.
    dependencies: u64,
}

/// The rest of a key's value after the visit.
enum Change<'a> {
    /// Null.
    Dropped,
    /// These entries of its list.
    Entries(Vec<&'a Value>),
}

impl<'a> Item<'a> {
    fn new(object: &'a Map<String, Value>) -> Self {
        let told = object.get(DEPENDENCIES).and_then(Value::as_u64);
        Self { object, changes: Vec::new(), dependencies: told.unwrap_or(1) }
    }

    fn change(&self, key: &str) -> Option<&Change<'a>> {
        self.changes.iter().find(|(changed, _)| *changed == key).map(|(_, change)| change)
    }

    fn set(&mut self, key: &'a str, change: Change<'a>) {
        self.changes.retain(|(changed, _)| *changed != key);
        self.changes.push((key, change));
    }

    /// The entries of a list as they are by now.
    fn entries(&self, key: &str) -> Option<Vec<&'a Value>> {
        match self.change(key) {
            Some(Change::Entries(entries)) => Some(entries.clone()),
            Some(Change::Dropped) => None,
            None => Some(self.object.get(key)?.as_array()?.iter().collect()),
        }
    }

    /// Returns whether a key holds something by now.
    fn is_set(&self, key: &str) -> bool {
        self.object.get(key).is_some_and(|value| !value.is_null())
            && !matches!(self.change(key), Some(Change::Dropped))
    }

    fn is_compatible(&self, id: &str) -> Result<bool, SplitError> {
        match text(self.object, "type") {
            "relationship" => {
                for end in ["source_ref", "target_ref"] {
                    if !self.object.contains_key(end) {
                        return Err(SplitError::NoEnd { id: id.to_owned(), end });
                    }
                }
                Ok(self.is_set("source_ref") && self.is_set("target_ref"))
            }
            "sighting" => {
                let places = self.entries("where_sighted_refs");
                let is_somewhere = places.is_some_and(|places| !places.is_empty());
                Ok(self.is_set("sighting_of_ref") && is_somewhere)
            }
            _ => Ok(is_supported(id)),
        }
    }

    fn piece(&self) -> Piece<'a> {
        let mut object = Cow::Borrowed(self.object);
        if object.contains_key(DEPENDENCIES) {
            object.to_mut().shift_remove(DEPENDENCIES);
        }
        for (key, change) in &self.changes {
            let value = match change {
                Change::Dropped => Value::Null,
                Change::Entries(entries) if self.is_whole(key, entries) => continue,
                Change::Entries(entries) => entries.iter().map(|&entry| entry.clone()).collect(),
            };
            object.to_mut().insert((*key).to_owned(), value);
        }
        Piece { dependencies: self.dependencies, object }
    }

    /// Returns whether all entries of a list stayed.
    fn is_whole(&self, key: &str, entries: &[&Value]) -> bool {
        let all = self.object.get(key).and_then(Value::as_array);
        all.is_some_and(|all| all.len() == entries.len())
    }
}

struct Splitter<'a> {
    items: Vec<Item<'a>>,
    /// Every id, also the platform's internal ones, to its object. Of two objects with one id the
    /// later counts.
    slots: HashMap<&'a str, usize>,
    /// Ids that are done.
    done: HashSet<&'a str>,
    /// The references found of each id so far: keeps two objects from referring to each other.
    references: HashMap<&'a str, HashSet<&'a str>>,
    order: Vec<usize>,
    incompatible: Vec<String>,
}

impl<'a> Splitter<'a> {
    fn new(bundle: &'a Bundle) -> Result<Self, SplitError> {
        let mut slots = HashMap::with_capacity(bundle.objects.len());
        for (slot, object) in bundle.objects.iter().enumerate() {
            if text(object, "id").is_empty() {
                return Err(SplitError::NoId { position: slot + 1 });
            }
            slots.extend(ids_of(object).map(|id| (id, slot)));
        }
        Ok(Self {
            items: bundle.objects.iter().map(Item::new).collect(),
            slots,
            done: HashSet::new(),
            references: HashMap::new(),
            order: Vec::new(),
            incompatible: Vec::new(),
        })
    }

    /// Visits an object and everything it refers to; answers its `nb_deps`.
    fn enlist(&mut self, id: &'a str, parents: &mut Vec<&'a str>) -> Result<u64, SplitError> {
        let Some(&slot) = self.slots.get(id) else {
            return Ok(0);
        };
        if self.done.contains(id) {
            return Ok(self.items[slot].dependencies);
        }
        let object = self.items[slot].object;
        let mut dependencies = 1;
        for key in object.keys().map(String::as_str) {
            if key.ends_with("_refs") {
                dependencies += self.visit_list(slot, key, id, parents)?;
            } else if key.ends_with("_ref") {
                dependencies += self.visit_single(slot, key, id, parents)?;
            } else if key == "external_references" {
                self.keep_first(slot, key, external_reference_identity);
            } else if key == "kill_chain_phases" {
                self.keep_first(slot, key, kill_chain_identity);
            }
        }
        self.items[slot].dependencies = dependencies;
        // A cycle may have come by here a second time and finished the object meanwhile.
        if !self.done.contains(id) {
            if self.items[slot].is_compatible(id)? {
                self.order.push(slot);
            } else {
                self.incompatible.push(id.to_owned());
            }
            self.done.extend(ids_of(object));
        }
        Ok(dependencies)
    }

    fn visit_list(
        &mut self,
        slot: usize,
        key: &'a str,
        id: &'a str,
        parents: &mut Vec<&'a str>,
    ) -> Result<u64, SplitError> {
        let mut kept: Vec<&Value> = Vec::new();
        let mut dependencies = 0;
        for target in self.items[slot].entries(key).unwrap_or_default() {
            if let Some(found) = target.as_str().filter(|t| self.may_refer(id, t, parents)) {
                dependencies += self.follow(id, found, parents)?;
                if !kept.contains(&target) {
                    kept.push(target);
                }
            }
            // Set anew for each target, because a cycle sees the object as it is by then.
            self.items[slot].set(key, Change::Entries(kept.clone()));
        }
        Ok(dependencies)
    }

    fn visit_single(
        &mut self,
        slot: usize,
        key: &'a str,
        id: &'a str,
        parents: &mut Vec<&'a str>,
    ) -> Result<u64, SplitError> {
        let item = &self.items[slot];
        let target = item.object.get(key).filter(|_| item.is_set(key)).and_then(Value::as_str);
        if let Some(target) = target.filter(|target| self.may_refer(id, target, parents)) {
            return self.follow(id, target, parents);
        }
        self.items[slot].set(key, Change::Dropped);
        Ok(0)
    }

    /// Keeps the first entry of each identity; entries without one go.
    fn keep_first(&mut self, slot: usize, key: &'a str, identity: fn(&Value) -> Option<Identity>) {
        if let Some(mut entries) = self.items[slot].entries(key) {
            let mut seen = HashSet::new();
            entries.retain(|entry| identity(entry).is_some_and(|identity| seen.insert(identity)));
            self.items[slot].set(key, Change::Entries(entries));
        }
    }

    fn may_refer(&self, id: &str, target: &str, parents: &[&str]) -> bool {
        let mutual = self.references.get(target).is_some_and(|targets| targets.contains(id));
        is_supported(target) && !mutual && target != id && !parents.contains(&target)
    }

    fn follow(
        &mut self,
        id: &'a str,
        target: &'a str,
        parents: &mut Vec<&'a str>,
    ) -> Result<u64, SplitError> {
        self.references.entry(id).or_default().insert(target);
        parents.push(target);
        let dependencies = self.enlist(target, parents);
        parents.pop();
        dependencies
    }
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

/// The part that is the same in two entries of which the first one counts.
#[derive(PartialEq, Eq, Hash)]
enum Identity<'a> {
    Url(&'a str),
    Names(&'a str, &'a str),
}

/// An external reference is identified by its URL, else by source name and external id together.
fn external_reference_identity(reference: &Value) -> Option<Identity<'_>> {
    match field(reference, "url") {
        Some(url) => Some(Identity::Url(url)),
        None => Some(Identity::Names(
            field(reference, "source_name")?,
            field(reference, "external_id")?,
        )),
    }
}

fn kill_chain_identity(phase: &Value) -> Option<Identity<'_>> {
    Some(Identity::Names(field(phase, "kill_chain_name")?, field(phase, "phase_name")?))
}

fn field<'a>(entry: &'a Value, name: &str) -> Option<&'a str> {
    entry.get(name)?.as_str()
}
