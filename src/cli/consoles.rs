//! The one of several consoles that a command is about.

use super::{failure::Failure, job::Ended, output};
use crate::config::{ConsoleSettings, Settings};

/// The console of this name; without a name every one.
pub(super) fn chosen(
    settings: &Settings,
    name: Option<&str>,
) -> Result<Vec<ConsoleSettings>, Failure> {
    let mut consoles = settings.consoles.clone();
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

/// Returns what is put before the words about a console; nothing where there is one.
pub(super) fn prefix(settings: &Settings, console: &str) -> String {
    if settings.has_several_consoles() { format!("{console}: ") } else { String::new() }
}

/// Prints how each console ended, with its name where there are several: a success as `words` say it, a
/// failure on stderr. Fails if one failed.
pub(super) fn print_each<T>(
    settings: &Settings,
    ended: Ended<T>,
    words: impl Fn(T) -> String,
) -> Result<(), Failure> {
    let mut has_failed = false;
    for (console, ended) in ended {
        let prefix = prefix(settings, &console);
        match ended {
            Ok(done) => output::print(&format!("{prefix}{}\n", words(done)))?,
            Err(failure) => {
                has_failed = true;
                output::say(&output::line_of(&format!("error: {prefix}{failure:#}")));
            }
        }
    }
    if has_failed { Err(Failure::AlreadyTold) } else { Ok(()) }
}
