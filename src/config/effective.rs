//! The configuration in effect: every option with its value and where that came from, as a
//! `config.yml` whose comments name the sources. Secrets are masked before they get here.

use std::{fmt, fmt::Write as _, path::PathBuf};

use super::{
    options::{OptionSpec, SECTIONS, Standing},
    parse::PEM_START,
};

/// What stands in the place of a secret.
pub(super) const MASK: &str = "********";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The table's default.
    Default,
    /// `config.yml`.
    ConfigFile(PathBuf),
    /// The environment variable of the option.
    Environment,
    /// The file that `<NAME>_FILE` or `<key>_file` names.
    SecretFile(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::ConfigFile(path) => write!(formatter, "file {}", path.display()),
            Self::Environment => formatter.write_str("environment"),
            Self::SecretFile(path) => write!(formatter, "secret file {}", path.display()),
        }
    }
}

/// One option as it is in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveValue {
    /// Environment variable.
    pub variable: &'static str,
    /// Section of `config.yml`; empty for what only the environment can say.
    pub section: &'static str,
    /// Key in that section; empty for what only the environment can say.
    pub key: &'static str,
    /// The value as it was given, masked when it is a secret; `None` when there is none.
    pub value: Option<String>,
    /// Where it came from.
    pub source: Source,
}

impl EffectiveValue {
    pub(super) fn new(option: &OptionSpec, value: Option<String>, source: Source) -> Self {
        let value = value.map(|text| match text {
            _ if option.kind.is_secret() => MASK.to_owned(),
            text if text.starts_with(PEM_START) => "PEM text".to_owned(),
            text => without_password(&text),
        });
        Self { variable: option.variable, section: option.section, key: option.key, value, source }
    }
}

/// The configuration in effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective(Vec<EffectiveValue>);

impl Effective {
    pub(super) fn push(&mut self, value: EffectiveValue) {
        self.0.push(value);
    }

    /// The options that were read, in the order in which they were.
    pub fn values(&self) -> &[EffectiveValue] {
        &self.0
    }

    /// The option of this variable.
    pub fn get(&self, variable: &str) -> Option<&EffectiveValue> {
        self.0.iter().find(|value| value.variable == variable)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in SECTIONS {
            let mut lines = String::new();
            for option in super::options::all().filter(|option| option.section == section) {
                if option.standing == Standing::Used {
                    self.write_option(&mut lines, option)?;
                }
            }
            if !lines.is_empty() {
                write!(formatter, "{section}:\n{lines}")?;
            }
        }
        for option in super::options::all().filter(|option| option.section.is_empty()) {
            if let Some(EffectiveValue { value: Some(value), source, .. }) =
                self.get(option.variable)
                && *source != Source::Default
            {
                writeln!(formatter, "# {} is {} ({source})", option.variable, scalar(value))?;
            }
        }
        Ok(())
    }
}

impl Effective {
    fn write_option(&self, lines: &mut String, option: &OptionSpec) -> fmt::Result {
        match self.get(option.variable) {
            Some(EffectiveValue { value: Some(value), source, .. }) => {
                let given_by = match source {
                    Source::Environment => format!("environment, {}", option.variable),
                    other => other.to_string(),
                };
                writeln!(lines, "  {}: {}  # {given_by}", option.key, scalar(value))
            }
            _ => writeln!(lines, "  # {} is not set", option.key),
        }
    }
}

/// The password of a URL, masked.
fn without_password(text: &str) -> String {
    let masked = text.split_once("://").and_then(|(scheme, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user, _host) = authority.rsplit_once('@')?;
        let (name, _password) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:{MASK}{}", &rest[user.len()..]))
    });
    masked.unwrap_or_else(|| text.to_owned())
}

/// A YAML scalar: bare where that is safe, else in double quotes.
fn scalar(text: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
    if !text.is_empty() && text.chars().all(is_bare) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
