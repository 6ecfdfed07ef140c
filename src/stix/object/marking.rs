//! TLP markings, in the forms every platform version recognises.

use serde::Serialize;
use serde_json::{Value, json};

use super::Object;
use crate::stix::id;

/// `marking-definition` of a TLP level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MarkingDefinition {
    name: String,
    definition_type: &'static str,
    definition: Value,
    created: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_opencti_definition_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_opencti_definition: Option<String>,
}

impl MarkingDefinition {
    /// The marking of that name: `TLP:CLEAR`, `TLP:GREEN`, `TLP:AMBER`, `TLP:AMBER+STRICT` or
    /// `TLP:RED`. Those that TLP 1.0 did not have are written as a statement, with the platform's
    /// own two properties beside it.
    pub fn tlp(name: &str) -> Self {
        let level = name.trim_start_matches("TLP:").to_lowercase();
        let standard = matches!(level.as_str(), "green" | "amber" | "red");
        let definition =
            if standard { json!({ "tlp": level }) } else { json!({ "statement": name }) };
        Self {
            name: name.to_owned(),
            definition_type: if standard { "tlp" } else { "statement" },
            definition,
            // The date that STIX 2.1 gives its own TLP markings.
            created: "2017-01-20T00:00:00.000Z",
            x_opencti_definition_type: (!standard).then_some("TLP"),
            x_opencti_definition: (!standard).then(|| name.to_owned()),
        }
    }
}

impl Object for MarkingDefinition {
    const TYPE: &'static str = "marking-definition";

    fn id(&self) -> String {
        id::marking_definition("TLP", &self.name)
    }
}
