//! Holds what surrounds an alert: the log entry it was raised on, the events a correlation rule put
//! together, the firewall filter or the malware name that the agent found, what people did with it.

use chrono::{DateTime, Utc};

use super::User;

/// `eventlog`: the entry of the Windows event log that the rule matched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventLog {
    /// `event_id`, for example 4728.
    pub event_id: Option<i64>,
    /// `source_name`: the provider that wrote the entry.
    pub provider: Option<String>,
    /// `log_name`: the channel it was written to, for example `Security`.
    pub channel: Option<String>,
    /// `computer_name` as the log has it.
    pub computer: Option<String>,
    /// `record_number` in the channel.
    pub record_number: Option<i64>,
    /// `event_date`: when the entry was written.
    pub time: Option<DateTime<Utc>>,
    /// Whom `event_data` and `user_data` name.
    pub users: Vec<EventLogUser>,
    /// Other fields of these two as name and value, sorted by name.
    pub data: Vec<(String, String)>,
}

/// Somebody named by the data of a log entry. A target can be a group: the log does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLogUser {
    /// Part that the entry says they played: `subject` (who acted), `target`, `member` (of the
    /// target), `detection` or `remediation` (Defender), `user`.
    pub role: &'static str,
    /// Name, domain, SID.
    pub user: User,
}

/// `correlation`: what a correlation rule put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Correlation {
    /// `start_timestamp` of the window.
    pub start: Option<DateTime<Utc>>,
    /// `end_timestamp` of the window.
    pub end: Option<DateTime<Utc>>,
    /// The events of the window.
    pub events: Vec<CorrelatedEvent>,
    /// `group_by_fields[]`: the fields whose values the events share.
    pub group_by: Vec<String>,
    /// `is_group_by_process`: whether the events are of one process.
    pub is_of_one_process: Option<bool>,
    /// `value_count_values[]`: the different values that were counted.
    pub values: Vec<String>,
}

/// One of `correlation.events[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorrelatedEvent {
    /// `event_id`.
    pub id: Option<String>,
    /// `rule_id` of the rule that matched this event.
    pub rule_id: Option<String>,
    /// `is_standalone_rule`: whether that rule raises alerts of its own.
    pub has_own_alert: Option<bool>,
    /// `timestamp`.
    pub time: Option<DateTime<Utc>>,
}

/// `firewall_self_protection`: the filter that would have cut the agent off, and was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirewallFilter {
    /// `filter_id` in the Windows Filtering Platform.
    pub id: Option<String>,
    /// `filter_name`.
    pub name: Option<String>,
    /// `filter_description`.
    pub description: Option<String>,
    /// `provider_name`: who made the filter.
    pub provider: Option<String>,
    /// `provider_service_name`: the service by which it was made.
    pub provider_service: Option<String>,
    /// `eventtime_datetime`.
    pub time: Option<DateTime<Utc>>,
}

/// `av_detection_details`: what the agent's antivirus calls its find; the file itself is among the
/// alert's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AntivirusDetection {
    /// `signature_name`, for example `Trojan.JS.Spy`.
    pub signature: Option<String>,
    /// `kind` in lower case, for example `scan`.
    pub kind: Option<String>,
}

/// One of `status_history[]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusChange {
    /// `action` in lower case, for example `created`.
    pub action: Option<String>,
    /// `timestamp`.
    pub time: Option<DateTime<Utc>>,
}
