//! Secrets and certificates that are renewed without a restart: the files that they came from are read
//! again when they change and at SIGHUP. What is wrong with them, or that others may read a secret, is told
//! once, and again when somebody asks.
//!
//! The file is looked at by its content, since a mounted secret changes behind a link whose own date
//! does not. A pipe or a device is read at the start only: it hands out its text once, and who reads it
//! without a writer waits for ever.
//!
//! Does not live here: what is read and what becomes of it (`secrets`, `syslog`, `token`,
//! `certificates`, `authorities`).

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{signal::unix::Signal, time::MissedTickBehavior};
use tracing::warn;

use crate::{config::Exposure, disk::Disk};

/// Time between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The reason for which the file is read.
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

/// Files that are read together.
#[derive(Debug)]
pub(super) struct Watched {
    /// The one that holds secrets.
    pub(super) secret: Option<PathBuf>,
    pub(super) others: Vec<PathBuf>,
}

impl From<PathBuf> for Watched {
    fn from(secret: PathBuf) -> Self {
        Self { secret: Some(secret), others: Vec::new() }
    }
}

/// Calls `read`, which reads `files`, again and again, until the process ends. `take` gets what was read;
/// `complain` is told what is wrong with it.
pub(super) async fn follow<T: Send + 'static>(
    files: impl Into<Watched>,
    mut hang_up: Signal,
    read: impl Fn() -> Result<T, String> + Clone + Send + 'static,
    mut take: impl FnMut(T, Cause) -> Result<(), String>,
    complain: impl Fn(&str, Cause),
) {
    let Watched { secret, others } = files.into();
    let files: Vec<PathBuf> = secret.iter().chain(&others).cloned().collect();
    let disk = Disk::default();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<String> = None;
    // The start has told of it.
    let mut exposed = secret.as_deref().and_then(Exposure::of);
    loop {
        let cause = tokio::select! {
            Some(()) = hang_up.recv() => Cause::Signal,
            _ = look.tick() => Cause::Look,
        };
        let (files, secret_file) = (files.clone(), secret.clone());
        let looked = disk.ask(move || {
            let pipe = files.into_iter().find(|file| is_read_once(file));
            (pipe, secret_file.as_deref().and_then(Exposure::of))
        });
        let looked = looked.await;
        let (pipe, exposure) = match looked {
            Some(looked) => looked,
            None if cause == Cause::Signal => {
                complain("the disk of its file does not answer", cause);
                continue;
            }
            None => continue,
        };
        if let Some((file, exposure)) = secret.as_ref().zip(exposure)
            && (cause == Cause::Signal || exposed != Some(exposure))
        {
            warn!(file = %file.display(), "{} holds secrets and {exposure}", file.display());
        }
        exposed = exposure;
        if let Some(file) = pipe {
            if cause == Cause::Signal {
                warn!(
                    cause = cause.name(),
                    file = %file.display(),
                    "SIGHUP changes nothing about what came from a pipe or a device, which is read at the \
                     start only; name a file, or restart"
                );
            }
            continue;
        }
        // It fails only when the process is ending.
        let Ok(read) = tokio::task::spawn_blocking(read.clone()).await else { return };
        let fault = read.and_then(|read| take(read, cause)).err();
        if let Some(fault) = &fault
            && (cause == Cause::Signal || told.as_ref() != Some(fault))
        {
            complain(fault, cause);
        }
        told = fault;
    }
}

/// Returns whether it is no file whose text is there each time. What cannot be looked at is a fault that
/// reading it tells.
fn is_read_once(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command, sync::Mutex};

    use tokio::{
        signal::unix::{SignalKind, signal},
        sync::Notify,
        time::timeout,
    };

    use super::*;

    static READ: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

    #[tokio::test]
    async fn a_file_is_looked_at_and_a_pipe_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [file, pipe] = ["file", "pipe"].map(|name| folder.path().join(name));
        fs::write(&file, "a secret").unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let taken = &Notify::new();
        let following = |path: &Path| {
            let read_path = path.to_owned();
            let read = move || {
                READ.lock().unwrap().push(read_path.clone());
                Ok(())
            };
            let take = move |(), _| {
                taken.notify_one();
                Ok(())
            };
            let hang_up = signal(SignalKind::hangup()).unwrap();
            follow(path.to_owned(), hang_up, read, take, |_, _| {})
        };
        // The first look is at once.
        timeout(LOOK_EVERY / 2, following(&pipe)).await.unwrap_err();
        tokio::select! {
            () = following(&file) => unreachable!("it never ends"),
            () = taken.notified() => {}
        }
        assert_eq!(*READ.lock().unwrap(), [file]);
    }
}
