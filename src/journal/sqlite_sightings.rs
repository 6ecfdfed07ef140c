//! Sightings of false positives in the SQLite journal.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row;

use super::{DueFlag, JournalError, SightingFlag, SightingJournal, SqliteJournal, sqlite::date};

#[async_trait]
impl SightingJournal for SqliteJournal {
    async fn note_sightings(
        &self,
        flags: &[SightingFlag],
        due_at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.begin().await?;
        for flag in flags {
            // What OpenCTI shows already and says the same again is not asked for again.
            sqlx::query(
                "INSERT INTO sighting_flags (console, sighting_of, sighted_by, sighting, seen_at, \
                 negative, due_at) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
                 WHERE ?6 OR EXISTS (SELECT 1 FROM sighting_flags \
                     WHERE console = ?1 AND sighting_of = ?2 AND sighted_by = ?3) \
                 ON CONFLICT DO UPDATE SET sighting = excluded.sighting, \
                 seen_at = excluded.seen_at, tries = 0, \
                 due_at = CASE WHEN negative = excluded.negative AND sighting = excluded.sighting \
                     AND due_at IS NULL THEN NULL ELSE excluded.due_at END, \
                 negative = excluded.negative",
            )
            .bind(&self.console)
            .bind(&flag.sighting_of)
            .bind(&flag.sighted_by)
            .bind(&flag.sighting)
            .bind(flag.seen_at.timestamp_millis())
            .bind(flag.negative)
            .bind(due_at.timestamp_millis())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn flags_due(
        &self,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueFlag>, JournalError> {
        let rows = sqlx::query(
            "SELECT sighting, sighting_of, sighted_by, seen_at, negative, tries \
             FROM sighting_flags WHERE console = ? AND due_at <= ? ORDER BY due_at LIMIT ?",
        )
        .bind(&self.console)
        .bind(now.timestamp_millis())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let flag = SightingFlag {
                    sighting: row.try_get(0)?,
                    sighting_of: row.try_get(1)?,
                    sighted_by: row.try_get(2)?,
                    seen_at: date(row.try_get(3)?)?,
                    negative: row.try_get(4)?,
                };
                Ok(DueFlag { flag, tries: row.try_get(5)? })
            })
            .collect()
    }

    async fn flag_shown(&self, flag: &SightingFlag) -> Result<(), JournalError> {
        // Kept while it is a false positive, so that the way back is noticed.
        let statement = if flag.negative {
            "UPDATE sighting_flags SET due_at = NULL, tries = 0"
        } else {
            "DELETE FROM sighting_flags"
        };
        self.change_flag(statement, flag, None).await
    }

    async fn flag_again(
        &self,
        flag: &SightingFlag,
        at: Option<DateTime<Utc>>,
    ) -> Result<(), JournalError> {
        let statement = "UPDATE sighting_flags SET tries = tries + 1, due_at = ?5";
        self.change_flag(statement, flag, at).await
    }

    async fn postpone_flag(
        &self,
        flag: &SightingFlag,
        at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.change_flag("UPDATE sighting_flags SET due_at = ?5", flag, Some(at)).await
    }
}

impl SqliteJournal {
    /// Changes the row of a flag, unless a newer delivery says otherwise by now.
    async fn change_flag(
        &self,
        statement: &'static str,
        flag: &SightingFlag,
        at: Option<DateTime<Utc>>,
    ) -> Result<(), JournalError> {
        let statement = format!(
            "{statement} WHERE console = ?1 AND sighting_of = ?2 AND sighted_by = ?3 \
             AND negative = ?4"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(&self.console)
            .bind(&flag.sighting_of)
            .bind(&flag.sighted_by)
            .bind(flag.negative)
            .bind(at.map(|at| at.timestamp_millis()))
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}
