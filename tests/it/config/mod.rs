//! Tests of the configuration: files, environment, secrets, several consoles.

mod consoles;
mod documents;
pub(crate) mod loading;
mod secrets;
