//! The fake platform's state: connectors, works, pushes, drafts, users, requests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Knowledge;

/// The fake's state at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) connectors: BTreeMap<String, FakeConnector>,
    /// In the order in which they were opened; deleted ones stay, marked.
    pub(crate) works: Vec<FakeWork>,
    /// Time at which the errors of works are said to have come; `None`: long ago.
    pub(super) errors_at: Option<String>,
    /// Every request that the schema allows, whatever became of it.
    pub(crate) requests: Vec<FakeRequest>,
    /// Number of requests that the schema does not allow.
    pub(crate) refused: usize,
    /// Number of requests that met an outage.
    pub(crate) turned_away: usize,
    /// The version that `about` answers, where it differs from the personality's.
    pub(crate) claimed_version: Option<String>,
    /// As the platform's worker imported it.
    pub(crate) knowledge: Knowledge,
    /// The token's user has no right to read works.
    pub(super) may_not_read_works: bool,
    /// The workflow of incidents: id and name of each status, in their order.
    pub(crate) incident_statuses: Vec<(String, String)>,
    pub(super) outage: Option<Outage>,
    /// Requests are taken and not answered for now.
    pub(super) is_silent: bool,
    /// Bundles given to the API.
    pub(crate) pushes: Vec<FakePush>,
    pub(crate) drafts: Vec<FakeDraft>,
    pub(crate) users: Vec<FakeUser>,
    pub(super) tokens_made: usize,
    /// The S3 server that registration tells of.
    pub(super) s3: Value,
    pub(super) max_body_bytes: Option<usize>,
    pub(super) token: String,
    pub(super) faults: Vec<Fault>,
    /// The operation that is not answered at the moment.
    pub(super) held: Option<String>,
    /// Connector ids that were registered with `enrichment_resolution`.
    pub(super) resolving: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct FakeConnector {
    pub(crate) name: String,
    /// The newest registration's input.
    pub(crate) input: Value,
    pub(crate) registrations: usize,
    pub(crate) state: Option<String>,
    pub(crate) pings: usize,
    /// The newest ping's `connectorInfo`.
    pub(crate) info: Value,
    pub(super) is_reset: bool,
    pub(super) queue_bytes: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeWork {
    pub(crate) id: String,
    pub(crate) connector_id: String,
    pub(crate) name: String,
    pub(crate) is_multi_part: bool,
    pub(crate) expected: i64,
    /// Message and `inError` of `toProcessed`.
    pub(crate) closed: Option<(String, bool)>,
    pub(crate) is_deleted: bool,
    pub(crate) errors: Vec<FakeWorkError>,
    pub(crate) is_complete: bool,
    /// Objects that the worker imported or refused.
    pub(super) processed: i64,
    /// The draft that its objects go to.
    pub(crate) draft: Option<String>,
}

impl FakeWork {
    pub(super) fn new(id: &str, connector_id: &str, name: String) -> Self {
        Self {
            id: id.to_owned(),
            connector_id: connector_id.to_owned(),
            name,
            is_multi_part: false,
            expected: 0,
            closed: None,
            is_deleted: false,
            errors: Vec::new(),
            is_complete: false,
            processed: 0,
            draft: None,
        }
    }
}

impl FakeWork {
    /// Every object that was announced is imported or refused.
    pub(super) fn complete(&mut self) {
        self.processed = self.processed.max(self.expected);
        self.is_complete = true;
    }
}

/// An error that the worker reported of an object.
#[derive(Debug, Clone)]
pub(crate) struct FakeWorkError {
    pub(super) message: String,
    pub(crate) source: String,
}

/// A bundle that was given to the API.
#[derive(Debug, Clone)]
pub(crate) struct FakePush {
    pub(crate) bundle: Value,
    pub(crate) work_id: String,
}

/// A user whom an administrator made.
#[derive(Debug, Clone)]
pub(crate) struct FakeUser {
    pub(crate) id: String,
    pub(crate) email: String,
    /// The input with which the user was made.
    pub(crate) input: Value,
    /// Id, name and text of each token.
    pub(crate) tokens: Vec<(String, String, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeDraft {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) is_deleted: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct FakeRequest {
    pub(crate) operation: String,
    pub(crate) variables: Value,
    pub(crate) user_agent: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

/// An operation that is to fail.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) operation: String,
    pub(super) code: String,
    pub(super) message: String,
}

/// The answer in place of the platform.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static str,
}

impl Outage {
    /// The page that a proxy shows during an upgrade.
    pub(crate) const MAINTENANCE: Self = Self {
        status: 503,
        content_type: "text/html",
        body: "<html><body>Maintenance</body></html>",
    };
}
