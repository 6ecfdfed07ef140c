//! Opening the journal that the configuration names, whichever it is.

use std::{path::PathBuf, sync::Arc};

use super::{Journal, JournalError, LeaderLock, PostgresJournal, SqliteJournal};
use crate::config::JournalSettings;

/// A journal, as its service has it.
pub struct Opened {
    /// The journal, with the rows of the first console.
    pub journal: Arc<dyn Journal>,
    /// Where it is.
    pub place: Place,
}

/// Where a journal is, which decides who else may use it.
#[derive(Debug)]
pub enum Place {
    /// In this folder of this machine: this service is its only one.
    Folder(PathBuf),
    /// On a server, together with other replicas: who holds the lock leads.
    Server(LeaderLock),
}

/// Whether this address is one of PostgreSQL.
fn is_postgres(url: &str) -> bool {
    matches!(url.split_once(':'), Some(("postgres" | "postgresql", _)))
}

/// Opens the journal as the service of these consoles, of which there is one at least, or as one of
/// its replicas.
///
/// # Errors
/// [`JournalError`], in words for the operator.
pub async fn open(settings: &JournalSettings, consoles: &[&str]) -> Result<Opened, JournalError> {
    let console = consoles.first().copied().unwrap_or_default();
    let JournalSettings { url, password, connections, .. } = settings;
    if is_postgres(url) {
        let lock = PostgresJournal::leader_lock(url, password.as_ref(), consoles)?;
        let journal = PostgresJournal::open(url, password.as_ref(), *connections, console).await?;
        return Ok(Opened { journal: Arc::new(journal), place: Place::Server(lock) });
    }
    let journal = SqliteJournal::open(url, console).await?;
    let folder = journal.file().parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), ToOwned::to_owned);
    Ok(Opened { journal: Arc::new(journal), place: Place::Folder(folder) })
}

/// Opens the journal beside the service, for a command.
///
/// # Errors
/// [`JournalError`], in words for the operator.
pub async fn open_beside(
    settings: &JournalSettings,
    console: &str,
) -> Result<Arc<dyn Journal>, JournalError> {
    let JournalSettings { url, password, .. } = settings;
    if is_postgres(url) {
        let journal = PostgresJournal::open_beside(url, password.as_ref(), console).await?;
        return Ok(Arc::new(journal));
    }
    Ok(Arc::new(SqliteJournal::open_beside(url, console).await?))
}

/// Reaches the server of a journal that has one, for a check, and says what was found; `None` for a
/// journal in a file.
///
/// # Errors
/// [`JournalError`], in words for the operator.
pub async fn probe(settings: &JournalSettings) -> Option<Result<String, JournalError>> {
    let JournalSettings { url, password, .. } = settings;
    if !is_postgres(url) {
        return None;
    }
    Some(PostgresJournal::probe(url, password.as_ref()).await)
}
