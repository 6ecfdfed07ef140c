//! Our GraphQL documents against OpenCTI's schemas, and our requests against those that were
//! captured from the Python library of the same version.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use apollo_compiler::{ExecutableDocument, Schema, validation::Valid};
use harfanglab_incidents::opencti::{
    ADMINISTRATION, Connector, Feature, Features, Heartbeat, OPERATIONS, OpenCti, Operation, Pulse,
    WorkOutcome,
};
use serde_json::{Value, json};

use crate::support::{
    opencti::{FakeOpenCti, FakeRequest, Personality, connector_settings},
    shared,
};

const CONNECTOR: &str = "11111111-2222-4333-8444-555555555555";
/// Headers that the platform, or a proxy before it, goes by.
const HEADERS: [&str; 3] = ["accept", "authorization", "content-type"];
/// Fields that the Python library names only to say nothing by them.
const SAYS_NOTHING: [&str; 4] = ["auto_update", "listen_callback_uri", "version", "slug"];

fn schema(text: &str) -> Valid<Schema> {
    Schema::parse_and_validate(text, "schema.graphql")
        .unwrap_or_else(|invalid| panic!("{}", invalid.errors))
}

/// Fields that the reference schemas do not hold: those are cut down to what connectors usually ask.
const BEYOND_REFERENCE: [&str; 5] =
    ["IncidentStatuses", "InternalId", "Sighting", "SightingsBetween", "SightingNegative"];

/// Each version that a schema is known of, and the operations that are beyond it.
fn schemas() -> Vec<(String, Valid<Schema>, &'static [&'static str])> {
    let ours = Personality::ALL.map(|it| (it.version().to_owned(), schema(it.schema()), &[][..]));
    let theirs = ["6.4.0", "7.260817.0"].into_iter().filter_map(|version| {
        let file = format!("graphql/schema-connector-{version}.graphql");
        let path = shared::shared(&file, "operations against the platform's own schema")?;
        let schema = schema(&std::fs::read_to_string(path).unwrap());
        Some((version.to_owned(), schema, &BEYOND_REFERENCE[..]))
    });
    ours.into_iter().chain(theirs).collect()
}

fn fault(schema: &Valid<Schema>, operation: &Operation) -> Option<String> {
    let checked =
        ExecutableDocument::parse_and_validate(schema, operation.document, operation.name);
    checked.err().map(|invalid| invalid.errors.to_string())
}

#[test]
fn every_operation_is_valid_on_the_platforms_it_is_sent_to() {
    for (version, schema, beyond) in schemas() {
        let features = Features::of(version.parse().ok());
        // An administrator's work is begun from 6.9 on; the reference schemas leave it out.
        let administration: &[Operation] =
            if beyond.is_empty() && version != "6.4.0" { ADMINISTRATION } else { &[] };
        // What one token a user is read by is sent only where users have one.
        let is_understood = |operation: &&Operation| {
            operation.feature.is_none_or(|feature| features.has(feature))
                && !(operation.name == "FindUserOneToken" && features.has(Feature::ManyTokens))
        };
        let sent = OPERATIONS.iter().chain(administration).filter(is_understood);
        for operation in sent.filter(|operation| !beyond.contains(&operation.name)) {
            assert_eq!(fault(&schema, operation), None, "{version}: {}", operation.name);
        }
    }
}

#[test]
fn only_what_some_platform_does_not_know_depends_on_the_version() {
    let schemas = schemas();
    for operation in OPERATIONS.iter().filter(|operation| operation.feature.is_some()) {
        let unknown = schemas.iter().any(|(_, schema, _)| fault(schema, operation).is_some());
        assert!(unknown, "every platform knows {}: it needs no feature", operation.name);
    }
}

#[test]
fn every_operation_file_is_an_operation_that_is_sent_and_checked() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/opencti/operations"));
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let all = || OPERATIONS.iter().chain(ADMINISTRATION);
    let sent: BTreeSet<String> = all().map(|it| it.document.to_owned()).collect();
    assert_eq!(files, sent);
    for operation in all() {
        let named = format!(" {}", operation.name);
        let first = operation.document.lines().next().unwrap_or_default();
        assert!(first.contains(&named), "{} is called otherwise: {first}", operation.name);
    }
}

/// One request of the captured run.
struct Captured(Value);

impl Captured {
    fn header(&self, name: &str) -> String {
        let headers = self.0["headers"].as_object().unwrap();
        let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str().unwrap().to_owned()).unwrap_or_default()
    }
}

/// The captured requests that correspond to ours, by the name that ours has.
fn captured(version: &str) -> Option<Vec<(&'static str, Captured)>> {
    let wire = shared::json(&format!("wire/wire_{version}.json"))?;
    let requests = wire["samples"]["amqp"]["requests"].as_array().unwrap();
    let named = |ours, theirs: &str| {
        let found = requests.iter().find(|request| {
            let operation = request["operation"].as_str().unwrap();
            operation == theirs
                || (theirs == "about" && request["query"].as_str().unwrap().contains("about"))
        });
        (ours, Captured(found.unwrap_or_else(|| panic!("{theirs} was captured")).clone()))
    };
    Some(vec![
        named("HealthCheck", "about"),
        named("RegisterConnector", "RegisterConnector"),
        named("PingConnector", "PingConnector"),
        named("WorkAdd", "workAdd"),
        named("WorkAddExpectations", "addExpectations"),
        named("WorkToProcessed", "workToProcessed"),
    ])
}

/// Does what the captured run did, against a platform of this kind that says it is `version`.
async fn our_run(personality: Personality, version: &str) -> FakeOpenCti {
    let platform = FakeOpenCti::start_without_broker(personality);
    platform.claim_version(version);
    let client = OpenCti::new(&platform.settings()).unwrap();
    let connector = Arc::new(Connector::new(client.clone(), connector_settings(CONNECTOR)));
    Heartbeat::new(connector).beat(&Pulse::default()).await.unwrap();
    let work = client.open_work(CONNECTOR, "Run @ 1").await.unwrap();
    client.expect_objects(&work, 2).await.unwrap();
    client.close_work(&work, "done", WorkOutcome::Published).await.unwrap();
    platform
}

#[tokio::test]
async fn what_we_say_is_what_was_captured_from_the_python_library_of_the_same_version() {
    for (personality, version) in [
        (Personality::V6_4_0, "6.4.0"),
        (Personality::V7_260817_0, "7.260817.0"),
        (Personality::V7_260817_0, "7.261026.0"),
    ] {
        let Some(captured) = captured(version) else { return };
        let platform = our_run(personality, version).await;
        let state = platform.state();
        assert_eq!(state.refused, 0, "{version}");
        for (operation, theirs) in captured {
            let ours = state.requests.iter().find(|it| it.operation.starts_with(operation));
            let ours = ours.unwrap_or_else(|| panic!("{version}: no {operation} was sent"));
            same_envelope(ours, &theirs, version);
            let theirs = &theirs.0["variables"];
            assert_eq!(comparable(ours, version), expected(operation, theirs, version));
        }
    }
}

/// The same place, method and headers; the fake takes POST of JSON with its token alone.
fn same_envelope(ours: &FakeRequest, theirs: &Captured, version: &str) {
    let operation = &ours.operation;
    assert_eq!(ours.method, "POST", "{version} {operation}");
    assert_eq!(ours.path, theirs.0["path"].as_str().unwrap(), "{version} {operation}");
    for name in HEADERS {
        // Token and encoding of the body are each side's own.
        let kind = |value: &str| value.split([' ', ';']).next().unwrap_or_default().to_owned();
        let value = ours.headers.get(name).map(String::as_str).unwrap_or_default();
        assert_eq!(kind(value), kind(&theirs.header(name)), "{version} {operation}: {name}");
    }
    // A body of known length: not every proxy takes one in pieces.
    assert!(ours.headers.contains_key("content-length"), "{version} {operation}");
    let special = ours.headers.keys().find(|name| name.starts_with("opencti-"));
    assert_eq!(special, None, "{version} {operation}: we speak for ourselves");
}

/// Our variables, with the work's own id left aside.
fn comparable(ours: &FakeRequest, version: &str) -> Value {
    let mut variables = ours.variables.clone();
    if variables["id"].as_str().is_some_and(|id| id.starts_with("work_")) {
        variables["id"] = json!("a work");
    }
    json!({"version": version, "operation": ours.operation, "variables": variables})
}

/// The captured variables, but for where we mean to differ.
fn expected(operation: &str, theirs: &Value, version: &str) -> Value {
    let mut variables = theirs.clone();
    let mut name = operation.to_owned();
    if variables["id"].as_str().is_some_and(|id| id.starts_with("work_")) {
        variables["id"] = json!("a work");
    }
    if let Some(input) = variables.get_mut("input").and_then(Value::as_object_mut) {
        input.retain(|key, value| {
            !SAYS_NOTHING.contains(&key.as_str()) || !(value.is_null() || *value == json!(false))
        });
        // The older library did not trim the parts of the scope.
        let scope = input["scope"].as_array_mut().unwrap();
        *scope = scope.iter().map(|part| json!(part.as_str().unwrap().trim())).collect();
    }
    // Where a work can stay open until it is closed, ours does.
    if variables.get("isMultiPartWork").is_some() {
        variables["isMultiPartWork"] = json!(true);
        name.push_str("MultiPart");
    }
    json!({"version": version, "operation": name, "variables": variables})
}
