//! Indicators: the rules that raise alerts.

use serde::Serialize;

use super::{KillChainPhase, Object};
use crate::stix::{id, time::Timestamp};

/// The language of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PatternType {
    /// STIX patterning.
    Stix,
    /// A Sigma rule in YAML.
    Sigma,
    /// A file of YARA rules.
    Yara,
}

/// `indicator`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Indicator {
    /// Name, two characters or more.
    pub name: String,
    /// Description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Always `malicious-activity` here.
    pub indicator_types: Vec<&'static str>,
    /// Pattern, trimmed: it makes the id.
    pub pattern: String,
    /// Its language.
    pub pattern_type: PatternType,
    /// Creation date of the rule.
    pub created: Timestamp,
    /// Date of the rule's last change.
    pub modified: Timestamp,
    /// Since when the rule holds.
    pub valid_from: Timestamp,
    /// Phases of ATT&CK.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kill_chain_phases: Vec<KillChainPhase>,
    /// 0–100, a number: the platform refuses a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_score: Option<u8>,
    /// It detects: always true here.
    pub x_opencti_detection: bool,
    /// The platform's name of the type of observable the pattern is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_main_observable_type: Option<&'static str>,
    /// References of the rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<super::ExternalReference>,
}

impl Object for Indicator {
    const TYPE: &'static str = "indicator";

    fn id(&self) -> String {
        id::indicator(&self.pattern)
    }
}
