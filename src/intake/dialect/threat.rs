//! The native threat: as the syslog connector pushes it (`log_type: threat`, `agents`, `rules`,
//! `impacted_users`) and as the REST API answers it (`slug`, `note`, and beside or instead of these lists
//! `top_agents`, `top_rules`, `top_impacted_users`, which have the busiest of each with fields of other names).

use std::collections::HashMap;

use serde_json::Value;

use super::{dates::Dates, native};
use crate::alert::{
    Threat, ThreatAgent, ThreatNote, ThreatRule, ThreatUser,
    lenient::{
        at, first_identifier_at, identifier_at, items_at, object_at, text_at, texts_at,
        unsigned_at, word_at,
    },
};

/// Fields that threats have, and hardly anything else two of them.
const MARKS: [&str; 9] = [
    "total_security_event_count",
    "security_event_count_by_level",
    "top_agents",
    "top_impacted_users",
    "top_rules",
    "impacted_users",
    "impacted_user_count",
    "mitre_tactics",
    "agents",
];

const LEVELS: [&str; 5] = ["critical", "high", "medium", "low", "informational"];

/// Returns whether the element is a threat. Alerts have been told apart before. Other products have an id, a
/// slug, rules and a date, too, and a `log_type` of this name; and what only names a threat would take its
/// place.
pub(super) fn is_threat(element: &Value) -> bool {
    let has = |name: &str| at(element, name).is_some();
    let marks = MARKS.into_iter().filter(|name| has(name)).count();
    let has_common = has("slug") || has("rules");
    let is_pushed = native::log_type(element).as_deref() == Some("threat");
    let is_dated = has("id") && (has("creation_date") || has("first_seen"));
    let is_short = ["id", "slug", "level", "creation_date", "first_seen"].into_iter().all(has);
    is_short || (marks + usize::from(has_common) > 1 && (is_pushed || is_dated))
}

/// Reads a threat.
pub(super) fn read(element: &Value) -> Threat {
    let mut dates = Dates::of(element);
    Threat {
        id: identifier_at(element, "id").unwrap_or_default(),
        slug: text_at(element, "slug"),
        status: word_at(element, "status"),
        level: word_at(element, "level"),
        creation_date: dates.first(&["creation_date"]),
        first_seen: dates.first(&["first_seen"]),
        last_seen: dates.first(&["last_seen"]),
        last_update: dates.first(&["last_update"]),
        alert_count: unsigned_at(element, "total_security_event_count"),
        alert_counts_by_level: counts_by_level(element),
        tactics: texts_at(element, "mitre_tactics"),
        agents: merged(element, ["top_agents", "agents"], |item| ThreatAgent {
            id: first_identifier_at(item, &["agent_id", "id"]),
            hostname: first_identifier_at(item, &["agent_hostname", "hostname"]),
            os_type: word_at(item, "agent_ostype").or_else(|| word_at(item, "ostype")),
            alert_count: unsigned_at(item, "security_event_count"),
        }),
        users: merged(element, ["top_impacted_users", "impacted_users"], |item| ThreatUser {
            name: first_identifier_at(item, &["user_name", "full_name"]),
            sid: identifier_at(item, "user_sid"),
            alert_count: unsigned_at(item, "security_event_count"),
        }),
        rules: merged(element, ["top_rules", "rules"], |item| ThreatRule {
            id: identifier_at(item, "rule_id"),
            name: text_at(item, "rule_name"),
            level: word_at(item, "rule_level"),
            kind: word_at(item, "rule_type"),
            alert_count: unsigned_at(item, "security_event_count"),
            tags: texts_at(item, "rule_technique_tags"),
        }),
        note: note(element),
    }
}

/// `security_event_count_by_level`, the highest level first; levels that are new to us come last.
fn counts_by_level(element: &Value) -> Vec<(String, u64)> {
    let Some(counts) = object_at(element, "security_event_count_by_level") else {
        return Vec::new();
    };
    let names = counts.as_object().into_iter().flat_map(serde_json::Map::keys);
    let mut counted: Vec<(String, u64)> = names
        .filter_map(|name| Some((name.trim().to_lowercase(), unsigned_at(counts, name)?)))
        .filter(|(name, count)| !name.is_empty() && *count > 0)
        .collect();
    let rank = |name: &str| LEVELS.iter().position(|level| *level == name).unwrap_or(LEVELS.len());
    counted.sort_by(|(left, _), (right, _)| (rank(left), left).cmp(&(rank(right), right)));
    counted
}

/// An item of a list of which a threat has two: the busiest, and all.
trait Listed: Default + PartialEq {
    /// Id and name.
    fn keys(&self) -> [&Option<String>; 2];

    /// Takes over from `other`, which is about the same, what is missing.
    fn complete(&mut self, other: Self);
}

impl Listed for ThreatAgent {
    fn keys(&self) -> [&Option<String>; 2] {
        [&self.id, &self.hostname]
    }

    fn complete(&mut self, other: Self) {
        self.id = self.id.take().or(other.id);
        self.hostname = self.hostname.take().or(other.hostname);
        self.os_type = self.os_type.take().or(other.os_type);
        self.alert_count = self.alert_count.or(other.alert_count);
    }
}

impl Listed for ThreatUser {
    fn keys(&self) -> [&Option<String>; 2] {
        [&self.sid, &self.name]
    }

    fn complete(&mut self, other: Self) {
        self.name = self.name.take().or(other.name);
        self.sid = self.sid.take().or(other.sid);
        self.alert_count = self.alert_count.or(other.alert_count);
    }
}

impl Listed for ThreatRule {
    fn keys(&self) -> [&Option<String>; 2] {
        [&self.id, &self.name]
    }

    fn complete(&mut self, other: Self) {
        self.id = self.id.take().or(other.id);
        self.name = self.name.take().or(other.name);
        self.level = self.level.take().or(other.level);
        self.kind = self.kind.take().or(other.kind);
        self.alert_count = self.alert_count.or(other.alert_count);
        if self.tags.is_empty() {
            self.tags = other.tags;
        }
    }
}

/// Reads the items of two lists, those of the first one first, each once and without those that say nothing.
/// Two are the same that have one id, or one name where either has no id.
fn merged<Item: Listed>(
    element: &Value,
    lists: [&str; 2],
    read: impl Fn(&Value) -> Item,
) -> Vec<Item> {
    let mut all: Vec<Item> = Vec::new();
    let [mut by_id, mut by_name] = [HashMap::new(), HashMap::new()];
    for item in lists.iter().flat_map(|list| items_at(element, list)).map(read) {
        if item == Item::default() {
            continue;
        }
        let [id, name] = item.keys().map(|key| key.as_deref().map(str::to_lowercase));
        let same_id = id.as_ref().and_then(|id| by_id.get(id)).copied();
        let same_name = name.as_ref().and_then(|name| by_name.get(name)).copied();
        let same_name =
            same_name.filter(|&place: &usize| id.is_none() || all[place].keys()[0].is_none());
        let place = same_id.or(same_name).unwrap_or(all.len());
        id.map(|id| by_id.entry(id).or_insert(place));
        name.map(|name| by_name.entry(name).or_insert(place));
        match all.get_mut(place) {
            Some(known) => known.complete(item),
            None => all.push(item),
        }
    }
    all
}

fn note(element: &Value) -> Option<ThreatNote> {
    let block = object_at(element, "note")?;
    let mut dates = Dates::of(block);
    let note = ThreatNote {
        title: text_at(block, "title"),
        content: text_at(block, "content"),
        creation_date: dates.first(&["creation_date"]),
        last_update: dates.first(&["last_update"]),
    };
    (note.title.is_some() || note.content.is_some()).then_some(note)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_busiest_and_the_full_lists_of_the_rest_api_are_one() {
        let threat = read(&json!({
            "id": 7, "slug": "x", "creation_date": "2026-01-01T00:00:00Z",
            "top_agents": [{"agent_hostname": "SRV2", "agent_id": "b", "security_event_count": 9}],
            "agents": [
                {"id": "a", "hostname": "srv1", "ostype": "linux", "domainname": "D"},
                {"id": "B", "hostname": "srv2", "ostype": "windows"},
                {},
            ],
            "top_impacted_users": [{"user_name": "CORP\\ada"}, {"user_name": "CORP\\bob"}],
            "impacted_users": [
                {"full_name": "corp\\ada", "user_sid": "S-1-5-21-1-2-3-1104"},
                {"user_sid": "S-1-5-21-1-2-3-1105"},
            ],
            "top_rules": [{"rule_name": "R", "security_event_count": 9}],
            "rules": [{"rule_name": "R", "rule_level": "high", "rule_technique_tags": ["t1059"]}],
            "note": {"title": "t", "content": "c"},
        }));
        let agents = threat.agents.iter().map(|it| (it.hostname.as_deref(), it.os_type.as_deref()));
        let expected = [(Some("SRV2"), Some("windows")), (Some("srv1"), Some("linux"))];
        assert_eq!(agents.collect::<Vec<_>>(), expected);
        assert_eq!(threat.agents[0].alert_count, Some(9));
        let users = threat.users.iter().map(|it| (it.name.as_deref(), it.sid.as_deref()));
        assert_eq!(
            users.collect::<Vec<_>>(),
            [
                (Some("CORP\\ada"), Some("S-1-5-21-1-2-3-1104")),
                (Some("CORP\\bob"), None),
                (None, Some("S-1-5-21-1-2-3-1105")),
            ]
        );
        assert_eq!(threat.rules.len(), 1);
        assert_eq!(
            (threat.rules[0].level.as_deref(), threat.rules[0].tags.len()),
            (Some("high"), 1)
        );
        assert_eq!(threat.note.unwrap().content.as_deref(), Some("c"));
    }
}
