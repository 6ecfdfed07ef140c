//! The dialects in which HarfangLab speaks: native alert, native threat, ECS alert. A new dialect
//! is one new file here and one line in [`recognise`].
//!
//! Lives here: telling what a JSON element is, reading it into the alert model, the key and the
//! version under which the journal knows it. Does not live here: splitting a body into elements
//! (`intake::decode`), what single values may look like (`alert::lenient`, `alert::date`).

mod binary;
mod dates;
mod ecs;
mod ecs_evidence;
mod key;
mod native;
mod telemetry;
mod threat;
mod unknown;

use std::{collections::HashSet, hash::Hash};

use serde_json::Value;
use strum::{EnumString, IntoStaticStr};

use self::telemetry::telemetry_kind;
pub use self::{
    key::{
        key, key_of_identified, key_of_text, key_of_threat, updated_at, version, version_of_threat,
    },
    telemetry::{TELEMETRY_KINDS, counted_as},
    unknown::{Shape, UnknownKind, has_mark_beside_level, recognise_unknown},
};
use crate::alert::{Agent, Alert, Hashes, Threat, lenient};

/// A dialect whose notifications are imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Dialect {
    /// Alert as the syslog connector pushes it, and as the REST API answers it.
    NativeAlert,
    /// Alert as the Elastic connector pushes it (ECS 9).
    EcsAlert,
    /// Threat as the syslog connector pushes it, and as the REST API answers it.
    NativeThreat,
}

impl Dialect {
    /// Name in the journal, from which it is parsed.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The kind of one JSON element of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// A notification to import.
    Notification(Dialect),
    /// Telemetry of this kind (`log_type` or ECS category): acknowledged and counted, not kept.
    Telemetry(String),
    /// `{}`: the connection test.
    ConnectionTest,
    /// Well-formed, of no known dialect: [`recognise_unknown`] looks closer.
    Unknown,
}

/// Tells what a JSON element is.
///
/// A mark of an alert or a threat weighs more than one of telemetry: an alert whose
/// `log_type` is new to us is still an alert. Native marks weigh more than ECS marks, because log
/// shippers add ECS fields of their own to the native JSON they forward.
pub fn recognise(element: &Value) -> Recognised {
    if element.as_object().is_some_and(serde_json::Map::is_empty) {
        return Recognised::ConnectionTest;
    }
    let element = native::unwrapped(element);
    let recognised = if native::is_alert(element) {
        Recognised::Notification(Dialect::NativeAlert)
    } else if threat::is_threat(element) {
        Recognised::Notification(Dialect::NativeThreat)
    } else if let Some(log_type) = native::log_type(element) {
        Recognised::Telemetry(telemetry_kind(&log_type))
    } else if ecs::is_ecs(element) {
        ecs::recognise(element)
    } else {
        Recognised::Unknown
    };
    match recognised {
        Recognised::Telemetry(_) if is_marked(element) => Recognised::Unknown,
        recognised => recognised,
    }
}

/// Returns whether the element has marks of an alert or threat, and maybe nothing else of one.
pub fn names_one(element: &Value) -> bool {
    is_marked(native::unwrapped(element))
}

fn is_marked(element: &Value) -> bool {
    native::is_marked(element) || native::log_type(element).as_deref() == Some("threat")
}

/// Returns whether an alert lacks HarfangLab's agent: a shipper may have put its own there, or cut fields.
pub fn lacks_agent(dialect: Dialect, element: &Value) -> bool {
    match dialect {
        Dialect::NativeAlert => !native::has_own_agent(native::unwrapped(element)),
        Dialect::EcsAlert => !ecs::has_own_agent(element),
        Dialect::NativeThreat => false,
    }
}

/// Returns whether HarfangLab made the element itself: the telemetry of its agents carries their date.
pub fn is_by_harfanglab(element: &Value) -> bool {
    lenient::at(element, "@event_create_date").is_some() || ecs::is_of_harfanglab(element)
}

/// Reads an alert of `dialect` (native or ECS); every field that cannot be read is left empty.
/// A threat has nothing of an alert, so reading one here gives an empty alert.
pub fn read_alert(dialect: Dialect, element: &Value) -> Alert {
    match dialect {
        Dialect::NativeAlert => native::read(native::unwrapped(element)),
        Dialect::EcsAlert => ecs::read(element),
        Dialect::NativeThreat => Alert::default(),
    }
}

/// Reads an item of the console's `endpoint/Agent`, which has the fields of an alert's `agent`, with
/// `id` for `agentid`.
pub fn read_agent(item: &Value) -> Agent {
    native::read_agent(item)
}

/// Reads a native threat; every field that cannot be read is left empty.
pub fn read_threat(element: &Value) -> Threat {
    threat::read(element)
}

/// The last part of a Windows or POSIX path.
fn file_name(path: &str) -> Option<String> {
    let separators: &[char] = if path.starts_with('/') { &['/'] } else { &['/', '\\'] };
    path.trim_end_matches(separators)
        .rsplit(separators)
        .next()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// Reads the three (or four) hashes at `path`.
fn hashes_at(element: &Value, path: &str) -> Hashes {
    let hash = |name: &str| lenient::word_at(element, &format!("{path}.{name}"));
    Hashes { md5: hash("md5"), sha1: hash("sha1"), sha256: hash("sha256"), sha512: hash("sha512") }
}

/// The items in their order, each once.
fn unique<Item: Clone + Eq + Hash>(items: impl Iterator<Item = Item>) -> Vec<Item> {
    let mut known = HashSet::new();
    items.filter(|item| known.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, json};

    use super::*;
    use crate::alert::element::{self, MaxValues};

    /// An element with every one of these fields, each an object that has all of them.
    fn full(names: &BTreeSet<String>) -> Value {
        let of = |inner: &Value| -> Value {
            let fields = names.iter().map(|name| (name.clone(), inner.clone()));
            fields.collect::<Map<_, _>>().into()
        };
        of(&of(&json!({ "zz": 1 })))
    }

    #[test]
    fn every_field_that_a_reader_asks_for_is_built() {
        let mut names = BTreeSet::new();
        loop {
            let element = full(&names);
            let _ = recognise(&element);
            let _ = (native::read(&element), ecs::read(&element), threat::read(&element));
            let _ = read_agent(&element);
            let asked = lenient::asked::paths();
            let parts = asked.iter().flat_map(|path| path.split('.')).map(str::to_owned);
            let parts: BTreeSet<String> = parts.collect();
            if parts == names {
                break;
            }
            names = parts;
        }
        assert!(names.len() > 200, "{} names are asked for", names.len());
        for path in lenient::asked::paths().into_iter().filter(|path| !path.is_empty()) {
            let nested = path.rsplit('.').fold(json!("it"), |inner, name| json!({ name: inner }));
            for text in [nested.to_string(), json!({ &path: "it" }).to_string()] {
                let built = element::read(&text, MaxValues::default()).unwrap();
                let found = lenient::text_at(&built, &path);
                assert_eq!(
                    found.as_deref(),
                    Some("it"),
                    "{path} is not in `alert::element::fields`"
                );
            }
        }
    }
}
