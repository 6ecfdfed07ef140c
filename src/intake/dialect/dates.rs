//! Reads the dates of one alert and remembers those that could not be read.
//!
//! Does not live here: the forms a date may have (`alert::date`).

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::alert::lenient::{DateField, date_at};

/// Longest text of an unreadable date that is kept, in characters.
const UNREADABLE_TEXT_LIMIT: usize = 80;

/// The dates of one element.
pub(super) struct Dates<'a> {
    element: &'a Value,
    unreadable: Vec<String>,
}

impl<'a> Dates<'a> {
    pub(super) fn of(element: &'a Value) -> Self {
        Self { element, unreadable: Vec::new() }
    }

    /// The first of `paths` that holds a date.
    pub(super) fn first(&mut self, paths: &[&str]) -> Option<DateTime<Utc>> {
        paths.iter().find_map(|path| self.read(date_at(self.element, path), path))
    }

    /// The date at `path` of `item`, which is one of the items of `list`.
    pub(super) fn of_item(
        &mut self,
        list: &str,
        item: &Value,
        path: &str,
    ) -> Option<DateTime<Utc>> {
        self.read(date_at(item, path), &format!("{list}.{path}"))
    }

    fn read(&mut self, field: DateField, name: &str) -> Option<DateTime<Utc>> {
        match field {
            DateField::Date(date) => Some(date),
            DateField::Absent => None,
            DateField::Unreadable(text) => {
                let text: String = text.chars().take(UNREADABLE_TEXT_LIMIT).collect();
                self.unreadable.push(format!("{name}: {text}"));
                None
            }
        }
    }

    /// Returns what could not be read so far, as `field: text`.
    pub(super) fn into_unreadable(self) -> Vec<String> {
        self.unreadable
    }
}
