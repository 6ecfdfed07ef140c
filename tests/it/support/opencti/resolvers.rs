//! The operations of the fake platform, and what it refuses.

use serde_json::{Value, json};

use super::{
    FakeWork, FakeWorkError, Refusal, Shared, State,
    accounts::{administrate, user_of},
    graphql::Call,
    pushes::{add_draft, delete_draft, push_bundle},
    sightings,
};
use crate::support::broker::{PUSH_EXCHANGE, push_queue, push_routing};

/// The user that the token belongs to.
const USER_ID: &str = "88ec0c6a-13ce-5e39-b486-354fe4a7084f";

pub(super) async fn resolve(shared: &Shared, call: &Call, token: &str) -> Result<Value, Refusal> {
    let fault = change(shared, |state| {
        let found = state.faults.iter().position(|fault| fault.operation == call.operation);
        found.map(|position| state.faults.remove(position))
    });
    if let Some(fault) = fault {
        return Err(Refusal::new(&fault.code, fault.message));
    }
    let arguments = &call.root.arguments;
    let named = (call.root.name.as_str(), arguments);
    let done = change(shared, |state| administrate(state, shared.personality, token, named));
    if let Some(done) = done {
        return Ok(call.root.data(&done?));
    }
    let value = match call.root.name.as_str() {
        "about" => {
            let version = shared.state.borrow().claimed_version.clone();
            json!({"version": version.as_deref().unwrap_or(shared.personality.version())})
        }
        "connector" => {
            let state = shared.state.borrow();
            let id = text(arguments, "id");
            match state.connectors.get(&id) {
                Some(connector) => json!({ "id": id, "connector_queue_details": {
                    "messages_number": 1.0, "messages_size": connector.queue_bytes,
                }}),
                None => Value::Null,
            }
        }
        "registerConnector" => register(shared, &arguments["input"], token).await?,
        "pingConnector" => ping(shared, arguments).await?,
        "stixBundlePush" => change(shared, |state| push_bundle(state, arguments))?,
        "draftWorkspaceDelete" => change(shared, |state| delete_draft(state, arguments))?,
        "draftWorkspaceAdd" => change(shared, |state| add_draft(state, arguments))?,
        "workAdd" => change(shared, |state| add_work(state, arguments))?,
        "workEdit" => {
            let [(edit, edit_arguments)] = call.root.children.as_slice() else {
                return Err(Refusal::new("UNSUPPORTED_ERROR", "one edit a request"));
            };
            let id = text(arguments, "id");
            change(shared, |state| edit_work(state, &id, edit, edit_arguments))?
        }
        "work" => change(shared, |state| read_work(state, &text(arguments, "id")))?,
        "stixDomainObject" => sightings::element(&shared.state.borrow(), arguments),
        "stixSightingRelationship" => sightings::one(&shared.state.borrow(), arguments),
        "stixSightingRelationships" => sightings::between(&shared.state.borrow(), arguments),
        "stixSightingRelationshipEdit" => {
            let patch = &call.root.children[0].1["input"];
            change(shared, |state| sightings::patch(state, arguments, patch))?
        }
        "subType" => sub_type(shared, &text(arguments, "id")),
        other => panic!("the fake does not do {other} yet"),
    };
    Ok(call.root.data(&value))
}

fn change<T>(shared: &Shared, work: impl FnOnce(&mut State) -> T) -> T {
    let mut result = None;
    shared.state.send_modify(|state| result = Some(work(state)));
    result.expect("it was called")
}

fn text(arguments: &Value, name: &str) -> String {
    arguments[name].as_str().unwrap_or_default().to_owned()
}

fn unknown_connector() -> Refusal {
    Refusal::new("FUNCTIONAL_ERROR", "No connector found with the specified ID")
}

fn broker_is_away(failure: &lapin::Error) -> Refusal {
    Refusal::new("UNKNOWN_ERROR", failure.to_string())
}

async fn register(shared: &Shared, input: &Value, token: &str) -> Result<Value, Refusal> {
    let id = text(input, "id");
    let name = text(input, "name");
    if name.trim().len() < 2 {
        return Err(Refusal::new("VALIDATION_ERROR", "name must be at least 2 characters"));
    }
    let resolves = input.get("enrichment_resolution").is_some_and(|value| !value.is_null());
    if !resolves && shared.state.borrow().resolving.contains(&id) {
        return Err(Refusal::new(
            "FUNCTIONAL_ERROR",
            "Validation against schema failed on attribute [enrichment_resolution]: \
             this mandatory field cannot be nil",
        ));
    }
    if let Some(broker) = &shared.broker {
        broker.try_to_declare_push_queue(&id).await.map_err(|failure| broker_is_away(&failure))?;
    }
    let connector_state = change(shared, |state| {
        if resolves {
            state.resolving.insert(id.clone());
        }
        let connector = state.connectors.entry(id.clone()).or_default();
        connector.name = name;
        connector.input = input.clone();
        connector.registrations += 1;
        connector.state.clone()
    });
    let user = user_of(&shared.state.borrow(), token).unwrap_or_else(|| USER_ID.to_owned());
    Ok(json!({
        "id": id,
        "connector_state": connector_state,
        "connector_user_id": user,
        "config": {
            "connection": connection(shared),
            "s3": shared.state.borrow().s3,
            "listen": format!("listen_{id}"),
            "listen_routing": format!("listen_routing_{id}"),
            "listen_exchange": "amqp.connector.exchange",
            "push": push_queue(&id),
            "push_routing": push_routing(&id),
            "push_exchange": PUSH_EXCHANGE,
        },
    }))
}

fn connection(shared: &Shared) -> Value {
    match &shared.broker {
        Some(broker) => json!({
            "host": broker.uri.authority.host,
            "port": broker.uri.authority.port,
            "vhost": broker.uri.vhost,
            "use_ssl": false,
            "user": broker.uri.authority.userinfo.username,
            "pass": broker.uri.authority.userinfo.password,
        }),
        // Port 1 of this machine: refused at once.
        None => json!({
            "host": "127.0.0.1", "port": 1, "vhost": "/", "use_ssl": false,
            "user": "guest", "pass": "guest",
        }),
    }
}

/// A type without statuses has no workflow, which the platform says with null.
fn sub_type(shared: &Shared, id: &str) -> Value {
    let statuses = match id {
        "Incident" => shared.state.borrow().incident_statuses.clone(),
        _ => Vec::new(),
    };
    let listed: Vec<Value> = (1..)
        .zip(&statuses)
        .map(|(order, (id, name))| {
            json!({ "id": id, "order": order, "type": "Incident",
                "template": { "id": format!("template-of-{id}"), "name": name, "color": "#000" } })
        })
        .collect();
    json!({ "id": id, "label": id, "workflowEnabled": !listed.is_empty(), "statuses": listed })
}

async fn ping(shared: &Shared, arguments: &Value) -> Result<Value, Refusal> {
    let id = text(arguments, "id");
    let connector_state = change(shared, |state| {
        let connector = state.connectors.get_mut(&id).ok_or_else(unknown_connector)?;
        connector.pings += 1;
        connector.info = arguments["connectorInfo"].clone();
        // After a reset the incoming state is dropped once.
        if std::mem::take(&mut connector.is_reset) {
            connector.state = Some(String::new());
        } else {
            connector.state = arguments["state"].as_str().map(str::to_owned);
        }
        Ok(connector.state.clone())
    })?;
    if let Some(broker) = &shared.broker {
        broker.try_to_declare_push_queue(&id).await.map_err(|failure| broker_is_away(&failure))?;
    }
    Ok(json!({"id": id, "connector_state": connector_state}))
}

fn add_work(state: &mut State, arguments: &Value) -> Result<Value, Refusal> {
    let connector_id = text(arguments, "connectorId");
    if !state.connectors.contains_key(&connector_id) {
        return Err(unknown_connector());
    }
    let id = format!("work_{connector_id}_{}", state.works.len() + 1);
    state.works.push(FakeWork {
        is_multi_part: arguments["isMultiPartWork"] == json!(true),
        ..FakeWork::new(&id, &connector_id, text(arguments, "friendlyName"))
    });
    Ok(json!({"id": id, "status": "progress"}))
}

fn edit_work(state: &mut State, id: &str, edit: &str, arguments: &Value) -> Result<Value, Refusal> {
    let work = state
        .works
        .iter_mut()
        .find(|work| work.id == id && !work.is_deleted)
        .ok_or_else(|| Refusal::new("WORK_NOT_ALIVE", "This work is not alive"))?;
    match edit {
        "addExpectations" => {
            work.expected += arguments["expectations"].as_i64().unwrap_or_default();
        }
        "toProcessed" => {
            let in_error = arguments["inError"] == json!(true);
            let message = text(arguments, "message");
            if in_error {
                let source = "Rejected by the connector".to_owned();
                work.errors.push(FakeWorkError { message: message.clone(), source });
            }
            work.closed = Some((message, in_error));
            work.is_complete |= work.processed >= work.expected;
        }
        "addDraftContext" => work.draft = arguments["draftContext"].as_str().map(str::to_owned),
        "delete" => work.is_deleted = true,
        other => panic!("the fake does not do {other} yet"),
    }
    Ok(json!({ edit: id }))
}

fn read_work(state: &State, id: &str) -> Result<Value, Refusal> {
    if state.may_not_read_works {
        return Err(Refusal::new("FORBIDDEN_ACCESS", "You are not allowed to do this."));
    }
    let work = state.works.iter().find(|work| work.id == id && !work.is_deleted);
    let at = state.errors_at.as_deref().unwrap_or("2026-05-26T07:40:00.000Z");
    Ok(work.map_or(Value::Null, |work| {
        let errors: Vec<Value> = work
            .errors
            .iter()
            .enumerate()
            .map(|(sequence, error)| {
                json!({
                    "timestamp": at, "message": error.message,
                    "sequence": sequence + 1, "source": error.source,
                })
            })
            .collect();
        let status = if work.is_complete { "complete" } else { "progress" };
        let tracking = json!({
            "import_expected_number": work.expected, "import_processed_number": work.processed,
        });
        json!({"id": id, "status": status, "errors": errors, "tracking": tracking})
    }))
}
