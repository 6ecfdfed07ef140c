//! The database for several replicas: PostgreSQL. Every connection is alike, and each replica has a
//! pool of them with a bound; a connection that broke is replaced by itself.
//!
//! Changes that SQLite's one writer makes atomic by itself are made so by advisory locks of a transaction, one
//! a console and class (`EventLocks`) and one a number of a name of incidents (`NameLocks`): they go
//! with the commit, with the rollback and with the connection, so that nobody has to clean up after a
//! replica that died. Within a replica `turns` come before them, so that waiting takes no more connections
//! than one a lock.
//!
//! Leases begin and end by the clock of the server (`LeaseTime`).
//!
//! Every wait has an end: the server breaks off a statement, a wait for a lock and a transaction that
//! does nothing, and a server that went away without a word is given up on here.
//!
//! Does not live here: what is asked of it (`sql`).

mod address;
mod lock;
mod migrate;
mod open;
mod pool;
mod refusal;
mod session;
mod turns;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

pub use self::lock::{LeaderLock, Leadership};
use self::turns::Turns;
use super::{
    database::{
        connection::Connection,
        locks::{EventLocks, NameLocks},
        session::{Change, Session},
        statement::query,
    },
    error::JournalError,
    storage::{Report, Storage},
};
use crate::clock::Clock;

/// Longest time of an answer by which clocks are compared.
const SKEW_ANSWER_MAX: TimeDelta = TimeDelta::seconds(1);

/// The database's clock, in milliseconds since 1970.
const CLOCK: &str = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS now";

/// One PostgreSQL database, or one schema of it.
#[derive(Debug)]
pub struct PostgresDatabase {
    pool: PgPool,
    turns: Turns,
    lease_time: LeaseTime,
    storage: Arc<Storage>,
}

/// The clock that leases go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseTime {
    /// The database's, so that it does not matter how far the clocks of replicas differ.
    OfDatabase,
    /// The caller's, for tests that decide what time it is.
    OfCaller,
}

impl PostgresDatabase {
    fn new(pool: PgPool) -> Self {
        let storage = Arc::default();
        Self { pool, turns: Turns::default(), lease_time: LeaseTime::OfDatabase, storage }
    }

    /// Returns the same database, where leases go by this clock.
    #[must_use]
    pub fn with_lease_time(mut self, lease_time: LeaseTime) -> Self {
        self.lease_time = lease_time;
        self
    }

    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Lends a connection. The storage is told of the failures of this report.
    pub(super) async fn session(&self, report: Report) -> Result<Session, JournalError> {
        Ok(Session::Postgres(Connection::lend(&self.pool, &self.storage, report).await?))
    }

    /// Begins a change of rows of `console`, in its turn. The storage is told of the failures of this
    /// report.
    pub(super) async fn begin(
        &self,
        console: &str,
        locks: EventLocks,
        report: Report,
    ) -> Result<Change, JournalError> {
        let turns = self.turns.wait(&locks.names(console)).await;
        let turns = turns.inspect_err(|error| self.storage.failed(error, report))?;
        let mut change = self.session(report).await?.begin("BEGIN", turns).await?;
        change.lock(console, locks).await?;
        Ok(change)
    }

    /// Begins a change that fixes these names of incidents. Takes its locks in the message that begins it, in
    /// an order that all keep. A wait in vain says nothing of whether an alert can be stored: the storage is
    /// not told.
    ///
    /// # Errors
    /// [`JournalError::Busy`] when another change of the same names takes too long.
    pub(super) async fn begin_fixing(&self, names: &NameLocks) -> Result<Change, JournalError> {
        let turns = self.turns.wait(&names.names()).await;
        let turns = turns.map_err(|_in_vain| JournalError::Busy)?;
        self.session(Report::AnyFailure).await?.begin(names.begin(), turns).await
    }

    /// Returns the time by which leases begin and end, in milliseconds since 1970, read once the turn has
    /// come: not the time at which the transaction began.
    pub(super) async fn lease_time(
        &self,
        change: &mut Change,
        now: DateTime<Utc>,
    ) -> Result<i64, JournalError> {
        if self.lease_time == LeaseTime::OfCaller {
            return Ok(now.timestamp_millis());
        }
        query(CLOCK).fetch_one(change).await?.number("now")
    }

    pub(super) async fn clock_skew(
        &self,
        clock: &Clock,
    ) -> Result<Option<TimeDelta>, JournalError> {
        let asked = clock.now();
        let mut session = self.session(Report::Damage).await?;
        let told = query(CLOCK).fetch_one(&mut session).await?.number("now")?;
        let took = clock.now() - asked;
        if took > SKEW_ANSWER_MAX {
            return Ok(None);
        }
        // It was read at some time in between.
        let meanwhile = asked + took / 2;
        Ok(Some(TimeDelta::milliseconds(told.saturating_sub(meanwhile.timestamp_millis()))))
    }

    /// Returns the bytes of tables and indexes of the journal's schema, with what is free inside: PostgreSQL
    /// keeps that for what comes next.
    pub(super) async fn used_bytes(&self) -> Result<u64, JournalError> {
        let used = query(
            "SELECT CAST(COALESCE(SUM(pg_total_relation_size(c.oid)), 0) AS BIGINT) AS bytes \
             FROM pg_class c WHERE c.relkind = 'r' \
             AND c.relnamespace = current_schema()::regnamespace",
        );
        used.fetch_one(&mut self.session(Report::Damage).await?).await?.count("bytes")
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

    use super::*;
    use crate::{alert::IncidentIdentity, health::Health, journal::Journal};

    #[tokio::test]
    async fn a_lock_of_names_that_is_waited_for_in_vain_is_busy_and_no_failure_of_the_journal() {
        let server = std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL")
            .expect("the tests run by scripts/test.sh, which starts a PostgreSQL for them");
        let schema = format!("busy_{}", std::process::id());
        let mut beside = PgConnection::connect(&server).await.unwrap();
        let make = AssertSqlSafe(format!("CREATE SCHEMA {schema}; SET search_path = {schema}"));
        beside.execute(sqlx::raw_sql(make)).await.unwrap();
        let url = format!("{server}?options[search_path]={schema}");
        let database = PostgresDatabase::open(&url, None, 1).await.unwrap();
        let only_connection = database.pool.clone();
        let journal = Journal::new(database, "https://console.example");
        let health = Arc::new(Health::default());
        journal.storage().report_to(&health);
        let wanted = IncidentIdentity { name: "Twin".to_owned(), created: DateTime::UNIX_EPOCH };
        let wanted = [("a".to_owned(), wanted)];
        let every_name = NameLocks::Some((0..=u8::MAX).collect());
        for names in [every_name, NameLocks::All] {
            let begin = AssertSqlSafe(names.begin());
            beside.execute(sqlx::raw_sql(begin)).await.unwrap();
            only_connection.execute("SET lock_timeout = '20ms'").await.unwrap();
            let failure = journal.fix_identities(&wanted).await.unwrap_err();
            assert!(matches!(failure, JournalError::Busy), "{failure}");
            assert!(!failure.is_told() && health.reasons().is_empty(), "{:?}", health.reasons());
            beside.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
        }
        assert_eq!(journal.fix_identities(&wanted).await.unwrap(), [wanted[0].1.clone()]);
        let away = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
        beside.execute(sqlx::raw_sql(away)).await.unwrap();
    }
}
