//! The database for several replicas: PostgreSQL. Every connection is alike, and each replica has a
//! pool of them with a bound; a connection that broke is replaced by itself.
//!
//! What SQLite's one writer makes atomic by itself is made so by advisory locks of a transaction, one
//! a console and class (`sql::Order`) and one a scope of names of incidents (`sql::LockScope`): they go
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
    failure::waited_in_vain,
    sql::{
        Change, Column, Columns, Dialect, Lent, LockScope, Order, Session, SqlJournal, Statement,
        Store, Value, query,
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
        let turns = self.turns.wait(&lock_names(console, order)).await;
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

    /// Takes its locks in the message that begins it, in an order that all keep. A wait in vain says nothing of
    /// whether an alert can be stored: [`Storage`] is not told.
    async fn begin_fixing(&self, scope: LockScope) -> Result<Self::Change, JournalError> {
        let names = names_of_scope(&scope);
        let turns = self.turns.wait(&names).await.map_err(|_in_vain| JournalError::Busy)?;
        let mut lent = Lent::by(&self.pool, &self.storage, Report::AnyFailure).await?;
        let locking = AssertSqlSafe(begin_locking(&scope, &names));
        let begun = limited(sqlx::raw_sql(locking).execute(lent.connection())).await;
        if begun.as_ref().is_err_and(waited_in_vain) {
            return Err(JournalError::Busy);
        }
        lent.begun(begun)?;
        Ok(PostgresChange { lent, _turns: turns })
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
    }
}

fn lock_names(console: &str, order: Order) -> Vec<String> {
    let name = |class: &&str| format!(" harfanglab-incidents {class} {console}");
    classes(order).iter().map(name).collect()
}

/// Name of the lock of all names of incidents. Who fixes some of them shares it. A version before this one
/// holds it alone.
const ALL_NAMES: &str = " harfanglab-incidents identities ";

/// Names of the locks that are held alone. They hold nothing that anybody chose, and are in order.
fn names_of_scope(scope: &LockScope) -> Vec<String> {
    match scope {
        LockScope::Names(numbers) => {
            numbers.iter().map(|number| format!("{ALL_NAMES}{number:03}")).collect()
        }
        LockScope::All => vec![ALL_NAMES.to_owned()],
    }
}

/// Begins a change and takes its locks, of which `names` are held alone. Each statement after this one sees what
/// was committed by whoever had them before.
fn begin_locking(scope: &LockScope, names: &[String]) -> String {
    let take = |function: &str, name: &str| {
        format!("; SELECT {function}(hashtextextended(current_schema() || '{name}', 0))")
    };
    let mut begin = String::from("BEGIN");
    if matches!(scope, LockScope::Names(_)) {
        begin += &take("pg_advisory_xact_lock_shared", ALL_NAMES);
    }
    for name in names {
        begin += &take("pg_advisory_xact_lock", name);
    }
    begin
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
        for name in lock_names(console, order) {
            let locking = query(
                "SELECT 1 FROM (SELECT pg_advisory_xact_lock(\
                 hashtextextended(current_schema() || $1, 0))) AS locked",
            );
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

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, Executor as _, PgConnection};

    use super::*;
    use crate::{alert::IncidentIdentity, health::Health, journal::Journal as _};

    #[tokio::test]
    async fn a_lock_of_names_that_is_waited_for_in_vain_is_busy_and_no_failure_of_the_journal() {
        let server = std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL")
            .expect("the tests run by scripts/test.sh, which starts a PostgreSQL for them");
        let schema = format!("busy_{}", std::process::id());
        let mut beside = PgConnection::connect(&server).await.unwrap();
        let make = AssertSqlSafe(format!("CREATE SCHEMA {schema}; SET search_path = {schema}"));
        beside.execute(sqlx::raw_sql(make)).await.unwrap();
        let url = format!("{server}?options[search_path]={schema}");
        let journal =
            PostgresJournal::open(&url, None, 1, "https://console.example").await.unwrap();
        let health = Arc::new(Health::default());
        journal.storage().report_to(&health);
        let wanted = IncidentIdentity { name: "Twin".to_owned(), created: DateTime::UNIX_EPOCH };
        let wanted = [("a".to_owned(), wanted)];
        let every_name = LockScope::Names((0..=u8::MAX).collect());
        for scope in [every_name, LockScope::All] {
            let begin = AssertSqlSafe(begin_locking(&scope, &names_of_scope(&scope)));
            beside.execute(sqlx::raw_sql(begin)).await.unwrap();
            // On the only connection.
            journal.store.pool.execute("SET lock_timeout = '20ms'").await.unwrap();
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
