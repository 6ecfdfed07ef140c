//! The clock of leases (`Journal::lease_time`): with several replicas that of the database. All other times
//! go by the caller's.
//!
//! A clock that is set back: what waits in the journal would wait longer by as much, so its times are
//! moved along. Several replicas on one journal have a clock each. One that is set back moves what
//! waits, which then leaves at most too early; it moves no lease, which does not go by its clock, and
//! it does not take what others received for news from its own future.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::journal::{
    database::{
        dialect::{Dialect, SqlByDialect},
        session::Change,
        statement::query,
    },
    error::JournalError,
    handle::Journal,
};

/// By how much the clock may go back before anything is done: correcting it by moments is daily
/// work of the machine.
const TOLERANCE_MS: i64 = 2_000;

/// Moves what waits beside the events: looks at works, and flags of sightings.
const WAITING_BESIDE: [&str; 2] = [
    "UPDATE works SET look_at = look_at - $1 WHERE look_at IS NOT NULL AND console = $2",
    "UPDATE sighting_flags SET due_at = due_at - $1 WHERE due_at IS NOT NULL AND console = $2",
];

/// Moves what waits among the events.
const WAITING: SqlByDialect = SqlByDialect {
    sqlite: "UPDATE events SET due_at = due_at - $1, leased_until = leased_until - $1, \
         deadline_at = deadline_at - $1 WHERE state = 'pending' AND console = $2",
    postgres: "UPDATE events SET due_at = due_at - $1, deadline_at = deadline_at - $1 \
         WHERE state = 'pending' AND leased_until IS NULL AND console = $2",
};

impl Journal {
    /// Notices that `now` is before the time of the last claim or renewal, or, at the first, before
    /// the arrival of what waits. Answers the time by which leases go.
    pub(super) async fn follow_clock(
        &self,
        transaction: &mut Change,
        now: DateTime<Utc>,
    ) -> Result<i64, JournalError> {
        let lease_time = self.lease_time(transaction, now).await?;
        let now = now.timestamp_millis();
        self.last_claim.leases_ahead.store(lease_time.saturating_sub(now), Ordering::Relaxed);
        let latest = match self.last_claim.made_at.swap(now, Ordering::Relaxed) {
            0 if self.dialect() == Dialect::Postgres => now,
            0 => self.latest_arrival(transaction).await?.unwrap_or(now),
            latest => latest,
        };
        let back = latest - now;
        if back <= TOLERANCE_MS {
            return Ok(lease_time);
        }
        let events =
            query(self.sql(WAITING)).bind(back).bind(&self.console).execute(transaction).await?;
        for statement in WAITING_BESIDE {
            query(statement).bind(back).bind(&self.console).execute(transaction).await?;
        }
        warn!(
            seconds = back / 1_000,
            events, "the clock was set back; what waits in the journal does not wait the longer"
        );
        Ok(lease_time)
    }

    /// Returns when the youngest of what waits was received.
    async fn latest_arrival(&self, transaction: &mut Change) -> Result<Option<i64>, JournalError> {
        let row = query(
            "SELECT MAX(received_at) AS latest FROM events WHERE console = $1 AND state = 'pending' \
             AND follows IS NULL",
        )
        .bind(&self.console)
        .fetch_one(transaction)
        .await?;
        row.maybe_number("latest")
    }
}
