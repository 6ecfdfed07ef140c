//! Which of several consoles a command is about.

use super::failure::Failure;
use crate::config::{ConsoleSettings, Settings};

/// The console of this name; without a name every one.
pub(super) fn chosen(
    settings: &Settings,
    name: Option<&str>,
) -> Result<Vec<ConsoleSettings>, Failure> {
    let mut consoles = settings.each_console();
    let Some(name) = name else {
        return Ok(consoles);
    };
    let names: Vec<String> = consoles.iter().map(|console| console.name.clone()).collect();
    consoles.retain(|console| console.name == name);
    if consoles.is_empty() {
        let known = names.join(", ");
        return Err(Failure::Usage(format!("--console: there is no {name}, only {known}")));
    }
    Ok(consoles)
}

/// What is put before the words about a console; nothing where there is one.
pub(super) fn prefix(settings: &Settings, console: &str) -> String {
    if settings.has_several_consoles() { format!("{console}: ") } else { String::new() }
}
