//! The workflow statuses that incidents can have in OpenCTI, and which of them the operator means.
//!
//! OpenCTI gives incidents no workflow until an administrator adds statuses, and ignores an id that
//! is none of theirs without a word. So the operator's map is held against them before it is used.
//! A status is told from a status template: the same template can stand in the workflows of several
//! types, each time as a status of its own, and a template's id is ignored like an unknown one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{OpenCti, OpenCtiError, operations::INCIDENT_STATUSES};

/// One status of the workflow of incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowStatus {
    /// The value for `x_opencti_workflow_id`.
    pub id: String,
    /// Place in the workflow.
    pub order: i64,
    /// The name of its template, as OpenCTI shows it.
    pub name: String,
}

/// The operator's map, held against the workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvedWorkflow {
    /// HarfangLab status → id of the workflow status.
    pub ids: BTreeMap<String, String>,
    /// The statuses that cannot be sent, in words that tell what there is; `None` when all is well.
    pub complaint: Option<String>,
}

impl OpenCti {
    /// The statuses that incidents can have, in their order; none while no administrator has added
    /// any.
    ///
    /// # Errors
    /// [`OpenCtiError`]; also when the platform does not know the question.
    pub async fn incident_statuses(&self) -> Result<Vec<WorkflowStatus>, OpenCtiError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            sub_type: Option<SubType>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct SubType {
            workflow_enabled: Option<bool>,
            statuses: Option<Vec<Status>>,
        }
        #[derive(Deserialize)]
        struct Status {
            id: String,
            order: Option<i64>,
            template: Option<Template>,
        }
        #[derive(Deserialize)]
        struct Template {
            name: Option<String>,
        }
        let data: Data = self.call(&INCIDENT_STATUSES, json!({})).await?;
        let enabled = data.sub_type.filter(|it| it.workflow_enabled != Some(false));
        let statuses = enabled.and_then(|it| it.statuses).unwrap_or_default();
        let mut statuses: Vec<WorkflowStatus> = statuses
            .into_iter()
            .map(|status| WorkflowStatus {
                name: status.template.and_then(|it| it.name).unwrap_or_default(),
                order: status.order.unwrap_or_default(),
                id: status.id,
            })
            .collect();
        statuses.sort_by(|left, right| (left.order, &left.name).cmp(&(right.order, &right.name)));
        Ok(statuses)
    }
}

/// Finds the statuses that the operator means by id, or by name in any letter case.
pub fn resolve_workflow(
    wanted: &BTreeMap<String, String>,
    statuses: &[WorkflowStatus],
) -> ResolvedWorkflow {
    let mut resolved = ResolvedWorkflow::default();
    let mut unknown = Vec::new();
    for (status, meant) in wanted {
        let by_name = |it: &&WorkflowStatus| it.name.to_lowercase() == meant.to_lowercase();
        let found = statuses
            .iter()
            .find(|it| it.id.eq_ignore_ascii_case(meant))
            .or_else(|| statuses.iter().find(by_name));
        match found {
            Some(found) => {
                resolved.ids.insert(status.clone(), found.id.clone());
            }
            None => unknown.push(format!("{status}={meant}")),
        }
    }
    if !unknown.is_empty() {
        resolved.complaint = Some(complaint(&unknown, statuses));
    }
    resolved
}

fn complaint(unknown: &[String], statuses: &[WorkflowStatus]) -> String {
    let unknown = unknown.join(", ");
    if statuses.is_empty() {
        return format!(
            "incidents have no workflow in OpenCTI, so {unknown} cannot be set: add statuses in \
             Settings > Customization > Entity types > Incident, or clear \
             HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES"
        );
    }
    let valid: Vec<String> =
        statuses.iter().map(|status| format!("{} ({})", status.name, status.id)).collect();
    format!(
        "{unknown} is no status of OpenCTI's workflow of incidents and is not sent; \
         HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES can name: {}",
        valid.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
    }

    fn statuses() -> Vec<WorkflowStatus> {
        [("11aa", 1, "NEW"), ("22bb", 2, "Closed")]
            .map(|(id, order, name)| WorkflowStatus { id: id.into(), order, name: name.into() })
            .to_vec()
    }

    #[test]
    fn a_status_is_found_by_id_and_by_name_and_the_others_are_told_with_what_there_is() {
        let wanted = wanted(&[("new", "new"), ("closed", "22BB"), ("investigating", "Triage")]);
        let resolved = resolve_workflow(&wanted, &statuses());
        let ids: Vec<_> =
            resolved.ids.iter().map(|(one, id)| (one.as_str(), id.as_str())).collect();
        assert_eq!(ids, [("closed", "22bb"), ("new", "11aa")]);
        let complaint = resolved.complaint.unwrap();
        for word in ["investigating=Triage", "NEW (11aa)", "Closed (22bb)"] {
            assert!(complaint.contains(word), "{complaint}");
        }
    }

    #[test]
    fn incidents_without_a_workflow_are_told_with_where_to_add_one() {
        let resolved = resolve_workflow(&wanted(&[("new", "NEW")]), &[]);
        assert!(resolved.ids.is_empty());
        assert!(resolved.complaint.unwrap().contains("Settings > Customization"));
        assert_eq!(resolve_workflow(&BTreeMap::new(), &[]), ResolvedWorkflow::default());
    }
}
