//! `consoles:`: several consoles, each with what is its own and what it has from the service.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{ours, platform, webhook};
use crate::config::{
    console::ConsoleSettings,
    fault::Fault,
    file,
    given::OfConsole,
    options::{
        self, CONNECTOR_NAME, CONSOLE_AUTHOR, CONSOLE_NAME, CONSOLES, HARFANGLAB_INCIDENTS_URL,
        HARFANGLAB_INCIDENTS_WEBHOOK_PATH, OptionSpec, Reach,
    },
    parse::{self, Refusal},
    reader::{Read, Reader},
};

/// Longest name of a console, in characters.
const NAME_MAX: usize = 40;

/// Every entry of `consoles:`; none when there is no such list.
pub(super) fn consoles(reader: &mut Reader<'_>, now: DateTime<Utc>) -> Read<Vec<ConsoleSettings>> {
    let sections = reader.file().consoles();
    let read: Vec<Read<ConsoleSettings>> = sections
        .iter()
        .enumerate()
        .map(|(position, section)| {
            let name = file::console_name(position, section);
            reader.of_console(OfConsole { name, section }, |reader| console(reader, now))
        })
        .collect();
    if !sections.is_empty() {
        check_what_is_for_all(reader);
        for option in [&CONSOLE_NAME, &HARFANGLAB_INCIDENTS_URL, &HARFANGLAB_INCIDENTS_WEBHOOK_PATH]
        {
            check_duplicates(reader, option);
        }
    }
    read.into_iter().collect()
}

fn console(reader: &mut Reader<'_>, now: DateTime<Utc>) -> Read<ConsoleSettings> {
    let name = reader.required(&CONSOLE_NAME, name);
    let connector_name = reader.required(&CONNECTOR_NAME, platform::connector_name);
    let author = match &connector_name {
        Ok(connector_name) => {
            reader.or_default(&CONSOLE_AUTHOR, connector_name, platform::connector_name)
        }
        Err(noted) => Err(*noted),
    };
    let harfanglab = ours::harfanglab(reader);
    let import = ours::import(reader, now);
    let webhook = webhook::webhook(reader);
    let elastic_pull = ours::elastic_pull(reader);
    let enrichment = ours::enrichment(reader);
    Ok(ConsoleSettings {
        name: name?,
        author: author?,
        harfanglab: harfanglab?,
        import: import?,
        webhook: webhook?,
        elastic_pull: elastic_pull?,
        enrichment: enrichment?,
    })
}

/// It stands in paths, in labels of metrics and on command lines.
fn name(text: &str) -> Result<String, Refusal> {
    let is_plain = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "-_".contains(character)
    };
    if text.chars().count() > NAME_MAX {
        return Err(format!("has more than {NAME_MAX} characters"));
    }
    if text.chars().all(is_plain) { Ok(text.to_owned()) } else { Err("is no such name".to_owned()) }
}

/// A console's address or secret must not serve another by being forgotten there.
fn check_what_is_for_all(reader: &mut Reader<'_>) {
    for option in options::of_console()
        .filter(|option| option.reach == Reach::Own && !option.section.is_empty())
    {
        if let Some(given) = reader.given_for_all(option) {
            let problem =
                format!("is given ({}), but `{CONSOLES}:` lists the consoles", given.source);
            let remedy = format!(
                "move it to its console in config.yml, as `{}:`, or leave it out",
                option.key
            );
            reader.faults.push(Fault::of(option, problem, remedy));
        }
    }
}

/// Looks at the texts, so that duplicates are told beside whatever else is faulty.
fn check_duplicates(reader: &mut Reader<'_>, option: &OptionSpec) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut faults = Vec::new();
    for console in reader.effective.consoles() {
        let Some(text) = console.get(option.key).and_then(|value| value.value.as_deref()) else {
            continue;
        };
        if !seen.insert(sameness(option, text)) {
            let subject = format!("{CONSOLES}.{}.{} in config.yml", console.name, option.key);
            let problem = format!("is {text:?}, as another console's is");
            faults.push(Fault::about(subject, problem, "give each console its own"));
        }
    }
    reader.faults.append(&mut faults);
}

/// What two values have in common that mean the same.
fn sameness(option: &OptionSpec, text: &str) -> String {
    if *option == HARFANGLAB_INCIDENTS_URL
        && let Ok(url) = parse::base_url(text)
    {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    text.to_owned()
}
