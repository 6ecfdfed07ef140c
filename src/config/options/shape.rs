//! What the value of an option looks like. The words of faults, the bounds that its text is held to and
//! its type in the schema all come from here, so that none of them says something else.
//!
//! Does not live here: reading the text (`parse`), the schema itself (`schema`).

use std::time::Duration;

use super::OptionSpec;
use crate::config::parse::{self, Refusal};

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Shape {
    /// As these words say; a parser of its own holds it to them.
    Words(&'static str),
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
}

impl OptionSpec {
    /// What it is given, in words that follow "expected".
    pub(in crate::config) fn expects(&self) -> String {
        let shape = match self.shape {
            Shape::Words(words) | Shape::Url(words) => words.to_owned(),
            Shape::Switch => "true or false".to_owned(),
            Shape::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Shape::Positive => "a number above zero".to_owned(),
            Shape::Choice([one, other]) => format!("{one} or {other}"),
            Shape::Choice(values) => format!("one of {}", values.join(", ")),
            Shape::Length(least, most) => format!("an ISO-8601 duration from {least} to {most}"),
        };
        if self.note.is_empty() { shape } else { format!("{shape}: {}", self.note) }
    }

    /// Its whole number.
    pub(in crate::config) fn whole<T: TryFrom<u64>>(&self, text: &str) -> Result<T, Refusal> {
        match self.shape {
            Shape::Whole(least, most) => parse::whole(text, least, most),
            _ => Err("is no whole number".to_owned()),
        }
    }

    /// The position of its value among those that it may have.
    pub(in crate::config) fn choice(&self, text: &str) -> Result<usize, Refusal> {
        match self.shape {
            Shape::Choice(values) => parse::choice(text, values),
            _ => Err("is no choice".to_owned()),
        }
    }

    /// Its length of time.
    pub(in crate::config) fn length(&self, text: &str) -> Result<Duration, Refusal> {
        let Shape::Length(least, most) = self.shape else {
            return Err("is no length of time".to_owned());
        };
        let bound = |text| parse::duration(text, Duration::ZERO, Duration::MAX);
        parse::duration(text, bound(least)?, bound(most)?)
    }
}
