//! The GraphQL part of the fake: validates documents, coerces variables, cuts answers down to what
//! was selected. Knows nothing of connectors.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use apollo_compiler::{
    ExecutableDocument, ast,
    executable::{Field, Selection, SelectionSet},
    request::coerce_variable_values,
    response::JsonMap,
    validation::Valid,
};
use serde_json::{Map, Value};

use super::Refusal;

pub(super) struct Schema {
    schema: Valid<apollo_compiler::Schema>,
    /// Documents that were valid once: the same few operations come again and again.
    known: Mutex<HashMap<String, Arc<Valid<ExecutableDocument>>>>,
}

/// A request that the schema allows: one root field with its arguments.
pub(super) struct Call {
    pub(super) operation: String,
    pub(super) root: RootField,
}

pub(super) struct RootField {
    pub(super) name: String,
    pub(super) arguments: Value,
    /// The fields selected in it, with their arguments.
    pub(super) children: Vec<(String, Value)>,
    selection: SelectionSet,
    key: String,
}

impl Schema {
    pub(super) fn parse(text: &str) -> Self {
        let schema = apollo_compiler::Schema::parse_and_validate(text, "schema.graphql");
        let schema = schema.unwrap_or_else(|invalid| panic!("{}", invalid.errors));
        Self { schema, known: Mutex::default() }
    }

    fn document(&self, query: &str) -> Result<Arc<Valid<ExecutableDocument>>, Refusal> {
        if let Some(known) = self.known.lock().unwrap().get(query) {
            return Ok(Arc::clone(known));
        }
        let document = ExecutableDocument::parse_and_validate(&self.schema, query, "query.graphql")
            .map_err(|invalid| {
                let first = invalid.errors.iter().next().map(|e| e.unstable_to_json_compat());
                let message = first.map(|error| error.message).unwrap_or_default();
                Refusal::new("GRAPHQL_VALIDATION_FAILED", message)
            })?;
        let document = Arc::new(document);
        self.known.lock().unwrap().insert(query.to_owned(), Arc::clone(&document));
        Ok(document)
    }

    pub(super) fn check(&self, query: &str, variables: &Value) -> Result<Call, Refusal> {
        let document = self.document(query)?;
        let operation = document.operations.get(None).expect("one operation in a document");
        let variables: JsonMap = serde_json::from_value(variables.clone())
            .map_err(|_| Refusal::new("BAD_USER_INPUT", "variables are not an object"))?;
        let variables =
            coerce_variable_values(&self.schema, operation, &variables).map_err(|error| {
                Refusal::new("BAD_USER_INPUT", wording(&error.message().to_string()))
            })?;
        let variables = serde_json::to_value(&*variables).expect("JSON both ways");

        let [Selection::Field(field)] = operation.selection_set.selections.as_slice() else {
            // The platform takes one mutation a request.
            return Err(Refusal::new("UNSUPPORTED_ERROR", "one field a request"));
        };
        let name = operation.name.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Call { operation: name, root: RootField::new(field, &variables) })
    }
}

/// The words in which the platform names an unknown input field.
fn wording(message: &str) -> String {
    let unknown = message.strip_prefix("Input object has key ");
    match unknown.and_then(|rest| rest.split_once(" not in type ")) {
        Some((key, kind)) => format!("Field \"{key}\" is not defined by type \"{kind}\"."),
        None => message.to_owned(),
    }
}

impl RootField {
    fn new(field: &Field, variables: &Value) -> Self {
        let children = field.selection_set.selections.iter().filter_map(|selection| {
            let Selection::Field(child) = selection else {
                return None;
            };
            Some((child.name.to_string(), arguments(child, variables)))
        });
        Self {
            name: field.name.to_string(),
            arguments: arguments(field, variables),
            children: children.collect(),
            selection: field.selection_set.clone(),
            key: field.response_key().to_string(),
        }
    }

    /// `data` with what was selected of `value`.
    pub(super) fn data(&self, value: &Value) -> Value {
        Value::Object(Map::from_iter([(self.key.clone(), project(&self.selection, value))]))
    }
}

fn arguments(field: &Field, variables: &Value) -> Value {
    let values = field.arguments.iter().map(|argument| {
        let value = match argument.value.as_ref() {
            ast::Value::Variable(name) => variables[name.as_str()].clone(),
            ast::Value::Boolean(value) => Value::Bool(*value),
            ast::Value::String(value) => Value::String(value.clone()),
            other => panic!("the fake does not read {other:?}"),
        };
        (argument.name.to_string(), value)
    });
    Value::Object(values.collect())
}

fn project(selection: &SelectionSet, value: &Value) -> Value {
    if selection.selections.is_empty() || value.is_null() {
        return value.clone();
    }
    if let Value::Array(items) = value {
        return items.iter().map(|item| project(selection, item)).collect();
    }
    let fields = selection.selections.iter().map(|selection| {
        let Selection::Field(field) = selection else { panic!("the fake knows no fragments") };
        let value = value.get(field.name.as_str()).unwrap_or(&Value::Null);
        (field.response_key().to_string(), project(&field.selection_set, value))
    });
    Value::Object(fields.collect())
}
