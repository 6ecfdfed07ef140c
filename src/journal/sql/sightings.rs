//! Sightings of false positives.

use chrono::{DateTime, Utc};

use crate::journal::{
    database::{locks::EventLocks, statement::query},
    error::JournalError,
    handle::Journal,
    sightings::{DueFlag, SightingFlag},
};

impl Journal {
    /// Takes note of delivered sightings, in that order. One that says no false positive matters
    /// only where one said so before. They are to be looked at from `due_at` on.
    pub async fn note_sightings(
        &self,
        flags: &[SightingFlag],
        due_at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        // One delivery after the other: two that note the same in another order would wait in a circle.
        let mut transaction = self.begin(EventLocks::Departures).await?;
        for flag in flags {
            // What OpenCTI shows already and says the same again is not asked for again.
            query(
                "INSERT INTO sighting_flags (console, sighting_of, sighted_by, sighting, seen_at, \
                 negative, due_at) SELECT $1, $2, $3, $4, $5, $6, $7 \
                 WHERE $6 = 1 OR EXISTS (SELECT 1 FROM sighting_flags \
                     WHERE console = $1 AND sighting_of = $2 AND sighted_by = $3) \
                 ON CONFLICT (console, sighting_of, sighted_by) DO UPDATE SET \
                 sighting = excluded.sighting, seen_at = excluded.seen_at, tries = 0, \
                 due_at = CASE WHEN sighting_flags.negative = excluded.negative \
                     AND sighting_flags.sighting = excluded.sighting \
                     AND sighting_flags.due_at IS NULL THEN NULL ELSE excluded.due_at END, \
                 negative = excluded.negative",
            )
            .bind(&self.console)
            .bind(&flag.sighting_of)
            .bind(&flag.sighted_by)
            .bind(&flag.sighting)
            .bind(flag.seen_at.timestamp_millis())
            .bind(flag.negative)
            .bind(due_at.timestamp_millis())
            .execute(&mut transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Flags that are to be looked at, the longest due first.
    pub async fn flags_due(
        &self,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueFlag>, JournalError> {
        let rows = query(
            "SELECT sighting, sighting_of, sighted_by, seen_at, negative, tries \
             FROM sighting_flags WHERE console = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3",
        )
        .bind(&self.console)
        .bind(now.timestamp_millis())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let flag = SightingFlag {
                    sighting: row.text("sighting")?,
                    sighting_of: row.text("sighting_of")?,
                    sighted_by: row.text("sighted_by")?,
                    seen_at: row.date("seen_at")?,
                    negative: row.flag("negative")?,
                };
                Ok(DueFlag { flag, tries: row.attempts("tries")? })
            })
            .collect()
    }

    /// OpenCTI shows the flag as it should be. Nothing happens when it was noted anew meanwhile.
    pub async fn flag_shown(&self, flag: &SightingFlag) -> Result<(), JournalError> {
        // Kept while it is a false positive, so that the way back is noticed.
        let statement = if flag.negative {
            "UPDATE sighting_flags SET due_at = NULL, tries = 0"
        } else {
            "DELETE FROM sighting_flags"
        };
        self.change_flag(statement, flag, None).await
    }

    /// The flag could not be set and is to be tried again at `at`; `None`: given up.
    pub async fn flag_again(
        &self,
        flag: &SightingFlag,
        at: Option<DateTime<Utc>>,
    ) -> Result<(), JournalError> {
        let statement = "UPDATE sighting_flags SET tries = tries + 1, due_at = $5";
        self.change_flag(statement, flag, at).await
    }

    /// OpenCTI could not be asked: this flag's turn is again at `at`, and nothing is counted.
    pub async fn postpone_flag(
        &self,
        flag: &SightingFlag,
        at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.change_flag("UPDATE sighting_flags SET due_at = $5", flag, Some(at)).await
    }
}

impl Journal {
    /// Changes the row of a flag, unless a newer delivery says otherwise by now.
    async fn change_flag(
        &self,
        statement: &'static str,
        flag: &SightingFlag,
        at: Option<DateTime<Utc>>,
    ) -> Result<(), JournalError> {
        let statement = format!(
            "{statement} WHERE console = $1 AND sighting_of = $2 AND sighted_by = $3 \
             AND negative = $4"
        );
        query(statement)
            .bind(&self.console)
            .bind(&flag.sighting_of)
            .bind(&flag.sighted_by)
            .bind(flag.negative)
            .bind(at.map(|at| at.timestamp_millis()))
            .execute(&mut self.writer().await?)
            .await?;
        Ok(())
    }
}
