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

/// The purpose for which a command opens the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only reads, which a full disk does not prevent.
    Read,
    /// It changes something.
    Change,
}

/// Whether this address is one of PostgreSQL.
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
        let lock = PostgresJournal::leader_lock(url, password.as_ref(), consoles)?;
        let journal = PostgresJournal::open(url, password.as_ref(), *connections, console).await?;
        return Ok(Opened { journal: Arc::new(journal), place: Place::Server(lock) });
    }
    let journal = SqliteJournal::open_when_possible(url, console).await?;
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
    access: Access,
) -> Result<Arc<dyn Journal>, JournalError> {
    let JournalSettings { url, password, .. } = settings;
    if is_postgres(url) {
        let journal = PostgresJournal::open_beside(url, password.as_ref(), console).await?;
        return Ok(Arc::new(journal));
    }
    Ok(Arc::new(match access {
        Access::Read => SqliteJournal::open_to_read(url, console).await?,
        Access::Change => SqliteJournal::open_beside(url, console).await?,
    }))
}

/// Looks at the journal for a check, changes nothing, and says what was found.
///
/// # Errors
/// [`JournalError`], in words for the operator.
pub async fn probe(settings: &JournalSettings) -> Result<String, JournalError> {
    let JournalSettings { url, password, .. } = settings;
    if is_postgres(url) {
        return PostgresJournal::probe(url, password.as_ref()).await;
    }
    SqliteJournal::probe(url).await
}

/// What a schema of the version `found` means to a program that has `ours`; `None`: there is none.
pub(super) fn schema_words(
    found: Option<i64>,
    ours: Option<i64>,
) -> Result<&'static str, JournalError> {
    match found {
        None => Ok("no journal is there yet; the first start makes it"),
        Some(_) if found == ours => Ok("a journal is there"),
        Some(_) if found < ours => {
            Ok("a journal of an older version is there; the next start brings it up to date")
        }
        Some(_) => Err(JournalError::Address(
            "a newer version of this program wrote the journal; use that version, or put a backup \
             from before the upgrade in its place"
                .to_owned(),
        )),
    }
}
