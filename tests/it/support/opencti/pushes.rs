//! Whole bundles and drafts on the fake platform.

use serde_json::{Value, json};

use super::{FakeDraft, FakePush, FakeWork, Refusal, State};

/// Every kind of bad bundle, and an unknown connector, are refused in the same words.
pub(super) fn push_bundle(state: &mut State, arguments: &Value) -> Result<Value, Refusal> {
    let invalid = || Refusal::new("UNSUPPORTED_ERROR", "Invalid bundle");
    let text = |name: &str| arguments[name].as_str().map(str::to_owned);
    let connector_id = text("connectorId").ok_or_else(invalid)?;
    let bundle: Value = serde_json::from_str(&text("bundle").ok_or_else(invalid)?)
        .map_err(|_not_json| invalid())?;
    let objects = bundle["objects"].as_array().filter(|objects| !objects.is_empty());
    let connector = state.connectors.get(&connector_id).ok_or_else(invalid)?;
    if bundle["type"] != "bundle" || objects.is_none() {
        return Err(invalid());
    }
    let work_id = if let Some(id) = text("work_id") {
        if !state.works.iter().any(|work| work.id == id && !work.is_deleted) {
            return Err(Refusal::new("WORK_NOT_ALIVE", "This work is not alive"));
        }
        id
    } else {
        let id = format!("work_{connector_id}_{}", state.works.len() + 1);
        let name = format!("{} run @ 2026-11-22T19:25:18.000Z", connector.name);
        state.works.push(FakeWork::new(&id, &connector_id, name));
        id
    };
    state.pushes.push(FakePush { bundle, work_id });
    Ok(json!(true))
}

pub(super) fn add_draft(state: &mut State, arguments: &Value) -> Result<Value, Refusal> {
    let name = arguments["input"]["name"].as_str().unwrap_or_default();
    if name.trim().is_empty() {
        return Err(Refusal::new("VALIDATION_ERROR", "name must not be blank"));
    }
    let id = format!("draft-{}", state.drafts.len() + 1);
    state.drafts.push(FakeDraft { id: id.clone(), name: name.to_owned(), is_deleted: false });
    Ok(json!({"id": id}))
}

pub(super) fn delete_draft(state: &mut State, arguments: &Value) -> Result<Value, Refusal> {
    let draft = state.drafts.iter_mut().find(|draft| arguments["id"] == json!(draft.id));
    let gone = || Refusal::new("FUNCTIONAL_ERROR", "Draft workspace cannot be found.");
    draft.ok_or_else(gone)?.is_deleted = true;
    Ok(arguments["id"].clone())
}
