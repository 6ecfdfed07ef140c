//! The GraphQL operations we send, each a file beside this one. They are valid on every platform
//! from 6.4.0 on, except where [`Operation::feature`] says otherwise.
//!
//! Does not live here: their variables and answers (`registration`, `heartbeat`, `work`, `workflow`,
//! `draft`, `api`).

use super::platform::Feature;

/// A GraphQL document with its one operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The operation's name, for logs and errors.
    pub name: &'static str,
    /// The document.
    pub document: &'static str,
    /// The feature that the platform must have for it to be valid; `None`: nothing beyond 6.4.0.
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
pub(super) const REGISTER_CONNECTOR_S3: Operation =
    operation!("RegisterConnectorS3", "register_connector_s3", Some(Feature::S3Connection));
pub(super) const STIX_BUNDLE_PUSH: Operation =
    operation!("StixBundlePush", "stix_bundle_push", None);
pub(super) const STIX_BUNDLE_PUSH_WORK: Operation =
    operation!("StixBundlePushWork", "stix_bundle_push_work", Some(Feature::BundlePushWork));
pub(super) const DRAFT_WORKSPACE_ADD: Operation =
    operation!("DraftWorkspaceAdd", "draft_workspace_add", None);
pub(super) const DRAFT_WORKSPACE_DELETE: Operation =
    operation!("DraftWorkspaceDelete", "draft_workspace_delete", Some(Feature::DraftDelete));
pub(super) const WORK_ADD_DRAFT_CONTEXT: Operation =
    operation!("WorkAddDraftContext", "work_add_draft_context", Some(Feature::DraftContext));
pub(super) const FIND_GROUP: Operation = operation!("FindGroup", "find_group", None);
pub(super) const FIND_USER: Operation =
    operation!("FindUser", "find_user", Some(Feature::ManyTokens));
pub(super) const FIND_USER_ONE_TOKEN: Operation =
    operation!("FindUserOneToken", "find_user_one_token", None);
pub(super) const USER_ADD: Operation = operation!("UserAdd", "user_add", None);
pub(super) const USER_TOKEN_ADD: Operation =
    operation!("UserTokenAdd", "user_token_add", Some(Feature::ManyTokens));
pub(super) const USER_TOKEN_REVOKE: Operation =
    operation!("UserTokenRevoke", "user_token_revoke", Some(Feature::ManyTokens));

/// Operations that need an administrator's token (`service_account`); sent to platforms from 6.9 on.
pub const ADMINISTRATION: &[Operation] =
    &[FIND_GROUP, FIND_USER, FIND_USER_ONE_TOKEN, USER_ADD, USER_TOKEN_ADD, USER_TOKEN_REVOKE];

/// Every operation we send as a connector.
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
    REGISTER_CONNECTOR_S3,
    STIX_BUNDLE_PUSH,
    STIX_BUNDLE_PUSH_WORK,
    DRAFT_WORKSPACE_ADD,
    DRAFT_WORKSPACE_DELETE,
    WORK_ADD_DRAFT_CONTEXT,
];
