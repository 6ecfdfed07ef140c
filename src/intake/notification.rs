//! A verified notification: what the journal takes, and nothing else.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{
    Origin,
    dialect::{self, Dialect, Shape},
    verification::Proof,
};

/// Longest time by which a console's clock may be ahead of ours for its dates to be believed.
const CLOCK_SKEW_MAX: TimeDelta = TimeDelta::days(1);

/// Returns whether a console can mean this date, shown at `now`: one that lies far ahead would make everything
/// that follows look old.
pub fn is_believed(date: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    date <= now + CLOCK_SKEW_MAX
}

/// The destination of a notification in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It is to be imported.
    Pending(Dialect),
    /// It was verified but cannot be imported: kept with its text and the reason.
    DeadLetter(String),
}

/// A notification that passed verification. Its fields can be read by all and set by nobody: it is
/// made from a [`Proof`], which the verifier alone gives.
#[derive(Debug, Clone)]
pub struct Notification {
    origin: Origin,
    place: Place,
    key: String,
    version: String,
    body: Arc<str>,
    received_at: DateTime<Utc>,
    happened_at: DateTime<Utc>,
    updated_at: Option<DateTime<Utc>>,
    agent_id: Option<String>,
    title: Option<String>,
    threat_key: Option<String>,
    shape: Option<String>,
}

impl Notification {
    /// A notification of a known dialect; `body` is the element's own text, `element`
    /// what is used of it.
    pub fn of_dialect(
        proof: &Proof,
        dialect: Dialect,
        element: &Value,
        body: impl Into<Arc<str>>,
    ) -> Self {
        let received_at = proof.received_at();
        let mut notification = Self {
            origin: proof.origin(),
            place: Place::Pending(dialect),
            key: String::new(),
            version: String::new(),
            body: body.into(),
            received_at,
            happened_at: received_at,
            updated_at: None,
            agent_id: None,
            title: None,
            threat_key: None,
            shape: None,
        };
        match dialect {
            Dialect::NativeThreat => {
                let threat = dialect::read_threat(element);
                notification.key = dialect::key_of_threat(&notification.body, &threat);
                notification.version = dialect::version_of_threat(&threat);
                notification.updated_at = threat.last_update;
                notification.threat_key = Some(threat.id);
                notification.happened_at = threat.creation_date.unwrap_or(received_at);
            }
            Dialect::NativeAlert | Dialect::EcsAlert => {
                let alert = dialect::read_alert(dialect, element);
                notification.key = dialect::key(dialect, element, &notification.body, &alert);
                notification.version = dialect::version(&alert);
                notification.updated_at = dialect::updated_at(&alert);
                notification.happened_at =
                    alert.alert_time.or(alert.timestamp).unwrap_or(received_at);
                notification.agent_id = alert.agent.id;
                notification.title = alert.rule_name;
                notification.threat_key = alert.threat_key;
            }
        }
        notification.updated_at =
            notification.updated_at.filter(|date| is_believed(*date, received_at));
        notification
    }

    /// Makes a dead letter from the start, of what was verified but is of no use as it is.
    pub fn dead_letter(proof: &Proof, body: impl Into<Arc<str>>, reason: String) -> Self {
        let body = body.into();
        Self {
            origin: proof.origin(),
            place: Place::DeadLetter(reason),
            key: dialect::key_of_text(&body),
            version: String::new(),
            body,
            received_at: proof.received_at(),
            happened_at: proof.received_at(),
            updated_at: None,
            agent_id: None,
            title: None,
            threat_key: None,
            shape: None,
        }
    }

    /// A dead letter that stands for all of its unknown kind.
    pub fn sample(proof: &Proof, body: impl Into<Arc<str>>, shape: &Shape) -> Self {
        let reason = format!("of an unknown kind, one of a sample: {}", shape.words());
        let shape = Some(shape.digest().to_owned());
        Self { shape, ..Self::dead_letter(proof, body, reason) }
    }

    /// Returns the way by which it came.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns its destination.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns what identifies the alert or threat: `alert_unique_id`, a content key, or `threat:<id>`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its version: status, level and threat, the same whatever dialect brought it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The element's own text, unchanged.
    pub fn body(&self) -> &Arc<str> {
        &self.body
    }

    /// Returns the time at which it was received.
    pub fn received_at(&self) -> DateTime<Utc> {
        self.received_at
    }

    /// Returns the time at which the alert was raised, as far as it says.
    pub fn happened_at(&self) -> DateTime<Utc> {
        self.happened_at
    }

    /// Returns the time of its last change on the console, as far as it says.
    pub fn updated_at(&self) -> Option<DateTime<Utc>> {
        self.updated_at
    }

    /// The agent, by which an ECS event finds its alert.
    pub fn agent_id(&self) -> Option<&str> {
        self.agent_id.as_deref()
    }

    /// The rule, by which an ECS event finds its alert.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// For a sample of an unknown kind: the digest of its shape.
    pub fn shape(&self) -> Option<&str> {
        self.shape.as_deref()
    }

    /// The threat it belongs to.
    pub fn threat_key(&self) -> Option<&str> {
        self.threat_key.as_deref()
    }
}
