//! The native alert: the JSON of the syslog connector, of SIEM forwarders and of the REST API,
//! consoles 2.x to 5.x. The REST item has the pushed body's fields, plus `id` and `last_update`;
//! its `/details/` answer wraps them in `alert`.
//!
//! Lives here: recognising it and its top-level fields. Its process is read in `process`, its
//! users and sessions in `users`, log entry, correlation and history in `context`, everything else
//! it shows in `evidence`.

mod context;
mod evidence;
mod process;
mod users;

use serde_json::Value;

pub(super) use self::users::others as other_users;
use super::{dates::Dates, hashes_at, unique};
use crate::alert::{
    Agent, Alert, Group,
    lenient::{
        at, first_identifier_at, first_text_at, identifier_at, integer_at, items_at, object_at,
        text, text_at, texts_at, word_at,
    },
};

/// Characters between several addresses in one text.
const ADDRESS_SEPARATORS: [char; 4] = [',', ';', ' ', '|'];

/// The field in which the REST API's `{"alert": {…}}` has the alert.
pub(super) const WRAPPER: &str = "alert";

/// The alert inside the REST API's wrapper, else the element itself.
pub(super) fn unwrapped(element: &Value) -> &Value {
    match object_at(element, WRAPPER) {
        Some(inner) if is_alert(inner) && !is_alert(element) => inner,
        _ => element,
    }
}

/// Returns whether the alert stands in the REST API's wrapper.
pub(super) fn is_wrapped(element: &Value) -> bool {
    !std::ptr::eq(unwrapped(element), element)
}

/// Fields that say what was detected.
const OF_RULE: [&str; 4] = ["rule_name", "rule_id", "rule_content", "msg"];

/// Returns whether the element has what alerts have, and maybe what only names one. REST items have no
/// `log_type`.
pub(super) fn is_marked(element: &Value) -> bool {
    log_type(element).as_deref() == Some("alert")
        || at(element, "alert_unique_id").is_some()
        || at(element, "alert_type").is_some()
}

/// Returns whether the element is an alert. One that only names an alert, as a ticket does, is none: it
/// would take the alert's place. Nor is the alert of another product. All of HarfangLab's have their agent's id
/// or the date of the event in its spelling; at least, beside an id of their own, their host.
pub(super) fn is_alert(element: &Value) -> bool {
    let has = |field: &str| at(element, field).is_some();
    is_marked(element)
        && (has("agent.agentid")
            || has("@event_create_date")
            || (has("alert_unique_id") && has("agent.hostname")))
        && OF_RULE.into_iter().any(has)
}

/// `log_type` in lower case, when it is a text.
pub(super) fn log_type(element: &Value) -> Option<String> {
    at(element, "log_type").filter(|found| found.is_string())?;
    word_at(element, "log_type")
}

/// Reads an unwrapped native alert.
pub(super) fn read(element: &Value) -> Alert {
    let mut dates = Dates::of(element);
    let process = process::read(element, &mut dates);
    let driver = evidence::driver(element);
    Alert {
        unique_id: identifier_at(element, "alert_unique_id"),
        api_id: identifier_at(element, "id"),
        alert_type: word_at(element, "alert_type").unwrap_or_default(),
        alert_subtype: word_at(element, "alert_subtype"),
        status: word_at(element, "status"),
        level: word_at(element, "level"),
        confidence: word_at(element, "confidence"),
        maturity: word_at(element, "maturity"),
        threat_key: identifier_at(element, "threat_key"),
        rule_id: identifier_at(element, "rule_id"),
        rule_name: text_at(element, "rule_name"),
        rule_content: first_text_at(
            element,
            &["rule_content", "process.sigma_rule_content", "eventlog.sigma_rule_content"],
        ),
        message: text_at(element, "msg"),
        alert_time: dates.first(&["alert_time"]),
        detection_time: dates.first(&["detection_date", "detection_timestamp"]),
        event_time: dates.first(&["@event_create_date"]),
        timestamp: dates.first(&["@timestamp"]),
        last_update: dates.first(&["last_update"]),
        agent: agent(element),
        users: users::read(element, process.as_ref()),
        files: evidence::files(element, process.as_ref(), driver.as_ref()),
        registry: evidence::registry(element),
        connections: evidence::connections(element),
        dns: evidence::dns(element),
        urls: evidence::urls(element),
        remote_logon: users::remote_logon(element, &mut dates),
        ioc_matches: evidence::ioc_matches(element),
        matched_rules: evidence::matched_rules(element),
        tags: texts_at(element, "tags"),
        mitre_cells: texts_at(element, "mitre_cells"),
        references: texts_at(element, "references"),
        groups: groups(element),
        detection_hashes: hashes_at(element, "detection.file_hashes"),
        detection_path: text_at(element, "detection.file_path"),
        execution: integer_at(element, "execution"),
        quarantine: integer_at(element, "quarantine"),
        threat_values: texts_at(element, "threat_values"),
        tenant: identifier_at(element, "tenant"),
        powershell_command: text_at(element, "details_powershell.PowershellCommand"),
        event_log: context::event_log(element, &mut dates),
        correlation: context::correlation(element, &mut dates),
        firewall_filter: context::firewall_filter(element, &mut dates),
        antivirus: context::antivirus(element),
        status_history: context::status_history(element, &mut dates),
        unreadable_dates: dates.into_unreadable(),
        process,
        driver,
    }
}

/// Reads an agent that stands by itself.
pub(super) fn read_agent(item: &Value) -> Agent {
    let id = identifier_at(item, "id");
    let agent = agent(&serde_json::json!({ "agent": item }));
    Agent { id: agent.id.or(id), ..agent }
}

/// Returns whether the agent is a shipper's, or merged with a shipper's: HarfangLab's has no type.
pub(super) fn has_agent_of_shipper(element: &Value) -> bool {
    ["agent.type", "agent.ephemeral_id"].into_iter().any(|field| at(element, field).is_some())
}

/// Returns whether the element names HarfangLab's agent, as HarfangLab wrote it.
pub(super) fn has_own_agent(element: &Value) -> bool {
    at(element, "agent.agentid").is_some() && !has_agent_of_shipper(element)
}

fn agent(element: &Value) -> Agent {
    if has_agent_of_shipper(element) {
        // Name and version are the shipper's.
        let id = identifier_at(element, "agent.agentid");
        return Agent { id, ..Agent::default() };
    }
    Agent {
        id: identifier_at(element, "agent.agentid"),
        hostname: identifier_at(element, "agent.hostname"),
        domain: first_identifier_at(
            element,
            &["agent.domainname", "agent.domain", "agent.dnsdomainname"],
        ),
        os_type: word_at(element, "agent.ostype"),
        os_product: text_at(element, "agent.osproducttype"),
        os_version: identifier_at(element, "agent.osversion"),
        ip_addresses: addresses(element, "agent.ipaddress"),
        version: identifier_at(element, "agent.version"),
    }
}

fn addresses(element: &Value, path: &str) -> Vec<String> {
    texts_at(element, path)
        .iter()
        .flat_map(|text| text.split(ADDRESS_SEPARATORS))
        .filter(|address| !address.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Groups are named by the alert itself or, in older consoles, by its agent.
fn groups(element: &Value) -> Vec<Group> {
    let items = ["groups", "agent.groups"].into_iter().flat_map(|path| items_at(element, path));
    let groups = items.map(|item| {
        if item.is_object() {
            Group { id: identifier_at(item, "id"), name: text_at(item, "name") }
        } else {
            Group { id: None, name: text(item) }
        }
    });
    unique(groups.filter(|group| *group != Group::default()))
}
