//! Secrets that are renewed without a restart: the file that they came from is read again when it
//! changes and at SIGHUP. What is wrong with it, or that others may read it, is told once, and again when
//! somebody asks.
//!
//! The file is looked at by its content, since a mounted secret changes behind a link whose own date
//! does not.
//!
//! Does not live here: what is read and what becomes of it (`secrets`, `syslog`, `token`).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{signal::unix::Signal, time::MissedTickBehavior};
use tracing::warn;

use crate::config::Exposure;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why the file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody asked for it and wants an answer in the log.
    Signal,
    /// It is time to look.
    Look,
}

impl Cause {
    /// Its name in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Signal => "SIGHUP",
            Self::Look => "the file changed",
        }
    }
}

/// Reads `file` again and again, until the process ends. `take` gets what was read; `complain` is told
/// what is wrong with it.
pub(super) async fn follow<T: Send + 'static>(
    file: PathBuf,
    mut hang_up: Signal,
    read: fn(&Path) -> Result<T, String>,
    mut take: impl FnMut(T, Cause) -> Result<(), String>,
    complain: impl Fn(&str, Cause),
) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<String> = None;
    // The start has told of it.
    let mut exposed = Exposure::of(&file);
    loop {
        let cause = tokio::select! {
            Some(()) = hang_up.recv() => Cause::Signal,
            _ = look.tick() => Cause::Look,
        };
        let path = file.clone();
        // It fails only when the process is ending.
        let looked = tokio::task::spawn_blocking(move || (read(&path), Exposure::of(&path))).await;
        let Ok((read, exposure)) = looked else { return };
        if let Some(exposure) = exposure
            && (cause == Cause::Signal || exposed != Some(exposure))
        {
            warn!(file = %file.display(), "{} holds secrets and {exposure}", file.display());
        }
        exposed = exposure;
        let fault = read.and_then(|read| take(read, cause)).err();
        if let Some(fault) = &fault
            && (cause == Cause::Signal || told.as_ref() != Some(fault))
        {
            complain(fault, cause);
        }
        told = fault;
    }
}
