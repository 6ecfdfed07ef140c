//! Properties of our own on incidents, by which an administrator can fill custom fields of OpenCTI: a field
//! takes the one that is among its aliases. A platform without such fields drops them.

use serde_json::{Map, Value, json};

use super::{Conversion, description};
use crate::{alert::Alert, stix::clean};

/// Beginning of the names of all of them.
const PREFIX: &str = "x_harfanglab_";

/// Returns the properties of an alert, without those that it says nothing of.
pub(super) fn of_alert(alert: &Alert) -> Map<String, Value> {
    let texts = [
        ("rule", &alert.rule_name),
        ("alert_id", &alert.unique_id),
        ("status", &alert.status),
        ("level", &alert.level),
        ("agent_id", &alert.agent.id),
        ("tenant", &alert.tenant),
    ];
    let groups = alert.groups.iter().filter_map(|group| group.name.as_deref()).map(clean::line);
    let groups: Vec<String> = groups.filter(|name| !name.is_empty()).collect();
    let lists = [("groups", json!(groups)), ("action", json!(description::actions(alert)))];
    texts
        .into_iter()
        .filter_map(|(name, text)| Some((name, json!(clean::line(text.as_deref()?)))))
        .chain(lists)
        .filter(|(_, value)| *value != json!("") && *value != json!([]))
        .map(|(name, value)| (format!("{PREFIX}{name}"), value))
        .collect()
}

impl Conversion {
    /// Removes the properties of our own.
    pub(crate) fn remove_custom_properties(&mut self) {
        for object in &mut self.bundle.objects {
            object.retain(|name, _| !name.starts_with(PREFIX));
        }
    }
}
