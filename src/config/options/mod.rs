//! The table of every option: its names, its kind, its default, and what this version does with
//! it. The loader, the `config` command, the check for unknown names and the reference file are all
//! held to this table, so that none of them can drift.
//!
//! Does not live here: reading values (`reader`), turning them into settings (`assemble`).

mod ours;
mod platform;
mod shape;

pub(super) use self::{ours::*, platform::*, shape::Shape};

/// The sections of `config.yml`, in the order in which `config` prints them.
pub(super) const SECTIONS: [&str; 5] = ["opencti", "connector", "mq", "s3", OUR_SECTION];

/// The list of several consoles.
pub(super) const CONSOLES: &str = "consoles";

/// Our own section, in which an unknown name is a fault.
pub(super) const OUR_SECTION: &str = "harfanglab_incidents";

/// What our own environment variables begin with.
pub(super) const OUR_PREFIX: &str = "HARFANGLAB_INCIDENTS_";

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OptionSpec {
    /// Environment variable.
    pub(super) variable: &'static str,
    /// Section of `config.yml`; empty for what only the environment can say.
    pub(super) section: &'static str,
    /// Key in that section; empty for what only the environment can say.
    pub(super) key: &'static str,
    /// How its text is read and shown.
    pub(super) kind: Kind,
    /// The value when none is given, written as it would be given.
    pub(super) default: Option<&'static str>,
    /// What this version does with it.
    pub(super) standing: Standing,
    /// Whether each of several consoles may have its own.
    pub(super) reach: Reach,
    /// What its value looks like; of a list, each of them.
    pub(super) shape: Shape,
    /// What there is to know besides, in words; mostly none.
    pub(super) note: &'static str,
}

/// How an option's text is read and shown.
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
    /// Whether several values may be given.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::List | Self::SecretList)
    }

    /// Whether the value must never be shown.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::SecretList)
    }
}

/// Whether each of several consoles (`consoles:` in `config.yml`) may have a value of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is one for the whole service.
    Service,
    /// A console may have its own, and takes the service's when it has none.
    Inherited,
    /// It makes a console what it is, and one console's never serves another.
    Own,
}

/// What this version does with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It becomes a setting.
    Used,
    /// It is known and means nothing to an external import.
    WithoutEffect,
    /// Any value but the default would change where data goes: a fault, with what to do.
    OnlyDefault(&'static str),
}

impl OptionSpec {
    /// `section.key`, unless only the environment can say it.
    pub(super) fn path(&self) -> Option<String> {
        (!self.key.is_empty()).then(|| format!("{}.{}", self.section, self.key))
    }

    const fn new(kind: Kind, section: &'static str, key: &'static str, shape: Shape) -> Self {
        Self {
            variable: "",
            section,
            key,
            kind,
            default: None,
            standing: Standing::Used,
            reach: Reach::Service,
            shape,
            note: "",
        }
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    const fn inherited(mut self) -> Self {
        self.reach = Reach::Inherited;
        self
    }

    const fn own(mut self) -> Self {
        self.reach = Reach::Own;
        self
    }

    const fn only_default(mut self, remedy: &'static str) -> Self {
        self.standing = Standing::OnlyDefault(remedy);
        self
    }
}

const fn plain(section: &'static str, key: &'static str, words: &'static str) -> OptionSpec {
    shaped(section, key, Shape::Words(words))
}

const fn shaped(section: &'static str, key: &'static str, shape: Shape) -> OptionSpec {
    OptionSpec::new(Kind::Plain, section, key, shape)
}

const fn list(section: &'static str, key: &'static str, words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::List, section, key, Shape::Words(words))
}

const fn secret(section: &'static str, key: &'static str, words: &'static str) -> OptionSpec {
    OptionSpec::new(Kind::Secret, section, key, Shape::Words(words))
}

/// An option that has no place in `config.yml`.
const fn environment_only(shape: Shape) -> OptionSpec {
    OptionSpec::new(Kind::Plain, "", "", shape)
}

/// An option of other kinds of connector, or one that the platform has stopped reading.
const fn idle(section: &'static str, key: &'static str) -> OptionSpec {
    let mut option = plain(section, key, "anything: it has no effect here");
    option.standing = Standing::WithoutEffect;
    option
}

/// Declares options as constants named as their environment variables, and the list of them.
macro_rules! options {
    ($list:ident: $($name:ident => $spec:expr;)+) => {
        $(
            pub(in crate::config) const $name: OptionSpec =
                OptionSpec { variable: stringify!($name), ..$spec };
        )+
        /// Every option of this file.
        pub(in crate::config) const $list: &[&OptionSpec] = &[$(&$name),+];
    };
}
use options;

/// The name of one of several consoles.
pub(super) const CONSOLE_NAME: OptionSpec = OptionSpec {
    variable: "",
    ..plain("", "name", "a name of small letters, digits, - and _, such as paris").own()
};

/// The author of what one of several consoles brings.
pub(super) const CONSOLE_AUTHOR: OptionSpec = OptionSpec {
    variable: "CONNECTOR_NAME",
    ..plain("", "author", "a name of at least two characters").own()
};

/// The options that an entry of `consoles:` may have, in the order in which they are shown.
pub(super) fn of_console() -> impl Iterator<Item = &'static OptionSpec> {
    let ours = OURS.iter().copied().filter(|option| option.reach != Reach::Service);
    [&CONSOLE_NAME, &CONSOLE_AUTHOR].into_iter().chain(ours)
}

/// Every option there is.
pub(super) fn all() -> impl Iterator<Item = &'static OptionSpec> {
    PLATFORM.iter().chain(OURS).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_listed_once_and_our_keys_are_our_variables_in_lower_case() {
        let mut variables = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for option in all() {
            assert!(variables.insert(option.variable), "{} twice", option.variable);
            let Some(path) = option.path() else { continue };
            assert!(paths.insert(path.clone()), "{path} twice");
            assert!(SECTIONS.contains(&option.section), "{path}");
            if option.section == OUR_SECTION {
                let expected = option.variable.trim_start_matches(OUR_PREFIX).to_lowercase();
                assert_eq!(option.key, expected);
            }
        }
    }
}
