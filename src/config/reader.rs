//! Takes the value of one option at a time, has it understood, and gathers every fault instead of
//! stopping at the first.
//!
//! Does not live here: where a value is found (`given`), what a text means (`parse`), which
//! settings there are (`assemble`).

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{
    effective::{Effective, EffectiveValue, Source},
    fault::{self, Fault},
    file::ConfigFile,
    given::{self, Given, OfConsole, shown},
    options::{OptionSpec, Reach, Standing},
    parse,
};

/// Reads options and remembers what was wrong.
pub(super) struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    file: &'a ConfigFile,
    file_state: FileState,
    /// The one of several consoles that is being read.
    console: Option<OfConsole<'a>>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
    pub(super) effective: Effective,
}

/// A fault was noted, and there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FaultNoted;

/// What was read, unless a fault was noted.
pub(super) type Read<T> = Result<T, FaultNoted>;

/// Whether what is missing may be in a file that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    /// The file was read, or there is none.
    Read,
    /// There is a file, and it could not be read.
    Unreadable,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        environment: &'a BTreeMap<String, String>,
        file: &'a ConfigFile,
        file_state: FileState,
    ) -> Self {
        Self {
            environment,
            file,
            file_state,
            console: None,
            faults: Vec::new(),
            warnings: Vec::new(),
            effective: Effective::default(),
        }
    }

    /// The file.
    pub(super) fn file(&self) -> &'a ConfigFile {
        self.file
    }

    /// Reads with `read` what is of one console.
    pub(super) fn of_console<T>(
        &mut self,
        console: OfConsole<'a>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.effective.begin_console(&console.name);
        self.console = Some(console);
        let value = read(self);
        self.console = None;
        value
    }

    /// The name of the console that is being read, if it is one of several.
    pub(super) fn console_name(&self) -> Option<&str> {
        self.console.as_ref().map(|console| console.name.as_str())
    }

    /// Where the option's value came from.
    pub(super) fn source(&self, option: &OptionSpec) -> Option<&Source> {
        let values = match &self.console {
            Some(_) => self.effective.consoles().last().map(|console| &console.values),
            None => None,
        };
        let of_console = values.and_then(|values| {
            values.iter().find(|value| (value.variable, value.key) == (option.variable, option.key))
        });
        of_console.or_else(|| self.effective.get(option.variable)).map(|value| &value.source)
    }

    /// The value that the service has been given for an option that each console must have for
    /// itself.
    pub(super) fn given_for_all(&self, option: &OptionSpec) -> Option<Given> {
        let found = given::find(self.environment, self.file, option).ok().flatten();
        found.filter(|given| given.source != Source::Default)
    }

    /// As [`Reader::optional`], with this default.
    pub(super) fn or_default<T>(
        &mut self,
        option: &OptionSpec,
        default: &str,
        parse: impl Fn(&str) -> Result<T, parse::Refusal>,
    ) -> Read<T> {
        if let Some(value) = self.optional(option, &parse)? {
            return Ok(value);
        }
        self.note(option, Some(default.to_owned()), Source::Default);
        // It is made of another option, whose fault it shares.
        parse(default).map_err(|_refusal| FaultNoted)
    }

    /// An option that must have a value (given, or by default).
    pub(super) fn required<T>(
        &mut self,
        option: &OptionSpec,
        parse: impl FnOnce(&str) -> Result<T, parse::Refusal>,
    ) -> Read<T> {
        let value = self.optional(option, parse)?;
        if value.is_none() && self.file_state == FileState::Read {
            let remedy = format!("set it to {}", option.expects());
            self.fault(option, "is missing", remedy);
        }
        value.ok_or(FaultNoted)
    }

    /// An option that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        option: &OptionSpec,
        parse: impl FnOnce(&str) -> Result<T, parse::Refusal>,
    ) -> Read<Option<T>> {
        let Some(given) = self.take(option)? else {
            return Ok(None);
        };
        self.understand(option, &given, &given.text, parse).map(Some)
    }

    /// A secret that may be left out.
    pub(super) fn optional_secret(&mut self, option: &OptionSpec) -> Read<Option<SecretString>> {
        self.optional(option, |text| Ok(SecretString::from(text.to_owned())))
    }

    /// Every item of a list, trimmed, without empty ones; faulty items are faults each.
    pub(super) fn list<T>(
        &mut self,
        option: &OptionSpec,
        parse: impl Fn(&str) -> Result<T, parse::Refusal>,
    ) -> Read<Vec<T>> {
        let Some(given) = self.take(option)? else {
            return Ok(Vec::new());
        };
        let understood: Vec<Read<T>> =
            given.items.iter().map(|item| self.understand(option, &given, item, &parse)).collect();
        understood.into_iter().collect()
    }

    /// Holds an option that this version does not honour to its default.
    pub(super) fn hold_to_default(&mut self, option: &OptionSpec) {
        let Standing::OnlyDefault(remedy) = option.standing else {
            return;
        };
        let Ok(Some(given)) = self.take(option) else {
            return;
        };
        let default = option.default.unwrap_or_default();
        let same = given.text.eq_ignore_ascii_case(default)
            || (parse::boolean(default).is_ok()
                && parse::boolean(&given.text) == parse::boolean(default));
        if same {
            return;
        }
        let problem = format!("is {}, which is not supported", shown(option, &given.text));
        self.fault(option, problem, remedy);
    }

    /// Notes a fault of an option.
    pub(super) fn fault(
        &mut self,
        option: &OptionSpec,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let subject = match &self.console {
            Some(console) if option.reach == Reach::Own => console.subject(option),
            _ => fault::subject(option),
        };
        self.faults.push(Fault::about(subject, problem, remedy));
    }

    fn understand<T>(
        &mut self,
        option: &OptionSpec,
        given: &Given,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, parse::Refusal>,
    ) -> Read<T> {
        // What was not UTF-8 in the environment arrives with this character.
        let understood = if text.contains(char::REPLACEMENT_CHARACTER) {
            Err("is not UTF-8 text".to_owned())
        } else {
            parse(text)
        };
        understood.map_err(|refusal| {
            let (shown, source) = (shown(option, text), &given.source);
            let problem = format!("is {shown} ({source}), which {refusal}");
            let remedy = format!("expected {}", option.expects());
            self.faults.push(Fault::about(given.subject.clone(), problem, remedy));
            FaultNoted
        })
    }

    /// The value in effect, noted for the effective view.
    fn take(&mut self, option: &OptionSpec) -> Read<Option<Given>> {
        let found = match &self.console {
            Some(console) => given::find_of_console(self.environment, self.file, console, option),
            None => given::find(self.environment, self.file, option),
        };
        let given = found.map_err(|fault| {
            self.faults.push(fault);
            FaultNoted
        })?;
        let (text, source) = given.as_ref().map_or((None, Source::Default), |given| {
            (Some(given.text.clone()), given.source.clone())
        });
        self.note(option, text, source);
        Ok(given)
    }

    fn note(&mut self, option: &OptionSpec, text: Option<String>, source: Source) {
        let value = EffectiveValue::new(option, text, source);
        if self.console.is_some() && option.reach != Reach::Service {
            self.effective.push_of_console(value);
        } else {
            self.effective.push(value);
        }
    }
}
