//! Takes the value of one option at a time, has it understood, and gathers every fault instead of
//! stopping at the first.
//!
//! Does not live here: where a value is found (`given`), what a text means (`parse`), which
//! settings there are (`assemble`).

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{
    effective::{Effective, EffectiveValue, Source},
    fault::Fault,
    file::ConfigFile,
    given::{self, Given, shown},
    options::{OptionSpec, Standing},
    parse,
};

/// Reads options and remembers what was wrong.
pub(super) struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    file: &'a ConfigFile,
    file_state: FileState,
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
            faults: Vec::new(),
            warnings: Vec::new(),
            effective: Effective::default(),
        }
    }

    /// An option that must have a value (given, or by default).
    pub(super) fn required<T>(
        &mut self,
        option: &OptionSpec,
        parse: impl FnOnce(&str) -> Result<T, parse::Refusal>,
    ) -> Read<T> {
        let value = self.optional(option, parse)?;
        if value.is_none() && self.file_state == FileState::Read {
            let remedy = format!("set it to {}", option.expects);
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
        self.faults.push(Fault::of(option, problem, remedy));
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
            self.fault(option, problem, format!("expected {}", option.expects));
            FaultNoted
        })
    }

    /// The value in effect, noted for the effective view.
    fn take(&mut self, option: &OptionSpec) -> Read<Option<Given>> {
        let found = given::find(self.environment, self.file, option);
        let given = found.map_err(|fault| {
            self.faults.push(fault);
            FaultNoted
        })?;
        let (text, source) = given.as_ref().map_or((None, Source::Default), |given| {
            (Some(given.text.clone()), given.source.clone())
        });
        self.effective.push(EffectiveValue::new(option, text, source));
        Ok(given)
    }
}
