//! Works: what an analyst sees of a delivery in OpenCTI, with how many objects were expected and
//! how many are imported.
//!
//! Does not live here: when a work is opened and closed (`works`, and the sinks).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{
    client::OpenCti,
    error::OpenCtiError,
    operations::{
        WORK_ADD, WORK_ADD_EXPECTATIONS, WORK_ADD_MULTI_PART, WORK_DELETE, WORK_TO_PROCESSED,
    },
    platform::Feature,
};

/// A work's id, as the platform made it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct WorkId(String);

impl WorkId {
    /// An id that was remembered as text.
    pub fn remembered(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text, for messages.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Stands in the message of every work that is closed in error by us, so that it is not taken for
/// something that OpenCTI refused.
pub const CONTINUED: &str = "comes in another work";

/// The end of a work, on our side of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkOutcome {
    /// Everything was published.
    Published,
    /// Something could not be published; it will come in another work.
    Interrupted,
}

impl WorkOutcome {
    /// Returns the end of a work that is closed later, with the message that was meant for it then.
    pub fn told_by(message: &str) -> Self {
        if message.contains(CONTINUED) { Self::Interrupted } else { Self::Published }
    }
}

#[derive(Deserialize)]
struct Added {
    #[serde(rename = "workAdd")]
    work: Work,
}

#[derive(Deserialize)]
struct Work {
    id: WorkId,
}

impl OpenCti {
    /// Opens a work under the name that analysts read. Where the platform knows works of many
    /// parts it is one, which completes only after [`OpenCti::close_work`].
    pub async fn open_work(&self, connector_id: &str, name: &str) -> Result<WorkId, OpenCtiError> {
        let opened = self.add_work(connector_id, name).await;
        opened.inspect(|_work| count("opened"))
    }

    async fn add_work(&self, connector_id: &str, name: &str) -> Result<WorkId, OpenCtiError> {
        let variables = json!({"connectorId": connector_id, "friendlyName": name});
        if self.has(Feature::MultiPartWork) {
            let mut variables = variables.clone();
            variables["isMultiPartWork"] = json!(true);
            match self.call::<Added>(&WORK_ADD_MULTI_PART, variables).await {
                Err(error) if error.names_unknown_field() => self.refuse(Feature::MultiPartWork),
                answer => return Ok(answer?.work.id),
            }
        }
        Ok(self.call::<Added>(&WORK_ADD, variables).await?.work.id)
    }

    /// Tells how many more objects the work will bring. To be called before they are published:
    /// the worker may be faster.
    pub async fn expect_objects(&self, work: &WorkId, objects: usize) -> Result<(), OpenCtiError> {
        let objects = i64::try_from(objects).unwrap_or(i64::MAX);
        self.expect(work, objects).await
    }

    /// Takes back the announcement of so many objects, which never come: the platform adds to what it
    /// expects whatever it is told. A work completes at its closing if nothing more is expected then.
    pub async fn expect_fewer_objects(
        &self,
        work: &WorkId,
        objects: usize,
    ) -> Result<(), OpenCtiError> {
        let objects = i64::try_from(objects).unwrap_or(i64::MAX);
        self.expect(work, -objects).await
    }

    async fn expect(&self, work: &WorkId, objects: i64) -> Result<(), OpenCtiError> {
        let variables = json!({"id": work.as_str(), "expectations": objects});
        self.call::<IgnoredAny>(&WORK_ADD_EXPECTATIONS, variables).await.map(drop)
    }

    /// Closes a work with a message for analysts.
    pub async fn close_work(
        &self,
        work: &WorkId,
        message: &str,
        outcome: WorkOutcome,
    ) -> Result<(), OpenCtiError> {
        let in_error = outcome == WorkOutcome::Interrupted;
        let variables = json!({"id": work.as_str(), "message": message, "inError": in_error});
        self.call::<IgnoredAny>(&WORK_TO_PROCESSED, variables).await?;
        count(if in_error { "interrupted" } else { "closed" });
        Ok(())
    }

    /// Deletes a work that brought nothing. Objects of it that are still queued would be dropped.
    pub async fn delete_work(&self, work: &WorkId) -> Result<(), OpenCtiError> {
        self.call::<IgnoredAny>(&WORK_DELETE, json!({"id": work.as_str()})).await?;
        count("deleted");
        Ok(())
    }
}

fn count(action: &'static str) {
    metrics::counter!("works_total", "action" => action).increment(1);
}
