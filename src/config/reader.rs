//! Takes the value of one option at a time, has it parsed, and collects every fault instead of stopping at
//! the first.
//!
//! Does not live here: where a value is found (`raw`), what a text means (`parse`), which
//! settings there are (`options`).

use std::{collections::BTreeMap, path::PathBuf};

use chrono::{DateTime, Utc};

use super::{
    effective::{Effective, EffectiveValue, Source},
    fault::{self, Fault},
    file::ConfigFile,
    option::{OptionSpec, Scope, Standing},
    parse,
    raw::{self, OfConsole, RawValue, shown},
};

/// Reads options and remembers what was wrong.
pub(super) struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    file: &'a ConfigFile,
    file_state: FileState,
    now: DateTime<Utc>,
    /// The one of several consoles that is being read.
    console: Option<OfConsole<'a>>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
    pub(super) effective: Effective,
}

/// A fault was noted, and there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FaultNoted;

/// A value that was read, unless a fault was noted.
pub(super) type Read<T> = Result<T, FaultNoted>;

/// Says if what is missing may be in a file that could not be read.
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
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            environment,
            file,
            file_state,
            now,
            console: None,
            faults: Vec::new(),
            warnings: Vec::new(),
            effective: Effective::default(),
        }
    }

    /// The moment from which a time ago is counted back.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.now
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

    /// Returns the file that the option's secrets came from, once they have been read.
    pub(super) fn secret_file(&self, option: &OptionSpec) -> Option<PathBuf> {
        let values = match &self.console {
            Some(_) => self.effective.consoles().last().map(|console| &console.values),
            None => None,
        };
        let of_console = values.and_then(|values| {
            values.iter().find(|value| (value.variable, value.key) == (option.variable, option.key))
        });
        let value = of_console.or_else(|| self.effective.get(option.variable))?;
        match &value.source {
            Source::SecretFile(path) => Some(path.clone()),
            _ => None,
        }
    }

    /// Returns whether somebody gave the option, also if it is what it would be by default.
    pub(super) fn is_given(&self, option: &OptionSpec) -> bool {
        let value = self.effective.get(option.variable);
        value.is_some_and(|value| value.value.is_some() && value.source != Source::Default)
    }

    /// The value that the service has been given for an option that each console must have for
    /// itself.
    pub(super) fn given_for_all(&self, option: &OptionSpec) -> Option<RawValue> {
        let found = raw::find(self.environment, self.file, option).ok().flatten();
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
        self.parse(option, &given, &given.text, parse).map(Some)
    }

    /// Every item of a list, trimmed, without empty ones; faulty items are faults each. `all` stands for an
    /// empty list where the option takes it.
    pub(super) fn list<T>(
        &mut self,
        option: &OptionSpec,
        parse: impl Fn(&str) -> Result<T, parse::Refusal>,
    ) -> Read<Vec<T>> {
        let Some(given) = self.take(option)? else {
            return Ok(Vec::new());
        };
        let is_all = |item: &str| option.takes_all && item.eq_ignore_ascii_case("all");
        let items = given.items.iter().filter(|item| !is_all(item));
        let parsed: Vec<Read<T>> =
            items.map(|item| self.parse(option, &given, item, &parse)).collect();
        let parsed = parsed.into_iter().collect::<Read<Vec<T>>>()?;
        Ok(if given.items.iter().any(|item| is_all(item)) { Vec::new() } else { parsed })
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
            Some(console) if option.scope == Scope::Own => console.subject(option),
            _ => fault::subject(option),
        };
        self.faults.push(Fault::about(subject, problem, remedy));
    }

    fn parse<T>(
        &mut self,
        option: &OptionSpec,
        given: &RawValue,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, parse::Refusal>,
    ) -> Read<T> {
        // What was not UTF-8 in the environment arrives with this character.
        let parsed = if text.contains(char::REPLACEMENT_CHARACTER) {
            Err("is not UTF-8 text".to_owned())
        } else {
            parse(text)
        };
        parsed.map_err(|refusal| {
            let (shown, source) = (shown(option, text), &given.source);
            let problem = format!("is {shown} ({source}), which {refusal}");
            let remedy = format!("expected {}", option.expects());
            self.faults.push(Fault::about(given.subject.clone(), problem, remedy));
            FaultNoted
        })
    }

    /// The value in effect, noted for the effective view.
    fn take(&mut self, option: &OptionSpec) -> Read<Option<RawValue>> {
        let found = match &self.console {
            Some(console) => raw::find_of_console(self.environment, self.file, console, option),
            None => raw::find(self.environment, self.file, option),
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
        if self.console.is_some() && option.scope != Scope::Service {
            self.effective.push_of_console(value);
        } else {
            self.effective.push(value);
        }
    }
}
