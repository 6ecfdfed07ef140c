//! Results on stdout.

use std::io::{self, Write as _};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};

use super::failure::Failure;

/// Writes `text` to stdout. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written.context("cannot write to stdout")?),
    }
}

/// A time as people and machines read it.
pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A text on one line and without control characters: what came in over the wire must not move the
/// cursor of a terminal.
pub(super) fn line_of(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
