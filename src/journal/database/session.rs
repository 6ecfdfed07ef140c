//! A lent connection on which statements run, and a change on it that is not committed yet.

use std::{
    borrow::Cow,
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection as _, Postgres, Sqlite, postgres::PgArguments, query::Query,
    sqlite::SqliteArguments,
};
use tokio::sync::OwnedMutexGuard;

use super::{
    connection::Connection,
    dialect::Dialect,
    locks::EventLocks,
    row::Row,
    statement::{Statement, Value, query},
};
use crate::journal::{error::JournalError, event::SMALL_BYTES, failure::waited_in_vain};

/// Time for which an answer of PostgreSQL is waited for: longer than the server works on a statement.
const ANSWER_MAX: Duration = Duration::from_secs(45);

/// A turn among the changes of this process that need one lock; it ends when this is dropped.
pub(in crate::journal) type Turn = OwnedMutexGuard<()>;

/// A lent connection: for a single statement, or for a change.
pub(in crate::journal) enum Session {
    Sqlite(Connection<Sqlite>),
    Postgres(Connection<Postgres>),
}

/// A change that is not committed yet; dropped, it never was, and its connection is closed.
pub(in crate::journal) struct Change {
    session: Session,
    /// They end after the change.
    _turns: Vec<Turn>,
}

impl Statement {
    /// Runs it, and returns how many rows it changed.
    pub(in crate::journal) async fn execute(
        self,
        session: &mut Session,
    ) -> Result<u64, JournalError> {
        #[cfg(test)]
        super::noted::note(&self);
        match session {
            Session::Sqlite(connection) => {
                let is_large = self.longest_text() > SMALL_BYTES;
                let done = for_sqlite(self).execute(connection.start()).await;
                let changed = connection.ended(done)?.rows_affected();
                if is_large {
                    // A statement that is kept keeps its values until it is run again.
                    let forgotten = connection.start().clear_cached_statements().await;
                    connection.ended(forgotten)?;
                }
                Ok(changed)
            }
            Session::Postgres(connection) => {
                let done = limited(for_postgres(self).execute(connection.start())).await;
                Ok(connection.ended(done)?.rows_affected())
            }
        }
    }

    /// Runs it, and returns its rows.
    pub(in crate::journal) async fn fetch_all(
        self,
        session: &mut Session,
    ) -> Result<Vec<Row>, JournalError> {
        #[cfg(test)]
        super::noted::note(&self);
        Ok(match session {
            Session::Sqlite(connection) => {
                let rows = for_sqlite(self).fetch_all(connection.start()).await;
                connection.ended(rows)?.into_iter().map(Row::Sqlite).collect()
            }
            Session::Postgres(connection) => {
                let rows = limited(for_postgres(self).fetch_all(connection.start())).await;
                connection.ended(rows)?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs it, and returns its first row, if there is one.
    pub(in crate::journal) async fn fetch_optional(
        self,
        session: &mut Session,
    ) -> Result<Option<Row>, JournalError> {
        Ok(self.fetch_all(session).await?.into_iter().next())
    }

    /// Runs it, and returns its only row.
    pub(in crate::journal) async fn fetch_one(
        self,
        session: &mut Session,
    ) -> Result<Row, JournalError> {
        let row = self.fetch_optional(session).await?;
        row.ok_or(JournalError::Database(sqlx::Error::RowNotFound))
    }
}

impl Session {
    pub(in crate::journal) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Begins a change with these statements.
    ///
    /// # Errors
    /// [`JournalError::Busy`] when one of them waited in vain for a lock.
    pub(in crate::journal) async fn begin(
        mut self,
        beginning: impl Into<Cow<'static, str>>,
        turns: Vec<Turn>,
    ) -> Result<Change, JournalError> {
        let begun = self.run(beginning.into()).await;
        if begun.as_ref().is_err_and(waited_in_vain) {
            return Err(JournalError::Busy);
        }
        match &mut self {
            Self::Sqlite(connection) => connection.begun(begun)?,
            Self::Postgres(connection) => connection.begun(begun)?,
        }
        Ok(Change { session: self, _turns: turns })
    }

    /// Runs statements without values that answer nothing.
    async fn run(&mut self, text: Cow<'static, str>) -> Result<(), sqlx::Error> {
        let text = sqlx::raw_sql(AssertSqlSafe(text));
        match self {
            Self::Sqlite(connection) => text.execute(connection.start()).await.map(drop),
            Self::Postgres(connection) => limited(text.execute(connection.start())).await.map(drop),
        }
    }
}

impl Change {
    /// Takes these locks, too. The names hold the schema, because locks belong to the whole database. Each
    /// statement after this one sees what was committed by those who had the lock before. Of a change that
    /// has its connection already nobody's turn is waited for: those whose turn it is may wait for
    /// connections.
    pub(in crate::journal) async fn lock(
        &mut self,
        console: &str,
        locks: EventLocks,
    ) -> Result<(), JournalError> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        for name in locks.names(console) {
            query(
                "SELECT 1 FROM (SELECT pg_advisory_xact_lock(\
                 hashtextextended(current_schema() || $1, 0))) AS locked",
            )
            .bind(name)
            .execute(self)
            .await?;
        }
        Ok(())
    }

    pub(in crate::journal) async fn commit(mut self) -> Result<(), JournalError> {
        match &self.session {
            Session::Sqlite(connection) => connection.check()?,
            Session::Postgres(connection) => connection.check()?,
        }
        self.end("COMMIT").await
    }

    /// Ends it without any change; its connection stays in use.
    pub(in crate::journal) async fn roll_back(mut self) -> Result<(), JournalError> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, ending: &'static str) -> Result<(), JournalError> {
        let ended = self.run(ending.into()).await;
        match &mut self.session {
            Session::Sqlite(connection) => connection.done(ended),
            Session::Postgres(connection) => connection.done(ended),
        }
    }
}

impl Deref for Change {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

fn for_sqlite(statement: Statement) -> Query<'static, Sqlite, SqliteArguments> {
    let (text, values) = statement.into_parts(Dialect::Sqlite);
    let prepared = sqlx::query(AssertSqlSafe(text));
    values.into_iter().fold(prepared, |prepared, value| match value {
        Value::Number(number) => prepared.bind(number),
        Value::Text(text) => prepared.bind(text),
    })
}

/// PostgreSQL keeps no text with the character 0, which no JSON text has as it stands; a dead letter
/// that is no JSON may.
fn for_postgres(statement: Statement) -> Query<'static, Postgres, PgArguments> {
    let (text, values) = statement.into_parts(Dialect::Postgres);
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
