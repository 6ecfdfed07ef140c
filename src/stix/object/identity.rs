//! Identities: the author of everything we send, and the systems alerts come from.

use serde::Serialize;

use super::Object;
use crate::stix::{id, time::Timestamp};

/// The class of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityClass {
    /// The author.
    Organization,
    /// A host.
    System,
}

impl IdentityClass {
    fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::System => "system",
        }
    }
}

/// `identity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Name; the platform folds its case.
    pub name: String,
    /// Its class.
    pub identity_class: IdentityClass,
    /// Description in Markdown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Creation date.
    pub created: Timestamp,
    /// Date of the last change.
    pub modified: Timestamp,
}

impl Object for Identity {
    const TYPE: &'static str = "identity";

    fn id(&self) -> String {
        id::identity(&self.name, self.identity_class.name())
    }
}
