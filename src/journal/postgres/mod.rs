//! The database for several replicas: PostgreSQL. Every connection is alike, and each replica has a
//! pool of them with a bound; a connection that broke is replaced by itself.
//!
//! What SQLite's one writer makes atomic by itself is made so by advisory locks of a transaction, one
//! a console and class (`sql::Order`): they go with the commit, with the rollback and with the
//! connection, so that nobody has to clean up after a replica that died. Within a replica `turns` come
//! before them, so that waiting takes no more connections than one a console and class.
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
mod refusal;
mod session;
mod turns;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{
    AssertSqlSafe, PgPool, Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};

pub use self::lock::{LeaderLock, Leadership};
use self::turns::{Turn, Turns};
use super::{
    JournalError, Shrunk, Storage,
    sql::{
        Change, Column, Columns, Dialect, Lent, Order, Session, SqlJournal, Statement, Store,
        Value, query,
    },
    storage::Report,
};
use crate::clock::Clock;

/// How long an answer is waited for: longer than the server works on a statement.
const ANSWER_MAX: Duration = Duration::from_secs(45);

/// Longest time of an answer by which clocks are compared.
const SKEW_ANSWER_MAX: TimeDelta = TimeDelta::seconds(1);

/// The database's clock, in milliseconds since 1970.
const CLOCK: &str = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint";

/// The journal in a PostgreSQL database.
pub type PostgresJournal = SqlJournal<PostgresStore>;

/// One PostgreSQL database, or one schema of it.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: PgPool,
    turns: Turns,
    lease_time: LeaseTime,
    storage: Arc<Storage>,
}

/// Whose clock leases go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseTime {
    /// The database's, so that it does not matter how far the clocks of replicas differ.
    OfDatabase,
    /// The caller's, for tests that decide what time it is.
    OfCaller,
}

impl PostgresJournal {
    /// The same journal, whose leases go by this clock.
    #[must_use]
    pub fn with_lease_time(mut self, lease_time: LeaseTime) -> Self {
        self.store.lease_time = lease_time;
        self
    }
}

impl PostgresStore {
    fn new(pool: PgPool) -> Self {
        let storage = Arc::default();
        Self { pool, turns: Turns::default(), lease_time: LeaseTime::OfDatabase, storage }
    }

    /// The storage is told of the failures of this report.
    async fn begin_telling(
        &self,
        console: &str,
        order: Order,
        report: Report,
    ) -> Result<PostgresChange, JournalError> {
        let turns = self.turns.wait(console, classes(order)).await;
        let turns = turns.inspect_err(|error| self.storage.failed(error, report))?;
        let mut lent = Lent::by(&self.pool, &self.storage, report).await?;
        let begun = limited(sqlx::raw_sql("BEGIN").execute(lent.connection())).await;
        lent.begun(begun)?;
        let mut change = PostgresChange { lent, _turns: turns };
        change.also(console, order).await?;
        Ok(change)
    }
}

/// A change that is not committed yet. Its turns end after it.
pub(in crate::journal) struct PostgresChange {
    lent: Lent<Postgres>,
    _turns: Vec<Turn>,
}

/// Connections for single statements.
pub(in crate::journal) struct Pool {
    connections: PgPool,
    storage: Arc<Storage>,
    report: Report,
}

impl Store for PostgresStore {
    type Change = PostgresChange;
    type Pool = Pool;
    type Row = PgRow;

    const DIALECT: Dialect = Dialect::Postgres;
    /// Far below the 65,535 that a message holds, and enough that round trips do not count.
    const VALUES_MAX: usize = 2_500;

    async fn begin(&self, console: &str, order: Order) -> Result<Self::Change, JournalError> {
        self.begin_telling(console, order, Report::AnyFailure).await
    }

    async fn begin_upkeep(
        &self,
        console: &str,
        order: Order,
    ) -> Result<Self::Change, JournalError> {
        self.begin_telling(console, order, Report::Damage).await
    }

    fn readers(&self) -> Pool {
        Pool {
            connections: self.pool.clone(),
            storage: Arc::clone(&self.storage),
            report: Report::Damage,
        }
    }

    fn writer(&self) -> Pool {
        Pool {
            connections: self.pool.clone(),
            storage: Arc::clone(&self.storage),
            report: Report::AnyFailure,
        }
    }

    fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The server's business.
    async fn check_not_lost(&self) -> Result<(), JournalError> {
        self.storage.check_not_lost()
    }

    /// Read once the turn has come: not the time at which the transaction began.
    async fn lease_time(
        &self,
        change: &mut Self::Change,
        now: DateTime<Utc>,
    ) -> Result<i64, JournalError> {
        if self.lease_time == LeaseTime::OfCaller {
            return Ok(now.timestamp_millis());
        }
        query(CLOCK).fetch_one(change).await?.try_get(0)
    }

    async fn clock_skew(&self, clock: &Clock) -> Result<Option<TimeDelta>, JournalError> {
        let asked = clock.now();
        let told: i64 = query(CLOCK).fetch_one(&mut self.readers()).await?.try_get(0)?;
        let took = clock.now() - asked;
        if took > SKEW_ANSWER_MAX {
            return Ok(None);
        }
        // It was read at some time in between.
        let meanwhile = asked + took / 2;
        Ok(Some(TimeDelta::milliseconds(told.saturating_sub(meanwhile.timestamp_millis()))))
    }

    /// Tables and indexes of the journal's schema, with what is free inside: PostgreSQL keeps that for
    /// what comes next.
    async fn used_bytes(&self) -> Result<u64, JournalError> {
        let used = query(
            "SELECT CAST(COALESCE(SUM(pg_total_relation_size(c.oid)), 0) AS BIGINT) \
             FROM pg_class c WHERE c.relkind = 'r' \
             AND c.relnamespace = current_schema()::regnamespace",
        );
        used.fetch_one(&mut self.readers()).await?.count(0)
    }

    /// PostgreSQL's autovacuum does that by itself.
    async fn give_back(&self) -> Result<u64, JournalError> {
        Ok(0)
    }

    /// The same.
    async fn shrink(&self) -> Result<Shrunk, JournalError> {
        Ok(Shrunk::default())
    }
}

/// In the order in which they are taken.
fn classes(order: Order) -> &'static [&'static str] {
    match order {
        Order::None => &[],
        Order::Arrivals => &["arrivals"],
        Order::Departures => &["departures"],
        Order::Both => &["arrivals", "departures"],
        Order::Identities => &["identities"],
    }
}

impl Session for PostgresChange {
    type Row = PgRow;

    async fn execute(&mut self, statement: Statement) -> Result<u64, JournalError> {
        let done = limited(prepared(statement).execute(self.lent.connection())).await;
        Ok(self.lent.ended(done)?.rows_affected())
    }

    async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<PgRow>, JournalError> {
        let rows = limited(prepared(statement).fetch_all(self.lent.connection())).await;
        self.lent.ended(rows)
    }
}

impl Change for PostgresChange {
    /// The names hold the schema, because locks belong to the whole database. Each statement after
    /// this one sees what was committed by whoever had the lock before. Of a change that has its
    /// connection already nobody's turn is waited for: those whose turn it is may wait for connections.
    async fn also(&mut self, console: &str, order: Order) -> Result<(), JournalError> {
        for class in classes(order) {
            let locking = query(
                "SELECT 1 FROM (SELECT pg_advisory_xact_lock(\
                 hashtextextended(current_schema() || $1, 0))) AS locked",
            );
            let name = format!(" harfanglab-incidents {class} {console}");
            self.execute(locking.bind(name)).await?;
        }
        Ok(())
    }

    async fn commit(mut self) -> Result<(), JournalError> {
        self.lent.check()?;
        let done = limited(sqlx::raw_sql("COMMIT").execute(self.lent.connection())).await;
        self.lent.done(done)
    }

    async fn roll_back(mut self) -> Result<(), JournalError> {
        let done = limited(sqlx::raw_sql("ROLLBACK").execute(self.lent.connection())).await;
        self.lent.done(done)
    }
}

impl Session for Pool {
    type Row = PgRow;

    async fn execute(&mut self, statement: Statement) -> Result<u64, JournalError> {
        let mut lent = Lent::by(&self.connections, &self.storage, self.report).await?;
        let done = limited(prepared(statement).execute(lent.connection())).await;
        Ok(lent.ended(done)?.rows_affected())
    }

    async fn fetch_all(&mut self, statement: Statement) -> Result<Vec<PgRow>, JournalError> {
        let mut lent = Lent::by(&self.connections, &self.storage, self.report).await?;
        let rows = limited(prepared(statement).fetch_all(lent.connection())).await;
        lent.ended(rows)
    }
}

/// PostgreSQL keeps no text with the character 0, which no JSON text has as it stands; a dead letter
/// that is no JSON may.
fn prepared(statement: Statement) -> Query<'static, Postgres, PgArguments> {
    #[cfg(test)]
    super::plans::note(&statement);
    let (text, values) = statement.into_parts(PostgresStore::VALUES_MAX);
    let prepared = sqlx::query(AssertSqlSafe(text));
    values.into_iter().fold(prepared, |prepared, value| match value {
        Value::Number(number) => prepared.bind(number),
        Value::Text(Some(text)) if text.contains('\0') => {
            prepared.bind(text.replace('\0', "\u{fffd}"))
        }
        Value::Text(text) => prepared.bind(text),
    })
}

async fn limited<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_elapsed) => {
            let silent = "the server does not answer; check that it runs and can be reached";
            let error = std::io::Error::new(std::io::ErrorKind::TimedOut, silent);
            Err(sqlx::Error::Io(error))
        }
    }
}

impl Columns for PgRow {
    fn try_get<'r, T: Column<'r>>(&'r self, place: usize) -> Result<T, JournalError> {
        Ok(sqlx::Row::try_get(self, place)?)
    }
}
