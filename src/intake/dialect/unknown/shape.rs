//! The shape of an element: for an object the sorted names of its top-level fields.

use std::fmt::Write as _;

use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use super::marks;
use crate::alert::element;

/// Names that make a shape; a longer list is cut.
const NAMES_MAX: usize = 1_024;
/// Longest name, and longest list of names, that is said, in characters.
const NAME_LENGTH_MAX: usize = 32;
const WORDS_LENGTH_MAX: usize = 160;

/// The shape of an element: its digest, and words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    digest: String,
    words: String,
}

impl Shape {
    /// Tells shapes apart: 16 hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Names the shape for a person, such as `an object with count, next, results`. The names are
    /// the sender's.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// The shape of what is no JSON object.
    pub(super) fn of_text(text: &str) -> Self {
        let words = match text.trim_start().chars().next() {
            Some('{') => "an object that cannot be read",
            _ if serde_json::from_str::<IgnoredAny>(text).is_err() => "text that is not JSON",
            Some('[') => "a list",
            Some('"') => "a text",
            Some('-' | '0'..='9') => "a number",
            _ => "a single word",
        };
        Self::new(words.as_bytes(), words.to_owned())
    }

    fn new(content: &[u8], words: String) -> Self {
        let digest = hex::encode(&Sha256::digest(content)[..8]);
        Self { digest, words }
    }
}

/// The top level of a JSON object.
#[derive(Default)]
pub(super) struct TopLevel {
    /// Names of fields that are not null, sorted.
    names: Vec<String>,
    /// Set when `agent` is an object.
    pub(super) has_agent: bool,
    /// Set when one of the fields, however many there are, is the level of an alert or threat.
    pub(super) has_level: bool,
}

impl TopLevel {
    /// `None` when the text is no JSON object, or one of its own numbers is out of range.
    pub(super) fn of(text: &str) -> Option<Self> {
        if !text.trim_start().starts_with('{') {
            return None;
        }
        let IgnoredAny = serde_json::from_str(text).ok()?;
        let mut top = Self::default();
        for (name, value) in element::fields(text) {
            if value.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
                let _number: f64 = serde_json::from_str(value).ok()?;
            }
            let name: String = serde_json::from_str(name).ok()?;
            top.has_agent |= name == "agent" && value.starts_with('{');
            top.has_level |= marks::is_level(&name);
            if value != "null" && top.names.len() < NAMES_MAX {
                top.names.push(name);
            }
        }
        top.names.sort_unstable();
        top.names.dedup();
        Some(top)
    }

    pub(super) fn has_all(&self, names: &[&str]) -> bool {
        let has =
            |name: &&str| self.names.binary_search_by(|known| known.as_str().cmp(name)).is_ok();
        names.iter().all(has)
    }

    pub(super) fn shape(&self) -> Shape {
        let mut words = String::from("an object with ");
        for (position, name) in self.names.iter().enumerate() {
            if words.chars().count() > WORDS_LENGTH_MAX {
                // Writing to a string cannot fail.
                let _ = write!(words, ", … ({} fields)", self.names.len());
                break;
            }
            words.push_str(if position == 0 { "" } else { ", " });
            words.extend(name.chars().take(NAME_LENGTH_MAX));
        }
        if self.names.is_empty() {
            words.push_str("nothing in it");
        }
        let content = self.names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat());
        Shape::new(&content.collect::<Vec<u8>>(), words)
    }
}
