//! The journal's file as a test gets at it: beside the service, and behind its back.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

/// Returns the path of a file beside the journal, as `-wal`.
pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the file beside whoever else has it open.
pub(crate) async fn connect(file: &Path) -> sqlx::SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

/// Cuts the file off at a length that is computed from its own.
pub(crate) fn cut(file: &Path, to: impl FnOnce(u64) -> u64) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(to(length)).unwrap();
}
