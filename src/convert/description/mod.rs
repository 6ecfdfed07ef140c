//! What an analyst reads first: the message, a compact table of what it is about, and the script
//! that ran. The rows on programs stand in `program`, those on what surrounds the alert in
//! `surroundings`.

mod program;
mod surroundings;

use super::{
    attack::Named,
    host,
    markdown::{Table, fenced, shortened},
};
use crate::{alert::Alert, stix::clean};

/// The most characters of the alert's message.
const LONGEST_MESSAGE: usize = 10_000;
/// The most characters of a script.
const LONGEST_SCRIPT: usize = 8_000;

/// The description of the alert's incident, in Markdown.
pub(super) fn description(alert: &Alert, named: &Named) -> String {
    let mut table = Table::default();
    add_rule(alert, named, &mut table);
    add_host(alert, &mut table);
    program::add_process(alert, &mut table);
    table.code("Target", target(alert));
    program::add_target(alert, &mut table);
    surroundings::add_matches(alert, &mut table);
    surroundings::add_network(alert, &mut table);
    surroundings::add_context(alert, &mut table);
    table.text("Action", action(alert).as_deref());
    surroundings::add_history(alert, &mut table);
    let message = alert.message.as_deref().map(clean::text).unwrap_or_default();
    let described = table.below(&shortened(&message, LONGEST_MESSAGE));
    let script = alert.powershell_command.as_deref().map(clean::text).unwrap_or_default();
    let described = match script.as_str() {
        "" => described,
        script => {
            let script = fenced("powershell", &shortened(script, LONGEST_SCRIPT));
            format!("{described}\n\nScript that ran:\n\n{script}").trim_start().to_owned()
        }
    };
    if described.is_empty() { "HarfangLab alert".to_owned() } else { described }
}

fn add_rule(alert: &Alert, named: &Named, table: &mut Table) {
    let subtype = alert.alert_subtype.as_deref().filter(|subtype| *subtype != alert.alert_type);
    let kind = [Some(alert.alert_type.as_str()), subtype];
    let kind: Vec<&str> = kind.into_iter().flatten().filter(|kind| !kind.is_empty()).collect();
    table.text("Rule", alert.rule_name.as_deref());
    table.text("Type", Some(&words(&kind.join(" / "))));
    table.text("Level", alert.level.as_deref());
    table.text("Confidence", alert.confidence.as_deref());
    // Stable is what rules are, and the only maturity imported by default.
    table.text("Maturity", alert.maturity.as_deref().filter(|maturity| *maturity != "stable"));
    table.text("Status", alert.status.as_deref().map(words).as_deref());
    table.text("Tactics", Some(&named.tactics().join(", ")));
}

fn add_host(alert: &Alert, table: &mut Table) {
    table.code("Host", alert.agent.hostname.as_deref());
    table.text("System", host::operating_system(alert).as_deref());
    table.text("Address", Some(&alert.agent.ip_addresses.join(", ")));
    table.text("Tenant", alert.tenant.as_deref());
    table.code("User", user(alert));
}

fn user(alert: &Alert) -> Option<&str> {
    let own = alert.process.as_ref().and_then(|process| process.username.as_deref());
    own.or_else(|| alert.users.iter().find_map(|user| user.name.as_deref()))
}

/// The file that the rule looked at, unless it is the process's own image. Registry keys, URLs, names
/// and connections have rows of their own.
fn target(alert: &Alert) -> Option<&str> {
    let file = || alert.files.iter().find_map(|file| file.path.as_deref());
    let of_driver =
        || alert.driver.as_ref().and_then(|it| it.path.as_deref().or(it.name.as_deref()));
    let image = alert.process.as_ref().and_then(|process| process.image_path.as_deref());
    let target = alert.detection_path.as_deref().or_else(of_driver).or_else(file)?;
    let is_image = image.is_some_and(|image| image.to_lowercase() == target.to_lowercase());
    (!is_image).then_some(target)
}

/// A name that programs use, as people write it: `false_positive` is a false positive.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
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
