//! The last day of the journal, hour by hour, read from indexes alone.

use chrono::{DateTime, Utc};

use crate::{
    intake::Origin,
    journal::{
        activity::{Activity, HOUR_MS, Hour},
        database::{dialect::SqlByDialect, statement::query},
        error::JournalError,
        handle::Journal,
    },
};

/// Number of the newest events that are looked through for the last one of an origin.
const LOOKED_THROUGH: i64 = 10_000;

macro_rules! last_received {
    ($events:literal) => {
        concat!(
            "SELECT received_at FROM ",
            $events,
            " WHERE console = $1 AND origin = $2 AND follows IS NULL \
             AND id > (SELECT MAX(id) FROM events) - $3 ORDER BY id DESC LIMIT 1"
        )
    };
}

/// Asks when the newest of an origin came. SQLite would take an index that is no help.
const LAST_RECEIVED: SqlByDialect = SqlByDialect {
    sqlite: last_received!("events NOT INDEXED"),
    postgres: last_received!("events"),
};

impl Journal {
    /// Returns what came and left in the last hours before `now`.
    pub async fn activity(&self, now: DateTime<Utc>) -> Result<Activity, JournalError> {
        let mut activity = Activity::before(now);
        // Naming every state lets the index by state answer without the rows.
        let received = "SELECT received_at / $3 AS hour, COUNT(*) AS events FROM events WHERE console = $1 \
             AND state IN ('pending', 'delivered', 'filtered', 'superseded', 'dead', 'dropped') \
             AND follows IS NULL AND received_at >= $2 GROUP BY 1";
        self.count_hours(&mut activity, received, |hour, count| hour.received = count).await?;
        let delivered = "SELECT finished_at / $3 AS hour, COUNT(*) AS events FROM events WHERE console = $1 \
             AND state = 'delivered' AND finished_at >= $2 AND follows IS NULL GROUP BY 1";
        self.count_hours(&mut activity, delivered, |hour, count| hour.delivered = count).await?;
        activity.last_push = self.last_received(Origin::Push).await?;
        activity.last_swept = self.last_received(Origin::Sweep).await?;
        Ok(activity)
    }

    async fn count_hours(
        &self,
        activity: &mut Activity,
        text: &'static str,
        put: impl Fn(&mut Hour, u64),
    ) -> Result<(), JournalError> {
        let rows = query(text)
            .bind(&self.console)
            .bind(activity.begins_ms())
            .bind(HOUR_MS)
            .fetch_all(&mut self.reader().await?)
            .await?;
        for row in rows {
            // What is dated after this hour came before a clock was set back: it is not told.
            if let Some(hour) = activity.hour_mut(row.number("hour")?) {
                put(hour, row.count("events")?);
            }
        }
        Ok(())
    }

    async fn last_received(&self, origin: Origin) -> Result<Option<DateTime<Utc>>, JournalError> {
        let row = query(self.sql(LAST_RECEIVED))
            .bind(&self.console)
            .bind(origin.as_str())
            .bind(LOOKED_THROUGH)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.map(|row| row.date("received_at")).transpose()
    }
}
