//! Administration of the fake platform: its group and users and their tokens.

use serde_json::{Value, json};

use super::{FakeUser, Personality, Refusal, State};

/// Returns whether this token is that of a user.
pub(super) fn knows(state: &State, token: &str) -> bool {
    state.users.iter().flat_map(|user| &user.tokens).any(|(_id, _name, known)| known == token)
}

/// The id of the user whose token this is, unless it is the administrator's.
pub(super) fn user_of(state: &State, token: &str) -> Option<String> {
    let owns = |user: &&FakeUser| user.tokens.iter().any(|(_id, _name, known)| known == token);
    state.users.iter().find(owns).map(|user| user.id.clone())
}

/// Does `name`, which only administrators may; `None` when it is something else.
pub(super) fn administrate(
    state: &mut State,
    personality: Personality,
    token: &str,
    (name, arguments): (&str, &Value),
) -> Option<Result<Value, Refusal>> {
    let is_ours =
        ["groups", "users", "userAdd", "userAdminTokenAdd", "userAdminTokenRevoke"].contains(&name);
    if !is_ours {
        return None;
    }
    if token != state.token {
        return Some(Err(Refusal::new("FORBIDDEN_ACCESS", "You are not allowed to do this.")));
    }
    let wanted = &arguments["filters"]["filters"][0];
    Some(match name {
        "groups" if *wanted == json!({"key": ["name"], "values": ["Connectors"]}) => {
            Ok(json!({"edges": [{"node": {"id": "group-connectors"}}]}))
        }
        "users" => {
            let found = state.users.iter().filter(|user| json!([user.email]) == wanted["values"]);
            let nodes: Vec<Value> = found.map(|user| json!({"node": shown(user)})).collect();
            Ok(json!({ "edges": nodes }))
        }
        "userAdd" => add(state, personality, &arguments["input"]),
        "userAdminTokenAdd" => add_token(state, arguments),
        "userAdminTokenRevoke" => {
            let id = &arguments["id"];
            state.users.iter_mut().for_each(|user| user.tokens.retain(|it| json!(it.0) != *id));
            Ok(id.clone())
        }
        other => panic!("the fake does not do {other} like this"),
    })
}

fn shown(user: &FakeUser) -> Value {
    let tokens = user.tokens.iter().map(|(id, name, _token)| json!({"id": id, "name": name}));
    json!({
        "id": user.id,
        "api_token": user.tokens.first().map(|(_id, _name, token)| token),
        "api_tokens": tokens.collect::<Vec<_>>(),
    })
}

fn add(state: &mut State, personality: Personality, input: &Value) -> Result<Value, Refusal> {
    let email = input["user_email"].as_str().unwrap_or_default().to_owned();
    if state.users.iter().any(|user| user.email == email) {
        return Err(Refusal::new("FUNCTIONAL_ERROR", "User already exists"));
    }
    let id = format!("user-{}", state.users.len() + 1);
    // Where a user has one token he has it from the start.
    let tokens = match personality {
        Personality::V7_260817_0 => Vec::new(),
        _ => vec![(String::new(), String::new(), format!("first-token-of-{id}"))],
    };
    state.users.push(FakeUser { id: id.clone(), email, input: input.clone(), tokens });
    Ok(json!({"id": id}))
}

fn add_token(state: &mut State, arguments: &Value) -> Result<Value, Refusal> {
    state.tokens_made += 1;
    let (id, token) =
        (format!("token-{}", state.tokens_made), format!("plain-{}", state.tokens_made));
    let user = state.users.iter_mut().find(|user| arguments["userId"] == json!(user.id));
    let user = user.ok_or_else(|| Refusal::new("FUNCTIONAL_ERROR", "User not found"))?;
    let name = arguments["input"]["name"].as_str().unwrap_or_default().to_owned();
    user.tokens.push((id.clone(), name, token.clone()));
    Ok(json!({"token_id": id, "plaintext_token": token}))
}
