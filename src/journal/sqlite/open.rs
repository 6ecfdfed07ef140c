//! Opening the SQLite journal: as its service, alone, or beside the service, for a command.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    str::FromStr,
    sync::{Arc, atomic::AtomicU32},
};

use parking_lot::Mutex;
use rustix::fs::Access;
use sqlx::{
    ConnectOptions as _, Executor as _, Row as _, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};
use tokio::sync::OnceCell;
use tracing::warn;

use super::{BUSY_TIMEOUT, Opened, PAGES_PER_STEP, SqliteDatabase};
use crate::journal::{
    database::connection::Connection,
    error::JournalError,
    failure::primary_code,
    file::{FileIdentity, Gone, beside, real_path},
    schema::describe_schema,
    storage::Report,
};
/// One may be busy with a status page and one with a scrape of metrics.
const READERS: u32 = 4;
/// To what size the write-ahead log is cut after it was copied back.
const LOG_BYTES_KEPT: &str = "67108864";

/// Free space with which opening a journal does not fail for want of it.
const ENOUGH_SPACE: u64 = 1 << 20;

/// The schema, step by step.
static SCHEMA: Migrator = sqlx::migrate!("src/journal/migrations");

impl SqliteDatabase {
    /// Opens `url` (`sqlite:<path>`), makes the file when it is not there, and brings its schema
    /// up to date.
    ///
    /// # Errors
    /// [`JournalError::Address`] when the file cannot be opened, [`JournalError::Damaged`] when it
    /// is not whole, [`JournalError::Migration`] when it was written by a newer version.
    pub async fn open(url: &str) -> Result<Self, JournalError> {
        let database = Self::lock_for_service(url)?;
        database.bring_up_to_date_once().await?;
        Ok(database)
    }

    /// As [`Self::open`], but on a full disk it is opened as soon as there is space, by whoever uses it then.
    ///
    /// # Errors
    /// As those of [`Self::open`], but [`JournalError::DiskFull`].
    pub async fn open_when_possible(url: &str) -> Result<Self, JournalError> {
        let database = Self::lock_for_service(url)?;
        match database.bring_up_to_date_once().await {
            Err(full @ JournalError::DiskFull { .. }) => {
                database.storage.failed_because(full.to_string());
            }
            opened => opened?,
        }
        Ok(database)
    }

    /// Makes the file when it is not there, and locks it; it is not open yet.
    fn lock_for_service(url: &str) -> Result<Self, JournalError> {
        let options = options(url)?;
        let file = options.get_filename().to_owned();
        let had_content = std::fs::metadata(&file).is_ok_and(|found| found.len() > 0);
        let (only_user, before) = lock(&file)?;
        if before == Before::Used && !had_content {
            warn!(
                file = %file.display(),
                "the journal's file is gone or empty, though a service has used it before: a new one is \
                 made, and what waited in the old one is missing. If it was moved, or its disk is not mounted, \
                 stop the service and put it back with the files that begin with its name. The sweep \
                 finds again what the console still has"
            );
        }
        keep_private(&file).map_err(|error| unusable(&file, &error))?;
        if log_is_gone(&file) {
            warn!(
                "the journal's write-ahead log is gone, though the service did not end in order: \
                 what was stored last may be missing. Was only a part of the journal's files \
                 copied? The sweep finds again what the console still has"
            );
        }
        Self::at(&file, options, reading(&file), Some(only_user))
    }

    /// As [`Self::open`], but makes no file where there is none.
    ///
    /// # Errors
    /// As those of [`Self::open`], and [`JournalError::Address`] when there is no file.
    pub async fn open_existing(url: &str) -> Result<Self, JournalError> {
        there_is_one(options(url)?.get_filename())?;
        Self::open(url).await
    }

    /// Opens `url` beside the service that may be using it: makes nothing, changes no schema, takes
    /// over no lease, and keeps no service from starting.
    ///
    /// # Errors
    /// [`JournalError::Address`] when there is no file or it is of another version.
    pub async fn open_beside(url: &str) -> Result<Self, JournalError> {
        let options = options(url)?;
        let file = options.get_filename().to_owned();
        there_is_one(&file)?;
        Self::at(&file, options, reading(&file), None)?.of_our_version().await
    }

    pub(super) async fn of_our_version(self) -> Result<Self, JournalError> {
        if self.schema_version().await? == newest_version() {
            return Ok(self);
        }
        Err(JournalError::Address(format!(
            "{} is of another version than this program; use the program that the service runs, or \
             start the service once with this one",
            self.file().display()
        )))
    }

    /// Looks at `url`, changes nothing, and says in words what was found.
    ///
    /// # Errors
    /// [`JournalError::Address`] when there is no file and none can be made, or it cannot be opened;
    /// [`JournalError::Damaged`] when it is not whole.
    pub async fn probe(url: &str) -> Result<String, JournalError> {
        let options = options(url)?;
        let file = options.get_filename().to_owned();
        let version = if file.exists() {
            let database = Self::at(&file, options, reading(&file), None)?;
            let version = database.schema_version().await;
            database.writer.close().await;
            version?
        } else {
            let mut folder = file.clone();
            folder.pop();
            // The dot makes a file in the folder's place fail, too.
            rustix::fs::access(folder.join("."), Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| unusable(&file, &error))?;
            None
        };
        Ok(format!("{}: {}", file.display(), describe_schema(version, newest_version())?))
    }

    /// Returns its connections, to read all of it.
    pub(in crate::journal) fn connections(&self) -> &SqlitePool {
        &self.readers
    }

    /// Returns the journal's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Puts it together around `file`; nothing is connected yet. Without a lock it is somebody
    /// else's, and counts as open.
    pub(super) fn at(
        file: &Path,
        writing: SqliteConnectOptions,
        reading: SqliteConnectOptions,
        only_user: Option<File>,
    ) -> Result<Self, JournalError> {
        let identity = FileIdentity::at(file).map_err(|error| unusable(file, &error))?;
        identity.check_single_name()?;
        let writer = pool(1, &identity).connect_lazy_with(writing);
        let readers = pool(READERS, &identity).connect_lazy_with(reading);
        let opened = only_user.is_none().then_some(Opened::Beside);
        Ok(Self {
            writer,
            readers,
            file: file.into(),
            identity,
            lengths: Mutex::default(),
            unsaved: Mutex::default(),
            storage: Arc::default(),
            opened: OnceCell::new_with(opened),
            pages_per_step: AtomicU32::new(PAGES_PER_STEP),
            _only_user: only_user,
        })
    }

    pub(super) async fn schema_version(&self) -> Result<Option<i64>, JournalError> {
        let row = sqlx::query("SELECT MAX(version) AS version FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.writer)
            .await
            .map_err(|error| opening_failed(self.file(), &error))?;
        Ok(row.try_get("version")?)
    }

    /// Opens the file as its only user, once.
    pub(super) async fn bring_up_to_date_once(&self) -> Result<(), JournalError> {
        // Boxed, since every statement carries it.
        self.opened.get_or_try_init(|| Box::pin(self.bring_up_to_date())).await.map(drop)
    }

    async fn bring_up_to_date(&self) -> Result<Opened, JournalError> {
        let file = &*self.file;
        let connection = self.writer.acquire().await;
        let connection = connection.map_err(|error| opening_failed(file, &error))?;
        // Closed unless all of it succeeds: after a full disk SQLite has rolled back by itself, but sqlx
        // counts the change as open, and would commit nothing on this connection any more.
        let mut guarded = Connection::guard(connection, &self.storage, Report::Damage);
        let connection = guarded.start();
        SCHEMA
            .run_direct(None, connection, false)
            .await
            .map_err(|error| schema_failed(file, error))?;
        // Whoever held these leases is gone: this process is the file's only user.
        sqlx::query("UPDATE events SET leased_until = NULL WHERE leased_until IS NOT NULL")
            .execute(connection)
            .await
            .map_err(|error| opening_failed(file, &error))?;
        guarded.ended(Ok(()))?;
        let spare = self.open_readers().await.map_err(|error| opening_failed(file, &error))?;
        self.identity.watch_beside().map_err(|error| unusable(file, &error))?;
        Ok(Opened::BySpareConnection { _spare: spare })
    }

    /// Opens every reader, so that what is in files that are gone can be read to its end, and one more.
    async fn open_readers(&self) -> Result<SqliteConnection, sqlx::Error> {
        // Only a connection that has read has opened the log.
        let read = "PRAGMA schema_version";
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let mut reader = self.readers.acquire().await?;
            reader.execute(read).await?;
            readers.push(reader);
        }
        let mut spare = self.readers.connect_options().connect().await?;
        spare.execute(read).await?;
        Ok(spare)
    }
}

/// Readers set nothing: even a pragma would wait for another process's lock.
pub(super) fn reading(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(BUSY_TIMEOUT)
}

/// Connections that stay open, as far as nothing fails on them; a new one is never one to another file.
fn pool(connections: u32, identity: &FileIdentity) -> SqlitePoolOptions {
    let identity = identity.clone();
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |_connection, _| {
            let identity = identity.clone();
            Box::pin(async move {
                let unanswered = "the journal's disk does not answer".to_owned();
                match identity.look().await {
                    Some(Ok(_lengths)) => Ok(()),
                    Some(Err(Gone::File(reason) | Gone::Beside(reason))) => {
                        Err(sqlx::Error::Protocol(reason))
                    }
                    None => Err(sqlx::Error::Protocol(unanswered)),
                }
            })
        })
}

/// Returns whether the disk of `file` has too little space left to open a journal on it.
pub(super) fn is_full(file: &Path) -> bool {
    rustix::fs::statvfs(file)
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < ENOUGH_SPACE)
}

fn newest_version() -> Option<i64> {
    SCHEMA.iter().map(|step| step.version).max()
}

pub(super) fn there_is_one(file: &Path) -> Result<(), JournalError> {
    if file.exists() {
        return Ok(());
    }
    Err(JournalError::Address(format!(
        "there is no journal at {}; run this where the service runs, with its configuration, or name \
         the file by its full path",
        file.display()
    )))
}

pub(super) fn options(url: &str) -> Result<SqliteConnectOptions, JournalError> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| JournalError::Address(error.to_string()))?;
    let file = real_path(options.get_filename());
    let options = options
        .filename(file)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        .busy_timeout(BUSY_TIMEOUT);
    Ok(options)
}

/// The journal before this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// No service has used it.
    New,
    /// A service has left its lock beside it.
    Used,
}

/// Takes the lock beside the file: two services on one journal would take each other's leases for
/// those of the dead. The lock goes with the process, also when it is killed.
fn lock(file: &Path) -> Result<(File, Before), JournalError> {
    let path = beside(file, ".lock");
    let before = if path.exists() { Before::Used } else { Before::New };
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let lock = lock.map_err(|error| unusable(file, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok((lock, before)),
        Err(TryLockError::WouldBlock) => Err(JournalError::Address(format!(
            "cannot open {}: another process uses this journal; stop that one first, or give this \
             service a journal of its own",
            file.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(file, &error)),
    }
}

/// Makes the file when it is not there, readable by its owner only: it holds alerts. The files that
/// SQLite puts beside it have the same rights.
fn keep_private(file: &Path) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(file).map(drop)
}

fn unusable(file: &Path, error: &dyn std::fmt::Display) -> JournalError {
    JournalError::Address(format!(
        "cannot open {}: {error}; the folder must exist and be writable",
        file.display()
    ))
}

fn schema_failed(file: &Path, error: sqlx::migrate::MigrateError) -> JournalError {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => opening_failed(file, &error),
        other => JournalError::Migration(other),
    }
}

/// Returns whether the log beside `database` was removed: SQLite removes it together with its index (`-shm`)
/// when the last user closes the file in order, and leaves both otherwise.
fn log_is_gone(database: &Path) -> bool {
    beside(database, "-shm").exists() && !beside(database, "-wal").exists()
}

/// Returns the kind of SQLite's refusal, as [`primary_code`] does.
pub(super) fn kind(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    primary_code(code.as_deref())
}

/// Says what SQLite's refusal means for an operator.
pub(super) fn opening_failed(file: &Path, error: &sqlx::Error) -> JournalError {
    let file_name = file.display();
    match kind(error) {
        Some(5 | 6) => JournalError::Address(format!(
            "cannot open {file_name}: another process holds it locked; end that process, or wait \
             until it is done, and start again"
        )),
        Some(8) => JournalError::Address(format!(
            "cannot open {file_name}: it can only be read; let the service's user write the file \
             and its folder, and check that the disk is not mounted read-only"
        )),
        Some(13) => JournalError::DiskFull { file: file.to_owned() },
        // What SQLite says of an index of its log that cannot grow.
        Some(10 | 14) if is_full(file) => JournalError::DiskFull { file: file.to_owned() },
        Some(11 | 26) => JournalError::Damaged { file: file.to_owned(), reason: error.to_string() },
        _ => unusable(file, error),
    }
}
