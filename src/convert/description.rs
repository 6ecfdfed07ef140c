//! What an analyst reads first: the message, and a compact table of what it is about.

use super::{attack::Named, host, markdown::Table};
use crate::{alert::Alert, stix::clean};

/// The description of the alert's incident, in Markdown.
pub(super) fn description(alert: &Alert, named: &Named) -> String {
    let process = alert.process.as_ref();
    let parent = process.and_then(|process| process.parent.as_ref());
    let subtype = alert.alert_subtype.as_deref().filter(|subtype| *subtype != alert.alert_type);
    let kind = [Some(alert.alert_type.as_str()), subtype];
    let kind: Vec<&str> = kind.into_iter().flatten().filter(|kind| !kind.is_empty()).collect();
    let mut table = Table::default();
    table.text("Rule", alert.rule_name.as_deref());
    table.text("Type", Some(&kind.join(" / ")));
    table.text("Level", alert.level.as_deref());
    table.text("Confidence", alert.confidence.as_deref());
    table.text("Status", alert.status.as_deref());
    table.text("Tactics", Some(&named.tactics().join(", ")));
    table.code("Host", alert.agent.hostname.as_deref());
    table.text("System", host::operating_system(alert).as_deref());
    table.text("Address", Some(&alert.agent.ip_addresses.join(", ")));
    table.code("User", user(alert));
    table.code(
        "Process",
        process.and_then(|process| process.image_path.as_deref().or(process.name.as_deref())),
    );
    table.code("Command line", process.and_then(|process| process.command_line.as_deref()));
    table.code(
        "Parent",
        parent.and_then(|parent| parent.command_line.as_deref().or(parent.image_path.as_deref())),
    );
    table.code("Target", target(alert).as_deref());
    table.text("Logon from", logon(alert).as_deref());
    table.text("Action", action(alert).as_deref());
    let message = alert.message.as_deref().map(clean::text).unwrap_or_default();
    let description = table.below(&message);
    if description.is_empty() { "HarfangLab alert".to_owned() } else { description }
}

fn user(alert: &Alert) -> Option<&str> {
    let own = alert.process.as_ref().and_then(|process| process.username.as_deref());
    own.or_else(|| alert.users.iter().find_map(|user| user.name.as_deref()))
}

/// What the rule looked at, beside the process.
fn target(alert: &Alert) -> Option<String> {
    let file = || alert.files.iter().find_map(|file| file.path.clone());
    let driver =
        || alert.driver.as_ref().and_then(|driver| driver.path.clone().or(driver.name.clone()));
    let registry = || alert.registry.iter().find_map(|change| change.target_object.clone());
    let url = || alert.urls.iter().find_map(|request| request.url.clone());
    let domain = || alert.dns.iter().find_map(|resolution| resolution.requested_name.clone());
    let connection =
        || alert.connections.iter().find_map(|connection| connection.destination_ip.clone());
    alert
        .detection_path
        .clone()
        .or_else(driver)
        .or_else(file)
        .or_else(registry)
        .or_else(url)
        .or_else(domain)
        .or_else(connection)
}

fn logon(alert: &Alert) -> Option<String> {
    let logon = alert.remote_logon.as_ref()?;
    let parts = [logon.source_hostname.as_deref(), logon.source_ip.as_deref()];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn action(alert: &Alert) -> Option<String> {
    let blocked = alert.execution.filter(|&execution| execution > 0).map(|_| "blocked");
    let quarantine = match alert.quarantine {
        Some(1) => Some("quarantined"),
        Some(2) => Some("quarantine failed"),
        Some(3) => Some("quarantine not possible"),
        Some(5) => Some("quarantine delayed"),
        _ => None,
    };
    let actions: Vec<&str> = [blocked, quarantine].into_iter().flatten().collect();
    (!actions.is_empty()).then(|| actions.join(", "))
}
