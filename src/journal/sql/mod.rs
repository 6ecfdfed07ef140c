//! The journal in SQL, once for both databases.
//!
//! SQLite and PostgreSQL understand nearly the same statements, so each is written once, with its
//! values as `$1`, and runs on a thin [`Store`]: a connection pool, how a change begins, and what only
//! one of them has. Where they need two spellings, those stand side by side as `Words`. The database
//! is a type parameter, so that nothing is decided at run time and SQLite's road stays as short as it
//! was. sqlx has a driver for any database, but it knows neither numbered values in both nor flags in
//! SQLite, and turns every row into one of its own first; two copies of every statement would have
//! drifted apart.
//!
//! Does not live here: connections, schemas, and what tells one database from the other (`sqlite`,
//! `postgres`).

#![expect(
    private_bounds,
    reason = "a database is added in this room only, so that how one is asked stays private"
)]

mod activity;
mod claim;
mod clock;
mod counts;
mod follow_up;
mod incidents;
mod journal;
mod lent;
mod letters;
mod lost_works;
mod merging;
mod operations;
mod refused_rules;
mod sent_again;
mod sightings;
mod space;
mod statement;
mod store;
mod valid_from;
mod versions;
mod works;

use std::sync::{Arc, atomic::AtomicI64};

use chrono::{DateTime, Utc};

#[cfg(test)]
pub(super) use self::{
    claim::{CLAIM, NEXT_FREE, NEXT_LEASE_END},
    counts::COUNTS,
    journal::{PENDING, UNFINISHED_OF_THREAT},
    merging::COMPLETE_CASE,
    operations::{EMPTY_FINISHED, EMPTY_LETTERS, KEY_OF, OLD_IDENTITIES, REMOVING},
    space::{REMOVE_DROPPED, REMOVE_FINISHED, REMOVE_FOLLOW_UPS, REMOVE_SAMPLES, SAMPLES},
    works::CLOSE_FORGOTTEN,
};
pub(super) use self::{
    lent::Lent,
    statement::{Column, Columns, Statement, Value, query},
    store::{Change, Dialect, LockScope, Order, Session, Store},
};
use super::JournalError;

/// The journal of one console in a database.
#[derive(Debug, Clone)]
pub struct SqlJournal<S> {
    pub(super) store: S,
    /// Which console the rows belong to.
    pub(super) console: String,
    /// When the latest claim or renewal was made, in milliseconds since 1970; 0 before the first.
    pub(super) latest: Arc<AtomicI64>,
    /// By how many milliseconds the clock of leases was ahead of the caller's then.
    pub(super) leases_ahead: Arc<AtomicI64>,
}

impl<S: Store> SqlJournal<S> {
    pub(super) fn new(store: S, console: &str) -> Self {
        Self {
            store,
            console: console.to_owned(),
            latest: Arc::default(),
            leases_ahead: Arc::default(),
        }
    }

    /// The journal of another console in the same database, on the same connections.
    pub fn for_console(&self, console: &str) -> Self {
        Self::new(self.store.clone(), console)
    }

    /// Begins a change, in its turn.
    async fn begin(&self, order: Order) -> Result<S::Change, JournalError> {
        self.store.begin(&self.console, order).await
    }
}

/// A stored millisecond count as a date.
fn date(milliseconds: i64) -> Result<DateTime<Utc>, JournalError> {
    DateTime::from_timestamp_millis(milliseconds)
        .ok_or_else(|| JournalError::Corrupt(format!("date {milliseconds}")))
}

/// A stored microsecond count as a date.
fn microseconds(count: i64) -> Result<DateTime<Utc>, JournalError> {
    DateTime::from_timestamp_micros(count)
        .ok_or_else(|| JournalError::Corrupt(format!("date {count}")))
}
