//! Reads one JSON element (an alert, a threat, a rule) without building more of it than is used: of
//! what nobody reads, its text is passed over.
//!
//! The built value has every field whose name any reader asks for (`fields`), and of the other
//! fields an empty value of the same type at the top level, so that it can be told what kind of
//! element it is. Values are counted before they are built, and an element with more of them than
//! [`MaxValues`] is refused: 10 MiB of `[[],[],…` would become 300 MiB. A value that cannot be
//! represented (`1e400`, nesting deeper than any reader looks) is null, and costs nothing else.
//!
//! Does not live here: the readers (`alert::lenient`, `intake::dialect`, `harfanglab`), splitting a
//! body into elements (`intake::decode`).

mod build;
mod canonical;
mod fields;
mod scan;

use serde::de::IgnoredAny;
use serde_json::Value;

pub use self::canonical::content_hash;

/// Deepest nesting of a text that is looked at at all: to check one takes a byte a level.
const NESTING_MAX: usize = 100_000;
/// Memory of one built value and of what is read from it.
const VALUE_BYTES: usize = 128;

/// The most values that are built of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxValues(pub usize);

impl MaxValues {
    /// The largest bound that can be configured, and the one of what a person asks for.
    pub const LARGEST: Self = Self(100_000);
}

impl Default for MaxValues {
    /// The largest alerts seen have some hundred.
    fn default() -> Self {
        Self(10_000)
    }
}

/// Reason for which an element cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is not JSON.
    #[error("the text is not JSON: {0}")]
    NotJson(String),
    /// It has too many values in fields that are read.
    #[error(
        "it has more than {0} values in fields that are read; \
         HARFANGLAB_INCIDENTS_MAX_VALUES is the bound"
    )]
    TooManyValues(usize),
    /// It is nested deeper than anything is looked at.
    #[error("it is nested more than {NESTING_MAX} levels deep")]
    TooDeep,
}

/// Reads `text`, one JSON value: what is used of it.
///
/// # Errors
/// [`Unread`]; at most `max` values were built.
pub fn read(text: &str, max: MaxValues) -> Result<Value, Unread> {
    check(text)?;
    read_checked(text, max)
}

/// As [`read`], of a text that is known to be well-formed.
///
/// # Errors
/// [`Unread::TooManyValues`]; at most `max` values were built.
pub fn read_checked(text: &str, max: MaxValues) -> Result<Value, Unread> {
    build::pruned(text, max)
}

/// Checks that `text` is one well-formed JSON value; builds nothing.
///
/// # Errors
/// [`Unread::NotJson`] or [`Unread::TooDeep`].
pub fn check(text: &str) -> Result<(), Unread> {
    if too_deep(text.trim_start()).is_some() {
        return Err(Unread::TooDeep);
    }
    let read = serde_json::from_str::<IgnoredAny>(text);
    read.map(|IgnoredAny| ()).map_err(|error| Unread::NotJson(error.to_string()))
}

/// The object or array that `text` begins with, when it is nested too deeply to be looked at.
pub fn too_deep(text: &str) -> Option<&str> {
    scan::container(text).filter(|(_, depth)| *depth > NESTING_MAX).map(|(text, _)| text)
}

/// The items of the well-formed array `text`, each as its text; nothing for what is no array.
pub fn items(text: &str) -> impl Iterator<Item = &str> {
    scan::items(text)
}

/// Name (as it is written, with its quotes) and value of each field of the well-formed object `text`, in their
/// order; nothing for what is no object.
pub fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    scan::fields(text)
}

/// The text of the field `name` of the well-formed object `text`; the last one, as JSON readers take it.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    scan::fields(text).filter(|(found, _)| build::decoded(found) == name).map(|(_, it)| it).last()
}

/// Bytes that an element is charged while it is handled: its text, and what is built of it at most.
pub fn memory_bytes(text: &str, max: MaxValues) -> usize {
    text.len() + scan::values_at_most(text).min(max.0) * VALUE_BYTES
}

/// As [`memory_bytes`], of a text of which only the length is known.
pub fn memory_bytes_at_most(length: usize, max: MaxValues) -> usize {
    length + max.0 * VALUE_BYTES
}
