//! The handle on the journal: the database, and the console whose rows it shows. Here is what the two
//! databases do differently; their statements are written once, in the files by noun.
//!
//! Does not live here: connections and schemas (`sqlite`, `postgres`).

use std::sync::{Arc, atomic::AtomicI64};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    database::{
        dialect::{Dialect, SqlByDialect},
        locks::{EventLocks, NameLocks},
        session::{Change, Session},
    },
    error::JournalError,
    postgres::PostgresDatabase,
    pruning::Shrunk,
    sqlite::SqliteDatabase,
    storage::{Report, Storage},
};
use crate::clock::Clock;

/// The durable store, with the rows of one console. Clones share everything.
#[derive(Debug, Clone)]
pub struct Journal {
    database: Database,
    /// The console that the rows belong to.
    pub(super) console: Arc<str>,
    pub(super) last_claim: Arc<LastClaim>,
}

/// The database of a journal: embedded, or on a server for several replicas.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file.
    Sqlite(Arc<SqliteDatabase>),
    /// A PostgreSQL database, or one schema of it.
    Postgres(Arc<PostgresDatabase>),
}

/// Times of the latest claim or renewal.
#[derive(Debug, Default)]
pub(super) struct LastClaim {
    /// The time at which it was made, in milliseconds since 1970; 0 before the first.
    pub(super) made_at: AtomicI64,
    /// By how many milliseconds the clock of leases was ahead of the caller's then.
    pub(super) leases_ahead: AtomicI64,
}

impl From<SqliteDatabase> for Database {
    fn from(database: SqliteDatabase) -> Self {
        Self::Sqlite(Arc::new(database))
    }
}

impl From<PostgresDatabase> for Database {
    fn from(database: PostgresDatabase) -> Self {
        Self::Postgres(Arc::new(database))
    }
}

impl Journal {
    /// Makes a handle on the journal in a database, with the rows of `console`.
    pub fn new(database: impl Into<Database>, console: &str) -> Self {
        let database = database.into();
        Self { database, console: console.into(), last_claim: Arc::default() }
    }

    /// Returns the same journal, on the same connections, with the rows of another console.
    #[must_use]
    pub fn of_console(&self, console: &str) -> Self {
        Self::new(self.database.clone(), console)
    }

    /// Returns whether other replicas may use it at the same time.
    pub fn has_replicas(&self) -> bool {
        self.dialect() == Dialect::Postgres
    }

    /// Knows whether it can be written.
    pub fn storage(&self) -> &Storage {
        match &self.database {
            Database::Sqlite(database) => database.storage(),
            Database::Postgres(database) => database.storage(),
        }
    }

    /// Returns by how much the clock by which leases go is ahead of `clock`; `None` where it is the same
    /// one, or where the answer took too long to tell.
    pub async fn clock_skew(&self, clock: &Clock) -> Result<Option<TimeDelta>, JournalError> {
        match &self.database {
            Database::Sqlite(_) => Ok(None),
            Database::Postgres(database) => database.clock_skew(clock).await,
        }
    }

    /// Checks that what is stored will be found after a restart, as far as that can be seen at a glance.
    /// With PostgreSQL that is the server's business.
    ///
    /// # Errors
    /// [`JournalError::Lost`], from then on until a restart.
    pub async fn check_not_lost(&self) -> Result<(), JournalError> {
        match &self.database {
            Database::Sqlite(database) => database.check_not_lost().await,
            Database::Postgres(database) => database.storage().check_not_lost(),
        }
    }

    /// Returns the bytes in use: of the file and what lies beside it, without what is free inside.
    pub async fn used_bytes(&self) -> Result<u64, JournalError> {
        match &self.database {
            Database::Sqlite(database) => database.used_bytes().await,
            Database::Postgres(database) => database.used_bytes().await,
        }
    }

    /// Gives some of what is free inside the file, and what lies beside it, back to the file system, in
    /// smaller and smaller steps while the disk has no space for one. [`Storage`] is not told of a
    /// failure. PostgreSQL's autovacuum does that in its own time.
    pub async fn shrink(&self) -> Result<Shrunk, JournalError> {
        match &self.database {
            Database::Sqlite(database) => database.shrink().await,
            Database::Postgres(_) => Ok(Shrunk::default()),
        }
    }

    /// Gives some of what is free back to the file system, as much as the disk has space for; returns how
    /// many pages. [`Storage`] is not told of a failure.
    pub(super) async fn give_back(&self) -> Result<u64, JournalError> {
        match &self.database {
            Database::Sqlite(database) => database.give_back().await,
            Database::Postgres(_) => Ok(0),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &self.database {
            Database::Sqlite(_) => Dialect::Sqlite,
            Database::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Returns the spelling that the database understands.
    pub(super) fn sql(&self, sql: SqlByDialect) -> &'static str {
        self.dialect().of(sql)
    }

    /// Lends a connection for a single statement that changes nothing.
    pub(super) async fn reader(&self) -> Result<Session, JournalError> {
        match &self.database {
            Database::Sqlite(database) => database.reader().await,
            Database::Postgres(database) => database.session(Report::Damage).await,
        }
    }

    /// Lends a connection for a single statement that changes something.
    pub(super) async fn writer(&self) -> Result<Session, JournalError> {
        match &self.database {
            Database::Sqlite(database) => database.writer(Report::AnyFailure).await,
            Database::Postgres(database) => database.session(Report::AnyFailure).await,
        }
    }

    /// Begins a change of the console's rows, in its turn.
    pub(super) async fn begin(&self, locks: EventLocks) -> Result<Change, JournalError> {
        self.begin_reporting(locks, Report::AnyFailure).await
    }

    /// Begins a change for upkeep, whose failure says nothing of whether an alert can be stored: [`Storage`]
    /// is not told.
    pub(super) async fn begin_upkeep(&self, locks: EventLocks) -> Result<Change, JournalError> {
        self.begin_reporting(locks, Report::Damage).await
    }

    async fn begin_reporting(
        &self,
        locks: EventLocks,
        report: Report,
    ) -> Result<Change, JournalError> {
        match &self.database {
            // Holds the write lock from its start, whatever it locks.
            Database::Sqlite(database) => database.begin(report).await,
            Database::Postgres(database) => database.begin(&self.console, locks, report).await,
        }
    }

    /// Begins a change that fixes these names and dates of incidents. It takes no [`EventLocks`].
    ///
    /// # Errors
    /// [`JournalError::Busy`] when another change of the same names takes too long.
    pub(super) async fn begin_fixing(&self, names: NameLocks) -> Result<Change, JournalError> {
        match &self.database {
            Database::Sqlite(database) => database.begin(Report::AnyFailure).await,
            Database::Postgres(database) => database.begin_fixing(&names).await,
        }
    }

    /// Returns the time by which leases begin and end, in milliseconds since 1970: the caller's `now`, or
    /// that of the database. With SQLite the service is the only one that takes leases.
    pub(super) async fn lease_time(
        &self,
        change: &mut Change,
        now: DateTime<Utc>,
    ) -> Result<i64, JournalError> {
        match &self.database {
            Database::Sqlite(_) => Ok(now.timestamp_millis()),
            Database::Postgres(database) => database.lease_time(change, now).await,
        }
    }
}
