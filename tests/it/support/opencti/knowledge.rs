//! Objects that the fake platform's worker imports, by the rules that a running
//! 7.260817.0 was seen to follow. It is fed object by object and answers what an analyst would see.
//!
//! | rule | here |
//! |---|---|
//! | an indicator ends a lifetime after its newest `valid_from`; from then on it is revoked | [`Knowledge::revoked`] |
//! | sightings of one indicator on one system within 30 days are one, and are counted | `sightings` |
//! | what refers to an object that is not there is refused, after four retries | [`Knowledge::retries`] |
//! | a process is its pid and command line, a folder its path, whatever host it is of | [`Knowledge::ties`] |
//! | cases are tied by the observables and indicators that both refer to | [`Knowledge::ties`] |
//! | an address or host name that is related to an incident is the attacker's | [`Knowledge::infrastructure`] |
//! | a page shows the beginning of a description | [`Knowledge::shown`] |
//! | a custom field refuses a value that is none of its options, and with it the incident | [`Knowledge::import`] |

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{FakeSighting, Personality, sightings};

/// Retries of the worker before it gives up on something that refers to what is not there.
const RETRIES: usize = 4;
/// Characters of a description that the page of a case shows, and that of an incident.
const SHOWN_OF_CASE: usize = 300;
const SHOWN_OF_INCIDENT: usize = 400;
/// Lists that only ever grow.
const GROWING: [&str; 3] = ["labels", "external_references", "object_refs"];
/// Types of what cases refer to without being tied by it.
const NO_TIES: [&str; 3] = ["incident", "identity", "attack-pattern"];
/// Programs, folders and accounts that every machine of an operating system has.
const PROGRAMS: [&str; 8] = [
    "cmd.exe",
    "explorer.exe",
    "powershell.exe",
    "rundll32.exe",
    "svchost.exe",
    "userinit.exe",
    "bash",
    "sh",
];
const FOLDERS: [&str; 6] =
    [r"c:\windows", r"c:\windows\system32", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];
const ACCOUNTS: [&str; 5] =
    [r"nt authority\system", "system", "local service", "network service", "root"];

/// Everything that was imported.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knowledge {
    /// Objects but sightings, by what identifies each on the platform.
    objects: BTreeMap<String, Map<String, Value>>,
    /// The object for which each id that was ever sent stands.
    ids: BTreeMap<String, String>,
    pub(crate) sightings: Vec<FakeSighting>,
    /// Retries that the worker spent on what refers to something that is not there.
    pub(crate) retries: usize,
    /// Alias of each custom field of incidents, and its options.
    custom_fields: BTreeMap<String, Vec<String>>,
    /// Patterns that the platform's checker refuses.
    refused_patterns: BTreeSet<String>,
}

/// Two cases that OpenCTI shows as correlated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tie {
    pub(crate) cases: [String; 2],
    /// Observables and indicators that both refer to.
    pub(crate) shared: Vec<String>,
}

impl Knowledge {
    /// Gives incidents a custom field that takes these values of the property `alias`.
    pub(crate) fn add_custom_field(&mut self, alias: &str, options: &[&str]) {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        self.custom_fields.insert(alias.to_owned(), options);
    }

    /// Makes the checker of patterns refuse this one.
    pub(crate) fn refuse_pattern(&mut self, pattern: &str) {
        self.refused_patterns.insert(pattern.to_owned());
    }

    /// Imports an object, or refuses it in the words that the worker reports.
    pub(crate) fn import(
        &mut self,
        personality: Personality,
        object: &Value,
    ) -> Result<(), String> {
        let kind = text(object, "type");
        for end in ends(kind, object) {
            if !self.ids.contains_key(end) {
                self.retries += RETRIES;
                return Err(refusal("MISSING_REFERENCE_ERROR", "Element(s) not found"));
            }
        }
        match kind {
            "sighting" => {
                sightings::import(&mut self.sightings, personality, object);
                return Ok(());
            }
            "indicator" if self.refused_patterns.contains(text(object, "pattern")) => {
                let kind = text(object, "pattern_type");
                let words = format!("Indicator of type {kind} is not correctly formatted.");
                return Err(refusal("FUNCTIONAL_ERROR", &words));
            }
            "incident" if self.is_value_refused(object) => {
                return Err(refusal(
                    "FUNCTIONAL_ERROR",
                    "select_value is not in the allowed options",
                ));
            }
            _ => {}
        }
        self.keep(kind, object);
        Ok(())
    }

    fn is_value_refused(&self, incident: &Value) -> bool {
        self.custom_fields.iter().any(|(alias, options)| {
            let value = incident.get(alias).and_then(Value::as_str);
            value.is_some_and(|value| options.iter().all(|option| option != value))
        })
    }

    /// Makes the object, or changes the one that is there: values are overwritten, lists grow.
    fn keep(&mut self, kind: &str, object: &Value) {
        let key = match kind {
            "process" => {
                format!("process {} {}", object["pid"], text(object, "command_line").trim())
            }
            "directory" => format!("directory {}", text(object, "path")),
            _ => text(object, "id").to_owned(),
        };
        self.ids.insert(text(object, "id").to_owned(), key.clone());
        let known = self.objects.entry(key).or_default();
        for (name, value) in object.as_object().expect("an object") {
            if GROWING.contains(&name.as_str()) {
                let list = known.entry(name).or_insert_with(|| json!([]));
                let list = list.as_array_mut().expect("a list");
                let new: Vec<Value> = value.as_array().expect("a list").clone();
                list.extend(new.into_iter().filter(|it| !list.contains(it)).collect::<Vec<_>>());
            } else if name == "valid_from" && date(known.get(name)) > date(Some(value)) {
                // An older one changes nothing.
            } else {
                known.insert(name.clone(), value.clone());
            }
        }
    }

    /// Deletes an object with its relationships and sightings, as an analyst does.
    pub(crate) fn delete(&mut self, id: &str) {
        let key = self.ids[id].clone();
        self.ids.retain(|_, of| *of != key);
        self.objects.remove(&key);
        self.sightings.retain(|sighting| sighting.from != id && sighting.to != id);
        let ids = &self.ids;
        self.objects.retain(|_, object| {
            let object = Value::Object(object.clone());
            ends(text(&object, "type"), &object).all(|end| ids.contains_key(end))
        });
        let objects = &self.objects;
        self.ids.retain(|_, key| objects.contains_key(key));
    }

    /// Returns the objects of a type.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<&Map<String, Value>> {
        self.objects.values().filter(|object| object["type"] == kind).collect()
    }

    /// Returns an object by any id that it was ever sent under.
    pub(crate) fn object(&self, id: &str) -> Option<&Map<String, Value>> {
        self.objects.get(self.ids.get(id)?)
    }

    /// Returns the names of the indicators that are revoked at `now`.
    pub(crate) fn revoked(&self, now: DateTime<Utc>) -> Vec<&str> {
        let is_revoked = |indicator: &&Map<String, Value>| {
            let valid_from = date(indicator.get("valid_from")).expect("it has one");
            valid_from + lifetime(indicator) <= now
        };
        let revoked = self.of_type("indicator").into_iter().filter(is_revoked);
        revoked.filter_map(|indicator| indicator["name"].as_str()).collect()
    }

    /// Returns the pairs of cases that are correlated, and why.
    pub(crate) fn ties(&self) -> Vec<Tie> {
        let cases: Vec<(&str, BTreeSet<&str>)> = self
            .of_type("case-incident")
            .into_iter()
            .map(|case| {
                let refs = case.get("object_refs").and_then(Value::as_array);
                let refs = refs.into_iter().flatten().filter_map(|id| self.ids.get(id.as_str()?));
                let refs = refs.filter(|key| !NO_TIES.contains(&self.kind_of(key)));
                (case["id"].as_str().expect("a text"), refs.map(String::as_str).collect())
            })
            .collect();
        let mut ties = Vec::new();
        for (number, (one, refs)) in cases.iter().enumerate() {
            for (other, other_refs) in &cases[number + 1..] {
                let shared = refs.intersection(other_refs).map(|&id| id.to_owned());
                let shared: Vec<String> = shared.collect();
                if !shared.is_empty() {
                    ties.push(Tie { cases: [(*one).to_owned(), (*other).to_owned()], shared });
                }
            }
        }
        ties
    }

    fn kind_of(&self, key: &str) -> &str {
        self.objects[key]["type"].as_str().expect("a text")
    }

    /// Returns whether unrelated hosts have the thing alike.
    pub(crate) fn is_on_every_host(&self, key: &str) -> bool {
        let object = &self.objects[key];
        let is_one_of = |property: &str, known: &[&str]| {
            let value = object.get(property).and_then(Value::as_str).unwrap_or_default();
            known.contains(&value.trim_end_matches('\\').to_lowercase().as_str())
        };
        match self.kind_of(key) {
            "process" => !object.contains_key("pid"),
            "directory" => is_one_of("path", &FOLDERS),
            "file" => is_one_of("name", &PROGRAMS),
            "user-account" => is_one_of("account_login", &ACCOUNTS),
            _ => false,
        }
    }

    /// Returns what the diamond of an incident shows as the attacker's infrastructure.
    pub(crate) fn infrastructure(&self, incident: &str) -> BTreeSet<&str> {
        let related = self
            .of_type("relationship")
            .into_iter()
            .filter(|it| it["relationship_type"] == "related-to" && it["target_ref"] == incident);
        let sources = related.filter_map(|it| self.object(it["source_ref"].as_str()?));
        let is_place = |object: &&Map<String, Value>| {
            ["ipv4-addr", "ipv6-addr", "hostname"].iter().any(|kind| object["type"] == *kind)
        };
        sources.filter(is_place).filter_map(|object| object["value"].as_str()).collect()
    }

    /// Returns what the page of an incident or case shows of its description.
    pub(crate) fn shown(&self, id: &str) -> String {
        let object = self.object(id).expect("it was imported");
        let is_case = object["type"] == "case-incident";
        let length = if is_case { SHOWN_OF_CASE } else { SHOWN_OF_INCIDENT };
        object["description"].as_str().unwrap_or_default().chars().take(length).collect()
    }
}

/// Returns what has to be there before the object.
fn ends<'a>(kind: &str, object: &'a Value) -> impl Iterator<Item = &'a str> {
    let ends = match kind {
        "relationship" => vec![&object["source_ref"], &object["target_ref"]],
        "sighting" => vec![&object["sighting_of_ref"], &object["where_sighted_refs"][0]],
        _ => Vec::new(),
    };
    ends.into_iter().filter_map(Value::as_str)
}

/// Returns how long an indicator holds after its `valid_from`.
fn lifetime(indicator: &Map<String, Value>) -> TimeDelta {
    let pattern = indicator["pattern"].as_str().unwrap_or_default();
    let begins = |with: &[&str]| with.iter().any(|kind| pattern.starts_with(&format!("[{kind}:")));
    let days = match indicator["pattern_type"].as_str() {
        Some("stix") if begins(&["ipv4-addr", "ipv6-addr", "network-traffic", "url"]) => 47,
        Some("stix") if begins(&["domain-name"]) => 300,
        Some("stix") if begins(&["file"]) => 460,
        _ => 470,
    };
    TimeDelta::days(days)
}

/// An error of the platform as the worker reports it: as Python shows a dictionary.
fn refusal(name: &str, message: &str) -> String {
    format!("{{'name': '{name}', 'error_message': '{message}'}}")
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

fn date(value: Option<&Value>) -> Option<DateTime<Utc>> {
    value?.as_str()?.parse().ok()
}
