//! The one way to the terminal: results on stdout, everything else on stderr. What is written is
//! escaped here (`escape`), so that no command can forget it.
//!
//! Does not live here: the log, which escapes its own lines (`logging`).

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal as _, Write},
};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};

use super::{failure::Failure, log_queue};
use crate::escape;

/// Writes `text` to stdout, escaped. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    written(escape::lines(text).as_bytes())
}

/// Writes `text` to stdout byte for byte, as programs and files take it; escaped only where a
/// terminal shows it.
pub(super) fn print_as_received(text: &str) -> Result<(), Failure> {
    if stdout().is_terminal() { print(text) } else { written(text.as_bytes()) }
}

/// Stdout itself, for what escapes its own lines.
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub(super) fn stdout() -> io::StdoutLock<'static> {
    io::stdout().lock()
}

fn written(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("cannot write to stdout")?),
    }
}

/// Writes a line to stderr, escaped, in its turn with the log of the service. There is nobody left to
/// tell when that fails.
pub(super) fn say(text: &str) {
    let line = format!("{}\n", escape::lines(text));
    match log_queue::started() {
        Some(queue) => queue.push(line.as_bytes()),
        None => drop(io::stderr().lock().write_all(line.as_bytes())),
    }
}

/// Writes a question to stderr, escaped, and leaves the cursor behind it.
pub(super) fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(escape::lines(question).as_bytes()).and_then(|()| stderr.flush());
}

/// Has a defect told on stderr as everything else is: its message may quote an alert.
pub(super) fn tell_panics_escaped() {
    std::panic::set_hook(Box::new(|panic| {
        say(&panic.to_string());
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            say(&trace.to_string());
        }
    }));
}

/// A time as people and machines read it.
pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A text that stays on one line: line breaks and tabs become blanks, the rest is escaped.
pub(super) fn line_of(text: &str) -> String {
    escape::line(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}
