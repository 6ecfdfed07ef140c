//! A connection that a pool lends for a change or a single statement, and gets back only when everything
//! that ran on it is known to have ended well. One on which anything failed, or was broken off, is closed:
//! nobody knows what state it is in. SQLite ends a transaction by itself when its disk is full, and so
//! fails the rollback after it; PostgreSQL answers the COMMIT of a failed transaction with success.
//!
//! Every statement of the journal passes here, and every failure of a change, and any damage, is told to
//! [`Storage`].

use std::sync::Arc;

use sqlx::{Database, Error, Pool, pool::PoolConnection};

use crate::journal::{
    error::JournalError,
    storage::{Report, Storage},
};

/// A connection, as long as it is used.
pub(in crate::journal) struct Connection<DB: Database> {
    pooled: PoolConnection<DB>,
    state: State,
    storage: Arc<Storage>,
    report: Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is open: it can go back.
    Free,
    /// A change is open.
    Open,
    /// A statement is under way.
    Running { in_change: bool },
    /// A statement failed or was broken off.
    Broken,
}

impl<DB: Database> Connection<DB> {
    /// Waits for a connection of `pool`; `storage` is told of the failures of this report.
    pub(in crate::journal) async fn lend(
        pool: &Pool<DB>,
        storage: &Arc<Storage>,
        report: Report,
    ) -> Result<Self, JournalError> {
        let pooled = pool.acquire().await.map_err(|error| failed(storage, report, error))?;
        Ok(Self::guard(pooled, storage, report))
    }

    /// Guards `pooled`; `storage` is told of the failures of this report.
    pub(in crate::journal) fn guard(
        pooled: PoolConnection<DB>,
        storage: &Arc<Storage>,
        report: Report,
    ) -> Self {
        Self { pooled, state: State::Free, storage: Arc::clone(storage), report }
    }

    /// Starts one statement on the connection that it returns. Until [`Self::ended`] is told that the
    /// statement ended well, nobody gets the connection after us.
    pub(in crate::journal) fn start(&mut self) -> &mut DB::Connection {
        self.state = match self.state {
            State::Free => State::Running { in_change: false },
            State::Open => State::Running { in_change: true },
            State::Running { .. } | State::Broken => State::Broken,
        };
        &mut self.pooled
    }

    /// Notes how a statement ended.
    pub(in crate::journal) fn ended<T>(
        &mut self,
        ended: Result<T, Error>,
    ) -> Result<T, JournalError> {
        self.state = match (self.state, &ended) {
            (State::Running { in_change: true }, Ok(_)) => State::Open,
            (State::Running { in_change: false }, Ok(_)) => State::Free,
            _ => State::Broken,
        };
        ended.map_err(|error| failed(&self.storage, self.report, error))
    }

    /// Notes how the beginning of a change ended.
    pub(in crate::journal) fn begun<T>(
        &mut self,
        ended: Result<T, Error>,
    ) -> Result<(), JournalError> {
        self.ended(ended)?;
        self.state = State::Open;
        Ok(())
    }

    /// Checks that what was changed can be committed.
    ///
    /// # Errors
    /// Fails when a statement of the change failed.
    pub(in crate::journal) fn check(&self) -> Result<(), JournalError> {
        if self.state == State::Open {
            return Ok(());
        }
        let reason = "a change of which a statement failed cannot be committed";
        Err(JournalError::Database(Error::Protocol(reason.to_owned())))
    }

    /// Notes how the end of a change ended, after which the connection can go back if that was well.
    pub(in crate::journal) fn done<T>(
        &mut self,
        ended: Result<T, Error>,
    ) -> Result<(), JournalError> {
        self.ended(ended)?;
        self.state = State::Free;
        Ok(())
    }
}

impl<DB: Database> Drop for Connection<DB> {
    fn drop(&mut self) {
        if self.state != State::Free {
            self.pooled.close_on_drop();
        }
    }
}

fn failed(storage: &Storage, report: Report, error: Error) -> JournalError {
    storage.failed(&error, report);
    JournalError::Database(error)
}
