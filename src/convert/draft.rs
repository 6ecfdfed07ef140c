//! The bundle while it is being filled: signs each object with author and marking, remembers what
//! was seen beside the incident, and what was left out.

use serde_json::{Map, Value};

use super::{ConvertSettings, LeftOut};
use crate::{
    config::Marking,
    stix::{
        Bundle, BundleBuilder, Object, Provenance,
        object::{
            Identity, IdentityClass, MarkingDefinition, Observable, Relationship, SHARED_SINCE,
            unsigned,
        },
        time::Timestamp,
    },
};

/// A bundle that begins with author and marking.
pub(super) struct Draft {
    bundle: BundleBuilder,
    provenance: Provenance,
    /// Each with what it is to the incident.
    observables: Vec<(String, Option<&'static str>)>,
    left_out: Vec<LeftOut>,
}

impl Draft {
    pub(super) fn new(settings: &ConvertSettings) -> Self {
        let (author, marking) = (author(settings), marking(settings));
        let provenance = provenance(settings);
        let mut bundle = BundleBuilder::default();
        bundle.add(provenance.sign_author(&author));
        bundle.add(unsigned(&marking));
        Self { bundle, provenance, observables: Vec::new(), left_out: Vec::new() }
    }

    /// Id of the author.
    pub(super) fn author_id(&self) -> &str {
        &self.provenance.author_id
    }

    /// Adds an object and answers its id.
    pub(super) fn object<T: Object>(&mut self, object: &T) -> String {
        self.add(self.provenance.sign(object))
    }

    /// Adds an object under another id than follows from it.
    pub(super) fn object_under<T: Object>(&mut self, id: &str, object: &T) {
        let mut object = self.provenance.sign(object);
        object.insert("id".to_owned(), id.into());
        self.bundle.add(object);
    }

    /// Adds shared public knowledge, without author and marking, and answers its id.
    pub(super) fn shared_object<T: Object>(&mut self, object: &T) -> String {
        self.add(unsigned(object))
    }

    /// Adds an observable and answers its id; `None` when nothing identifies it.
    pub(super) fn observable<T: Observable>(&mut self, observable: &T) -> Option<String> {
        let object = self.provenance.sign_observable(observable)?;
        Some(self.add_observable(object))
    }

    /// As [`observable`](Self::observable), unless its id is one of `others`.
    pub(super) fn new_observable<T: Observable>(
        &mut self,
        observable: &T,
        others: &[String],
    ) -> Option<String> {
        let object = self.provenance.sign_observable(observable)?;
        let id = id_of(&object);
        if others.iter().any(|other| other == id) {
            return None;
        }
        Some(self.add_observable(object))
    }

    fn add_observable(&mut self, object: Map<String, Value>) -> String {
        let is_new = !self.bundle.contains(id_of(&object));
        let id = self.add(object);
        if is_new {
            self.observables.push((id.clone(), None));
        }
        id
    }

    /// Adds an object and answers the id that it carries: making it again would hash it again.
    fn add(&mut self, object: Map<String, Value>) -> String {
        let id = id_of(&object).to_owned();
        self.bundle.add(object);
        id
    }

    /// Says what an observable is to the incident: the platform shows a process as its number. What
    /// was said first stands.
    pub(super) fn describe(&mut self, id: &str, role: &'static str) {
        if let Some((_, known)) = self.observables.iter_mut().find(|(known, _)| known == id) {
            known.get_or_insert(role);
        }
    }

    /// Ids of all observables added so far, in their order, each with what it is to the incident.
    pub(super) fn observables(&self) -> Vec<(String, Option<&'static str>)> {
        self.observables.clone()
    }

    /// Relates two objects that outlive this alert.
    pub(super) fn relate(
        &mut self,
        relationship_type: &'static str,
        source: &str,
        target: &str,
        description: Option<&'static str>,
    ) {
        let since = Timestamp(SHARED_SINCE);
        self.relate_since(since, relationship_type, source, target, description);
    }

    /// Relates two objects, of which one exists since `since` only.
    pub(super) fn relate_since(
        &mut self,
        since: Timestamp,
        relationship_type: &'static str,
        source: &str,
        target: &str,
        description: Option<&'static str>,
    ) {
        self.object(&Relationship {
            relationship_type,
            source_ref: source.to_owned(),
            target_ref: target.to_owned(),
            description,
            created: since,
            modified: since,
        });
    }

    /// Notes that something did not qualify.
    pub(super) fn leave_out(&mut self, what: &'static str, why: impl Into<String>) {
        self.left_out.push(LeftOut { what, why: why.into() });
    }

    pub(super) fn finish(self) -> (Bundle, Vec<LeftOut>) {
        (self.bundle.finish(), self.left_out)
    }
}

fn id_of(object: &Map<String, Value>) -> &str {
    object.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// What every object of a bundle is signed with.
pub(super) fn provenance(settings: &ConvertSettings) -> Provenance {
    Provenance { author_id: author(settings).id(), marking_id: marking(settings).id() }
}

fn author(settings: &ConvertSettings) -> Identity {
    Identity {
        name: settings.author.clone(),
        identity_class: IdentityClass::Organization,
        description: None,
        created: Timestamp(SHARED_SINCE),
        modified: Timestamp(SHARED_SINCE),
    }
}

fn marking(settings: &ConvertSettings) -> MarkingDefinition {
    MarkingDefinition::tlp(marking_name(settings.marking))
}

fn marking_name(marking: Marking) -> &'static str {
    match marking {
        Marking::Clear => "TLP:CLEAR",
        Marking::Green => "TLP:GREEN",
        Marking::Amber => "TLP:AMBER",
        Marking::AmberStrict => "TLP:AMBER+STRICT",
        Marking::Red => "TLP:RED",
    }
}
