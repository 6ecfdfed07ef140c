//! Objects that join others: relationships and sightings.

use serde::Serialize;

use super::{ExternalReference, Object};
use crate::stix::{
    id,
    time::{Timestamp, timestamp},
};

/// `relationship`, without start and stop: OpenCTI keeps those as part of its identity, and an
/// alert's relationships have no end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relationship {
    /// `targets`, `uses`, `indicates`, `based-on`, `related-to` or `resolves-to`.
    pub relationship_type: &'static str,
    /// Id of the source.
    pub source_ref: String,
    /// Id of the target.
    pub target_ref: String,
    /// Its meaning, where the type does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Creation date.
    pub created: Timestamp,
    /// Date of the last change.
    pub modified: Timestamp,
}

impl Object for Relationship {
    const TYPE: &'static str = "relationship";

    fn id(&self) -> String {
        id::relationship(self.relationship_type, &self.source_ref, &self.target_ref, None, None)
    }
}

/// `sighting` of an indicator in exactly one place: the platform makes one sighting per place, all
/// with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sighting {
    /// Id of the indicator.
    pub sighting_of_ref: String,
    /// Id of the system or author that saw it.
    pub where_sighted_refs: [String; 1],
    /// Always 1: the platform adds counts up when it merges sightings.
    pub count: u8,
    /// The time at which the alert was raised.
    pub first_seen: Timestamp,
    /// Not before `first_seen`.
    pub last_seen: Timestamp,
    /// Creation date.
    pub created: Timestamp,
    /// Date of the last change.
    pub modified: Timestamp,
    /// True where what was seen turned out to be harmless. Always sent: OpenCTI 7 takes a missing one
    /// for false when it merges sightings, and 6.x never changes it by bundle.
    pub x_opencti_negative: bool,
    /// Links.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_references: Vec<ExternalReference>,
}

impl Object for Sighting {
    const TYPE: &'static str = "sighting";

    fn id(&self) -> String {
        id::sighting(
            &self.sighting_of_ref,
            &self.where_sighted_refs,
            Some(&timestamp(self.first_seen.0)),
            Some(&timestamp(self.last_seen.0)),
        )
    }
}
