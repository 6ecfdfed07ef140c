//! Kinds of telemetry, and their names as labels of metrics.

/// Longest kind of telemetry that is told apart; kinds become labels of a metric.
const TELEMETRY_KIND_LENGTH_LIMIT: usize = 40;

/// Kinds of telemetry that the metrics tell apart: the `log_type`s that consoles have been seen to
/// push, and categories of ECS; the last one stands for all others.
pub const TELEMETRY_KINDS: &[&str] = &[
    "agent",
    "agentlog",
    "auditlog",
    "authentication",
    "connectionlog",
    "dns_resolution",
    "driver",
    "driverload",
    "eventlog",
    "file",
    "injectedthread",
    "investigation",
    "library",
    "network",
    "powershell",
    "process",
    "registry",
    "remotethread",
    "resource",
    "other",
];

/// Returns a kind of telemetry as the label of a metric: whoever posts must not be able to make new ones.
pub fn counted_as(kind: &str) -> &'static str {
    TELEMETRY_KINDS.iter().find(|known| **known == kind).copied().unwrap_or("other")
}

/// Returns a kind of telemetry in the form of a label: short, lower case, of few characters.
pub(super) fn telemetry_kind(kind: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !kind.is_empty() && kind.len() <= TELEMETRY_KIND_LENGTH_LIMIT && kind.chars().all(plain) {
        kind.to_ascii_lowercase()
    } else {
        "other".to_owned()
    }
}
