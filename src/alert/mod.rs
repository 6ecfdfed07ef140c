//! The alert model: what HarfangLab says about one security event or one threat, in one shape,
//! whichever dialect (native push, REST item, ECS push) brought it.
//!
//! Lives here: the structs, the reading of dates and of values whose JSON type varies between
//! console versions. Does not live here: recognising and reading a dialect (`intake::dialect`),
//! making STIX (`convert`), asking the console (`harfanglab`).
//!
//! Every field is optional or may be empty: consoles from 2.x to 5.x leave out, null or retype
//! nearly every field, and one odd field must not cost the alert.

pub mod date;
pub mod element;
pub mod intelligence;
pub mod lenient;

mod agent;
mod binary;
mod context;
mod evidence;
mod identity;
mod process;
mod sighting;
mod threat;

use chrono::{DateTime, Utc};

pub use self::{
    agent::{Agent, Group},
    binary::Binary,
    context::{
        AntivirusDetection, CorrelatedEvent, Correlation, EventLog, EventLogUser, FirewallFilter,
        StatusChange,
    },
    evidence::{
        Connection, Direction, DnsResolution, Driver, FileEvidence, Hashes, IocMatch, MatchedRule,
        RegistryChange, RemoteLogon, UrlRequest, User,
    },
    identity::IncidentIdentity,
    process::{ParentProcess, Process},
    sighting::{MergedSightings, SeenIndicator, Sighted},
    threat::{Threat, ThreatAgent, ThreatNote, ThreatRule, ThreatUser},
};

/// One security event ("alert") of a HarfangLab console.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alert {
    /// `alert_unique_id` (UUID text); absent from ECS pushes.
    pub unique_id: Option<String>,
    /// `id`: the console's document id, the one its web pages use; absent from every push.
    pub api_id: Option<String>,
    /// `alert_type` in lower case (`sigma`, `yara`, `ioc`, `hurukaiav`, …); empty when unknown.
    pub alert_type: String,
    /// `alert_subtype` in lower case.
    pub alert_subtype: Option<String>,
    /// `status` in lower case: `new`, `investigating`, `probable_false_positive`,
    /// `false_positive` or `closed`.
    pub status: Option<String>,
    /// `level` in lower case: `informational`, `low`, `medium`, `high` or `critical`.
    pub level: Option<String>,
    /// `confidence` in lower case: `weak`, `moderate` or `strong`.
    pub confidence: Option<String>,
    /// `maturity` of the rule in lower case: `stable`, `testing` or `experimental`.
    pub maturity: Option<String>,
    /// `threat_key` as text (integer before 4.9, UUID since); `None` when the alert has no threat.
    pub threat_key: Option<String>,
    /// `rule_id`.
    pub rule_id: Option<String>,
    /// `rule_name`; for ECS `hlab.detection.title`.
    pub rule_name: Option<String>,
    /// YAML text of the Sigma or correlation rule, when the alert carries it.
    pub rule_content: Option<String>,
    /// `msg`; for ECS `message`.
    pub message: Option<String>,
    /// `alert_time`; absent from ECS pushes.
    pub alert_time: Option<DateTime<Utc>>,
    /// `detection_date`, else `detection_timestamp`; for ECS `event.created`.
    pub detection_time: Option<DateTime<Utc>>,
    /// `@event_create_date`, for ECS `event.start`: when the event happened on the host.
    pub event_time: Option<DateTime<Utc>>,
    /// `@timestamp`.
    pub timestamp: Option<DateTime<Utc>>,
    /// `last_update` (REST items only).
    pub last_update: Option<DateTime<Utc>>,
    /// The agent, with empty fields when the alert has none.
    pub agent: Agent,
    /// The process the alert is about.
    pub process: Option<Process>,
    /// Users named by sessions and event logs, without the process's own user.
    pub users: Vec<User>,
    /// Files other than the process image: target files, libraries, scripts, scanned files.
    pub files: Vec<FileEvidence>,
    /// The loaded driver.
    pub driver: Option<Driver>,
    /// Registry changes.
    pub registry: Vec<RegistryChange>,
    /// Network connections.
    pub connections: Vec<Connection>,
    /// DNS resolutions.
    pub dns: Vec<DnsResolution>,
    /// URL requests.
    pub urls: Vec<UrlRequest>,
    /// Origin of a remote session.
    pub remote_logon: Option<RemoteLogon>,
    /// `ioc_matches[]` of any block.
    pub ioc_matches: Vec<IocMatch>,
    /// `matched_rules[]` of a binary YARA alert.
    pub matched_rules: Vec<MatchedRule>,
    /// `tags[]` as written (`attack.t1059.001`, `attack.discovery`, `classification.…`).
    pub tags: Vec<String>,
    /// `mitre_cells[]` as written (`persistence__t1547.001`).
    pub mitre_cells: Vec<String>,
    /// `references[]` of the rule.
    pub references: Vec<String>,
    /// `groups[]` of the agent, from wherever the alert names them.
    pub groups: Vec<Group>,
    /// `detection.file_hashes`: hashes of the file that was detected.
    pub detection_hashes: Hashes,
    /// `detection.file_path`: the file that was detected.
    pub detection_path: Option<String>,
    /// `execution`: above zero when the agent blocked the execution.
    pub execution: Option<i64>,
    /// `quarantine`: 0 unknown, 1 success, 2 failed, 3 not possible, 4 no action, 5 delayed.
    pub quarantine: Option<i64>,
    /// `threat_values[]`.
    pub threat_values: Vec<String>,
    /// `tenant` of the console, for ECS `organization.id`.
    pub tenant: Option<String>,
    /// `details_powershell.PowershellCommand`: the text of the script that ran.
    pub powershell_command: Option<String>,
    /// The entry of the event log that the rule matched.
    pub event_log: Option<EventLog>,
    /// Events that a correlation rule put together.
    pub correlation: Option<Correlation>,
    /// The firewall filter that would have cut the agent off.
    pub firewall_filter: Option<FirewallFilter>,
    /// Name that the agent's antivirus gives its find.
    pub antivirus: Option<AntivirusDetection>,
    /// `status_history[]`, in the order in which the console gives it.
    pub status_history: Vec<StatusChange>,
    /// Dates that were present but could not be read, as `field: text`.
    pub unreadable_dates: Vec<String>,
}
