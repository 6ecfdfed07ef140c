//! The bundle while it is being filled: signs each object with author and marking, remembers what
//! was seen beside the incident, and what was left out.

use serde_json::{Map, Value};

use super::{ConvertSettings, LeftOut, markdown};
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

/// A draft that is complete.
pub(super) struct Finished {
    pub(super) bundle: Bundle,
    pub(super) common: Vec<String>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A bundle that begins with author and marking.
pub(super) struct Draft {
    bundle: BundleBuilder,
    provenance: Provenance,
    /// Observables that the incident is related to, each with what it is to the incident.
    related: Vec<(String, String)>,
    /// The host's own name and addresses.
    of_host: Vec<String>,
    /// Objects that unrelated hosts share: they tie no cases together.
    common: Vec<String>,
    left_out: Vec<LeftOut>,
}

impl Draft {
    pub(super) fn new(settings: &ConvertSettings) -> Self {
        let (author, marking) = (author(settings), marking(settings));
        let provenance = provenance(settings);
        let mut bundle = BundleBuilder::default();
        bundle.add(provenance.sign_author(&author));
        bundle.add(unsigned(&marking));
        Self {
            bundle,
            provenance,
            related: Vec::new(),
            of_host: Vec::new(),
            common: Vec::new(),
            left_out: Vec::new(),
        }
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
        Some(self.add(object))
    }

    /// As [`observable`](Self::observable), unless its id is `other`.
    pub(super) fn other_observable<T: Observable>(
        &mut self,
        observable: &T,
        other: &str,
    ) -> Option<String> {
        let object = self.provenance.sign_observable(observable)?;
        (id_of(&object) != other).then(|| self.add(object))
    }

    /// Adds an object and answers the id that it carries: making it again would hash it again.
    fn add(&mut self, object: Map<String, Value>) -> String {
        let id = id_of(&object).to_owned();
        self.bundle.add(object);
        id
    }

    /// Relates an observable to the incident, as `role`, with its name: the platform shows a process as
    /// its number. The first role stands.
    pub(super) fn relate_to_incident(&mut self, id: &str, role: &str, name: &str) {
        let is_known = self.related.iter().any(|(known, _)| known == id);
        if !is_known && !self.of_host.iter().any(|own| own == id) {
            let text = match markdown::value(name) {
                name if name.is_empty() => role.to_owned(),
                name => format!("{role}: {name}"),
            };
            self.related.push((id.to_owned(), text));
        }
    }

    /// Keeps the host's own name or address from being related to the incident: the platform would show it
    /// as the attacker's infrastructure.
    pub(super) fn belongs_to_host(&mut self, id: &str) {
        self.of_host.push(id.to_owned());
    }

    /// Takes the observables that the incident is related to, in their order, each with its text.
    pub(super) fn take_related(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.related)
    }

    /// Keeps an object that unrelated hosts share out of cases.
    pub(super) fn keep_out_of_cases(&mut self, id: &str) {
        self.common.push(id.to_owned());
    }

    /// Relates two objects that outlive this alert.
    pub(super) fn relate(
        &mut self,
        relationship_type: &'static str,
        source: &str,
        target: &str,
        description: Option<String>,
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
        description: Option<String>,
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

    pub(super) fn finish(self) -> Finished {
        let Self { bundle, common, left_out, .. } = self;
        Finished { bundle: bundle.finish(), common, left_out }
    }
}

fn id_of(object: &Map<String, Value>) -> &str {
    object.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// Returns what every object of a bundle is signed with.
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
