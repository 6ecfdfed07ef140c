//! The command line: one file a command. `clap` reads commands and flags only; what the service is
//! told comes from `config`.
//!
//! Exit codes: 0 done; 64 wrong configuration or usage, before anything is bound or reached; 1
//! anything else that went wrong. Faults and failures go to stderr, results to stdout, both by way of
//! `output`.

mod allocator;
mod arguments;
mod backfill;
mod check;
mod config;
mod consoles;
mod convert;
mod dead_letters;
mod demo;
mod events;
mod failure;
mod healthcheck;
mod job;
mod journal;
mod log_queue;
mod logging;
mod migrate;
mod output;
mod progress;
mod runtime;
mod serve;
mod setup;
mod summary;
mod sweep;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;

use self::{
    arguments::{Arguments, Command, ConfigCommand, JournalCommand},
    failure::{EXIT_USAGE, Failure},
};

/// Runs the command that `arguments` (with the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    output::tell_panics_escaped();
    let _flushed = log_queue::FlushOnDrop;
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let path = arguments.config.as_deref();
    let outcome = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(path),
        Command::Sweep(arguments) => sweep::run(path, &arguments),
        Command::Backfill(arguments) => backfill::run(path, &arguments),
        Command::Check => check::run(path),
        Command::Healthcheck => healthcheck::run(path),
        Command::Convert(arguments) => convert::run(path, &arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::DeadLetters { console, command } => {
            dead_letters::run(path, console.as_deref(), &command)
        }
        Command::Events { command } => events::run(path, &command),
        Command::Journal { command: JournalCommand::Migrate { to } } => migrate::run(path, &to),
        Command::Config(arguments) => match arguments.command {
            None => config::run(path),
            Some(ConfigCommand::Reference) => config::reference(),
            Some(ConfigCommand::Schema) => config::schema(),
        },
    };
    outcome.map_or_else(|failure| report(&failure), |()| ExitCode::SUCCESS)
}

/// Tells a failure on stderr, once, and turns it into an exit code.
fn report(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Configuration(faults) => {
            output::say(&format!("error: {faults}"));
            ExitCode::from(EXIT_USAGE)
        }
        Failure::Usage(fault) => {
            output::say(&format!("error: {fault}"));
            ExitCode::from(EXIT_USAGE)
        }
        Failure::Other(error) => {
            output::say(&format!("error: {}", output::line_of(&format!("{error:#}"))));
            ExitCode::FAILURE
        }
        Failure::AlreadyTold => ExitCode::FAILURE,
    }
}

/// Prints what clap has to say: help and version are answers, the rest is wrong usage.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // It quotes what was typed, or pasted.
        output::say(error.render().to_string().trim_end());
        return ExitCode::from(EXIT_USAGE);
    }
    // When even the terminal is gone, the exit code still tells.
    let _ = error.print();
    ExitCode::SUCCESS
}
