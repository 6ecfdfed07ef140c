//! A statement with its values, as both databases understand it.
//!
//! Does not live here: how a database runs it (`session`), what it answers (`row`).

use std::{borrow::Cow, sync::Arc};

use super::dialect::Dialect;

/// A statement. Its values are written `$1`, `$2`, … and are numbers or texts: a flag is 0 or 1.
#[derive(Debug)]
pub(in crate::journal) struct Statement {
    pub(in crate::journal) text: Cow<'static, str>,
    pub(in crate::journal) values: Vec<Value>,
}

/// A value that is put into a statement.
#[derive(Debug, Clone)]
pub(in crate::journal) enum Value {
    Number(Option<i64>),
    /// Shared with whoever has it: a text may have megabytes.
    Text(Option<Arc<str>>),
}

/// Begins a statement.
pub(in crate::journal) fn query(text: impl Into<Cow<'static, str>>) -> Statement {
    Statement { text: text.into(), values: Vec::new() }
}

impl Statement {
    /// Hands out text and values, to be run by a database of this dialect.
    pub(super) fn into_parts(self, dialect: Dialect) -> (Cow<'static, str>, Vec<Value>) {
        let count = self.values.len();
        debug_assert!(
            count <= dialect.values_max(),
            "{count} values in one statement: {}",
            self.text
        );
        (self.text, self.values)
    }

    /// Bytes of the longest text among its values.
    pub(super) fn longest_text(&self) -> usize {
        let texts = self.values.iter().map(|value| match value {
            Value::Text(Some(text)) => text.len(),
            Value::Text(None) | Value::Number(_) => 0,
        });
        texts.max().unwrap_or_default()
    }

    /// Gives the next `$n` its value.
    pub(in crate::journal) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds to the text.
    pub(in crate::journal) fn push(&mut self, text: &str) -> &mut Self {
        self.text.to_mut().push_str(text);
        self
    }

    /// Adds the next `$n` to the text, with its value.
    pub(in crate::journal) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let place = format!("${}", self.values.len());
        self.push(&place)
    }

    /// Adds a comma and the next `$n`, with its value.
    pub(in crate::journal) fn and_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.push(", ").push_bind(value)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(Some(i64::from(number)))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Number(Some(i64::from(flag)))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&Arc<str>> for Value {
    fn from(text: &Arc<str>) -> Self {
        Self::Text(Some(Arc::clone(text)))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(Arc::from))
    }
}

impl From<Option<&String>> for Value {
    fn from(text: Option<&String>) -> Self {
        text.map(String::as_str).into()
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        text.as_deref().into()
    }
}
