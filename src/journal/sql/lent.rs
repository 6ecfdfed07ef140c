//! A connection that a pool lends for a change or a single statement, and gets back only when everything
//! that ran on it is known to have ended well. One on which anything failed, or was broken off, is closed:
//! what state it is in nobody knows. SQLite ends a transaction by itself when its disk is full, and so
//! fails the rollback after it; PostgreSQL answers the COMMIT of a failed transaction with success.
//!
//! Every statement of the journal passes here, and every failure of a change, and any damage, is told to
//! [`Storage`].

use std::sync::Arc;

use sqlx::{Database, Error, Pool, pool::PoolConnection};

use crate::journal::{
    JournalError,
    storage::{Report, Storage},
};

/// A connection, as long as it is used.
pub(in crate::journal) struct Lent<DB: Database> {
    connection: PoolConnection<DB>,
    standing: Standing,
    storage: Arc<Storage>,
    report: Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing is open: it can go back.
    Free,
    /// A change is open.
    Open,
    /// A statement is under way.
    Running { in_change: bool },
    /// A statement failed or was broken off.
    Broken,
}

impl<DB: Database> Lent<DB> {
    /// Waits for a connection of `pool`; `storage` is told of the failures of this report.
    pub(in crate::journal) async fn by(
        pool: &Pool<DB>,
        storage: &Arc<Storage>,
        report: Report,
    ) -> Result<Self, JournalError> {
        let connection = pool.acquire().await.map_err(|error| failed(storage, report, error))?;
        Ok(Self::around(connection, storage, report))
    }

    /// Lends `connection`; `storage` is told of the failures of this report.
    pub(in crate::journal) fn around(
        connection: PoolConnection<DB>,
        storage: &Arc<Storage>,
        report: Report,
    ) -> Self {
        Self { connection, standing: Standing::Free, storage: Arc::clone(storage), report }
    }

    /// The connection, to run one statement on. Until [`Self::ended`] is told that it ended well,
    /// nobody gets it after us.
    pub(in crate::journal) fn connection(&mut self) -> &mut DB::Connection {
        self.standing = match self.standing {
            Standing::Free => Standing::Running { in_change: false },
            Standing::Open => Standing::Running { in_change: true },
            Standing::Running { .. } | Standing::Broken => Standing::Broken,
        };
        &mut self.connection
    }

    /// Notes how a statement ended.
    pub(in crate::journal) fn ended<T>(
        &mut self,
        ended: Result<T, Error>,
    ) -> Result<T, JournalError> {
        self.standing = match (self.standing, &ended) {
            (Standing::Running { in_change: true }, Ok(_)) => Standing::Open,
            (Standing::Running { in_change: false }, Ok(_)) => Standing::Free,
            _ => Standing::Broken,
        };
        ended.map_err(|error| failed(&self.storage, self.report, error))
    }

    /// Notes how the beginning of a change ended.
    pub(in crate::journal) fn begun<T>(
        &mut self,
        ended: Result<T, Error>,
    ) -> Result<(), JournalError> {
        self.ended(ended)?;
        self.standing = Standing::Open;
        Ok(())
    }

    /// Checks that what was changed can be committed.
    ///
    /// # Errors
    /// Fails when a statement of the change failed.
    pub(in crate::journal) fn check(&self) -> Result<(), JournalError> {
        if self.standing == Standing::Open {
            return Ok(());
        }
        let reason = "a change of which a statement failed cannot be committed";
        Err(JournalError::Database(Error::Protocol(reason.to_owned())))
    }

    /// Notes how the end of a change ended, and gives the connection back if that was well.
    pub(in crate::journal) fn done<T>(
        mut self,
        ended: Result<T, Error>,
    ) -> Result<(), JournalError> {
        self.ended(ended)?;
        self.standing = Standing::Free;
        Ok(())
    }
}

impl<DB: Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        if self.standing != Standing::Free {
            self.connection.close_on_drop();
        }
    }
}

fn failed(storage: &Storage, report: Report, error: Error) -> JournalError {
    storage.failed(&error, report);
    JournalError::Database(error)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
    use tempfile::TempDir;

    use crate::journal::{
        PostgresJournal, SqliteJournal,
        sql::{Change as _, Columns as _, Order, Session as _, Store, query},
    };

    const CONSOLE: &str = "https://console.example";

    /// Changes that fail, are dropped or are taken back, one after the other; then one that is committed.
    async fn end_badly(store: &impl Store) {
        let remember = |name: &str| query("INSERT INTO remembered VALUES ($1, 'value')").bind(name);
        for turn in 0..3 {
            let mut change = store.begin(CONSOLE, Order::Both).await.unwrap();
            change.execute(remember("failed")).await.unwrap();
            change.execute(query("INSERT INTO nowhere VALUES (1)")).await.unwrap_err();
            // What one database still takes, and the other answers with success.
            let _either = change.execute(remember("after it")).await;
            change.commit().await.unwrap_err();

            let mut change = store.begin(CONSOLE, Order::Both).await.unwrap();
            change.execute(remember("dropped")).await.unwrap();
            drop(change);

            let mut change = store.begin(CONSOLE, Order::Both).await.unwrap();
            change.execute(remember("taken back")).await.unwrap();
            change.roll_back().await.unwrap();

            store.writer().execute(query("INSERT INTO nowhere VALUES (1)")).await.unwrap_err();

            let mut change = store.begin(CONSOLE, Order::Both).await.unwrap();
            change.execute(remember(&format!("committed {turn}"))).await.unwrap();
            change.commit().await.unwrap();
        }
        let kept = query("SELECT name FROM remembered WHERE value = 'value' ORDER BY name");
        let kept = kept.fetch_all(&mut store.readers()).await.unwrap();
        let kept: Vec<String> = kept.iter().map(|row| row.try_get(0).unwrap()).collect();
        assert_eq!(kept, ["committed 0", "committed 1", "committed 2"]);
    }

    #[tokio::test]
    async fn a_change_that_ends_badly_leaves_nothing_in_sqlite_and_the_next_one_goes_on() {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal = SqliteJournal::open(&url, CONSOLE).await.unwrap();
        end_badly(&journal.store).await;
    }

    #[tokio::test]
    async fn a_change_that_ends_badly_leaves_nothing_in_postgresql_and_the_next_one_goes_on() {
        let server = std::env::var("HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL")
            .expect("the tests run by scripts/test.sh, which starts a PostgreSQL for them");
        let name = format!("lent_{}", std::process::id());
        let mut beside = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}")))
            .execute(&mut beside)
            .await
            .unwrap();
        let url = format!("{server}?options[search_path]={name}");
        let journal = PostgresJournal::open(&url, None, 2, CONSOLE).await.unwrap();
        end_badly(&journal.store).await;
        sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA {name} CASCADE")))
            .execute(&mut beside)
            .await
            .unwrap();
    }
}
