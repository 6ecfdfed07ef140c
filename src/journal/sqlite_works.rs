//! Works and refusals of the SQLite journal.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{
    DueWork, EventId, JournalError, ListedRefusal, MOST_REFUSALS, Refusal, SqliteJournal,
    WorkJournal, WorkPart, sqlite::date,
};

#[async_trait]
impl WorkJournal for SqliteJournal {
    async fn work_opened(
        &self,
        work: &str,
        parts: &[WorkPart],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            // The sinks are shared: whose events leave tells whose work it is.
            "INSERT INTO works (id, console, opened_at) VALUES \
             (?, COALESCE((SELECT console FROM events WHERE id = ?), ?), ?) ON CONFLICT DO NOTHING",
        )
        .bind(work)
        .bind(parts.first().map(|part| part.event))
        .bind(&self.console)
        .bind(now.timestamp_millis())
        .execute(&mut *transaction)
        .await?;
        for (position, part) in parts.iter().enumerate() {
            sqlx::query(
                "INSERT INTO work_parts (work, position, event, objects) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(work)
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .bind(part.event)
            .bind(serde_json::json!(part.objects).to_string())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn work_left_open(
        &self,
        work: &str,
        message: &str,
        at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        sqlx::query("UPDATE works SET closing = ?, look_at = ? WHERE id = ?")
            .bind(message)
            .bind(at.timestamp_millis())
            .bind(work)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn work_closed(
        &self,
        work: &str,
        now: DateTime<Utc>,
        look_at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        sqlx::query("UPDATE works SET closing = NULL, closed_at = ?, look_at = ? WHERE id = ?")
            .bind(now.timestamp_millis())
            .bind(look_at.timestamp_millis())
            .bind(work)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn forget_work(&self, work: &str) -> Result<(), JournalError> {
        self.work_read(work, &[]).await
    }

    async fn close_orphaned_works(
        &self,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        let orphaned = sqlx::query(
            "UPDATE works SET closing = COALESCE(closing, ?), look_at = ? \
             WHERE console = ? AND closed_at IS NULL",
        )
        .bind(message)
        .bind(now.timestamp_millis())
        .bind(&self.console)
        .execute(&self.writer)
        .await?;
        Ok(orphaned.rows_affected())
    }

    async fn works_due(
        &self,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueWork>, JournalError> {
        let rows = sqlx::query(
            "SELECT id, closing, looks, opened_at FROM works WHERE console = ? AND look_at <= ? \
             ORDER BY look_at, id LIMIT ?",
        )
        .bind(&self.console)
        .bind(now.timestamp_millis())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DueWork {
                    id: row.try_get(0)?,
                    closing: row.try_get(1)?,
                    looks: row.try_get(2)?,
                    opened_at: date(row.try_get(3)?)?,
                })
            })
            .collect()
    }

    async fn look_again(&self, work: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        sqlx::query("UPDATE works SET looks = looks + 1, look_at = ? WHERE id = ?")
            .bind(at.timestamp_millis())
            .bind(work)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn postpone_work(&self, work: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        sqlx::query("UPDATE works SET look_at = ? WHERE id = ?")
            .bind(at.timestamp_millis())
            .bind(work)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn parts_of_work(&self, work: &str) -> Result<Vec<WorkPart>, JournalError> {
        let rows =
            sqlx::query("SELECT event, objects FROM work_parts WHERE work = ? ORDER BY position")
                .bind(work)
                .fetch_all(&self.readers)
                .await?;
        rows.iter()
            .map(|row| {
                let objects: String = row.try_get(1)?;
                let objects = serde_json::from_str(&objects)
                    .map_err(|_| JournalError::Corrupt(format!("objects of work {work}")))?;
                Ok(WorkPart { event: row.try_get(0)?, objects })
            })
            .collect()
    }

    async fn work_read(&self, work: &str, refusals: &[Refusal]) -> Result<(), JournalError> {
        let mut transaction = self.begin().await?;
        if !refusals.is_empty() {
            self.refuse(&mut transaction, refusals).await?;
        }
        for statement in ["DELETE FROM works WHERE id = ?", "DELETE FROM work_parts WHERE work = ?"]
        {
            sqlx::query(statement).bind(work).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn refusals(&self, limit: usize) -> Result<Vec<ListedRefusal>, JournalError> {
        let rows = sqlx::query(
            "SELECT r.event, r.object, r.reason, r.work, r.refused_at, r.times, e.key, e.title, \
             e.root_id FROM refusals r LEFT JOIN events e ON e.id = r.event \
             WHERE r.console = ? ORDER BY r.refused_at DESC, r.id DESC LIMIT ?",
        )
        .bind(&self.console)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(listed).collect()
    }

    async fn delivered_before(&self, events: &[EventId]) -> Result<HashSet<EventId>, JournalError> {
        let rows = sqlx::query(
            "SELECT e.id FROM events e WHERE e.id IN (SELECT value FROM json_each(?)) \
             AND EXISTS (SELECT 1 FROM events other WHERE other.console = e.console \
                 AND other.key = e.key AND other.id <> e.id AND other.state = 'delivered')",
        )
        .bind(serde_json::json!(events).to_string())
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

impl SqliteJournal {
    async fn refuse(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        refusals: &[Refusal],
    ) -> Result<(), JournalError> {
        for refusal in refusals {
            sqlx::query(
                "INSERT INTO refusals (console, event, object, reason, work, refused_at) \
                 VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (console, event, object, reason) DO UPDATE SET times = times + 1, \
                 work = excluded.work, refused_at = excluded.refused_at",
            )
            .bind(&self.console)
            .bind(refusal.event.unwrap_or_default())
            .bind(&refusal.object)
            .bind(&refusal.reason)
            .bind(&refusal.work)
            .bind(refusal.refused_at.timestamp_millis())
            .execute(&mut **transaction)
            .await?;
        }
        // By date, not by id: one that comes again and again keeps its first id.
        sqlx::query(
            "DELETE FROM refusals WHERE id IN (SELECT id FROM refusals WHERE console = ? \
             ORDER BY refused_at DESC, id DESC LIMIT -1 OFFSET ?)",
        )
        .bind(&self.console)
        .bind(MOST_REFUSALS)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// What OpenCTI refused of the events of a key, oldest first.
    pub(super) async fn refusals_of(&self, key: &str) -> Result<Vec<ListedRefusal>, JournalError> {
        let rows = sqlx::query(
            "SELECT r.event, r.object, r.reason, r.work, r.refused_at, r.times, e.key, e.title, \
             e.root_id FROM events e JOIN refusals r ON r.console = e.console AND r.event = e.id \
             WHERE e.console = ? AND e.key = ? ORDER BY r.refused_at, r.id",
        )
        .bind(&self.console)
        .bind(key)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(listed).collect()
    }
}

fn listed(row: &SqliteRow) -> Result<ListedRefusal, JournalError> {
    let event: EventId = row.try_get(0)?;
    Ok(ListedRefusal {
        refusal: Refusal {
            event: (event != 0).then_some(event),
            object: row.try_get(1)?,
            reason: row.try_get(2)?,
            work: row.try_get(3)?,
            refused_at: date(row.try_get(4)?)?,
        },
        times: row.try_get(5)?,
        key: row.try_get(6)?,
        title: row.try_get(7)?,
        root_id: row.try_get(8)?,
    })
}
