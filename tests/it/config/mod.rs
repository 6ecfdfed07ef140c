//! Tests of the configuration: files, environment, secrets, several consoles.

mod consoles;
pub(crate) mod loading;
mod secrets;
