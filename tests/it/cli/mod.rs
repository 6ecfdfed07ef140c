//! Tests of the commands as an operator runs them.

mod check;
mod commands;
mod terminal;
