//! Opening the PostgreSQL journal: as one of its replicas, or beside them, for a command.
//!
//! Does not live here: what an address may say (`address`), the connections (`pool`), what a refusal means
//! (`refusal`).

use std::{net::IpAddr, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use secrecy::SecretString;
use sqlx::{
    PgPool, Row as _,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tracing::{info, warn};

use super::{
    PostgresDatabase,
    address::{options, trust},
    lock::LeaderLock,
    pool::pool,
    refusal::{may_pass, schema_failed, unusable},
};
use crate::journal::{error::JournalError, schema::describe_schema};

/// Number of times that a database which is just starting is asked again, and the longest time between.
const TRIES: usize = 6;
const TRY_AGAIN_MAX: Duration = Duration::from_secs(5);
/// The schema, step by step. A step only adds, so that replicas of the version before go on beside
/// those of the new one.
static SCHEMA: Migrator = sqlx::migrate!("src/journal/migrations/postgres");

impl PostgresDatabase {
    /// Connects to `url` (`postgres://user@host/database`, with `sslmode` and the like as libpq has
    /// them), with up to so many connections, and brings the schema up to date; of several replicas
    /// that start at once one does, the others wait.
    ///
    /// # Errors
    /// [`JournalError::Address`] when the database cannot be used, [`JournalError::Migration`] when a
    /// newer version wrote its schema.
    pub async fn open(
        url: &str,
        password: Option<&SecretString>,
        connections: u32,
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
        Ok(Self::new(pool))
    }

    /// Connects to `url` beside the replicas that may be using it: changes no schema.
    ///
    /// # Errors
    /// [`JournalError::Address`] when there is no journal or it is of another version.
    pub async fn open_beside(
        url: &str,
        password: Option<&SecretString>,
    ) -> Result<Self, JournalError> {
        let pool = pool(&options(url, password)?, 2).await.map_err(|error| unusable(&error))?;
        if schema_version(&pool).await? != newest_version() {
            return Err(JournalError::Address(
                "the journal is of another version than this program; use the program that the \
                 service runs, or start the service once with this one"
                    .to_owned(),
            ));
        }
        Ok(Self::new(pool))
    }

    /// Reaches the server, changes nothing, and says in words what was found.
    ///
    /// # Errors
    /// [`JournalError::Address`] when it cannot be used.
    pub async fn probe(url: &str, password: Option<&SecretString>) -> Result<String, JournalError> {
        let options = options(url, password)?;
        let pool = pool(&options, 1).await.map_err(|error| unusable(&error))?;
        let server = look_at_server(&pool).await.map_err(|error| unusable(&error))?;
        let there = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL AS is_there";
        let row = sqlx::query(there).fetch_one(&pool).await.map_err(|error| unusable(&error))?;
        let version = if row.try_get("is_there")? { schema_version(&pool).await? } else { None };
        pool.close().await;
        let schema = describe_schema(version, newest_version())?;
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
    let row = sqlx::query("SELECT MAX(version) AS version FROM _sqlx_migrations WHERE success")
        .fetch_one(pool)
        .await
        .map_err(|error| unusable(&error))?;
    Ok(row.try_get("version")?)
}

fn newest_version() -> Option<i64> {
    SCHEMA.iter().map(|step| step.version).max()
}

/// The server as it shows itself.
struct Server {
    version: String,
    is_encrypted: bool,
    loses_commits: bool,
}

async fn look_at_server(pool: &PgPool) -> Result<Server, sqlx::Error> {
    let asked = "SELECT current_setting('server_version') AS version, \
         current_setting('fsync') = 'off' AS loses_commits, \
         COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), FALSE) AS is_encrypted";
    let row = sqlx::query(asked).fetch_one(pool).await?;
    Ok(Server {
        version: row.try_get("version")?,
        loses_commits: row.try_get("loses_commits")?,
        is_encrypted: row.try_get("is_encrypted")?,
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
