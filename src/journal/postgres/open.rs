//! Opening the PostgreSQL journal: as one of its replicas, or beside them, for a command.
//!
//! Does not live here: what an address may say (`address`), what a refusal means (`refusal`).

use std::{net::IpAddr, sync::LazyLock, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::TryFutureExt as _;
use secrecy::SecretString;
use sqlx::{
    Executor as _, PgConnection, PgPool, Row as _,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tracing::{error, info, warn};

use super::{
    LeaderLock, PostgresJournal, PostgresStore,
    address::{options, trust},
    refusal::{may_pass, schema_failed, unusable},
    session::{SharedSession, prove_own},
};
use crate::{
    clock::Clock,
    complaints::Complaints,
    journal::{JournalError, open::schema_words},
};

/// How long a connection is waited for.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// How often a database that is just starting is asked again at start, and how long at most between.
const TRIES: usize = 6;
const TRY_AGAIN_MAX: Duration = Duration::from_secs(5);
/// After this long without use a connection is given back to the server.
const IDLE_MAX: Duration = Duration::from_mins(5);

/// What every connection is told: a bound for each wait, early notice of a peer that is gone, that a
/// commit is on disk when it is answered, whatever the server's default is, and that no statement is
/// compiled, which takes longer than any of ours.
///
/// A session that is new to us has no prepared statements. If it has some, a pooler that was set up anew hands
/// out sessions by transaction, and each connection would run another one's, whatever the pooler names them.
const SESSION: &str = "SELECT EXISTS (SELECT 1 FROM pg_prepared_statements), \
     set_config('statement_timeout', '30s', false), \
     set_config('lock_timeout', '10s', false), \
     set_config('idle_in_transaction_session_timeout', '60s', false), \
     set_config('tcp_keepalives_idle', '10', false), \
     set_config('tcp_keepalives_interval', '5', false), \
     set_config('tcp_keepalives_count', '3', false), set_config('jit', 'off', false), \
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
        look_at_server(&unbounded).await?.tell(&pool.connect_options());
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
        if schema_version(&pool).await? != newest_version() {
            return Err(JournalError::Address(
                "the journal is of another version than this program; use the program that the \
                 service runs, or start the service once with this one"
                    .to_owned(),
            ));
        }
        Ok(Self::new(PostgresStore::new(pool), console))
    }

    /// Reaches the server, changes nothing, and says in words what was found.
    ///
    /// # Errors
    /// [`JournalError::Address`] when it cannot be used.
    pub async fn probe(url: &str, password: Option<&SecretString>) -> Result<String, JournalError> {
        let options = options(url, password)?;
        let pool = pool(&options, 1).await.map_err(|error| unusable(&error))?;
        let server = look_at_server(&pool).await.map_err(|error| unusable(&error))?;
        let there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
        let row = sqlx::query(there).fetch_one(&pool).await.map_err(|error| unusable(&error))?;
        let version = if row.try_get(0)? { schema_version(&pool).await? } else { None };
        pool.close().await;
        let schema = schema_words(version, newest_version())?;
        let connection = server.connection(&options);
        Ok(format!("PostgreSQL {}, {connection}; {schema}", server.version))
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

async fn schema_version(pool: &PgPool) -> Result<Option<i64>, JournalError> {
    let row = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(pool)
        .await
        .map_err(|error| unusable(&error))?;
    Ok(row.try_get(0)?)
}

fn newest_version() -> Option<i64> {
    SCHEMA.iter().map(|step| step.version).max()
}

pub(super) fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECTION_MAX)
        .idle_timeout(IDLE_MAX)
        .after_connect(|connection, _| {
            Box::pin(begin_session(connection).inspect_err(tell_refusal))
        })
}

/// Asks in the simple protocol: a prepared statement would stay behind in a session that is not ours.
async fn begin_session(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = connection.fetch_one(sqlx::raw_sql(SESSION)).await?;
    if row.try_get(0)? { Err(sqlx::Error::Configuration(Box::new(SharedSession))) } else { Ok(()) }
}

/// Says why a pool has no new connection, which it says to nobody but the log, for each that it tries.
fn tell_refusal(error: &sqlx::Error) {
    static REFUSALS: LazyLock<Complaints> = LazyLock::new(Complaints::default);
    if let Some(left_out) = REFUSALS.due(Clock::system().now()) {
        error!(left_out, "{}", unusable(error));
    }
}

/// A pool of connections, once it is proven that each has a session to itself.
async fn pool(options: &PgConnectOptions, connections: u32) -> Result<PgPool, sqlx::Error> {
    let proving = tokio::time::timeout(CONNECTION_MAX, prove_own(options));
    proving.await.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??;
    pool_options(connections).connect_with(options.clone()).await
}

/// The server as it shows itself.
struct Server {
    version: String,
    is_encrypted: bool,
    loses_commits: bool,
}

async fn look_at_server(pool: &PgPool) -> Result<Server, sqlx::Error> {
    let asked = "SELECT current_setting('server_version'), current_setting('fsync') = 'off', \
         COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), FALSE)";
    let row = sqlx::query(asked).fetch_one(pool).await?;
    Ok(Server {
        version: row.try_get(0)?,
        loses_commits: row.try_get(1)?,
        is_encrypted: row.try_get(2)?,
    })
}

impl Server {
    fn connection(&self, options: &PgConnectOptions) -> &'static str {
        if self.is_encrypted { trust(options.get_ssl_mode()) } else { "not encrypted" }
    }

    /// Says which server holds the journal, and what is unsafe there. A server that is set up to lose
    /// commits breaks what a 2xx promises; nobody has chosen to be without the check of a certificate
    /// who has named no `sslmode`.
    fn tell(&self, options: &PgConnectOptions) {
        let (version, connection) = (&self.version, self.connection(options));
        info!(version, connection, "the journal is in PostgreSQL");
        if matches!(options.get_ssl_mode(), PgSslMode::Prefer) && !is_this_machine(options) {
            warn!(
                connection,
                "whoever stands between this service and PostgreSQL may read alerts and take its \
                 place: add sslmode=verify-full and sslrootcert to HARFANGLAB_INCIDENTS_JOURNAL_URL, or \
                 sslmode=disable where the way there is trusted"
            );
        }
        if self.loses_commits {
            warn!(
                "PostgreSQL runs with fsync = off: what was accepted is lost when its machine fails. \
                 Set fsync = on in postgresql.conf"
            );
        }
    }
}

fn is_this_machine(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    options.get_socket().is_some() || host == "localhost" || is_loopback
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    #[tokio::test]
    async fn a_session_that_comes_with_prepared_statements_is_another_ones_whatever_their_names() {
        let server = std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL")
            .expect("the tests run by scripts/test.sh, which starts a PostgreSQL for them");
        // PgBouncer before 1.21, and since then.
        for name in ["sqlx_s_1", "PGBOUNCER_1"] {
            let mut connection = PgConnection::connect(&server).await.unwrap();
            begin_session(&mut connection).await.unwrap();
            let prepare = AssertSqlSafe(format!("PREPARE \"{name}\" AS SELECT 1"));
            connection.execute(sqlx::raw_sql(prepare)).await.unwrap();
            let refused = begin_session(&mut connection).await.unwrap_err();
            assert!(unusable(&refused).to_string().contains("server_reset_query"), "{refused}");
        }
    }
}
