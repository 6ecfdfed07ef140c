//! The ECS alert: a HarfangLab detection as the Elastic connector pushes or queues it (ECS 9.0.0,
//! `agent.type: hurukai`, detection fields under `hlab.detection`). It carries neither
//! `alert_unique_id` nor a status.
//!
//! Lives here: recognising ECS events, the alert's own fields, host and process. Files, network,
//! registry, users and log entry are read in `ecs_evidence`.

use serde_json::Value;

use super::{
    Dialect, Recognised, binary, dates::Dates, ecs_evidence, file_name, hashes_at,
    telemetry::telemetry_kind,
};
use crate::alert::{
    Agent, Alert, ParentProcess, Process,
    lenient::{at, first_identifier_at, identifier_at, integer_at, text_at, texts_at, word_at},
};

/// Returns whether the element is an event of ECS, HarfangLab's or another shipper's.
pub(super) fn is_ecs(element: &Value) -> bool {
    at(element, "ecs.version").is_some() || is_of_harfanglab(element)
}

/// Returns whether HarfangLab's Elastic connector made it. A shipper on the way may have put itself where the
/// agent was; what HarfangLab detected stays.
pub(super) fn is_of_harfanglab(element: &Value) -> bool {
    has_own_agent(element) || is_detection(element)
}

/// Returns whether the agent is HarfangLab's.
pub(super) fn has_own_agent(element: &Value) -> bool {
    word_at(element, "agent.type").as_deref() == Some("hurukai")
}

fn is_detection(element: &Value) -> bool {
    let block = at(element, "hlab.detection").and_then(Value::as_object);
    block.is_some_and(|fields| fields.values().any(|value| !value.is_null()))
        || ["title", "level", "confidence", "engine.name"]
            .iter()
            .any(|field| at(element, &format!("hlab.detection.{field}")).is_some())
}

/// Tells an alert from telemetry: a detection is an alert whatever `event.kind` says. What another shipper made
/// is left unknown: it may be an envelope.
pub(super) fn recognise(element: &Value) -> Recognised {
    let is_alert = || word_at(element, "event.kind").as_deref() == Some("alert");
    if is_detection(element) || (has_own_agent(element) && is_alert()) {
        Recognised::Notification(Dialect::EcsAlert)
    } else if has_own_agent(element) {
        telemetry(element)
    } else {
        Recognised::Unknown
    }
}

fn telemetry(element: &Value) -> Recognised {
    let category = texts_at(element, "event.category").into_iter().next();
    Recognised::Telemetry(telemetry_kind(category.as_deref().unwrap_or_default()))
}

/// Reads an ECS alert.
pub(super) fn read(element: &Value) -> Alert {
    let mut dates = Dates::of(element);
    let process = process(element, &mut dates);
    Alert {
        alert_type: word_at(element, "hlab.detection.engine.name").unwrap_or_default(),
        level: word_at(element, "hlab.detection.level"),
        confidence: word_at(element, "hlab.detection.confidence"),
        rule_id: identifier_at(element, "rule.id"),
        rule_name: text_at(element, "hlab.detection.title")
            .or_else(|| text_at(element, "rule.name")),
        message: text_at(element, "message"),
        detection_time: dates.first(&["event.created"]),
        event_time: dates.first(&["event.start"]),
        timestamp: dates.first(&["@timestamp"]),
        agent: agent(element),
        users: ecs_evidence::users(element, process.as_ref()),
        files: ecs_evidence::files(element),
        registry: ecs_evidence::registry(element),
        connections: ecs_evidence::connections(element),
        dns: ecs_evidence::dns(element),
        urls: ecs_evidence::urls(element),
        tags: ecs_evidence::tags(element),
        references: texts_at(element, "rule.reference"),
        tenant: identifier_at(element, "organization.id"),
        event_log: ecs_evidence::event_log(element),
        unreadable_dates: dates.into_unreadable(),
        process,
        ..Alert::default()
    }
}

fn agent(element: &Value) -> Agent {
    // A shipper's agent is not HarfangLab's.
    let of_agent = |path| has_own_agent(element).then(|| identifier_at(element, path)).flatten();
    Agent {
        id: of_agent("agent.id").or_else(|| identifier_at(element, "host.id")),
        hostname: first_identifier_at(element, &["host.hostname", "host.name"])
            .or_else(|| of_agent("agent.name")),
        domain: identifier_at(element, "host.domain"),
        os_type: word_at(element, "host.os.type"),
        os_product: text_at(element, "host.os.full").or_else(|| text_at(element, "host.os.name")),
        os_version: identifier_at(element, "host.os.version"),
        ip_addresses: texts_at(element, "host.ip"),
        version: of_agent("agent.version"),
    }
}

fn process(element: &Value, dates: &mut Dates<'_>) -> Option<Process> {
    let image_path = text_at(element, "process.executable");
    let process = Process {
        pid: integer_at(element, "process.pid"),
        name: text_at(element, "process.name").or_else(|| file_name(image_path.as_deref()?)),
        image_path,
        command_line: text_at(element, "process.command_line"),
        current_directory: text_at(element, "process.working_directory"),
        created: dates.first(&["process.start"]),
        hashes: hashes_at(element, "process.hash"),
        size_bytes: None,
        binary: binary::ecs(element, "process"),
        username: identifier_at(element, "process.user.name"),
        user_sid: identifier_at(element, "process.user.id"),
        integrity_level: None,
        unique_id: identifier_at(element, "process.entity_id"),
        parent: ancestor(element, "process.parent"),
        grandparent: ancestor(element, "process.parent.parent"),
        ancestors: Vec::new(),
    };
    (process != Process::default()).then_some(process)
}

fn ancestor(element: &Value, path: &str) -> Option<ParentProcess> {
    let ancestor = ParentProcess {
        pid: integer_at(element, &format!("{path}.pid")),
        image_path: text_at(element, &format!("{path}.executable")),
        command_line: text_at(element, &format!("{path}.command_line")),
        integrity_level: None,
        unique_id: identifier_at(element, &format!("{path}.entity_id")),
    };
    (ancestor != ParentProcess::default()).then_some(ancestor)
}
