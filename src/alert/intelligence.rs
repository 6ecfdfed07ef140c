//! Holds what is known of the rule that raised an alert: from the alert itself, or asked of the console.

use chrono::{DateTime, Utc};

/// The rule behind an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intelligence {
    /// An indicator of compromise.
    Ioc(IocRule),
    /// A Sigma rule (also a correlation rule whose content is such YAML).
    Sigma(SigmaRule),
    /// A YARA file.
    Yara(YaraFile),
}

/// `IOCRule` of the console, or one of an alert's `ioc_matches`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IocRule {
    /// `type`: `hash`, `filename`, `filepath`, `ip_src`, `ip_dst`, `ip_both`, `domain_name`, `url`.
    pub kind: String,
    /// `value`.
    pub value: String,
    /// `port` of an address IOC.
    pub port: Option<u16>,
    /// `description`, else `comment`.
    pub description: Option<String>,
    /// `creation_date`.
    pub created: Option<DateTime<Utc>>,
    /// `last_update`.
    pub modified: Option<DateTime<Utc>>,
}

/// `SigmaRule` of the console, or the rule text an alert carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigmaRule {
    /// `rule_name`, else `name`.
    pub name: String,
    /// YAML text.
    pub content: String,
    /// `rule_technique_tags[]`.
    pub technique_tags: Vec<String>,
    /// `references[]`.
    pub references: Vec<String>,
    /// `creation_date`.
    pub created: Option<DateTime<Utc>>,
    /// `last_update`.
    pub modified: Option<DateTime<Utc>>,
}

/// `YaraFile` of the console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct YaraFile {
    /// `name`.
    pub name: String,
    /// Text of the file.
    pub content: String,
    /// `rule_technique_tags[]`.
    pub technique_tags: Vec<String>,
    /// `creation_date`.
    pub created: Option<DateTime<Utc>>,
    /// `last_update`.
    pub modified: Option<DateTime<Utc>>,
}
