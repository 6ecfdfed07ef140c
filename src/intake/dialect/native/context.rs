//! Surroundings of a native alert: event log entry, correlation, firewall filter, antivirus name,
//! status history.

use serde_json::Value;

use crate::{
    alert::{
        AntivirusDetection, CorrelatedEvent, Correlation, EventLog, EventLogUser, FirewallFilter,
        StatusChange, User,
        lenient::{
            first_text_at, identifier_at, integer_at, items_at, object_at, text, text_at, texts_at,
            truth_at, word_at,
        },
    },
    intake::dialect::dates::Dates,
};

/// Names of people in the data of a log entry: the role, then the fields of name, domain and SID.
const NAMED: [(&str, [&str; 3]); 6] = [
    ("subject", ["SubjectUserName", "SubjectDomainName", "SubjectUserSid"]),
    ("target", ["TargetUserName", "TargetDomainName", "TargetSid"]),
    ("member", ["MemberName", "MemberDomainName", "MemberSid"]),
    ("detection", ["Detection User", "", ""]),
    ("remediation", ["Remediation User", "", ""]),
    ("user", ["User", "", "UserSid"]),
];

/// Fields that hold the data of a log entry: by the provider's template, or in the provider's own form.
const DATA: [&str; 2] = ["event_data", "user_data"];
/// The most fields of a log entry's data that are read, and how deep they are looked for.
const MOST_FIELDS: usize = 64;
const DEEPEST_FIELD: usize = 4;

/// Older entries name the target's SID like the subject's.
const TARGET_USER_SID: &str = "TargetUserSid";

/// `eventlog`.
pub(super) fn event_log(element: &Value, dates: &mut Dates<'_>) -> Option<EventLog> {
    let block = object_at(element, "eventlog")?;
    let entry = EventLog {
        event_id: integer_at(block, "event_id"),
        provider: text_at(block, "source_name"),
        channel: text_at(block, "log_name"),
        computer: identifier_at(block, "computer_name"),
        record_number: integer_at(block, "record_number"),
        time: dates.first(&["eventlog.event_date"]),
        users: DATA.iter().filter_map(|data| object_at(block, data)).flat_map(users).collect(),
        data: data(block),
    };
    (entry != EventLog::default()).then_some(entry)
}

/// Returns the fields of the entry's data that name nobody, by name: consoles change their order.
fn data(block: &Value) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for data in DATA.iter().filter_map(|data| object_at(block, data)) {
        add_fields(data, 0, &mut fields);
    }
    fields.sort_unstable();
    fields.dedup();
    fields.truncate(MOST_FIELDS);
    fields
}

fn add_fields(data: &Value, depth: usize, fields: &mut Vec<(String, String)>) {
    for (name, value) in data.as_object().into_iter().flatten() {
        let names_somebody = NAMED.iter().any(|(_, names)| names.contains(&name.as_str()));
        if names_somebody || name == TARGET_USER_SID {
            continue;
        }
        if value.is_object() && depth < DEEPEST_FIELD {
            add_fields(value, depth + 1, fields);
        } else {
            // By its value and not by its name, which may have a dot.
            let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let values: Vec<String> = items.iter().take(MOST_FIELDS).filter_map(text).collect();
            if !values.is_empty() {
                fields.push((name.clone(), values.join(", ")));
            }
        }
    }
}

fn users(data: &Value) -> impl Iterator<Item = EventLogUser> {
    NAMED.into_iter().filter_map(|(role, [name, domain, sid])| {
        let named = identifier_at(data, name);
        let (own_domain, name) = match named.as_deref().and_then(|name| name.rsplit_once('\\')) {
            Some((domain, name)) => (Some(domain.to_owned()), Some(name.to_owned())),
            None => (None, named),
        };
        let older_sid = || identifier_at(data, TARGET_USER_SID).filter(|_| role == "target");
        let user = User {
            name,
            domain: own_domain.or_else(|| identifier_at(data, domain)),
            sid: identifier_at(data, sid).or_else(older_sid),
        };
        (user.name.is_some() || user.sid.is_some()).then_some(EventLogUser { role, user })
    })
}

/// `correlation`.
pub(super) fn correlation(element: &Value, dates: &mut Dates<'_>) -> Option<Correlation> {
    let block = object_at(element, "correlation")?;
    let events = items_at(block, "events").iter().map(|item| CorrelatedEvent {
        id: identifier_at(item, "event_id"),
        rule_id: identifier_at(item, "rule_id"),
        has_own_alert: truth_at(item, "is_standalone_rule"),
        time: dates.of_item("correlation.events", item, "timestamp"),
    });
    let events = events.filter(|event| *event != CorrelatedEvent::default()).collect();
    let correlation = Correlation {
        start: dates.first(&["correlation.start_timestamp"]),
        end: dates.first(&["correlation.end_timestamp"]),
        events,
        group_by: texts_at(block, "group_by_fields"),
        is_of_one_process: truth_at(block, "is_group_by_process"),
        values: texts_at(block, "value_count_values"),
    };
    (correlation != Correlation::default()).then_some(correlation)
}

/// `firewall_self_protection`.
pub(super) fn firewall_filter(element: &Value, dates: &mut Dates<'_>) -> Option<FirewallFilter> {
    let block = object_at(element, "firewall_self_protection")?;
    let filter = FirewallFilter {
        id: identifier_at(block, "filter_id"),
        name: text_at(block, "filter_name"),
        description: text_at(block, "filter_description"),
        provider: first_text_at(block, &["provider_name", "provider_description"]),
        provider_service: identifier_at(block, "provider_service_name"),
        time: dates.first(&["firewall_self_protection.eventtime_datetime"]),
    };
    (filter != FirewallFilter::default()).then_some(filter)
}

/// `av_detection_details`, but for its file.
pub(super) fn antivirus(element: &Value) -> Option<AntivirusDetection> {
    let block = object_at(element, "av_detection_details")?;
    let detection = AntivirusDetection {
        signature: text_at(block, "signature_name"),
        kind: word_at(block, "kind"),
    };
    (detection != AntivirusDetection::default()).then_some(detection)
}

/// `status_history[]`, in the order in which it is given.
pub(super) fn status_history(element: &Value, dates: &mut Dates<'_>) -> Vec<StatusChange> {
    let changes = items_at(element, "status_history").iter().map(|item| StatusChange {
        action: word_at(item, "action"),
        time: dates.of_item("status_history", item, "timestamp"),
    });
    changes.filter(|change| *change != StatusChange::default()).collect()
}
