//! The native threat: as the syslog connector pushes it (`log_type: threat`, `agents`, `rules`,
//! `impacted_users`) and as the REST API answers it (`slug`, `top_agents`, `top_rules`,
//! `top_impacted_users`, `note`).

use serde_json::Value;

use super::{dates::Dates, native};
use crate::alert::{
    Threat, ThreatAgent, ThreatNote, ThreatRule, ThreatUser,
    lenient::{at, identifier_at, items_at, object_at, text_at, texts_at, unsigned_at, word_at},
};

/// Fields that only threats have; a REST item, which has no `log_type`, is known by them.
const MARKS: [&str; 6] = [
    "total_security_event_count",
    "security_event_count_by_level",
    "top_agents",
    "top_impacted_users",
    "top_rules",
    "slug",
];

const LEVELS: [&str; 5] = ["critical", "high", "medium", "low", "informational"];

/// Whether the element is a threat. Alerts have been told apart before.
pub(super) fn is_threat(element: &Value) -> bool {
    let has = |name: &str| at(element, name).is_some();
    let dated = ["creation_date", "first_seen"].iter().any(|name| has(name));
    native::log_type(element).as_deref() == Some("threat")
        || (has("id") && dated && MARKS.iter().any(|mark| has(mark)))
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
        agents: each(element, ["top_agents", "agents"], |item| ThreatAgent {
            id: identifier_at(item, "agent_id"),
            hostname: identifier_at(item, "agent_hostname"),
            os_type: word_at(item, "agent_ostype"),
            alert_count: unsigned_at(item, "security_event_count"),
        }),
        users: each(element, ["top_impacted_users", "impacted_users"], |item| ThreatUser {
            name: identifier_at(item, "user_name"),
            sid: identifier_at(item, "user_sid"),
            alert_count: unsigned_at(item, "security_event_count"),
        }),
        rules: each(element, ["top_rules", "rules"], |item| ThreatRule {
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

/// Reads the items of the first of two lists that has any, without those that say nothing.
fn each<Item: Default + PartialEq>(
    element: &Value,
    lists: [&str; 2],
    read: impl Fn(&Value) -> Item,
) -> Vec<Item> {
    lists
        .iter()
        .map(|list| {
            let items = items_at(element, list).iter().map(&read);
            items.filter(|item| *item != Item::default()).collect::<Vec<_>>()
        })
        .find(|items| !items.is_empty())
        .unwrap_or_default()
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
