//! Finds the raw value of one option, and shows a value in a fault.
//!
//! Does not live here: what the value means (`parse`).

use std::{collections::BTreeMap, io, path::PathBuf};

use super::{
    effective::Source,
    fault::{self, Fault},
    file::{ConfigFile, Entry, Section},
    option::{CONSOLES, Kind, OptionSpec, Scope},
    parse::PEM_START,
};
use crate::bounded_file;

/// Longest part of a refused value that a fault repeats, in characters.
const SHOWN_MAX: usize = 60;
/// Longest file of a secret, in bytes.
const SECRET_FILE_MAX_BYTES: u64 = 64 << 10;

/// A value that was given, before it is understood.
pub(super) struct RawValue {
    /// The items of a list.
    pub(super) items: Vec<String>,
    /// The value as text.
    pub(super) text: String,
    /// The place where it was found.
    pub(super) source: Source,
    /// Its name in a fault.
    pub(super) subject: String,
}

/// One entry of `consoles:`, by the name that faults call it.
#[derive(Debug, Clone)]
pub(super) struct OfConsole<'a> {
    pub(super) name: String,
    pub(super) section: &'a Section,
}

impl OfConsole<'_> {
    /// Names one of its keys in a fault.
    pub(super) fn subject(&self, option: &OptionSpec) -> String {
        format!("{CONSOLES}.{}.{} in config.yml", self.name, option.key)
    }
}

/// Finds the value in effect for one of several consoles: its own, else, where that is inherited, the one of
/// the service.
pub(super) fn find_of_console(
    environment: &BTreeMap<String, String>,
    file: &ConfigFile,
    console: &OfConsole<'_>,
    option: &OptionSpec,
) -> Result<Option<RawValue>, Fault> {
    if option.scope != Scope::Service {
        let source = Source::ConfigFile(file.path().to_owned());
        let own = in_section(Some(console.section), option, &console.subject(option), source)?;
        if own.is_some() || option.scope == Scope::Own {
            return Ok(own);
        }
    }
    find(environment, file, option)
}

/// Finds the value in effect: environment, else `config.yml`, else the declared default. Empty is as if
/// left out.
pub(super) fn find(
    environment: &BTreeMap<String, String>,
    file: &ConfigFile,
    option: &OptionSpec,
) -> Result<Option<RawValue>, Fault> {
    let variable = |name: &str| {
        let text = environment.get(name)?;
        (!says_nothing(option, text)).then(|| Entry::Text(text.clone()))
    };
    let subject = fault::subject(option);
    let from_environment = variable(option.variable);
    let from_named = secret_name("_FILE", option, option.variable).and_then(|name| variable(&name));
    let given_by_environment =
        one_of(option, &subject, from_environment, from_named, Source::Environment)?;
    if given_by_environment.is_some() {
        return Ok(given_by_environment);
    }
    let source = Source::ConfigFile(file.path().to_owned());
    let given_by_file = in_section(file.section(option.section), option, &subject, source)?;
    Ok(given_by_file.or_else(|| {
        let text = option.default?;
        Some(raw(option, &subject, Entry::Text(text.to_owned()), Source::Default))
    }))
}

fn in_section(
    section: Option<&Section>,
    option: &OptionSpec,
    subject: &str,
    source: Source,
) -> Result<Option<RawValue>, Fault> {
    let key = |name: &str| {
        let entry = section?.get(name)?;
        let is_empty = match entry {
            Entry::Text(text) => says_nothing(option, text),
            Entry::List(items) => items.iter().all(|item| says_nothing(option, item)),
        };
        (!is_empty).then(|| entry.clone())
    };
    let from_named = secret_name("_file", option, option.key).and_then(|name| key(&name));
    one_of(option, subject, key(option.key), from_named, source)
}

fn says_nothing(option: &OptionSpec, text: &str) -> bool {
    text.chars()
        .all(|character| character.is_whitespace() || (character == ',' && option.kind.is_list()))
}

/// Returns the name under which the file of a secret is given.
fn secret_name(suffix: &str, option: &OptionSpec, name: &str) -> Option<String> {
    option.kind.is_secret().then(|| format!("{name}{suffix}"))
}

/// Takes the value itself or reads the file that holds it; both at once contradict each other.
fn one_of(
    option: &OptionSpec,
    subject: &str,
    itself: Option<Entry>,
    named_file: Option<Entry>,
    source: Source,
) -> Result<Option<RawValue>, Fault> {
    let path = match (itself, named_file) {
        (Some(_), Some(_)) => {
            let problem = "is given twice, itself and as a file (_FILE)";
            return Err(Fault::about(subject, problem, "leave one of the two out"));
        }
        (Some(entry), None) => return Ok(Some(raw(option, subject, entry, source))),
        (None, Some(Entry::Text(path))) => PathBuf::from(path.trim()),
        (None, Some(Entry::List(_)) | None) => return Ok(None),
    };
    secret_file(option, subject, path).map(Some)
}

/// Reads the value in the file that `_FILE` names.
pub(super) fn secret_file(
    option: &OptionSpec,
    subject: &str,
    path: PathBuf,
) -> Result<RawValue, Fault> {
    let read = bounded_file::read(path.clone(), SECRET_FILE_MAX_BYTES, bounded_file::READ_TIMEOUT);
    let text = read.and_then(|content| String::from_utf8(content).map_err(io::Error::other));
    let text = text.map_err(|error| {
        let problem = format!("names the file {}, which cannot be read ({error})", path.display());
        Fault::about(subject, problem, "let _FILE name a readable file that holds only the value")
    })?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        let problem = format!("names the file {}, which is empty", path.display());
        return Err(Fault::about(subject, problem, "put the value into that file"));
    }
    Ok(raw(option, subject, Entry::Text(text.to_owned()), Source::SecretFile(path)))
}

fn raw(option: &OptionSpec, subject: &str, entry: Entry, source: Source) -> RawValue {
    let (text, items) = match entry {
        Entry::Text(text) if option.kind.is_list() => {
            let items = text.split(',').map(|item| item.trim().to_owned()).collect();
            (text, items)
        }
        // A password may begin or end with a blank; nothing else means anything by one.
        Entry::Text(text) if option.kind == Kind::Secret => (text, Vec::new()),
        Entry::Text(text) => (text.trim().to_owned(), Vec::new()),
        Entry::List(items) => {
            let items: Vec<String> = items.iter().map(|item| item.trim().to_owned()).collect();
            (items.join(","), items)
        }
    };
    let items = items.into_iter().filter(|item: &String| !item.is_empty()).collect();
    RawValue { items, text, source, subject: subject.to_owned() }
}

/// Shows a value in quotes, shortened, without the password of a URL; a secret not at all.
pub(super) fn shown(option: &OptionSpec, text: &str) -> String {
    if option.kind.is_secret() {
        return "a secret that is not shown".to_owned();
    }
    if text.starts_with(PEM_START) {
        return "PEM text".to_owned();
    }
    let without_user = match text.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://…@{host}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    };
    // Drivers of databases take passwords among the parameters, too.
    let without_user = match without_user.split_once("password=") {
        Some((before, _password)) => format!("{before}password=…"),
        None => without_user,
    };
    let mut start: String = without_user.chars().take(SHOWN_MAX).collect();
    if start.len() < without_user.len() {
        start.push('…');
    }
    format!("{start:?}")
}
