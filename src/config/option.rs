//! One option: its names, its type, its default, its scope and its documentation. Everything that is
//! said of an option anywhere (fault, `config`, reference, schema, README) is made of this.
//!
//! Does not live here: the options themselves (`options`), reading one (`reader`).

use std::time::Duration;

use super::parse::{self, Refusal};

/// The sections of `config.yml` with their comments in the reference, in the order in which `config`
/// prints them.
pub(super) const SECTIONS: [(&str, &str); 5] = [
    ("opencti", "The OpenCTI platform that incidents are delivered to."),
    ("connector", "How this connector appears in OpenCTI and when it sweeps."),
    (
        "mq",
        "The connection to RabbitMQ. OpenCTI tells it at registration; each line overrides one part of \
         what it told.",
    ),
    (
        "s3",
        "The S3 server that CONNECTOR_SEND_TO_S3 delivers to. OpenCTI (6.9.10 and newer) tells its own \
         at registration; each line overrides one part of what it told.",
    ),
    (OUR_SECTION, "HarfangLab, and this service itself."),
];

/// The list of several consoles.
pub(super) const CONSOLES: &str = "consoles";

/// Our own section, in which an unknown name is a fault.
pub(super) const OUR_SECTION: &str = "harfanglab_incidents";

/// Prefix of our own environment variables.
pub(super) const OUR_PREFIX: &str = "HARFANGLAB_INCIDENTS_";

/// Sections by the prefix of their variables. A variable with another prefix is in `connector`.
const PREFIXES: [(&str, &str); 5] = [
    ("OPENCTI_", "opencti"),
    ("CONNECTOR_", "connector"),
    ("MQ_", "mq"),
    ("S3_", "s3"),
    (OUR_PREFIX, OUR_SECTION),
];

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OptionSpec {
    /// Environment variable.
    pub(super) variable: &'static str,
    /// Section of `config.yml`; empty for what only the environment can say.
    pub(super) section: &'static str,
    /// Key in that section; empty for what only the environment can say.
    pub(super) key: &'static str,
    /// The documentation, a line each.
    pub(super) documentation: &'static [&'static str],
    /// Number of its values, and if they are shown.
    pub(super) kind: Kind,
    /// Type of a value; of a list, of each of them.
    pub(super) value_type: ValueType,
    /// The value when none is given, written as it would be given.
    pub(super) default: Option<&'static str>,
    /// Shown in the reference for a value that an operator has to give.
    pub(super) placeholder: Option<&'static str>,
    /// Treatment by this version.
    pub(super) standing: Standing,
    /// Says if each of several consoles may have its own.
    pub(super) scope: Scope,
    /// Unit or remark that follows the description of a value; mostly empty.
    pub(super) note: &'static str,
    /// Says if `all` in a list stands for every value there is or may be, which reads as an empty one.
    pub(super) takes_all: bool,
    /// Says if `config.yml` has no place for it.
    pub(super) environment_only: bool,
    /// Its row in the README: what stands for a missing default, and a few words; `None`: it has none.
    pub(super) row: Option<(&'static str, &'static str)>,
}

/// Reading and showing of an option's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One value.
    Plain,
    /// Values separated by commas, or a list in `config.yml`.
    List,
    /// One value that is never shown; also read from the file that `<NAME>_FILE` names.
    Secret,
    /// As `Secret`, separated by commas, or a list in `config.yml`.
    SecretList,
}

impl Kind {
    /// Returns whether several values may be given.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::List | Self::SecretList)
    }

    /// Returns whether the value must never be shown.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::SecretList)
    }
}

/// Says for an option if each of several consoles (`consoles:` in `config.yml`) may have its own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// There is one value for the whole service.
    Service,
    /// A console may have its own, and takes the service's when it has none.
    Inherited,
    /// A console must have its own; one console's never serves another.
    Own,
}

/// Treatment of an option by this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It becomes a setting.
    Used,
    /// It is known and means nothing to an external import.
    WithoutEffect,
    /// Any value but the default would change where data goes: a fault, with what to do.
    OnlyDefault(&'static str),
}

/// The type of a value. The words of faults, the bounds of its text and its type in the schema all come
/// from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    /// A text as these words say; a parser of its own checks it.
    Text(&'static str),
    /// A base URL, as these words say.
    Url(&'static str),
    /// True or false.
    Switch,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A number above zero.
    Positive,
    /// One of these.
    Choice(&'static [&'static str]),
    /// An ISO-8601 duration from the first to the second.
    Length(&'static str, &'static str),
    /// Bytes, from the first to the second, as these words say.
    Size(u64, u64, &'static str),
}

pub(super) const fn text(words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Text(words))
}

pub(super) const fn url(words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Url(words))
}

pub(super) const fn switch() -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Switch)
}

pub(super) const fn whole(least: u64, most: u64) -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Whole(least, most))
}

pub(super) const fn positive() -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Positive)
}

pub(super) const fn choice(names: &'static [&'static str]) -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Choice(names))
}

/// A duration between these two, written as ISO-8601.
pub(super) const fn length(least: &'static str, most: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Length(least, most))
}

pub(super) const fn size(least_bytes: u64, most_bytes: u64, words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::Plain, ValueType::Size(least_bytes, most_bytes, words))
}

pub(super) const fn list(words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::List, ValueType::Text(words))
}

pub(super) const fn secret(words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::Secret, ValueType::Text(words))
}

pub(super) const fn secrets(words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::SecretList, ValueType::Text(words))
}

/// An option of other kinds of connector, or one that the platform has stopped reading.
pub(super) const fn without_effect() -> OptionSpec {
    let mut option = text("anything: it has no effect here");
    option.standing = Standing::WithoutEffect;
    option
}

impl OptionSpec {
    const fn new(kind: Kind, value_type: ValueType) -> Self {
        Self {
            variable: "",
            section: "",
            key: "",
            documentation: &[],
            kind,
            value_type,
            default: None,
            placeholder: None,
            standing: Standing::Used,
            scope: Scope::Service,
            note: "",
            takes_all: false,
            environment_only: false,
            row: None,
        }
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// An operator has to give it; the reference shows `placeholder`.
    pub(super) const fn required(mut self, placeholder: &'static str) -> Self {
        self.placeholder = Some(placeholder);
        self
    }

    /// `config.yml` has no place for it.
    pub(super) const fn environment_only(mut self) -> Self {
        self.environment_only = true;
        self
    }

    pub(super) const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    pub(super) const fn inherited(mut self) -> Self {
        self.scope = Scope::Inherited;
        self
    }

    pub(super) const fn own(mut self) -> Self {
        self.scope = Scope::Own;
        self
    }

    pub(super) const fn or_all(mut self) -> Self {
        self.takes_all = true;
        self
    }

    pub(super) const fn only_default(mut self, remedy: &'static str) -> Self {
        self.standing = Standing::OnlyDefault(remedy);
        self
    }

    /// It has a row in the README, with these words.
    pub(super) const fn row(mut self, words: &'static str) -> Self {
        self.row = Some(("none", words));
        self
    }

    /// As [`OptionSpec::row`], with `missing` in the place of a missing default.
    pub(super) const fn row_with(mut self, missing: &'static str, words: &'static str) -> Self {
        self.row = Some((missing, words));
        self
    }

    /// Names a declared option by its environment variable; section and key follow from that.
    pub(super) const fn named(
        mut self,
        variable: &'static str,
        key: &'static str,
        documentation: &'static [&'static str],
    ) -> Self {
        self.variable = variable;
        if !self.environment_only {
            self.section = section_of(variable);
            self.key = key;
        }
        self.documentation = documentation;
        self
    }

    /// Returns `section.key`, unless only the environment can say it.
    pub(super) fn path(&self) -> Option<String> {
        (!self.key.is_empty()).then(|| format!("{}.{}", self.section, self.key))
    }

    /// Returns the documentation as one line; of an option without any, what its value is.
    pub(super) fn words(&self) -> String {
        let words = self.documentation.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        if words.is_empty() { self.expects() } else { words }
    }

    /// Describes its value in words that follow "expected".
    pub(super) fn expects(&self) -> String {
        let words = match self.value_type {
            ValueType::Text(words) | ValueType::Url(words) | ValueType::Size(_, _, words) => {
                words.to_owned()
            }
            ValueType::Switch => "true or false".to_owned(),
            ValueType::Whole(least, most) => format!("a whole number from {least} to {most}"),
            ValueType::Positive => "a number above zero".to_owned(),
            ValueType::Choice([one, other]) => format!("{one} or {other}"),
            ValueType::Choice(names) => format!("one of {}", names.join(", ")),
            ValueType::Length(least, most) => {
                format!("an ISO-8601 duration from {least} to {most}")
            }
        };
        if self.note.is_empty() { words } else { format!("{words}: {}", self.note) }
    }

    /// Parses its whole number.
    pub(super) fn whole<T: TryFrom<u64>>(&self, text: &str) -> Result<T, Refusal> {
        match self.value_type {
            ValueType::Whole(least, most) => parse::whole(text, least, most),
            ValueType::Size(least, most, _) => parse::size_bytes(text, least, most),
            _ => Err("is no whole number".to_owned()),
        }
    }

    /// Parses its duration.
    pub(super) fn length(&self, text: &str) -> Result<Duration, Refusal> {
        let ValueType::Length(least, most) = self.value_type else {
            return Err("is no length of time".to_owned());
        };
        let bound = |text| parse::duration(text, Duration::ZERO, Duration::MAX);
        parse::duration(text, bound(least)?, bound(most)?)
    }
}

const fn section_of(variable: &str) -> &'static str {
    match prefix_of(variable) {
        Some(number) => PREFIXES[number].1,
        None => "connector",
    }
}

const fn prefix_of(variable: &str) -> Option<usize> {
    let mut number = 0;
    while number < PREFIXES.len() {
        if starts_with(variable.as_bytes(), PREFIXES[number].0.as_bytes()) {
            return Some(number);
        }
        number += 1;
    }
    None
}

const fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    if text.len() < prefix.len() {
        return false;
    }
    let mut place = 0;
    while place < prefix.len() {
        if text[place] != prefix[place] {
            return false;
        }
        place += 1;
    }
    true
}

const fn prefix_length(variable: &str) -> usize {
    match prefix_of(variable) {
        Some(number) => PREFIXES[number].0.len(),
        None => 0,
    }
}

/// Returns the length of a variable's key.
pub(super) const fn key_length(variable: &str) -> usize {
    variable.len() - prefix_length(variable)
}

/// Returns a variable's key: what follows the prefix of its section, in lower case.
pub(super) const fn key_of<const LENGTH: usize>(variable: &str) -> [u8; LENGTH] {
    let (bytes, prefix) = (variable.as_bytes(), prefix_length(variable));
    let mut key = [0; LENGTH];
    let mut place = 0;
    while place < LENGTH {
        key[place] = bytes[prefix + place].to_ascii_lowercase();
        place += 1;
    }
    key
}
