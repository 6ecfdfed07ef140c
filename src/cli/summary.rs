//! A bundle as a tree that people can read: the incident or case, what belongs to it, and what
//! belongs to that.

use std::{collections::HashMap, fmt::Write as _};

use serde_json::{Map, Value};

use super::output::line_of;
use crate::stix::Bundle;

type Json = Map<String, Value>;

/// The longest a label gets, in characters.
const LONGEST_LABEL: usize = 120;

/// Lists of references that are shown below the object that has them.
const LISTS: [(&str, &str); 3] =
    [("contains_refs", "contains"), ("child_refs", "started"), ("resolves_to_refs", "resolves to")];

/// The tree of `bundle`, whose incident or case is `root_id`.
pub(super) fn tree(bundle: &Bundle, root_id: &str) -> String {
    let index = Index::of(bundle);
    let mut text = format!("{}\n", index.label(root_id));
    let branches = index.branches(root_id);
    for (position, branch) in branches.iter().enumerate() {
        let (fork, rest) =
            if position + 1 == branches.len() { ("└─", "  ") } else { ("├─", "│ ") };
        line(&mut text, &format!("{fork} {}", branch.text));
        let twigs = index.twigs(branch.id, root_id);
        for (position, twig) in twigs.iter().enumerate() {
            let fork = if position + 1 == twigs.len() { "└─" } else { "├─" };
            line(&mut text, &format!("{rest}   {fork} {twig}"));
        }
    }
    let count = bundle.objects.len();
    let names =
        |kind| index.of_type(kind).map(|it| field(it, "name")).collect::<Vec<_>>().join(", ");
    let author = index.of_type("identity").map(|it| field(it, "name")).next().unwrap_or_default();
    line(&mut text, &format!("{count} objects by {author}, {}", names("marking-definition")));
    text
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{}", line_of(content)).expect("a string takes every write");
}

/// Something that belongs to the root.
struct Branch<'a> {
    id: &'a str,
    text: String,
}

/// The objects of a bundle, to be found by id.
struct Index<'a> {
    bundle: &'a Bundle,
    by_id: HashMap<&'a str, &'a Json>,
}

impl<'a> Index<'a> {
    fn of(bundle: &'a Bundle) -> Self {
        let by_id = bundle.objects.iter().map(|object| (field(object, "id"), object)).collect();
        Self { bundle, by_id }
    }

    fn of_type(&self, kind: &'a str) -> impl Iterator<Item = &'a Json> {
        self.bundle.objects.iter().filter(move |object| field(object, "type") == kind)
    }

    /// Returns what the root is related to, contains, or is the subject of.
    fn branches(&self, root_id: &str) -> Vec<Branch<'a>> {
        let mut branches = Vec::new();
        for relationship in self.of_type("relationship") {
            let (source, target) =
                (field(relationship, "source_ref"), field(relationship, "target_ref"));
            let kind = field(relationship, "relationship_type");
            if source == root_id {
                branches
                    .push(Branch { id: target, text: format!("{kind} {}", self.label(target)) });
            } else if target == root_id {
                let verb = if kind == "indicates" { "indicated by " } else { "" };
                branches.push(Branch { id: source, text: format!("{verb}{}", self.label(source)) });
            }
        }
        let root = self.by_id.get(root_id).copied();
        for id in root.into_iter().flat_map(|root| references(root, "object_refs")) {
            branches.push(Branch { id, text: self.label(id) });
        }
        for note in self.of_type("note") {
            if references(note, "object_refs").any(|id| id == root_id) {
                let id = field(note, "id");
                branches.push(Branch { id, text: self.label(id) });
            }
        }
        branches
    }

    /// Returns what belongs to a branch, the root aside.
    fn twigs(&self, id: &str, root_id: &str) -> Vec<String> {
        let mut twigs = Vec::new();
        for relationship in self.of_type("relationship") {
            let target = field(relationship, "target_ref");
            if field(relationship, "source_ref") == id && target != root_id {
                let told = field(relationship, "description");
                let kind = field(relationship, "relationship_type");
                let verb = if told.is_empty() { kind } else { told };
                twigs.push(format!("{verb}: {}", self.label(target)));
            }
        }
        let object = self.by_id.get(id).copied();
        for (key, verb) in LISTS {
            for target in object.into_iter().flat_map(|object| references(object, key)) {
                twigs.push(format!("{verb}: {}", self.label(target)));
            }
        }
        for sighting in self.of_type("sighting") {
            if field(sighting, "sighting_of_ref") == id {
                let negative = sighting.get("x_opencti_negative") == Some(&Value::Bool(true));
                let verb = if negative { "falsely sighted by" } else { "sighted by" };
                let places = references(sighting, "where_sighted_refs");
                twigs.extend(places.map(|place| format!("{verb}: {}", self.label(place))));
            }
        }
        twigs
    }

    /// Describes an object in a few words; the id of one that is not in the bundle.
    fn label(&self, id: &str) -> String {
        let Some(object) = self.by_id.get(id) else {
            return id.to_owned();
        };
        let kind = field(object, "type");
        let label = match kind {
            "identity" => format!("{} {}", field(object, "identity_class"), field(object, "name")),
            "attack-pattern" => {
                format!("technique {} {}", field(object, "x_mitre_id"), field(object, "name"))
            }
            "indicator" => {
                format!("{} indicator {}", field(object, "pattern_type"), field(object, "name"))
            }
            "incident" | "case-incident" => {
                let severity = field(object, "severity");
                format!(
                    "{kind} {} ({severity}, {})",
                    field(object, "name"),
                    field(object, "created")
                )
            }
            "process" => match object.get("pid") {
                Some(pid) => format!("process {pid}: {}", field(object, "command_line")),
                None => format!("process: {}", field(object, "command_line")),
            },
            "network-traffic" => self.traffic(object),
            _ => format!("{kind} {}", name(object)),
        };
        shortened(&label)
    }

    fn traffic(&self, object: &Json) -> String {
        let end = |reference: &str, port: &str| {
            let target = self.by_id.get(field(object, reference));
            let value = target.map_or("?", |target| name(target));
            object.get(port).map_or_else(|| value.to_owned(), |port| format!("{value} port {port}"))
        };
        let protocols: Vec<&str> = references(object, "protocols").collect();
        let (source, target) = (end("src_ref", "src_port"), end("dst_ref", "dst_port"));
        format!("network-traffic {} from {source} to {target}", protocols.join(", "))
    }
}

fn field<'a>(object: &'a Json, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn references<'a>(object: &'a Json, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The property that people know an object by.
fn name(object: &Json) -> &str {
    let keys = ["name", "value", "path", "key", "account_login", "abstract"];
    let hash = || object.get("hashes")?.as_object()?.values().next()?.as_str();
    keys.iter()
        .map(|key| field(object, key))
        .find(|text| !text.is_empty())
        .or_else(hash)
        .unwrap_or_default()
}

/// One line, cut where it gets too long to read.
fn shortened(label: &str) -> String {
    let mut line = label.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(LONGEST_LABEL) {
        line.truncate(cut);
        line.push('…');
    }
    line
}
