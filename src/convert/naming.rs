//! Names of incidents. A name is fixed the first time an alert is seen: it is part of the id.

use super::{ConvertSettings, rule};
use crate::{
    alert::{Alert, intelligence::Intelligence},
    config::IncidentNaming,
    stix::clean,
};

/// The longest name sent, in characters: with four bytes each it still fits the longest term that
/// the platform's search engine indexes.
const LONGEST_NAME: usize = 8_000;

/// The name of the alert's incident.
pub(super) fn incident_name(
    alert: &Alert,
    intelligence: Option<&Intelligence>,
    settings: &ConvertSettings,
) -> String {
    let title = match settings.naming {
        IncidentNaming::Title => title(alert, intelligence),
        IncidentNaming::Message => message_title(alert, intelligence),
    };
    let hostname = alert.agent.hostname.as_deref().map(clean::line).unwrap_or_default();
    let name = if hostname.is_empty() { title.clone() } else { format!("{title} on {hostname}") };
    match settings.naming {
        IncidentNaming::Title => shortened(&clean::line(&name)),
        // As the Python connector named it, inner line breaks and all, so that the id is the same.
        IncidentNaming::Message => shortened(&clean::text(&name)),
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect::<String>().trim_end().to_owned()
}

/// Returns what the alert is about in a few words.
pub(super) fn title(alert: &Alert, intelligence: Option<&Intelligence>) -> String {
    let special = match alert.alert_type.as_str() {
        "ioc" => ioc_value(alert, intelligence),
        "yara" => yara_title(alert, intelligence),
        _ => None,
    };
    let first_line = |text: &String| text.trim().lines().next().map(clean::line);
    [
        special,
        alert.rule_name.as_deref().map(clean::line),
        alert.message.as_ref().and_then(first_line),
    ]
    .into_iter()
    .flatten()
    .find(|title| is_long_enough(title))
    .unwrap_or_else(|| untitled(alert))
}

/// The platform takes no name of one character.
pub(super) fn is_long_enough(name: &str) -> bool {
    name.trim().chars().count() >= 2
}

fn untitled(alert: &Alert) -> String {
    match clean::line(&alert.alert_type) {
        kind if kind.is_empty() => "HarfangLab alert".to_owned(),
        kind => format!("HarfangLab {kind} alert"),
    }
}

fn message_title(alert: &Alert, intelligence: Option<&Intelligence>) -> String {
    if let Some(Intelligence::Ioc(ioc)) = intelligence
        && alert.alert_type == "ioc"
        && ioc.kind == "hash"
        && is_long_enough(&clean::text(&ioc.value))
    {
        return ioc.value.clone();
    }
    match &alert.message {
        Some(message) if is_long_enough(&clean::text(message)) => message.clone(),
        _ => title(alert, intelligence),
    }
}

fn ioc_value(alert: &Alert, intelligence: Option<&Intelligence>) -> Option<String> {
    match intelligence {
        Some(Intelligence::Ioc(ioc)) => Some(clean::line(&ioc.value)),
        _ => rule::ioc_value(alert),
    }
}

fn yara_title(alert: &Alert, intelligence: Option<&Intelligence>) -> Option<String> {
    let matched = alert.matched_rules.iter().find_map(|rule| rule.rule_name.clone());
    let file = || match intelligence {
        Some(Intelligence::Yara(file)) => Some(file.name.clone()),
        _ => alert.matched_rules.iter().find_map(|rule| rule.namespace.clone()),
    };
    let name = clean::line(&matched.or_else(file).or_else(|| alert.rule_name.clone())?);
    let named_already = name.to_ascii_lowercase().starts_with("yara");
    match name.chars().count() {
        0 => None,
        _ if named_already => Some(name),
        _ => Some(format!("YARA {name}")),
    }
}
