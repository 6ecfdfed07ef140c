//! Writes down every statement that a test runs on its thread, with its values, so that the test can have
//! them explained.

use std::{cell::RefCell, collections::BTreeMap};

use super::statement::{Statement, Value};

thread_local! {
    static NOTED: RefCell<BTreeMap<String, Vec<Value>>> = RefCell::default();
}

/// Writes a statement down, with its values.
pub(super) fn note(statement: &Statement) {
    NOTED.with_borrow_mut(|noted| {
        noted.entry(statement.text.to_string()).or_insert_with(|| statement.values.clone());
    });
}

/// Returns what was written down since the last call.
pub(in crate::journal) fn noted() -> BTreeMap<String, Vec<Value>> {
    NOTED.take()
}
