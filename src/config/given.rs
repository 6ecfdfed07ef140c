//! Where the value of one option is found, and how a value may be shown.
//!
//! Does not live here: what the value means (`parse`).

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    effective::Source,
    fault::Fault,
    file::{ConfigFile, Entry},
    options::{Kind, OptionSpec},
    parse::PEM_START,
};

/// Longest part of a refused value that a fault repeats, in characters.
const SHOWN_MAX: usize = 60;

/// A value that was given, before it is understood.
pub(super) struct Given {
    /// The items of a list.
    pub(super) items: Vec<String>,
    /// The value as text.
    pub(super) text: String,
    /// Where it was found.
    pub(super) source: Source,
}

/// The value in effect: environment, else `config.yml`, else the table's default. Empty is as if
/// left out.
pub(super) fn find(
    environment: &BTreeMap<String, String>,
    file: &ConfigFile,
    option: &OptionSpec,
) -> Result<Option<Given>, Fault> {
    let says_nothing = |text: &str| {
        let is_blank = |character: char| character.is_whitespace();
        text.chars()
            .all(|character| is_blank(character) || (character == ',' && option.kind.is_list()))
    };
    let variable = |name: &str| {
        let text = environment.get(name)?;
        (!says_nothing(text)).then(|| Entry::Text(text.clone()))
    };
    let key = |name: &str| {
        let entry = file.get(option.section, name)?;
        let is_empty = match entry {
            Entry::Text(text) => says_nothing(text),
            Entry::List(items) => items.iter().all(|item| says_nothing(item)),
        };
        (!is_empty).then(|| entry.clone())
    };
    let secret_file =
        |suffix: &str, name: &str| option.kind.is_secret().then(|| format!("{name}{suffix}"));

    let from_environment = variable(option.variable);
    let from_named = secret_file("_FILE", option.variable).and_then(|name| variable(&name));
    let given_by_environment = one_of(option, from_environment, from_named, Source::Environment)?;
    if given_by_environment.is_some() {
        return Ok(given_by_environment);
    }
    let from_key = key(option.key);
    let from_named = secret_file("_file", option.key).and_then(|name| key(&name));
    let source = Source::ConfigFile(file.path().to_owned());
    let given_by_file = one_of(option, from_key, from_named, source)?;
    Ok(given_by_file.or_else(|| {
        option.default.map(|text| given(option, Entry::Text(text.to_owned()), Source::Default))
    }))
}

/// Takes the value itself or reads the file that holds it; both at once contradict each other.
fn one_of(
    option: &OptionSpec,
    itself: Option<Entry>,
    named_file: Option<Entry>,
    source: Source,
) -> Result<Option<Given>, Fault> {
    let path = match (itself, named_file) {
        (Some(_), Some(_)) => {
            let problem = "is given twice, itself and as a file (_FILE)";
            return Err(Fault::of(option, problem, "leave one of the two out"));
        }
        (Some(entry), None) => return Ok(Some(given(option, entry, source))),
        (None, Some(Entry::Text(path))) => PathBuf::from(path.trim()),
        (None, Some(Entry::List(_)) | None) => return Ok(None),
    };
    secret_file(option, path).map(Some)
}

/// The value in the file that `_FILE` names.
pub(super) fn secret_file(option: &OptionSpec, path: PathBuf) -> Result<Given, Fault> {
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let problem = format!("names the file {}, which cannot be read ({error})", path.display());
        Fault::of(option, problem, "let _FILE name a readable file that holds only the value")
    })?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        let problem = format!("names the file {}, which is empty", path.display());
        return Err(Fault::of(option, problem, "put the value into that file"));
    }
    Ok(given(option, Entry::Text(text.to_owned()), Source::SecretFile(path)))
}

fn given(option: &OptionSpec, entry: Entry, source: Source) -> Given {
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
    Given { items, text, source }
}

/// A value in quotes, shortened, without the password of a URL; a secret not at all.
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
