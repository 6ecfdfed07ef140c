//! Opening the journal that the configuration names, whichever it is.

use std::path::PathBuf;

use super::{
    error::JournalError,
    handle::Journal,
    postgres::{LeaderLock, PostgresDatabase},
    sqlite::SqliteDatabase,
};
use crate::config::JournalSettings;

/// A journal, as its service has it.
pub struct Opened {
    /// The journal, with the rows of the first console.
    pub journal: Journal,
    /// The place where it is.
    pub place: Place,
}

/// The place of a journal, which decides who else may use it.
#[derive(Debug)]
pub enum Place {
    /// In this folder of this machine: this service is its only one.
    Folder(PathBuf),
    /// On a server, together with other replicas: who holds the lock leads.
    Server(LeaderLock),
}

/// The purpose for which a command opens the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only reads, which a full disk does not prevent.
    Read,
    /// It changes something.
    Change,
}

/// Returns whether this address is one of PostgreSQL.
fn is_postgres(url: &str) -> bool {
    matches!(url.split_once(':'), Some(("postgres" | "postgresql", _)))
}

/// Opens the journal as the service of these consoles, of which there is one at least, or as one of
/// its replicas. A file on a full disk is opened as soon as there is space.
///
/// # Errors
/// [`JournalError`], in words for the operator.
pub async fn open(settings: &JournalSettings, consoles: &[&str]) -> Result<Opened, JournalError> {
    let console = consoles.first().copied().unwrap_or_default();
    let JournalSettings { url, password, connections, .. } = settings;
    if is_postgres(url) {
        let lock = PostgresDatabase::leader_lock(url, password.as_ref(), consoles)?;
        let database = PostgresDatabase::open(url, password.as_ref(), *connections).await?;
        return Ok(Opened { journal: Journal::new(database, console), place: Place::Server(lock) });
    }
    let database = SqliteDatabase::open_when_possible(url).await?;
    let folder = database.file().parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), ToOwned::to_owned);
    Ok(Opened { journal: Journal::new(database, console), place: Place::Folder(folder) })
}

/// Opens the journal beside the service, for a command.
///
/// # Errors
/// [`JournalError`], in words for the operator.
pub async fn open_beside(
    settings: &JournalSettings,
    console: &str,
    access: Access,
) -> Result<Journal, JournalError> {
    let JournalSettings { url, password, .. } = settings;
    if is_postgres(url) {
        let database = PostgresDatabase::open_beside(url, password.as_ref()).await?;
        return Ok(Journal::new(database, console));
    }
    let database = match access {
        Access::Read => SqliteDatabase::open_to_read(url).await?,
        Access::Change => SqliteDatabase::open_beside(url).await?,
    };
    Ok(Journal::new(database, console))
}

/// Looks at the journal for a check, changes nothing, and says what was found.
///
/// # Errors
/// [`JournalError`], in words for the operator.
pub async fn probe(settings: &JournalSettings) -> Result<String, JournalError> {
    let JournalSettings { url, password, .. } = settings;
    if is_postgres(url) {
        return PostgresDatabase::probe(url, password.as_ref()).await;
    }
    SqliteDatabase::probe(url).await
}
