//! Drafts: what is imported into one stays there until somebody approves it in OpenCTI.
//!
//! Every platform from 6.4 on has drafts and workers that import into them. Older connectors also
//! knew the workbench, a file that somebody opens and imports by hand; a draft says the same, shows
//! more, and exists wherever we deliver to, so the workbench is not used.
//!
//! Does not live here: which deliveries get one (`queue`).

use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

use super::{
    client::OpenCti,
    error::OpenCtiError,
    operations::{DRAFT_WORKSPACE_ADD, DRAFT_WORKSPACE_DELETE, WORK_ADD_DRAFT_CONTEXT},
    platform::Feature,
    work::WorkId,
};

/// A draft's id, as the platform made it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DraftId(String);

impl DraftId {
    /// The id as text, for messages.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
struct Added {
    #[serde(rename = "draftWorkspaceAdd")]
    draft: Draft,
}

#[derive(Deserialize)]
struct Draft {
    id: DraftId,
}

impl OpenCti {
    /// Makes a draft under the name that analysts read, and tells the work of it where the
    /// platform can be told. To be called last before anything is published: a draft into which
    /// nothing comes is one too many.
    pub async fn open_draft(&self, name: &str, work: &WorkId) -> Result<DraftId, OpenCtiError> {
        let variables = json!({"input": {"name": name, "entity_id": null}});
        let draft = self.call::<Added>(&DRAFT_WORKSPACE_ADD, variables).await?.draft.id;
        if self.has(Feature::DraftContext) {
            let variables = json!({"id": work.as_str(), "draftContext": draft.as_str()});
            match self.call::<IgnoredAny>(&WORK_ADD_DRAFT_CONTEXT, variables).await {
                Err(error) if error.names_unknown_field() => self.refuse(Feature::DraftContext),
                Err(error) => {
                    self.discard_draft(&draft).await;
                    return Err(error);
                }
                Ok(_told) => {}
            }
        }
        Ok(draft)
    }

    /// Deletes a draft into which nothing came. One that stays, since the platform does not do it or
    /// fails, is told: a person can.
    pub(super) async fn discard_draft(&self, draft: &DraftId) {
        let why = if self.has(Feature::DraftDelete) {
            let variables = json!({"id": draft.as_str()});
            match self.call::<IgnoredAny>(&DRAFT_WORKSPACE_DELETE, variables).await {
                Ok(_deleted) => return,
                Err(error) => {
                    if error.names_unknown_field() {
                        self.refuse(Feature::DraftDelete);
                    }
                    error.to_string()
                }
            }
        } else {
            "this version of OpenCTI is not known to delete drafts for connectors".to_owned()
        };
        tracing::warn!(
            draft_id = draft.as_str(),
            why,
            "nothing was sent to a draft, and it stays in OpenCTI: delete it there"
        );
    }
}
