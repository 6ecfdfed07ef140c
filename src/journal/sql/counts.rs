//! Numbers of events by standing, bytes of their texts, and since when those that can wait do.
//! Triggers keep the numbers up, so that nobody counts events, however many there are.
//!
//! SQLite has a row for each standing. In PostgreSQL such rows would make the replicas wait for each
//! other: there each change adds rows of its own, what is told is their sum, and who reads many adds them
//! up.

use crate::journal::{
    database::{
        dialect::{Dialect, SqlByDialect},
        statement::query,
    },
    error::JournalError,
    event::Counts,
    handle::Journal,
};

macro_rules! counts {
    ($number:literal, $bytes:literal, $grouped:literal) => {
        concat!(
            "SELECT standing, ",
            $number,
            " AS events, CASE standing \
             WHEN 'pending' THEN (SELECT MIN(received_at) FROM events \
                 WHERE console = $1 AND state = 'pending' AND follows IS NULL) \
             WHEN 'following-up' THEN (SELECT MIN(received_at) FROM events \
                 WHERE console = $1 AND state = 'pending' AND follows > 0) \
             WHEN 'dead' THEN (SELECT MIN(oldest) FROM (SELECT MIN(received_at) AS oldest FROM events \
                     WHERE console = $1 AND state = 'dead' AND follows IS NULL \
                 UNION ALL SELECT MIN(received_at) FROM events \
                     WHERE console = $1 AND state = 'dead' AND follows > 0) AS either) \
             END AS oldest_at, ",
            $bytes,
            " AS bytes, ",
            $grouped
        )
    };
}

/// Events by standing, and from how many rows each number was added up.
pub(in crate::journal) const COUNTS: SqlByDialect = SqlByDialect {
    sqlite: counts!("events", "bytes", "1 AS added_up FROM event_counts WHERE console = $1"),
    postgres: counts!(
        "CAST(SUM(events) AS BIGINT)",
        "(SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM text_bytes texts \
         WHERE texts.console = $1 AND texts.standing = event_counts.standing)",
        "COUNT(*) AS added_up FROM event_counts WHERE console = $1 GROUP BY standing"
    ),
};

/// Counts the events that wait.
pub(in crate::journal) const PENDING: &str = "SELECT COUNT(*) AS events FROM events WHERE console = $1 \
     AND state = 'pending' AND follows IS NULL";

/// Puts one row in the place of many. Of two replicas that do so at once each takes other rows.
const ADD_UP: [&str; 2] = [
    "WITH taken AS (DELETE FROM event_counts WHERE ctid IN (\
         SELECT ctid FROM event_counts WHERE console = $1 LIMIT 20000 FOR UPDATE SKIP LOCKED) \
     RETURNING standing, events) \
     INSERT INTO event_counts (console, standing, events) \
     SELECT $1, standing, SUM(events) FROM taken GROUP BY standing HAVING SUM(events) <> 0",
    "WITH taken AS (DELETE FROM text_bytes WHERE ctid IN (\
         SELECT ctid FROM text_bytes WHERE console = $1 LIMIT 20000 FOR UPDATE SKIP LOCKED) \
     RETURNING standing, bytes) \
     INSERT INTO text_bytes (console, standing, bytes) \
     SELECT $1, standing, SUM(bytes) FROM taken GROUP BY standing HAVING SUM(bytes) <> 0",
];

/// From how many rows on they are added up.
const MANY_ROWS: u64 = 1_000;

impl Journal {
    /// Counts the events that wait, as in [`Counts::pending`]: cheap, whatever else the journal holds.
    pub async fn pending(&self) -> Result<u64, JournalError> {
        let row = query(PENDING).bind(&self.console).fetch_one(&mut self.reader().await?).await?;
        row.count("events")
    }

    /// Counts the events in each state.
    pub async fn counts(&self) -> Result<Counts, JournalError> {
        let rows = query(self.sql(COUNTS))
            .bind(&self.console)
            .fetch_all(&mut self.reader().await?)
            .await?;
        let mut counts = Counts::default();
        let mut added_up = 0;
        for row in rows {
            let count = row.count("events")?;
            let bytes = row.count("bytes")?;
            added_up += row.count("added_up")?;
            match row.str("standing")? {
                "pending" => {
                    counts.pending = count;
                    counts.bytes.pending = bytes;
                    counts.oldest_pending_ms = row.maybe_number("oldest_at")?;
                }
                "following-up" => {
                    counts.following_up = count;
                    counts.bytes.following_up = bytes;
                    counts.oldest_following_up_ms = row.maybe_number("oldest_at")?;
                }
                "delivered" => {
                    counts.delivered = count;
                    counts.bytes.finished += bytes;
                }
                "filtered" => {
                    counts.filtered = count;
                    counts.bytes.finished += bytes;
                }
                "superseded" => {
                    counts.superseded = count;
                    counts.bytes.finished += bytes;
                }
                "dead" => {
                    counts.dead = count;
                    counts.bytes.dead = bytes;
                    counts.oldest_dead_ms = row.maybe_number("oldest_at")?;
                }
                "dropped" => {
                    counts.dropped = count;
                    counts.bytes.dropped = bytes;
                }
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
        if self.dialect() == Dialect::Postgres {
            for adding_up in ADD_UP {
                query(adding_up).bind(&self.console).execute(&mut self.writer().await?).await?;
            }
        }
        Ok(())
    }
}
