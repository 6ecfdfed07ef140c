//! Tests of the configuration: files, environment, secrets, several consoles.

mod consoles;
mod documents;
mod loading;
mod secrets;
