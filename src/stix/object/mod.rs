//! The objects we send, one file per concern, each a struct of its own properties. What all
//! objects share (type, id, author, marking) is added here, when one becomes JSON.
//!
//! Properties without a value are left out: the platform takes null for a wish to clear.

mod attack_pattern;
mod case;
mod identity;
mod incident;
mod indicator;
mod marking;
mod observable;
mod reference;
mod relationship;

use serde::Serialize;
use serde_json::{Map, Value, json};

pub use self::{
    attack_pattern::AttackPattern,
    case::{CaseIncident, Note},
    identity::{Identity, IdentityClass},
    incident::Incident,
    indicator::{Indicator, PatternType},
    marking::MarkingDefinition,
    observable::{
        Directory, DomainName, File, FileHashes, Hostname, IpAddress, IpNetwork, NetworkTraffic,
        Observable, Process, RegistryValue, Url, UserAccount, WindowsRegistryKey,
    },
    reference::{ExternalReference, KillChainPhase},
    relationship::{Relationship, Sighting},
};
use super::observable_id;

/// `created` of objects that many alerts share (author, systems, relationships between them): no
/// alert may change it, so it is the day STIX 2.1 was published. The platform shows its own date
/// of creation beside it.
pub const SHARED_SINCE: chrono::DateTime<chrono::Utc> =
    chrono::NaiveDate::from_ymd_opt(2021, 6, 10)
        .expect("a day of the calendar")
        .and_time(chrono::NaiveTime::MIN)
        .and_utc();

/// An object that is not an observable.
pub trait Object: Serialize {
    /// STIX type.
    const TYPE: &'static str;

    /// Deterministic id.
    fn id(&self) -> String;
}

/// The author and the marking: the same for all objects of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Id of the author identity.
    pub author_id: String,
    /// Id of the marking definition.
    pub marking_id: String,
}

impl Provenance {
    /// The object as JSON, with author and marking.
    pub fn sign<T: Object>(&self, object: &T) -> Map<String, Value> {
        let mut json = head(T::TYPE, &object.id());
        json.insert("created_by_ref".to_owned(), json!(self.author_id));
        json.insert("object_marking_refs".to_owned(), json!([self.marking_id]));
        json.extend(properties(object));
        json
    }

    /// The author itself as JSON: marked, and by nobody.
    pub fn sign_author(&self, author: &Identity) -> Map<String, Value> {
        let mut json = head(Identity::TYPE, &author.id());
        json.insert("object_marking_refs".to_owned(), json!([self.marking_id]));
        json.extend(properties(author));
        json
    }

    /// The observable as JSON, with author and marking; `None` when nothing identifies it.
    /// Observables have no author in STIX 2.1: the platform reads one of its own properties.
    pub fn sign_observable<T: Observable>(&self, observable: &T) -> Option<Map<String, Value>> {
        let properties = properties(observable);
        let id = observable_id::observable(observable.kind(), &properties)?;
        let mut json = head(observable.kind(), &id);
        json.insert("object_marking_refs".to_owned(), json!([self.marking_id]));
        json.insert("x_opencti_created_by_ref".to_owned(), json!(self.author_id));
        json.extend(properties);
        Some(json)
    }
}

/// A marking definition or shared public knowledge as JSON, with neither author nor marking.
pub fn unsigned<T: Object>(object: &T) -> Map<String, Value> {
    let mut json = head(T::TYPE, &object.id());
    json.extend(properties(object));
    json
}

fn head(kind: &str, id: &str) -> Map<String, Value> {
    let mut json = Map::with_capacity(20);
    json.insert("type".to_owned(), json!(kind));
    json.insert("spec_version".to_owned(), json!("2.1"));
    json.insert("id".to_owned(), json!(id));
    json
}

fn properties<T: Serialize>(object: &T) -> Map<String, Value> {
    match serde_json::to_value(object) {
        Ok(Value::Object(properties)) => properties,
        // Every object is a struct with text keys and finite numbers.
        _ => unreachable!("a struct of this module always becomes a JSON object"),
    }
}
