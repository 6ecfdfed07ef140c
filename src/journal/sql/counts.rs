//! How many events stand where, and since when those that can wait do. Triggers keep the numbers up, so
//! that nobody counts events, however many there are.
//!
//! SQLite has a row for each standing. In PostgreSQL such rows would make the replicas wait for each
//! other: there each change adds rows of its own, what is told is their sum, and who reads many adds them
//! up.

use super::{
    SqlJournal,
    statement::{Columns as _, query},
    store::{Dialect, Store, Words},
};
use crate::journal::{Counts, JournalError};

macro_rules! counts {
    ($number:literal, $grouped:literal) => {
        concat!(
            "SELECT standing, ",
            $number,
            ", CASE standing \
             WHEN 'pending' THEN (SELECT MIN(received_at) FROM events \
                 WHERE console = $1 AND state = 'pending' AND follows IS NULL) \
             WHEN 'following-up' THEN (SELECT MIN(received_at) FROM events \
                 WHERE console = $1 AND state = 'pending' AND follows > 0) \
             WHEN 'dead' THEN (SELECT MIN(oldest) FROM (SELECT MIN(received_at) AS oldest FROM events \
                     WHERE console = $1 AND state = 'dead' AND follows IS NULL \
                 UNION ALL SELECT MIN(received_at) FROM events \
                     WHERE console = $1 AND state = 'dead' AND follows > 0) AS either) \
             END, ",
            $grouped
        )
    };
}

/// What stands where; at the last place how many rows that was added up from.
pub(in crate::journal) const COUNTS: Words = Words {
    sqlite: counts!("events", "1 FROM event_counts WHERE console = $1"),
    postgres: counts!(
        "CAST(SUM(events) AS BIGINT)",
        "COUNT(*) FROM event_counts WHERE console = $1 GROUP BY standing"
    ),
};

/// Puts one row in the place of many. Of two replicas that do so at once each takes other rows.
const ADD_UP: &str = "WITH taken AS (DELETE FROM event_counts WHERE ctid IN (\
         SELECT ctid FROM event_counts WHERE console = $1 LIMIT 20000 FOR UPDATE SKIP LOCKED) \
     RETURNING standing, events) \
     INSERT INTO event_counts (console, standing, events) \
     SELECT $1, standing, SUM(events) FROM taken GROUP BY standing HAVING SUM(events) <> 0";

/// From how many rows on they are added up.
const MANY_ROWS: u64 = 1_000;

impl<S: Store> SqlJournal<S> {
    pub(super) async fn count_standings(&self) -> Result<Counts, JournalError> {
        let rows =
            query(S::say(COUNTS)).bind(&self.console).fetch_all(&mut self.store.readers()).await?;
        let mut counts = Counts::default();
        let mut added_up = 0;
        for row in rows {
            let count = row.count(1)?;
            added_up += row.count(3)?;
            match row.try_get::<&str>(0)? {
                "pending" => {
                    counts.pending = count;
                    counts.oldest_pending_ms = row.try_get(2)?;
                }
                "following-up" => {
                    counts.following_up = count;
                    counts.oldest_following_up_ms = row.try_get(2)?;
                }
                "delivered" => counts.delivered = count,
                "filtered" => counts.filtered = count,
                "superseded" => counts.superseded = count,
                "dead" => {
                    counts.dead = count;
                    counts.oldest_dead_ms = row.try_get(2)?;
                }
                "dropped" => counts.dropped = count,
                other => return Err(JournalError::Corrupt(format!("event in state {other}"))),
            }
        }
        if added_up > MANY_ROWS {
            self.add_up_counts().await?;
        }
        Ok(counts)
    }

    /// Keeps the rows few that are added up.
    pub(super) async fn add_up_counts(&self) -> Result<(), JournalError> {
        if S::DIALECT == Dialect::Postgres {
            query(ADD_UP).bind(&self.console).execute(&mut self.store.writer()).await?;
        }
        Ok(())
    }
}
