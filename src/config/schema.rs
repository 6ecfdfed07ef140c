//! The JSON schema of the environment variables, in the form of OpenCTI's catalogue of connectors.
//! Made of the declared options.

use serde_json::{Map, Value, json};

use super::{
    option::{OptionSpec, Scope, Standing, ValueType},
    options::{self, consoles::CONSOLE_NAME, harfanglab::HARFANGLAB_INCIDENTS_URL},
};

/// The schema. What stands for a secret is marked `writeOnly`.
pub fn schema() -> Value {
    let options = options::all().filter(|option| is_shown(option)).collect::<Vec<_>>();
    let properties: Map<String, Value> =
        options.iter().map(|option| (option.variable.to_owned(), property(option))).collect();
    let required = options.iter().filter(|option| option.placeholder.is_some());
    let required: Vec<_> = required.map(|option| option.variable).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://www.filigran.io/connectors/harfanglab-incidents_config.schema.json",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": true,
        "$defs": { "console": console() },
    })
}

/// One of several consoles, as an entry of `consoles:` in `config.yml`: no variable can say it. There
/// the options of the environment that it names are not required.
fn console() -> Value {
    let mut properties = Map::new();
    for option in options::of_console() {
        let mut property = property(option);
        if option.scope == Scope::Own
            && let Some(property) = property.as_object_mut()
        {
            property.remove("default");
        }
        properties.insert(option.key.to_owned(), property);
        if option.kind.is_secret() {
            let words = format!("a file that holds the value of {}", option.key);
            let file = json!({"type": "string", "description": words});
            properties.insert(format!("{}_file", option.key), file);
        }
    }
    json!({
        "description": "an entry of the list consoles in config.yml",
        "type": "object",
        "properties": properties,
        "required": [CONSOLE_NAME.key, HARFANGLAB_INCIDENTS_URL.key],
        "additionalProperties": false,
    })
}

/// Leaves out what only other kinds of connector know, and what is refused.
fn is_shown(option: &OptionSpec) -> bool {
    option.standing == Standing::Used
}

fn property(option: &OptionSpec) -> Value {
    let mut property = value_type(option);
    property["description"] = json!(option.words());
    if let Some(default) = option.default {
        property["default"] = typed(&property, default);
    }
    if option.kind.is_secret() {
        property["writeOnly"] = json!(true);
        property["format"] = json!("password");
    }
    property
}

/// Returns the type that is declared.
fn value_type(option: &OptionSpec) -> Value {
    if option.kind.is_list() {
        return json!({"type": "array", "items": {"type": "string"}});
    }
    match option.value_type {
        ValueType::Text(_) | ValueType::Size(_, _, _) => json!({"type": "string"}),
        ValueType::Url(_) => json!({"type": "string", "format": "uri"}),
        ValueType::Switch => json!({"type": "boolean"}),
        ValueType::Whole(least, most) => {
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        ValueType::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
        ValueType::Choice(values) => json!({"type": "string", "enum": values}),
        ValueType::Length(_, _) => json!({"type": "string", "format": "duration"}),
    }
}

/// A default in the type of its property.
fn typed(property: &Value, default: &str) -> Value {
    match property["type"].as_str() {
        Some("boolean" | "integer" | "number") => {
            serde_json::from_str(default).unwrap_or_else(|_| json!(default))
        }
        Some("array") => default.split(',').map(str::trim).collect(),
        _ => json!(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_type_default_and_meaning_of_every_option() {
        let schema = schema();
        let required = ["OPENCTI_URL", "OPENCTI_TOKEN", "CONNECTOR_ID"];
        let ours = ["HARFANGLAB_INCIDENTS_URL", "HARFANGLAB_INCIDENTS_TOKEN"];
        assert_eq!(schema["required"], json!([required.as_slice(), ours.as_slice()].concat()));
        let property = |name: &str| schema["properties"][name].clone();
        assert_eq!(property("HARFANGLAB_INCIDENTS_IMPORT_THREATS")["default"], json!(false));
        let batch = property("HARFANGLAB_INCIDENTS_BATCH");
        assert_eq!(batch["default"], json!(100));
        assert_eq!((&batch["minimum"], &batch["maximum"]), (&json!(1), &json!(10_000)));
        let rate = property("HARFANGLAB_INCIDENTS_API_RATE");
        assert_eq!((&rate["minimum"], &rate["maximum"]), (&json!(1), &json!(10_000)));
        let naming = property("HARFANGLAB_INCIDENTS_INCIDENT_NAME");
        assert_eq!(naming["enum"], json!(["title", "message"]));
        let token = property("HARFANGLAB_INCIDENTS_TOKEN");
        assert_eq!((&token["writeOnly"], token.get("default")), (&json!(true), None));
        let level = property("CONNECTOR_LOG_LEVEL");
        assert_eq!(level["enum"], json!(["trace", "debug", "info", "warning", "error"]));
        let meaning = level["description"].as_str().unwrap();
        assert!(meaning.starts_with("trace, debug, info, warning or error. "), "{meaning}");
        let console = schema["$defs"]["console"]["properties"].as_object().unwrap();
        for key in ["name", "author", "url", "token", "token_file", "webhook_path", "api_rate"] {
            assert!(console.contains_key(key), "{key}");
        }
        assert!(
            !console.contains_key("listen") && console["webhook_path"].get("default").is_none()
        );
        for (name, property) in schema["properties"].as_object().unwrap() {
            let words = property["description"].as_str().unwrap();
            assert!(words.len() > 3 && !words.contains("HARFANGLAB_INCIDENTS_TOKEN (or"), "{name}");
        }
    }
}
