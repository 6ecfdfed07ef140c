//! The description of an incident. OpenCTI shows four hundred characters of it: it begins with a
//! table of what happened, goes on with the other facts, and ends with the message and the script that ran.
//! It leaves out what the page shows elsewhere (severity, host, title). The rows on programs stand in
//! `program`, those on what surrounds the alert in `surroundings`.

mod program;
mod surroundings;

pub(super) use self::surroundings::connection;
use super::{
    attack::Named,
    host,
    markdown::{Table, fenced, paragraphs, shortened},
};
use crate::{
    alert::{Alert, intelligence::IocRule},
    stix::clean,
};

/// The most characters of the alert's message.
const LONGEST_MESSAGE: usize = 10_000;
/// The most characters of a script.
const LONGEST_SCRIPT: usize = 8_000;

/// The description of the alert's incident `name`, in Markdown. `ioc` is what the alert matched.
pub(super) fn description(
    alert: &Alert,
    name: &str,
    named: &Named,
    ioc: Option<&IocRule>,
) -> String {
    let mut table = Table::default();
    let whole = program::add_process(alert, user(alert), &mut table);
    table.beginning("Target", target(alert));
    surroundings::add_matches(alert, ioc, &mut table);
    table.text("Action", action(alert).as_deref());
    surroundings::add_network(alert, &mut table);
    surroundings::add_context(alert, &mut table);
    program::add_whole_lines(alert, &whole, &mut table);
    program::add_surroundings(alert, &mut table);
    program::add_target(alert, &mut table);
    add_rule(alert, name, named, &mut table);
    add_host(alert, &mut table);
    surroundings::add_history(alert, &mut table);
    let message = alert.message.as_deref().map(clean::text).unwrap_or_default();
    let script = alert.powershell_command.as_deref().map(clean::text).unwrap_or_default();
    let script = match script.as_str() {
        "" => String::new(),
        script => {
            let script = fenced("powershell", &shortened(script, LONGEST_SCRIPT));
            format!("Script that ran:\n\n{script}")
        }
    };
    let parts = [table.finish(), paragraphs(&shortened(&message, LONGEST_MESSAGE)), script];
    let parts: Vec<&str> =
        parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "HarfangLab alert".to_owned() } else { parts.join("\n\n") }
}

fn add_rule(alert: &Alert, name: &str, named: &Named, table: &mut Table) {
    let subtype = alert.alert_subtype.as_deref().filter(|subtype| *subtype != alert.alert_type);
    let kind = [Some(alert.alert_type.as_str()), subtype];
    let kind: Vec<&str> = kind.into_iter().flatten().filter(|kind| !kind.is_empty()).collect();
    table.text("Rule", alert.rule_name.as_deref().filter(|rule| !name.contains(rule.trim())));
    table.text("Type", Some(&words(&kind.join(" / "))));
    // OpenCTI knows no such severity.
    table.text("Level", alert.level.as_deref().filter(|level| *level == "informational"));
    table.text("Confidence", alert.confidence.as_deref());
    // Stable is what rules are, and the only maturity imported by default.
    table.text("Maturity", alert.maturity.as_deref().filter(|maturity| *maturity != "stable"));
    table.text("Status", alert.status.as_deref().map(words).as_deref());
    table.text("Tactics", Some(&named.tactics().join(", ")));
}

fn add_host(alert: &Alert, table: &mut Table) {
    table.text("System", host::operating_system(alert).as_deref());
    table.text("Address", Some(&alert.agent.ip_addresses.join(", ")));
    table.text("Tenant", alert.tenant.as_deref());
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

/// Returns what the agent did about it, or that it blocked nothing.
fn action(alert: &Alert) -> Option<String> {
    let actions = actions(alert);
    // Nothing but a process can be blocked.
    let was_let_run = alert.process.is_some() && alert.execution == Some(0);
    let let_run = was_let_run.then(|| "not blocked".to_owned());
    if actions.is_empty() { let_run } else { Some(actions.join(", ")) }
}

/// Returns what the agent did about it.
pub(super) fn actions(alert: &Alert) -> Vec<&'static str> {
    let blocked = alert.execution.filter(|&execution| execution > 0).map(|_| "blocked");
    let quarantine = match alert.quarantine {
        Some(1) => Some("quarantined"),
        Some(2) => Some("quarantine failed"),
        Some(3) => Some("quarantine not possible"),
        Some(5) => Some("quarantine delayed"),
        _ => None,
    };
    [blocked, quarantine].into_iter().flatten().collect()
}
