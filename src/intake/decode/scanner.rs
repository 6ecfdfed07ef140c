//! Walks through a body value by value, and line by line after a break.
//!
//! Does not live here: when a body is refused as a whole (`decode`).

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use super::{Element, half_characters::without_half_characters};
use crate::alert::element::{self, Unread};

/// The reason for which a well-formed value is no element.
const NOT_AN_OBJECT: &str = "not a JSON object";

/// The reason for which scanning stopped before the end.
pub(super) enum Stop {
    /// The text here is not JSON.
    Broken { reason: String },
    /// The bound is reached.
    TooMany,
}

/// A position in a body, and what was found before it.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    pub(super) elements: Vec<Element<'a>>,
    max_elements: usize,
}

impl<'a> Scanner<'a> {
    /// At the beginning of `text`.
    pub(super) fn of(text: &'a str, max_elements: usize) -> Self {
        Self { text, at: 0, elements: Vec::new(), max_elements }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_white_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches(is_blank).len();
    }

    /// Moves past `mark` when it stands here.
    fn take(&mut self, mark: char) -> bool {
        let found = self.rest().starts_with(mark);
        if found {
            self.at += mark.len_utf8();
        }
        found
    }

    /// Reads values until the end or until what stands there is not JSON.
    pub(super) fn scan(&mut self) -> Result<(), Stop> {
        loop {
            self.skip_white_space();
            if self.rest().is_empty() {
                return Ok(());
            }
            if self.take('[') {
                self.array()?;
            } else {
                self.value()?;
            }
        }
    }

    /// Reads the items of an array, after its opening bracket.
    fn array(&mut self) -> Result<(), Stop> {
        loop {
            self.skip_white_space();
            if self.take(']') {
                return Ok(());
            }
            self.value()?;
            self.skip_white_space();
            if !self.take(',') && !self.rest().starts_with(']') {
                let reason = "expected `,` or `]` after an element of the array".to_owned();
                return Err(Stop::Broken { reason });
            }
        }
    }

    /// Passes over one value; only a whole one is an element.
    fn value(&mut self) -> Result<(), Stop> {
        let rest = self.rest();
        if let Some(raw) = element::too_deep(rest) {
            self.at += raw.len();
            return self.unreadable(raw, Unread::TooDeep.to_string());
        }
        let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(IgnoredAny)) => {
                let raw = &rest[..values.byte_offset()];
                self.at += raw.len();
                self.push(element(without_half_characters(raw)))
            }
            Some(Err(error)) => Err(Stop::Broken { reason: error.to_string() }),
            None => Err(Stop::Broken { reason: "expected a value".to_owned() }),
        }
    }

    /// Goes on after a break: line by line, as NDJSON allows. Where the broken value is spread
    /// over lines, its lines mean nothing alone, and the rest is one unreadable element.
    pub(super) fn recover(&mut self, reason: &str) -> Result<(), Stop> {
        let rest = self.rest();
        let first_line = rest.lines().next().unwrap_or_default();
        if ["", "{", "["].contains(&first_line.trim()) {
            return self.unreadable(rest, reason.to_owned());
        }
        // Where the unreadable lines began, and why the first of them is one.
        let mut broken = Some((0, Cow::from(reason.to_owned())));
        let mut start = 0;
        for line in rest.split_inclusive('\n') {
            let end = start + line.len();
            let item = line.trim_matches(is_blank).trim_end_matches(',');
            let item = without_half_characters(item);
            if start > 0 && !item.is_empty() && item != "]" {
                match element::check(&item) {
                    Ok(()) if item.starts_with('{') => {
                        if let Some((from, reason)) = broken.take() {
                            self.unreadable(&rest[from..start], reason)?;
                        }
                        self.push(element(item))?;
                    }
                    Ok(()) => broken = broken.or(Some((start, NOT_AN_OBJECT.into()))),
                    Err(error) => broken = broken.or(Some((start, error.to_string().into()))),
                }
            }
            start = end;
        }
        broken.map_or(Ok(()), |(from, reason)| self.unreadable(&rest[from..], reason))
    }

    fn unreadable(
        &mut self,
        text: &'a str,
        reason: impl Into<Cow<'static, str>>,
    ) -> Result<(), Stop> {
        self.push(Element::Unreadable { text: text.trim().into(), reason: reason.into() })
    }

    fn push(&mut self, element: Element<'a>) -> Result<(), Stop> {
        if self.elements.len() == self.max_elements {
            return Err(Stop::TooMany);
        }
        self.elements.push(element);
        Ok(())
    }
}

/// Returns whether a character between elements means nothing: white space, the mark of UTF-8 that some
/// senders put before each line, and the NUL that others end a text with.
pub(in crate::intake) fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{feff}' | '\0')
}

/// Sorts a well-formed value: an object is an element, anything else is unreadable.
fn element(raw: Cow<'_, str>) -> Element<'_> {
    if raw.starts_with('{') {
        Element::Json { raw }
    } else {
        Element::Unreadable { text: raw, reason: NOT_AN_OBJECT.into() }
    }
}
