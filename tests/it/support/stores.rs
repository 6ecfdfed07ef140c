//! Both databases that a journal can be in, so that a test runs on each. PostgreSQL is the real one
//! that `HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL` names, in the form that `scripts/postgres.sh` prints;
//! tests share it, each in a schema of its own.

use harfanglab_incidents::journal::{Journal, LeaseTime, PostgresDatabase, SqliteDatabase};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::broker::fresh_connector_id;

/// The console of journals in tests.
pub(crate) const CONSOLE: &str = "https://console.example";
/// Connections of a journal in tests.
pub(crate) const CONNECTIONS: u32 = 4;

/// The databases that can hold a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// An empty place for a journal.
pub(crate) struct Fresh {
    pub(crate) url: String,
    database: Database,
    _folder: Option<TempDir>,
}

impl Database {
    /// An empty place of its own.
    pub(crate) async fn fresh(self) -> Fresh {
        match self {
            Self::Sqlite => {
                let folder = TempDir::new().unwrap();
                let url = format!("sqlite:{}", folder.path().join("journal.db").display());
                Fresh { url, database: self, _folder: Some(folder) }
            }
            Self::Postgres => {
                let url = fresh_schema(&server()).await;
                Fresh { url, database: self, _folder: None }
            }
        }
    }
}

impl Fresh {
    /// Opens the journal there, as one more replica where there can be several.
    pub(crate) async fn open(&self) -> Journal {
        match self.database {
            Database::Sqlite => open_sqlite(&self.url, CONSOLE).await,
            Database::Postgres => self.replica().await,
        }
    }

    /// One more replica on PostgreSQL, where the test decides what time it is.
    pub(crate) async fn replica(&self) -> Journal {
        open_replica(&self.url, CONNECTIONS).await
    }
}

/// Opens the journal in a SQLite file as its service does.
pub(crate) async fn open_sqlite(url: &str, console: &str) -> Journal {
    Journal::new(SqliteDatabase::open(url).await.unwrap(), console)
}

/// Opens the journal in a SQLite file beside its service.
pub(crate) async fn open_sqlite_beside(url: &str, console: &str) -> Journal {
    Journal::new(SqliteDatabase::open_beside(url).await.unwrap(), console)
}

/// Opens the journal in PostgreSQL as a service does.
pub(crate) async fn open_postgres(url: &str, connections: u32, console: &str) -> Journal {
    Journal::new(PostgresDatabase::open(url, None, connections).await.unwrap(), console)
}

/// Opens the journal in PostgreSQL, where the test decides what time it is.
pub(crate) async fn open_replica(url: &str, connections: u32) -> Journal {
    let database = PostgresDatabase::open(url, None, connections).await.unwrap();
    Journal::new(database.with_lease_time(LeaseTime::OfCaller), CONSOLE)
}

/// The shared server.
pub(crate) fn server() -> String {
    std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL").expect(
        "HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL is not set: run the tests by scripts/test.sh, which \
         starts a PostgreSQL for them",
    )
}

/// A schema of its own on this server.
pub(crate) async fn fresh_schema(server: &str) -> String {
    let name = format!("test_{}", fresh_connector_id().replace('-', "_"));
    let mut connection = PgConnection::connect(server).await.unwrap();
    let making = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    sqlx::query(making).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    format!("{server}?options[search_path]={name}")
}

/// Runs tests that take a store on each database. `Store::on` makes the store.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::support::stores::Database::Sqlite;
                Box::pin(super::$name(super::Store::on(database).await)).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::support::stores::Database::Postgres;
                Box::pin(super::$name(super::Store::on(database).await)).await;
            })*
        }
    };
}

pub(crate) use on_both_databases;
