//! The operator's side of the SQLite journal: the story of an alert, pruning, size.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{
    Activity, Chapter, EventId, JournalError, Lacking, Letter, LetterFilter, Operations,
    PruneBefore, Pruned, Retried, SqliteJournal, Story, sqlite::date,
    sqlite_incidents::microseconds,
};
use crate::alert::IncidentIdentity;

/// Pages given back to the file system in one step: four megabytes at most.
const PAGES_PER_STEP: u32 = 1_000;

/// States of what found its end; the index of what is to be emptied lists them in these words.
pub(super) const FINISHED: &str = "'delivered', 'filtered', 'superseded'";
/// States of letters, likewise.
pub(super) const LETTERS: &str = "'dead', 'dropped'";

/// The key that a name stands for: each way to name it asks an index of its own.
pub(super) const KEY_OF: &str = "SELECT key FROM (\
         SELECT key FROM events WHERE console = ?1 AND key IN (?2, ?3, 'threat:' || ?3) LIMIT 1) \
     UNION ALL SELECT key FROM (\
         SELECT key FROM events WHERE console = ?1 AND received_key IN (?2, ?3) LIMIT 1) \
     UNION ALL SELECT key FROM events WHERE id = ?4 AND +console = ?1 \
     UNION ALL SELECT key FROM (\
         SELECT key FROM events WHERE console = ?1 AND root_id = ?3 LIMIT 1) LIMIT 1";

#[async_trait]
impl Operations for SqliteJournal {
    async fn letters(
        &self,
        filter: &LetterFilter,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<Letter>, JournalError> {
        self.find_letters(filter, after, limit).await
    }

    async fn text(&self, event: EventId) -> Result<Option<String>, JournalError> {
        self.text_of(event).await
    }

    async fn retry(
        &self,
        letters: &[EventId],
        now: DateTime<Utc>,
    ) -> Result<Vec<Retried>, JournalError> {
        self.retry_letters(letters, now).await
    }

    async fn discard(&self, letters: &[EventId], now: DateTime<Utc>) -> Result<u64, JournalError> {
        self.discard_letters(letters, now).await
    }

    async fn story(&self, name: &str) -> Result<Option<Story>, JournalError> {
        let Some(key) = self.key_of(name).await? else {
            return Ok(None);
        };
        let rows = sqlx::query(
            "SELECT id, generation, version, received_key, key, origin, dialect, state, \
             attempts - attempts_before, reason, received_at, due_at, leased_until, finished_at, \
             pruned_at, root_id, follows, lacking, deadline_at \
             FROM events WHERE console = ? AND key = ? ORDER BY id",
        )
        .bind(&self.console)
        .bind(&key)
        .fetch_all(&self.readers)
        .await?;
        let incident =
            sqlx::query("SELECT name, created_at_us FROM incidents WHERE console = ? AND key = ?")
                .bind(&self.console)
                .bind(&key)
                .fetch_optional(&self.readers)
                .await?;
        let identity = incident
            .map(|row| {
                let created = microseconds(row.try_get(1)?)?;
                Ok::<_, JournalError>(IncidentIdentity { name: row.try_get(0)?, created })
            })
            .transpose()?;
        let chapters = rows.iter().map(chapter).collect::<Result<_, _>>()?;
        let refusals = self.refusals_of(&key).await?;
        Ok(Some(Story { key, identity, chapters, refusals }))
    }

    async fn prune(
        &self,
        before: PruneBefore,
        rows: usize,
        now: DateTime<Utc>,
    ) -> Result<Pruned, JournalError> {
        let mut pruned = Pruned::default();
        let mut transaction = self.begin().await?;
        if let Some(time) = before.finished {
            pruned.bodies = empty(&mut transaction, FINISHED, time, rows, now).await?;
        }
        if let Some(time) = before.letters {
            pruned.letters = empty(&mut transaction, LETTERS, time, rows, now).await?;
        }
        if let Some(time) = before.rows {
            let removed = remove(&mut transaction, time, rows).await?;
            pruned.rows = u64::try_from(removed.len()).unwrap_or(u64::MAX);
            for Removed { console, key, .. } in &removed {
                self.for_console(console).forget_without_events(&mut transaction, key).await?;
            }
            let cases: BTreeSet<_> = removed
                .iter()
                .filter_map(|row| Some((row.console.as_str(), row.threat_key.as_deref()?)))
                .collect();
            for (console, threat_key) in cases {
                let generation = self.for_console(console).generation(&mut transaction).await?;
                forget_case(&mut transaction, console, threat_key, generation).await?;
            }
            pruned.rows += self.forget_old_generations(&mut transaction, rows).await?;
        }
        transaction.commit().await?;
        pruned.pages = self.give_back().await?;
        Ok(pruned)
    }

    async fn activity(&self, now: DateTime<Utc>) -> Result<Activity, JournalError> {
        self.activity_before(now).await
    }

    async fn used_bytes(&self) -> Result<u64, JournalError> {
        let row = sqlx::query(
            "SELECT (page_count - freelist_count) * page_size \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )
        .fetch_one(&self.readers)
        .await?;
        let in_file = u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default();
        let mut log = self.file().as_os_str().to_owned();
        log.push("-wal");
        let beside = std::fs::metadata(log).map_or(0, |log| log.len());
        Ok(in_file + beside)
    }
}

impl SqliteJournal {
    /// The key that `name` stands for.
    async fn key_of(&self, name: &str) -> Result<Option<String>, JournalError> {
        let name = name.trim();
        let lower = name.to_lowercase();
        let row = sqlx::query(KEY_OF)
            .bind(&self.console)
            .bind(name)
            .bind(lower)
            .bind(name.parse::<EventId>().unwrap_or(-1))
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Gives some free pages back to the file system.
    async fn give_back(&self) -> Result<u64, JournalError> {
        let free = async || {
            let row = sqlx::query("SELECT freelist_count FROM pragma_freelist_count")
                .fetch_one(&self.writer)
                .await?;
            Ok::<_, JournalError>(row.try_get::<i64, _>(0)?)
        };
        let before = free().await?;
        if before == 0 {
            return Ok(0);
        }
        // The pragma answers a row for each page, and frees them as the rows are read.
        sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})")))
            .fetch_all(&self.writer)
            .await?;
        Ok(u64::try_from(before - free().await?).unwrap_or_default())
    }
}

/// Removes the bodies of what ended in one of `states` before `time`. A dead letter without its
/// text can never be tried again, so it is dropped with it.
///
/// SQLite leaves a row that became short where it is, alone on a page that was full of its text. So
/// each is moved away and back: what is taken out of its page and put in anew closes the gaps.
async fn empty(
    transaction: &mut Transaction<'static, Sqlite>,
    states: &'static str,
    time: DateTime<Utc>,
    rows: usize,
    now: DateTime<Utc>,
) -> Result<u64, JournalError> {
    let emptied = sqlx::query(sqlx::AssertSqlSafe(emptying(states)))
        .bind(now.timestamp_millis())
        .bind(time.timestamp_millis())
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .execute(&mut **transaction)
        .await?;
    sqlx::query("UPDATE events SET id = -id WHERE id < 0").execute(&mut **transaction).await?;
    Ok(emptied.rows_affected())
}

/// The statement that empties what ended in one of `states`; an index of its own holds them.
pub(super) fn emptying(states: &'static str) -> String {
    format!(
        "UPDATE events SET id = -id, body = '', pruned_at = ?1, \
         reason = CASE WHEN state = 'dead' THEN COALESCE(reason, '') \
             || ' (dropped unseen at the end of HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD)' \
             ELSE reason END, \
         state = CASE WHEN state = 'dead' THEN 'dropped' ELSE state END \
         WHERE id IN (SELECT id FROM events WHERE finished_at < ?2 AND pruned_at IS NULL \
             AND state IN ({states}) ORDER BY finished_at LIMIT ?3)",
    )
}

/// Removes rows whose body was removed before `time`. Those of a threat's alerts go when all of the
/// threat is as old: until then its case refers to them.
pub(super) const REMOVING: &str = "DELETE FROM events WHERE id IN (SELECT e.id FROM events e \
     WHERE e.pruned_at < ?1 AND e.pruned_at IS NOT NULL AND (e.threat_key IS NULL \
         OR e.root_id IS NULL OR e.root_id NOT LIKE 'incident--%' \
         OR (NOT EXISTS (SELECT 1 FROM events other WHERE other.console = e.console \
                 AND other.threat_key = e.threat_key AND other.pruned_at IS NULL) \
             AND NOT EXISTS (SELECT 1 FROM events other WHERE other.console = e.console \
                 AND other.threat_key = e.threat_key AND other.pruned_at >= ?1))) \
     ORDER BY e.pruned_at LIMIT ?2) RETURNING console, key, threat_key";

/// A row that was removed.
struct Removed {
    console: String,
    key: String,
    threat_key: Option<String>,
}

async fn remove(
    transaction: &mut Transaction<'static, Sqlite>,
    time: DateTime<Utc>,
    rows: usize,
) -> Result<Vec<Removed>, JournalError> {
    let removed = sqlx::query(REMOVING)
        .bind(time.timestamp_millis())
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .fetch_all(&mut **transaction)
        .await?;
    let removed = removed.iter().map(|row| {
        Ok(Removed { console: row.try_get(0)?, key: row.try_get(1)?, threat_key: row.try_get(2)? })
    });
    removed.collect()
}

/// Removes the objects of the case of a threat of which no event is left, whether or not the threat
/// itself ever came.
async fn forget_case(
    transaction: &mut Transaction<'static, Sqlite>,
    console: &str,
    threat_key: &str,
    generation: i64,
) -> Result<(), JournalError> {
    sqlx::query(
        "DELETE FROM case_objects WHERE console = ?1 AND threat_key = ?2 \
         AND generation = ?3 \
         AND NOT EXISTS (SELECT 1 FROM events WHERE console = ?1 AND threat_key = ?2)",
    )
    .bind(console)
    .bind(threat_key)
    .bind(generation)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn chapter(row: &SqliteRow) -> Result<Chapter, JournalError> {
    let time = |column: usize| -> Result<Option<DateTime<Utc>>, JournalError> {
        row.try_get::<Option<i64>, _>(column)?.map(date).transpose()
    };
    let (received_key, key): (String, String) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Chapter {
        id: row.try_get(0)?,
        generation: row.try_get(1)?,
        version: row.try_get(2)?,
        received_key: (received_key != key).then_some(received_key),
        origin: row.try_get(5)?,
        dialect: row.try_get(6)?,
        state: row.try_get(7)?,
        attempts: row.try_get(8)?,
        reason: row.try_get(9)?,
        received_at: date(row.try_get(10)?)?,
        due_at: date(row.try_get(11)?)?,
        leased_until: time(12)?,
        finished_at: time(13)?,
        pruned_at: time(14)?,
        root_id: row.try_get(15)?,
        follows: row.try_get(16)?,
        lacking: row.try_get::<Option<String>, _>(17)?.as_deref().map(Lacking::from_text),
        deadline_at: time(18)?,
    })
}
