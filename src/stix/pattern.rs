//! STIX patterns in the normal form that OpenCTI writes itself: one blank around `=`, quotes in a
//! property path only where its grammar needs them. An indicator that OpenCTI sent to HarfangLab
//! is then recognised as the same one when it comes back.

use std::fmt::Write as _;

/// A pattern of one observation whose comparisons must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pattern {
    comparisons: String,
}

impl Pattern {
    /// `[<path> = '<value>']`; the value is escaped here.
    pub fn text(path: &str, value: &str) -> Self {
        Self::default().and_text(path, value)
    }

    /// Adds `AND <path> = '<value>'`.
    #[must_use]
    pub fn and_text(mut self, path: &str, value: &str) -> Self {
        self.comparison(path);
        self.comparisons.push('\'');
        for character in value.chars() {
            if matches!(character, '\\' | '\'') {
                self.comparisons.push('\\');
            }
            self.comparisons.push(character);
        }
        self.comparisons.push('\'');
        self
    }

    /// Adds `AND <path> = <number>`.
    #[must_use]
    pub fn and_number(mut self, path: &str, value: u16) -> Self {
        self.comparison(path);
        write!(self.comparisons, "{value}").expect("a string takes every write");
        self
    }

    fn comparison(&mut self, path: &str) {
        if !self.comparisons.is_empty() {
            self.comparisons.push_str(" AND ");
        }
        self.comparisons.push_str(path);
        self.comparisons.push_str(" = ");
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{}]", self.comparisons)
    }
}
