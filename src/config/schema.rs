//! The JSON schema of the environment variables, in the form of OpenCTI's catalogue of connectors.
//! Made from the table of options and the words of the reference, so that it cannot drift.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    options::{self, OptionSpec, Reach, Shape, Standing},
    reference::{self, Entry},
};

/// The schema. What stands for a secret is marked `writeOnly`.
pub fn schema() -> Value {
    let entries = reference::entries();
    let options = options::all().filter(|option| is_shown(option)).collect::<Vec<_>>();
    let properties: Map<String, Value> = options
        .iter()
        .map(|option| (option.variable.to_owned(), property(option, &entries)))
        .collect();
    let is_required = |option: &&&OptionSpec| {
        let entry = option.path().and_then(|path| entries.get(&path));
        entry.is_some_and(Entry::is_required)
    };
    let required: Vec<_> = options.iter().filter(is_required).map(|spec| spec.variable).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://www.filigran.io/connectors/harfanglab-incidents_config.schema.json",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": true,
        "$defs": { "console": console(&entries) },
    })
}

/// One of several consoles, as an entry of `consoles:` in `config.yml`: no variable can say it. There
/// the options of the environment that it names are not required.
fn console(entries: &BTreeMap<String, Entry>) -> Value {
    let mut properties = Map::new();
    for option in options::of_console() {
        let mut property = property(option, entries);
        if option.reach == Reach::Own
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
        "required": [options::CONSOLE_NAME.key, options::HARFANGLAB_INCIDENTS_URL.key],
        "additionalProperties": false,
    })
}

/// What only other kinds of connector know, and what is refused, is no choice.
fn is_shown(option: &OptionSpec) -> bool {
    option.standing == Standing::Used
}

fn property(option: &OptionSpec, entries: &BTreeMap<String, Entry>) -> Value {
    let mut property = shape(option);
    let entry = option.path().and_then(|path| entries.get(&path));
    let words = entry.map_or_else(|| option.expects(), |entry| entry.words(option));
    property["description"] = json!(words);
    if let Some(default) = option.default {
        property["default"] = typed(&property, default);
    }
    if option.kind.is_secret() {
        property["writeOnly"] = json!(true);
        property["format"] = json!("password");
    }
    property
}

/// The type that the table tells.
fn shape(option: &OptionSpec) -> Value {
    if option.kind.is_list() {
        return json!({"type": "array", "items": {"type": "string"}});
    }
    match option.shape {
        Shape::Words(_) => json!({"type": "string"}),
        Shape::Url(_) => json!({"type": "string", "format": "uri"}),
        Shape::Switch => json!({"type": "boolean"}),
        Shape::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Shape::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
        Shape::Choice(values) => json!({"type": "string", "enum": values}),
        Shape::Length(_, _) => json!({"type": "string", "format": "duration"}),
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
