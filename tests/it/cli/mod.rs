//! Tests of the commands as an operator runs them.

pub(crate) mod check;
mod commands;
mod terminal;
