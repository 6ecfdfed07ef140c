//! What the two databases do differently: how a change begins, and who waits for whom.
//!
//! Does not live here: what is alike, which is nearly all (the other files of this room).

use std::{collections::BTreeSet, fmt::Debug};

use chrono::{DateTime, TimeDelta, Utc};

use super::statement::{Columns, Statement};
use crate::{
    clock::Clock,
    journal::{JournalError, Shrunk, Storage},
};

/// Which of the things that need an order a change takes part in. SQLite has one writer, and so one
/// order; in PostgreSQL, where several replicas write, a change waits only for those that it must not
/// cross.
///
/// Two classes, because what reads the versions of a key and then writes one (which is the latest,
/// which recurrence) must be alone among arrivals, and what reads which rows are leased or unfinished
/// and then writes one must be alone among departures; but an arrival only adds rows that come after
/// all that are there, which no departure under way has to know of. So a commit of new deliveries
/// never waits for a claim. Who needs both takes arrivals first, so that nobody waits in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Order {
    /// The rows are the change's own business.
    None,
    /// It numbers versions.
    Arrivals,
    /// It claims, finishes or puts back.
    Departures,
    /// It does both.
    Both,
}

/// Incidents whose names and dates a change compares, alone, over all consoles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) enum LockScope {
    /// Those of some names. A name has one of 256 numbers, so that there are never more locks than that.
    Names(BTreeSet<u8>),
    /// All.
    All,
}

/// Two spellings of one statement.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Words {
    pub(in crate::journal) sqlite: &'static str,
    pub(in crate::journal) postgres: &'static str,
}

/// Which spelling is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum Dialect {
    Sqlite,
    Postgres,
}

/// Where statements are run.
pub(in crate::journal) trait Session: Send {
    type Row: Columns;

    fn execute(
        &mut self,
        statement: Statement,
    ) -> impl Future<Output = Result<u64, JournalError>> + Send;

    fn fetch_all(
        &mut self,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<Self::Row>, JournalError>> + Send;
}

/// A change that is not committed yet; dropped, it never was, and its connection is closed.
pub(in crate::journal) trait Change: Session {
    /// Takes part in this, too, from now on.
    fn also(
        &mut self,
        console: &str,
        order: Order,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;

    fn commit(self) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Ends it without any change; its connection stays in use.
    fn roll_back(self) -> impl Future<Output = Result<(), JournalError>> + Send;
}

/// A database.
pub(in crate::journal) trait Store:
    Debug + Clone + Send + Sync + 'static
{
    const DIALECT: Dialect;
    /// Most values of one statement: what grows with a batch is passed as one JSON value, or in
    /// statements of a few rows.
    const VALUES_MAX: usize;
    type Row: Columns;
    type Change: Change<Row = Self::Row>;
    type Pool: Session<Row = Self::Row>;

    /// Begins a change of rows of `console`, in its turn.
    fn begin(
        &self,
        console: &str,
        order: Order,
    ) -> impl Future<Output = Result<Self::Change, JournalError>> + Send;

    /// As [`Store::begin`], for upkeep whose failure says nothing of whether an alert can be stored:
    /// [`Storage`] is not told.
    fn begin_upkeep(
        &self,
        console: &str,
        order: Order,
    ) -> impl Future<Output = Result<Self::Change, JournalError>> + Send;

    /// Begins a change that fixes names and dates of incidents of this scope. It takes part in no
    /// [`Order`].
    ///
    /// # Errors
    /// [`JournalError::Busy`] when another change of the same scope takes too long.
    fn begin_fixing(
        &self,
        scope: LockScope,
    ) -> impl Future<Output = Result<Self::Change, JournalError>> + Send;

    /// Runs single statements that change nothing.
    fn readers(&self) -> Self::Pool;

    /// Runs single statements that change something.
    fn writer(&self) -> Self::Pool;

    /// The time by which leases begin and end, in milliseconds since 1970: the caller's `now`, or that
    /// of the database.
    fn lease_time(
        &self,
        change: &mut Self::Change,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<i64, JournalError>> + Send;

    /// By how much the clock of [`Store::lease_time`] is ahead of `clock`; `None` where it is the same
    /// one, or where the answer took too long to tell.
    fn clock_skew(
        &self,
        clock: &Clock,
    ) -> impl Future<Output = Result<Option<TimeDelta>, JournalError>> + Send;

    /// Knows whether it can be written.
    fn storage(&self) -> &Storage;

    /// Checks that what is stored will be found after a restart.
    fn check_not_lost(&self) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Bytes in use.
    fn used_bytes(&self) -> impl Future<Output = Result<u64, JournalError>> + Send;

    /// Gives some of what is free back to the file system, as much as the disk has space for; answers
    /// how many pages. [`Storage`] is not told of a failure.
    fn give_back(&self) -> impl Future<Output = Result<u64, JournalError>> + Send;

    /// Gives what is free inside the file, a bounded part of it, and beside it back to the file system.
    fn shrink(&self) -> impl Future<Output = Result<Shrunk, JournalError>> + Send;

    /// The spelling that this database understands.
    fn say(words: Words) -> &'static str {
        match Self::DIALECT {
            Dialect::Sqlite => words.sqlite,
            Dialect::Postgres => words.postgres,
        }
    }
}
