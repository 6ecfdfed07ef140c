//! The GraphQL operations we send, each a file beside this one. They are valid on every platform
//! from 6.4.0 on, except where [`Operation::feature`] says otherwise.
//!
//! Does not live here: their variables and answers (`registration`, `heartbeat`, `work`, `workflow`).

use super::platform::Feature;

/// A GraphQL document with its one operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The operation's name, for logs and errors.
    pub name: &'static str,
    /// The document.
    pub document: &'static str,
    /// What the platform must have for it to be valid; `None`: nothing beyond 6.4.0.
    pub feature: Option<Feature>,
}

macro_rules! operation {
    ($name:literal, $file:literal, $feature:expr) => {
        Operation {
            name: $name,
            document: include_str!(concat!("operations/", $file, ".graphql")),
            feature: $feature,
        }
    };
}

pub(super) const HEALTH_CHECK: Operation = operation!("HealthCheck", "health_check", None);
pub(super) const REGISTER_CONNECTOR: Operation =
    operation!("RegisterConnector", "register_connector", None);
pub(super) const PING_CONNECTOR: Operation = operation!("PingConnector", "ping_connector", None);
pub(super) const CONNECTOR_QUEUE: Operation = operation!("ConnectorQueue", "connector_queue", None);
pub(super) const WORK_ADD: Operation = operation!("WorkAdd", "work_add", None);
pub(super) const WORK_ADD_MULTI_PART: Operation =
    operation!("WorkAddMultiPart", "work_add_multi_part", Some(Feature::MultiPartWork));
pub(super) const WORK_ADD_EXPECTATIONS: Operation =
    operation!("WorkAddExpectations", "work_add_expectations", None);
pub(super) const WORK_TO_PROCESSED: Operation =
    operation!("WorkToProcessed", "work_to_processed", None);
pub(super) const WORK_DELETE: Operation = operation!("WorkDelete", "work_delete", None);
pub(super) const WORK_ERRORS: Operation = operation!("WorkErrors", "work_errors", None);
pub(super) const INTERNAL_ID: Operation = operation!("InternalId", "internal_id", None);
pub(super) const SIGHTING: Operation = operation!("Sighting", "sighting", None);
pub(super) const SIGHTINGS_BETWEEN: Operation =
    operation!("SightingsBetween", "sightings_between", None);
pub(super) const SIGHTING_NEGATIVE: Operation =
    operation!("SightingNegative", "sighting_negative", None);
pub(super) const INCIDENT_STATUSES: Operation =
    operation!("IncidentStatuses", "incident_statuses", None);

/// Every operation we send.
pub const OPERATIONS: &[Operation] = &[
    HEALTH_CHECK,
    REGISTER_CONNECTOR,
    PING_CONNECTOR,
    CONNECTOR_QUEUE,
    WORK_ADD,
    WORK_ADD_MULTI_PART,
    WORK_ADD_EXPECTATIONS,
    WORK_TO_PROCESSED,
    WORK_DELETE,
    WORK_ERRORS,
    INTERNAL_ID,
    SIGHTING,
    SIGHTINGS_BETWEEN,
    SIGHTING_NEGATIVE,
    INCIDENT_STATUSES,
];
