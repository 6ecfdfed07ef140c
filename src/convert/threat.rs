//! One threat becomes one case, with its hosts, its users and the incidents of its alerts.

use super::{
    Conversion, ConvertSettings, IncidentIdentity, Known, account,
    attack::Named,
    dates,
    description::words,
    draft::{Draft, Finished},
    host,
    incident::{is_ransomware, severity},
    label,
    markdown::Table,
    naming,
};
use crate::{
    alert::{Threat, ThreatNote, ThreatUser, User},
    stix::{
        Object, clean,
        object::{CaseIncident, ExternalReference, Note},
        time::{Timestamp, timestamp},
    },
};

/// The most references of one case message: more hold up the platform's queue.
const MOST_CASE_REFERENCES: usize = 500;
/// References up to which hosts, and then users, of the threat itself are added. What is beyond comes
/// with the objects of its alerts.
const HOSTS_UP_TO: usize = 120;
const USERS_UP_TO: usize = 160;
/// The most objects of its alerts that one conversion of a threat should be given; it adds hosts,
/// users and techniques of its own. References only ever add up on the platform, so further objects
/// go out with a further conversion of the same threat.
pub const MOST_CASE_OBJECTS: usize = MOST_CASE_REFERENCES - 250;

/// Converts a threat. `object_ids` are delivered objects of its alerts, at most
/// [`MOST_CASE_OBJECTS`]; they are referenced, not contained, so the bundle must not be cleaned of
/// references to what it does not hold.
pub fn convert_threat(
    threat: &Threat,
    object_ids: &[String],
    known: &Known,
    settings: &ConvertSettings,
) -> Conversion {
    let mut draft = Draft::new(settings);
    let first_hostname = threat.agents.iter().find_map(|agent| hostname(agent.hostname.as_deref()));
    let creation_date = dates::usable(threat.creation_date, &mut draft);
    if creation_date.is_none() {
        draft.leave_out("date", "the threat has no creation date; the time of its receipt is used");
    }
    let identity = known.identity.clone().unwrap_or_else(|| IncidentIdentity {
        name: case_name(threat, first_hostname.as_deref()),
        created: creation_date.unwrap_or(known.received_at),
    });
    let created = Timestamp(identity.created);
    let last_update = dates::usable(threat.last_update, &mut draft);

    let mut object_refs = Vec::new();
    for agent in &threat.agents {
        let name = agent.hostname.as_deref().map(host::host_name).unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        if object_refs.len() >= HOSTS_UP_TO {
            break;
        }
        // An alert describes its host better, and the last description sent wins.
        let system_id = host::add_system(&name, None, &mut draft);
        let hostname_id = host::add_hostname(&name, system_id.as_deref(), &mut draft);
        object_refs.extend(system_id.into_iter().chain(hostname_id));
    }
    for user in &threat.users {
        if object_refs.len() >= USERS_UP_TO {
            break;
        }
        let user = account_of(user);
        if !account::is_built_in(&user) {
            object_refs.extend(account::add_account(&user, None, settings.accounts, &mut draft));
        }
    }
    let named = Named::by_threat(threat);
    object_refs.extend(named.add_techniques(&mut draft));
    object_refs.extend(object_ids.iter().cloned());
    let links: Vec<ExternalReference> =
        label::console_page(&settings.console_url, "threat", &clean::line(&threat.id))
            .into_iter()
            .collect();
    let case = CaseIncident {
        name: identity.name.clone(),
        created,
        modified: Timestamp(last_update.unwrap_or(identity.created)).max(created),
        severity: severity(threat.level.as_deref()),
        priority: priority(threat.level.as_deref()),
        response_types: response_types(threat),
        description: description(threat, &named),
        external_references: links.clone(),
        object_refs: each_once(object_refs),
    };
    let root_id = draft.object(&case);
    let note = threat.note.as_ref();
    let note = note.and_then(|note| read_note(note, &root_id, &identity, links, &mut draft));
    let note_id = note.map(|note| add_note(&note, known, &mut draft));
    let Finished { bundle, common, left_out } = draft.finish();
    Conversion {
        bundle,
        root_id,
        identity,
        sighted: None,
        indicator: None,
        further_indicators: Vec::new(),
        note_id,
        common,
        left_out,
    }
}

fn hostname(text: Option<&str>) -> Option<String> {
    Some(clean::line(text?)).filter(|name| !name.is_empty())
}

fn case_name(threat: &Threat, hostname: Option<&str>) -> String {
    let slug = threat.slug.as_deref().map(clean::line).filter(|slug| naming::is_long_enough(slug));
    let slug = slug.unwrap_or_else(|| format!("HarfangLab threat {}", clean::line(&threat.id)));
    match hostname {
        Some(hostname) => format!("{} on {hostname}", slug.trim()),
        None => slug.trim().to_owned(),
    }
}

fn priority(level: Option<&str>) -> Option<&'static str> {
    match severity(level)? {
        "critical" => Some("P1"),
        "high" => Some("P2"),
        "medium" => Some("P3"),
        _ => Some("P4"),
    }
}

fn response_types(threat: &Threat) -> Vec<&'static str> {
    let kinds = threat.rules.iter().filter_map(|rule| rule.kind.as_deref());
    if kinds.into_iter().any(is_ransomware) { vec!["ransomware"] } else { Vec::new() }
}

fn description(threat: &Threat, named: &Named) -> String {
    let counted = |name: &str, count: Option<u64>| match count {
        Some(count) => format!("{name} ({count})"),
        None => name.to_owned(),
    };
    let agents = threat
        .agents
        .iter()
        .filter_map(|agent| Some(counted(agent.hostname.as_deref()?, agent.alert_count)));
    let (built_in, people): (Vec<_>, Vec<_>) =
        threat.users.iter().partition(|user| account::is_built_in(&account_of(user)));
    let users = people.into_iter().chain(built_in).filter_map(|user| {
        let name = user.name.as_deref().or(user.sid.as_deref())?;
        Some(counted(name, user.alert_count))
    });
    let rules = threat.rules.iter().filter_map(|rule| {
        let kind = [rule.level.as_deref(), rule.kind.as_deref()];
        let kind: Vec<&str> = kind.into_iter().flatten().collect();
        let kind = if kind.is_empty() { String::new() } else { format!(", {}", kind.join(" ")) };
        Some(counted(&format!("{}{kind}", rule.name.as_deref()?), rule.alert_count))
    });
    let by_level = threat.alert_counts_by_level.iter();
    let mut table = Table::default();
    // Three hundred characters are shown; the level is shown as severity and priority.
    table.texts("Hosts", agents);
    table.text("First seen", threat.first_seen.map(timestamp).as_deref());
    table.text("Last seen", threat.last_seen.map(timestamp).as_deref());
    table.texts("Rules", rules);
    table.texts("Users", users);
    table.text("Security events", threat.alert_count.map(|count| count.to_string()).as_deref());
    table.texts("By level", by_level.map(|(level, count)| format!("{level} {count}")));
    table.texts("Tactics", threat.tactics.iter().map(|tactic| words(tactic)));
    table.texts("Techniques", named.techniques());
    table.text("Status", threat.status.as_deref().map(words).as_deref());
    table.text("Level", threat.level.as_deref().filter(|level| *level == "informational"));
    table.finish()
}

fn account_of(user: &ThreatUser) -> User {
    User { name: user.name.clone(), domain: None, sid: user.sid.clone() }
}

fn each_once(ids: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}

/// Adds a note under the id that it has already, and returns the id that follows from its content.
fn add_note(note: &Note, known: &Known, draft: &mut Draft) -> String {
    let own_id = note.id();
    draft.object_under(known.note_id.as_ref().unwrap_or(&own_id), note);
    own_id
}

fn read_note(
    note: &ThreatNote,
    case_id: &str,
    identity: &IncidentIdentity,
    external_references: Vec<ExternalReference>,
    draft: &mut Draft,
) -> Option<Note> {
    let content = note.content.as_deref().map(clean::text).unwrap_or_default();
    if content.chars().count() < 2 {
        if !content.is_empty() {
            draft.leave_out(
                "note",
                "it has one character, and OpenCTI takes no note as short as that",
            );
        }
        return None;
    }
    let title = note.title.as_deref().map(clean::line).filter(|title| !title.is_empty());
    let created = dates::usable(note.creation_date, draft);
    let created = Timestamp(created.unwrap_or(identity.created));
    let modified = dates::usable(note.last_update, draft).map_or(created, Timestamp);
    Some(Note {
        title: format!("Linked to {}", title.as_deref().unwrap_or(&identity.name)),
        content,
        created,
        modified: modified.max(created),
        object_refs: vec![case_id.to_owned()],
        external_references,
    })
}
