//! A threat: HarfangLab's grouping of alerts, imported as a case incident.

use chrono::{DateTime, Utc};

/// One threat of a HarfangLab console (`log_type: threat`, or the REST item).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Threat {
    /// `id` as text (integer before 4.9, UUID since).
    pub id: String,
    /// `slug`: the console's readable name; absent from pushes.
    pub slug: Option<String>,
    /// `status` in lower case.
    pub status: Option<String>,
    /// `level` in lower case.
    pub level: Option<String>,
    /// `creation_date`.
    pub creation_date: Option<DateTime<Utc>>,
    /// `first_seen`.
    pub first_seen: Option<DateTime<Utc>>,
    /// `last_seen`.
    pub last_seen: Option<DateTime<Utc>>,
    /// `last_update`.
    pub last_update: Option<DateTime<Utc>>,
    /// `total_security_event_count`.
    pub alert_count: Option<u64>,
    /// `security_event_count_by_level{}`: how many alerts of each level, the highest level first,
    /// without levels of none.
    pub alert_counts_by_level: Vec<(String, u64)>,
    /// `mitre_tactics[]`.
    pub tactics: Vec<String>,
    /// `top_agents[]`, or `agents[]` of a push.
    pub agents: Vec<ThreatAgent>,
    /// `top_impacted_users[]`, or `impacted_users[]` of a push.
    pub users: Vec<ThreatUser>,
    /// `top_rules[]`, or `rules[]` of a push.
    pub rules: Vec<ThreatRule>,
    /// The threat's note.
    pub note: Option<ThreatNote>,
}

/// An agent of a threat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreatAgent {
    /// `agent_id`.
    pub id: Option<String>,
    /// `agent_hostname`.
    pub hostname: Option<String>,
    /// `agent_ostype` in lower case.
    pub os_type: Option<String>,
    /// `security_event_count`.
    pub alert_count: Option<u64>,
}

/// A user touched by a threat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreatUser {
    /// `user_name`.
    pub name: Option<String>,
    /// `user_sid`.
    pub sid: Option<String>,
    /// `security_event_count`.
    pub alert_count: Option<u64>,
}

/// A rule that fired in a threat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreatRule {
    /// `rule_id`.
    pub id: Option<String>,
    /// `rule_name`.
    pub name: Option<String>,
    /// `rule_level` in lower case.
    pub level: Option<String>,
    /// `rule_type` in lower case.
    pub kind: Option<String>,
    /// `security_event_count`.
    pub alert_count: Option<u64>,
    /// Technique and tactic tags of the rule: `rule_technique_tags[]` where the threat has them,
    /// and what the console says of the rule.
    pub tags: Vec<String>,
}

/// A threat's note.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreatNote {
    /// `title`.
    pub title: Option<String>,
    /// `content`.
    pub content: Option<String>,
    /// `creation_date`.
    pub creation_date: Option<DateTime<Utc>>,
    /// `last_update`.
    pub last_update: Option<DateTime<Utc>>,
}
