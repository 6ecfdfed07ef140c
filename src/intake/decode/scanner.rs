//! Walks through a body value by value, and line by line after a break.
//!
//! Does not live here: when a body is refused as a whole (`decode`).

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::{Element, half_characters::without_half_characters};

/// Why a well-formed value is no element.
const NOT_AN_OBJECT: &str = "not a JSON object";

/// Why scanning stopped before the end.
pub(super) enum Stop {
    /// What stands here is not JSON.
    Broken { reason: String },
    /// The bound is reached.
    TooMany,
}

/// A position in a body, and what was found before it.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    pub(super) elements: Vec<Element>,
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
        self.at = self.text.len() - self.rest().trim_start().len();
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

    /// Reads one value; where it is delimited but cannot be read, only this element is lost.
    fn value(&mut self) -> Result<(), Stop> {
        let rest = self.rest();
        let mut values = Deserializer::from_str(rest).into_iter::<Value>();
        let read = values.next();
        let read_length = values.byte_offset();
        let reason = match read {
            Some(Ok(value)) => {
                self.at += read_length;
                return self.push(element(&rest[..read_length], value));
            }
            Some(Err(error)) => error.to_string(),
            None => "expected a value".to_owned(),
        };
        let mut skipped = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        let Some(Ok(IgnoredAny)) = skipped.next() else {
            return Err(Stop::Broken { reason });
        };
        let raw = &rest[..skipped.byte_offset()];
        self.at += raw.len();
        let repaired = without_half_characters(raw);
        self.push(match serde_json::from_str(&repaired) {
            Ok(value) => element(&repaired, value),
            Err(_) => Element::Unreadable { text: raw.to_owned(), reason },
        })
    }

    /// Goes on after a break: line by line, as NDJSON allows. Where the broken value is spread
    /// over lines, its lines mean nothing alone, and the rest is one unreadable element.
    pub(super) fn recover(&mut self, reason: &str) -> Result<(), Stop> {
        let rest = self.rest();
        let first_line = rest.lines().next().unwrap_or_default();
        if ["", "{", "["].contains(&first_line.trim()) {
            return self.unreadable(rest, reason);
        }
        // Where the unreadable lines began, and why the first of them is one.
        let mut broken = Some((0, reason.to_owned()));
        let mut start = 0;
        for line in rest.split_inclusive('\n') {
            let end = start + line.len();
            let item = without_half_characters(line.trim().trim_end_matches(','));
            if start > 0 && !item.is_empty() && item != "]" {
                match serde_json::from_str::<Value>(&item) {
                    Ok(value) if value.is_object() => {
                        if let Some((from, reason)) = broken.take() {
                            self.unreadable(&rest[from..start], &reason)?;
                        }
                        self.push(element(&item, value))?;
                    }
                    Ok(_) => broken = broken.or(Some((start, NOT_AN_OBJECT.to_owned()))),
                    Err(error) => broken = broken.or(Some((start, error.to_string()))),
                }
            }
            start = end;
        }
        broken.map_or(Ok(()), |(from, reason)| self.unreadable(&rest[from..], &reason))
    }

    fn unreadable(&mut self, text: &str, reason: &str) -> Result<(), Stop> {
        let (text, reason) = (text.trim().to_owned(), reason.to_owned());
        self.push(Element::Unreadable { text, reason })
    }

    fn push(&mut self, element: Element) -> Result<(), Stop> {
        if self.elements.len() == self.max_elements {
            return Err(Stop::TooMany);
        }
        self.elements.push(element);
        Ok(())
    }
}

fn element(raw: &str, value: Value) -> Element {
    if value.is_object() {
        Element::Json { raw: raw.trim().to_owned(), value }
    } else {
        Element::Unreadable { text: raw.trim().to_owned(), reason: NOT_AN_OBJECT.to_owned() }
    }
}
