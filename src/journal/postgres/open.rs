//! Opening the PostgreSQL journal: as one of its replicas, or beside them, for a command.

use std::{str::FromStr as _, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    PgPool, Row as _,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::warn;

use super::{LeaderLock, PostgresJournal, PostgresStore};
use crate::journal::JournalError;

/// How long a connection is waited for.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// How often a database that is just starting is asked again at start, and how long at most between.
const TRIES: usize = 6;
const TRY_AGAIN_MAX: Duration = Duration::from_secs(5);
/// After this long without use a connection is given back to the server.
const IDLE_MAX: Duration = Duration::from_mins(5);

/// What every connection is told: a bound for each wait, early notice of a peer that is gone, and that
/// a commit is on disk when it is answered, whatever the server's default is.
const SESSION: &str = "SELECT set_config('statement_timeout', '30s', false), \
     set_config('lock_timeout', '10s', false), \
     set_config('idle_in_transaction_session_timeout', '60s', false), \
     set_config('tcp_keepalives_idle', '10', false), \
     set_config('tcp_keepalives_interval', '5', false), \
     set_config('tcp_keepalives_count', '3', false), \
     CASE WHEN current_setting('synchronous_commit') = 'off' \
         THEN set_config('synchronous_commit', 'on', false) END";

/// The schema, step by step. A step only adds, so that replicas of the version before go on beside
/// those of the new one.
static SCHEMA: Migrator = sqlx::migrate!("src/journal/migrations/postgres");

impl PostgresJournal {
    /// Connects to `url` (`postgres://user@host/database`, with `sslmode` and the like as libpq has
    /// them), with up to so many connections, and brings the schema up to date; of several replicas
    /// that start at once one does, the others wait. Rows are those of `console`.
    ///
    /// # Errors
    /// [`JournalError::Address`] when the database cannot be used, [`JournalError::Migration`] when a
    /// newer version wrote its schema.
    pub async fn open(
        url: &str,
        password: Option<&SecretString>,
        connections: u32,
        console: &str,
    ) -> Result<Self, JournalError> {
        let options = options(url, password)?;
        let waits = ExponentialBuilder::default().with_max_delay(TRY_AGAIN_MAX);
        let mut waits = waits.with_max_times(TRIES).build();
        let pool = loop {
            match (pool(&options, connections).await, waits.next()) {
                (Ok(pool), _) => break pool,
                (Err(error), Some(wait)) if may_pass(&error) => {
                    warn!(%error, "PostgreSQL cannot be reached yet; trying again");
                    tokio::time::sleep(wait).await;
                }
                (Err(error), _) => return Err(unusable(&error)),
            }
        };
        // A step over a large table takes longer than any statement of the service may.
        let unbounded = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        SCHEMA.run(&unbounded).await.map_err(schema_failed)?;
        warn_of_lost_commits(&unbounded).await?;
        unbounded.close().await;
        Ok(Self::new(PostgresStore::new(pool), console))
    }

    /// Connects to `url` beside the replicas that may be using it: changes no schema.
    ///
    /// # Errors
    /// [`JournalError::Address`] when there is no journal or it is of another version.
    pub async fn open_beside(
        url: &str,
        password: Option<&SecretString>,
        console: &str,
    ) -> Result<Self, JournalError> {
        let pool = pool(&options(url, password)?, 2).await.map_err(|error| unusable(&error))?;
        let version = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(&pool)
            .await
            .map_err(|error| unusable(&error))?;
        if version.try_get::<Option<i64>, _>(0)? != SCHEMA.iter().map(|step| step.version).max() {
            return Err(JournalError::Address(
                "the journal is of another version than this program; use the program that the \
                 service runs, or start the service once with this one"
                    .to_owned(),
            ));
        }
        Ok(Self::new(PostgresStore::new(pool), console))
    }

    /// The lock that one replica of those that serve any of `consoles` on this journal holds at a time.
    ///
    /// # Errors
    /// [`JournalError::Address`] as in [`Self::open`].
    pub fn leader_lock(
        url: &str,
        password: Option<&SecretString>,
        consoles: &[&str],
    ) -> Result<LeaderLock, JournalError> {
        let options = options(url, password)?.application_name("harfanglab-incidents leader");
        Ok(LeaderLock::new(options, consoles))
    }
}

fn options(url: &str, password: Option<&SecretString>) -> Result<PgConnectOptions, JournalError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| unusable(&error))?;
    let options = options.application_name("harfanglab-incidents");
    Ok(match password {
        Some(password) => options.password(password.expose_secret()),
        None => options,
    })
}

pub(super) fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECTION_MAX)
        .idle_timeout(IDLE_MAX)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::query(SESSION).execute(connection).await?;
                Ok(())
            })
        })
}

async fn pool(options: &PgConnectOptions, connections: u32) -> Result<PgPool, sqlx::Error> {
    pool_options(connections).connect_with(options.clone()).await
}

/// A server that is set up to lose commits breaks what a 2xx promises.
async fn warn_of_lost_commits(pool: &PgPool) -> Result<(), JournalError> {
    let row = sqlx::query("SELECT current_setting('fsync')").fetch_one(pool).await?;
    if row.try_get::<&str, _>(0)? == "off" {
        warn!(
            "PostgreSQL runs with fsync = off: what was accepted is lost when its machine fails. Set \
             fsync = on in postgresql.conf"
        );
    }
    Ok(())
}

/// Whether it may be otherwise in a moment: the server is not there yet, starts, or stops.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code == "53300")
        }
        _ => false,
    }
}

fn schema_failed(error: sqlx::migrate::MigrateError) -> JournalError {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => unusable(&error),
        other => JournalError::Migration(other),
    }
}

/// What PostgreSQL's refusal means for an operator. The codes are those of its manual ("PostgreSQL
/// Error Codes").
fn unusable(error: &sqlx::Error) -> JournalError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let remedy = match code.as_deref() {
        Some("28P01" | "28000") => {
            "check the user in it, HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD, and pg_hba.conf of the server"
        }
        Some("3D000") => "make the database first: CREATE DATABASE … OWNER …",
        Some("42501") => "let the user make tables: GRANT CREATE ON SCHEMA public TO …",
        Some("42P01") => "there is no journal in this database yet; start the service once",
        Some("53300") => {
            "raise max_connections of the server, or lower HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS"
        }
        _ => "check host, port, database and sslmode in it, and that the server runs",
    };
    JournalError::Address(format!("PostgreSQL cannot be used: {error}; {remedy}"))
}
