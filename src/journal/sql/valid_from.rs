//! From when on indicators are valid, over all consoles: one rule is one indicator.
//!
//! A date is forgotten when nothing can depend on it any more:
//! - no alert with the indicator is left in the journal, so none of them is sent again;
//! - it lies longer ago than OpenCTI lets any indicator live, and the longest time by which an alert must be
//!   later to move it. No alert since then had the indicator, or it would have moved the date. The next one
//!   moves it in any case, to the same date that a forgotten one becomes. OpenCTI has revoked the indicator,
//!   and revokes it still if an older alert, as of a backfill, brings it once more.
//!
//! So there are never more dates than indicators of the alerts in the journal and of the last 500 days.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    alert::SeenIndicator,
    journal::{
        database::{dialect::SqlByDialect, session::Change, statement::query},
        error::JournalError,
        handle::Journal,
    },
};

macro_rules! move_forward {
    ($name:literal) => {
        concat!(
            "INSERT INTO remembered (name, value) VALUES ($1, $2) ON CONFLICT (",
            $name,
            ") DO UPDATE SET value = \
             CASE WHEN CAST(remembered.value AS BIGINT) + $3 <= CAST($2 AS BIGINT) THEN $2 \
             ELSE remembered.value END RETURNING CAST(value AS BIGINT) AS valid_from"
        )
    };
}

/// Of replicas that move it at once the first one does.
const MOVE_FORWARD: SqlByDialect =
    SqlByDialect { sqlite: move_forward!("name"), postgres: move_forward!("md5(name)") };

/// The longest time after its date for which OpenCTI lets an indicator live: observed on 7.260817.0.
const LIFETIME_MAX: TimeDelta = TimeDelta::days(470);

/// Old dates of which no sighting is left, at any console: a value is asked for, since PostgreSQL would
/// read all sightings for `NOT EXISTS`. The date is looked at once more in the row that is removed: another
/// replica may just move it.
const FORGET: &str = "WITH RECURSIVE consoles(console) AS (SELECT MIN(console) FROM sightings UNION ALL \
     SELECT (SELECT MIN(console) FROM sightings WHERE console > consoles.console) \
     FROM consoles WHERE consoles.console IS NOT NULL) \
     DELETE FROM remembered WHERE name IN (SELECT name FROM remembered old \
     WHERE CASE WHEN SUBSTR(name, 1, 12) = '#valid_from:' THEN CAST(value AS BIGINT) END < $1 \
     AND (SELECT 1 FROM consoles CROSS JOIN sightings seen WHERE seen.console = consoles.console \
         AND seen.indicator_id = SUBSTR(old.name, 13) LIMIT 1) IS NULL LIMIT $2) \
     AND CASE WHEN SUBSTR(name, 1, 12) = '#valid_from:' THEN CAST(value AS BIGINT) END < $1";

impl Journal {
    /// Returns from when on an indicator is valid, for alerts of all consoles: the time of the first alert
    /// seen with it, moved forward by one that comes long enough after.
    pub async fn valid_from(&self, seen: &SeenIndicator) -> Result<DateTime<Utc>, JournalError> {
        let name = format!("#valid_from:{}", seen.id);
        let row =
            query("SELECT CAST(value AS BIGINT) AS valid_from FROM remembered WHERE name = $1")
                .bind(&name)
                .fetch_optional(&mut self.reader().await?)
                .await?;
        let held = row.map(|row| row.date("valid_from")).transpose()?;
        if let Some(held) = held.filter(|held| !seen.moves(*held)) {
            return Ok(held);
        }
        let moved = query(self.sql(MOVE_FORWARD))
            .bind(name)
            .bind(seen.seen_at.timestamp_millis().to_string())
            .bind(seen.moves_after.num_milliseconds())
            .fetch_one(&mut self.writer().await?)
            .await?;
        moved.date("valid_from")
    }

    /// Forgets some dates on which nothing depends any more.
    pub(super) async fn forget_dates_of_indicators(
        &self,
        transaction: &mut Change,
        rows: usize,
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        let Some(time) = now.checked_sub_signed(LIFETIME_MAX + SeenIndicator::MOVES_AFTER_MAX)
        else {
            return Ok(0);
        };
        query(FORGET)
            .bind(time.timestamp_millis())
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .execute(transaction)
            .await
    }
}
