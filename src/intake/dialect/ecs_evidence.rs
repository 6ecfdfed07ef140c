//! Evidence that an ECS alert shows beside its process: the standard ECS 9.0.0 field sets for users, files,
//! libraries, registry, network, DNS and URLs. HarfangLab publishes no list of those it fills, so
//! all that the alert model has room for are read.

use serde_json::Value;

use super::{binary, hashes_at, native};
use crate::alert::{
    Connection, Direction, DnsResolution, EventLog, FileEvidence, Hashes, Process, RegistryChange,
    UrlRequest, User,
    lenient::{
        first_identifier_at, first_text_at, identifier_at, integer_at, text_at, texts_at,
        unsigned_at, word_at,
    },
};

/// `user.*`, unless it is the process's own user.
pub(super) fn users(element: &Value, process: Option<&Process>) -> Vec<User> {
    let full_name = identifier_at(element, "user.name");
    let (domain, name) = match full_name.as_deref().and_then(|name| name.rsplit_once('\\')) {
        Some((domain, name)) => (Some(domain.to_owned()), Some(name.to_owned())),
        None => (identifier_at(element, "user.domain"), full_name),
    };
    native::other_users(
        vec![User { name, domain, sid: identifier_at(element, "user.id") }],
        process,
    )
}

/// `file.*` and `dll.*`.
pub(super) fn files(element: &Value) -> Vec<FileEvidence> {
    let files = [("target", "file"), ("library", "dll")].map(|(role, path)| FileEvidence {
        role,
        path: first_text_at(element, &[&format!("{path}.path"), &format!("{path}.name")]),
        hashes: hashes_at(element, &format!("{path}.hash")),
        size_bytes: unsigned_at(element, &format!("{path}.size")),
        binary: binary::ecs(element, path),
    });
    let says_something =
        |file: &FileEvidence| file.path.is_some() || file.hashes != Hashes::default();
    files.into_iter().filter(says_something).collect()
}

/// `registry.*`.
pub(super) fn registry(element: &Value) -> Vec<RegistryChange> {
    let change = RegistryChange {
        event_type: identifier_at(element, "event.action"),
        target_object: first_text_at(element, &["registry.path", "registry.key"]),
        details: texts_at(element, "registry.data.strings").into_iter().next(),
    };
    change.target_object.is_some().then_some(change).into_iter().collect()
}

/// `source.*`, `destination.*` and `network.*`.
pub(super) fn connections(element: &Value) -> Vec<Connection> {
    let first = |paths: [&str; 2]| first_identifier_at(element, &paths);
    let connection = Connection {
        source_ip: first(["source.ip", "source.address"]),
        source_port: integer_at(element, "source.port"),
        destination_ip: first(["destination.ip", "destination.address"]),
        destination_port: integer_at(element, "destination.port"),
        destination_host: identifier_at(element, "destination.domain"),
        protocol: word_at(element, "network.transport"),
        direction: direction(element),
    };
    let has_address = connection.source_ip.is_some()
        || connection.destination_ip.is_some()
        || connection.destination_host.is_some();
    has_address.then_some(connection).into_iter().collect()
}

/// `network.direction`, as the host or as the network sees it.
fn direction(element: &Value) -> Option<Direction> {
    match word_at(element, "network.direction").as_deref() {
        Some("egress" | "outbound") => Some(Direction::Outbound),
        Some("ingress" | "inbound") => Some(Direction::Inbound),
        _ => None,
    }
}

/// `winlog.*`, the Elastic name for what native alerts have under `eventlog`.
pub(super) fn event_log(element: &Value) -> Option<EventLog> {
    let entry = EventLog {
        event_id: integer_at(element, "winlog.event_id"),
        provider: text_at(element, "winlog.provider_name"),
        channel: text_at(element, "winlog.channel"),
        computer: identifier_at(element, "winlog.computer_name"),
        record_number: integer_at(element, "winlog.record_id"),
        ..EventLog::default()
    };
    (entry != EventLog::default()).then_some(entry)
}

/// `dns.*`.
pub(super) fn dns(element: &Value) -> Vec<DnsResolution> {
    let resolution = DnsResolution {
        requested_name: identifier_at(element, "dns.question.name"),
        query_type: identifier_at(element, "dns.question.type"),
        ip_addresses: texts_at(element, "dns.resolved_ip"),
    };
    resolution.requested_name.is_some().then_some(resolution).into_iter().collect()
}

/// `url.*`.
pub(super) fn urls(element: &Value) -> Vec<UrlRequest> {
    let request = UrlRequest {
        url: first_text_at(element, &["url.full", "url.original"]),
        host: identifier_at(element, "url.domain"),
        verb: identifier_at(element, "http.request.method"),
    };
    (request.url.is_some() || request.host.is_some()).then_some(request).into_iter().collect()
}

/// `tags`, and the MITRE ATT&CK ids of `threat.*` spelt as native tags.
pub(super) fn tags(element: &Value) -> Vec<String> {
    let mut tags = texts_at(element, "tags");
    for path in ["threat.technique.id", "threat.technique.subtechnique.id"] {
        tags.extend(
            texts_at(element, path).iter().map(|id| format!("attack.{}", id.trim().to_lowercase())),
        );
    }
    tags
}
