//! Cases and their notes: one case per threat.

use serde::Serialize;

use super::{ExternalReference, Object};
use crate::stix::{
    id,
    time::{Timestamp, isoformat},
};

/// `case-incident`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseIncident {
    /// Name, two characters or more.
    pub name: String,
    /// Creation date: with the name it makes the id.
    pub created: Timestamp,
    /// Date of the last change.
    pub modified: Timestamp,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<&'static str>,
    /// `P1` to `P4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<&'static str>,
    /// `ransomware`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_types: Vec<&'static str>,
    /// Description in Markdown.
    pub description: String,
    /// Links.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
    /// The objects of the case. The platform only ever adds to them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub object_refs: Vec<String>,
}

impl Object for CaseIncident {
    const TYPE: &'static str = "case-incident";

    fn id(&self) -> String {
        id::case_incident(&self.name, &isoformat(&self.created.0))
    }
}

/// `note`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Title.
    #[serde(rename = "abstract")]
    pub title: String,
    /// Content, two characters or more.
    pub content: String,
    /// Creation date.
    pub created: Timestamp,
    /// Date of the last change.
    pub modified: Timestamp,
    /// The objects of the note.
    pub object_refs: Vec<String>,
    /// Links.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
}

impl Object for Note {
    const TYPE: &'static str = "note";

    fn id(&self) -> String {
        id::note(Some(&isoformat(&self.created.0)), &self.content, Some(&self.title))
    }
}
