//! The configuration in effect: every option with its value and where that came from. Secrets are masked
//! before they get here.

use std::{fmt, path::PathBuf};

use super::{option::OptionSpec, parse::PEM_START};

/// Shown in the place of a secret.
pub(super) const MASK: &str = "********";

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The declared default.
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
    /// Its source.
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
pub struct Effective {
    values: Vec<EffectiveValue>,
    consoles: Vec<EffectiveConsole>,
}

/// The values in effect for one of several consoles, inherited or its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveConsole {
    /// Its name, or its number when it has none.
    pub name: String,
    /// Its options, in the order in which they were read.
    pub values: Vec<EffectiveValue>,
}

impl Effective {
    pub(super) fn push(&mut self, value: EffectiveValue) {
        if self.get(value.variable).is_none() {
            self.values.push(value);
        }
    }

    pub(super) fn begin_console(&mut self, name: &str) {
        self.consoles.push(EffectiveConsole { name: name.to_owned(), values: Vec::new() });
    }

    /// Of the console that was begun last; what is noted later stands.
    pub(super) fn push_of_console(&mut self, value: EffectiveValue) {
        if let Some(console) = self.consoles.last_mut() {
            console.values.retain(|known| known.key != value.key);
            console.values.push(value);
        }
    }

    /// The options that were read, in the order in which they were.
    pub fn values(&self) -> &[EffectiveValue] {
        &self.values
    }

    /// Several consoles, in their order; none when there is one.
    pub fn consoles(&self) -> &[EffectiveConsole] {
        &self.consoles
    }

    /// The option of this variable.
    pub fn get(&self, variable: &str) -> Option<&EffectiveValue> {
        self.values.iter().find(|value| value.variable == variable)
    }
}

impl EffectiveConsole {
    /// The option of this key.
    pub fn get(&self, key: &str) -> Option<&EffectiveValue> {
        self.values.iter().find(|value| value.key == key)
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
