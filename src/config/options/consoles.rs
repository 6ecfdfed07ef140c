//! The consoles. Without `consoles:` there is one, of the service's own options; with it each entry has
//! what is its own, and the rest from the service.

use std::collections::BTreeSet;

use super::{
    connector::{CONNECTOR_NAME, connector_name},
    harfanglab::{EnrichmentSettings, HARFANGLAB_INCIDENTS_URL, HarfangLabSettings},
    import::ImportSettings,
    webhook::{HARFANGLAB_INCIDENTS_WEBHOOK_PATH, WebhookSettings},
};
use crate::config::{
    declare::settings,
    fault::Fault,
    file,
    option::{CONSOLES, OptionSpec, Scope, switch, text},
    parse::{self, Refusal},
    raw::OfConsole,
    reader::{Read, Reader},
};

/// Name of the one console that is configured without `consoles:`.
pub const ONLY_CONSOLE: &str = "harfanglab";

/// Longest name of a console, in characters.
const NAME_MAX: usize = 40;

settings! { CONSOLE "The queue of the Elastic connector":
    /// A console and what is made of what it brings.
    #[derive(Debug, Clone)]
    pub struct ConsoleSettings {
        /// Its name: in paths, logs, metrics and commands.
        name: String = from name;
        /// Author of every object that it brings.
        author: String = from author;
        /// Its REST API.
        harfanglab: HarfangLabSettings = from HarfangLabSettings::read;
        /// Time for which it is asked for what a notification does not say.
        enrichment: EnrichmentSettings = from EnrichmentSettings::read;
        /// Filters, names, markings and scores of what is imported.
        import: ImportSettings = from ImportSettings::read;
        /// Path and proofs of its deliveries.
        webhook: WebhookSettings = from WebhookSettings::read;
        /// Read the queue of the console's Elastic connector in pull mode; the token's user needs the
        /// permission "elastic pull". Reading takes events away, so nobody else may read the same queue; of
        /// several replicas the one that leads does. A single run (`connector.run_and_terminate`) does not read
        /// it.
        elastic_pull: bool = HARFANGLAB_INCIDENTS_ELASTIC_PULL: switch().default("false").inherited()
            .row("read the queue of the console's Elastic connector");
    }
}

/// The name of one of several consoles.
pub(in crate::config) const CONSOLE_NAME: OptionSpec = OptionSpec {
    key: "name",
    ..text("a name of small letters, digits, - and _, such as paris").own()
};

/// The author of what one of several consoles brings.
pub(in crate::config) const CONSOLE_AUTHOR: OptionSpec = OptionSpec {
    variable: "CONNECTOR_NAME",
    key: "author",
    ..text("a name of at least two characters").own()
};

/// Reads every console: never none, unless a fault was noted.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Read<Vec<ConsoleSettings>> {
    let sections = reader.file().consoles();
    if sections.is_empty() {
        return ConsoleSettings::read(reader).map(|console| vec![console]);
    }
    let read: Vec<Read<ConsoleSettings>> = sections
        .iter()
        .enumerate()
        .map(|(position, section)| {
            let name = file::console_name(position, section);
            reader.of_console(OfConsole { name, section }, ConsoleSettings::read)
        })
        .collect();
    for option in [&CONSOLE_NAME, &HARFANGLAB_INCIDENTS_URL, &HARFANGLAB_INCIDENTS_WEBHOOK_PATH] {
        check_duplicates(reader, option);
    }
    read.into_iter().collect()
}

fn name(reader: &mut Reader<'_>) -> Read<String> {
    if reader.console_name().is_none() {
        return Ok(ONLY_CONSOLE.to_owned());
    }
    reader.required(&CONSOLE_NAME, plain_name)
}

fn author(reader: &mut Reader<'_>) -> Read<String> {
    let connector_name = reader.required(&CONNECTOR_NAME, connector_name)?;
    if reader.console_name().is_none() {
        return Ok(connector_name);
    }
    reader.or_default(&CONSOLE_AUTHOR, &connector_name, self::connector_name)
}

/// It stands in paths, in labels of metrics and on command lines.
fn plain_name(text: &str) -> Result<String, Refusal> {
    let is_plain = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "-_".contains(character)
    };
    if text.chars().count() > NAME_MAX {
        return Err(format!("has more than {NAME_MAX} characters"));
    }
    if text.chars().all(is_plain) { Ok(text.to_owned()) } else { Err("is no such name".to_owned()) }
}

/// With `consoles:`, refuses what each console must have for itself: its address or secret must not serve
/// another by being forgotten there.
pub(in crate::config) fn check_given_for_all(
    reader: &mut Reader<'_>,
    options: impl Iterator<Item = &'static OptionSpec>,
) {
    if reader.file().consoles().is_empty() {
        return;
    }
    for option in options.filter(|option| option.scope == Scope::Own) {
        if let Some(raw) = reader.given_for_all(option) {
            let problem =
                format!("is given ({}), but `{CONSOLES}:` lists the consoles", raw.source);
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
        if !seen.insert(comparable(option, text)) {
            let subject = format!("{CONSOLES}.{}.{} in config.yml", console.name, option.key);
            let problem = format!("is {text:?}, as another console's is");
            faults.push(Fault::about(subject, problem, "give each console its own"));
        }
    }
    reader.faults.append(&mut faults);
}

/// Returns what two values have in common that mean the same.
fn comparable(option: &OptionSpec, text: &str) -> String {
    if *option == HARFANGLAB_INCIDENTS_URL
        && let Ok(url) = parse::base_url(text)
    {
        return url.as_str().trim_end_matches('/').to_owned();
    }
    text.to_owned()
}
