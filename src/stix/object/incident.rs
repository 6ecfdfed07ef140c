//! Incidents: one per alert.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{ExternalReference, Object};
use crate::stix::{
    id,
    time::{Timestamp, isoformat},
};

/// `incident`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// Name, two characters or more.
    pub name: String,
    /// Creation date: with the name it makes the id.
    pub created: Timestamp,
    /// Date of the last change.
    pub modified: Timestamp,
    /// Always sent: the platform replaces a missing one by 1970.
    pub first_seen: Timestamp,
    /// Always sent, not before `first_seen`.
    pub last_seen: Timestamp,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<&'static str>,
    /// `alert` or `ransomware`.
    pub incident_type: &'static str,
    /// Name of the connector.
    pub source: String,
    /// Description in Markdown.
    pub description: String,
    /// Labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Id of the workflow status; not sent: the platform leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_workflow_id: Option<String>,
    /// Score, 0–100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_opencti_score: Option<u8>,
    /// Links.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
    /// Properties by their names, each beginning with `x_`.
    #[serde(flatten)]
    pub custom: Map<String, Value>,
}

impl Object for Incident {
    const TYPE: &'static str = "incident";

    fn id(&self) -> String {
        id::incident(&self.name, &isoformat(&self.created.0))
    }
}
