//! Works and refusals.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::journal::{
    database::{
        dialect::SqlByDialect, locks::EventLocks, row::Row, session::Change, statement::query,
    },
    error::JournalError,
    event::EventId,
    handle::Journal,
    works::{DueWork, ListedRefusal, MOST_REFUSALS, Refusal, WorkPart, WorkStanding},
};

/// For how long a work may be under way; far longer than a lease.
const YOUNG: TimeDelta = TimeDelta::minutes(30);

/// The end of a work is not noted when its process dies, or the journal fails at that moment.
pub(in crate::journal) const CLOSE_FORGOTTEN: &str = "UPDATE works SET closing = COALESCE(closing, $1), look_at = $2 \
     WHERE console = $3 AND closed_at IS NULL AND look_at IS NULL AND opened_at < $4";

/// Of an only process every open work is one of a process before it.
const CLOSE_ORPHANED: SqlByDialect = SqlByDialect {
    sqlite: "UPDATE works SET closing = COALESCE(closing, $1), look_at = $2 \
         WHERE console = $3 AND closed_at IS NULL AND $4 IS NOT NULL",
    postgres: CLOSE_FORGOTTEN,
};

macro_rules! refuse {
    ($what:literal) => {
        concat!(
            "INSERT INTO refusals (console, event, object, reason, work, refused_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (console, event, ",
            $what,
            ") DO UPDATE SET times = refusals.times + 1, work = excluded.work, \
             refused_at = excluded.refused_at"
        )
    };
}

const REFUSE: SqlByDialect = SqlByDialect {
    sqlite: refuse!("object, reason"),
    postgres: refuse!("md5(object), md5(reason)"),
};

macro_rules! delivered_before {
    ($events:literal) => {
        concat!(
            "SELECT e.id FROM events e WHERE e.id IN ",
            $events,
            " AND EXISTS (SELECT 1 FROM events other WHERE other.console = e.console \
                 AND other.key = e.key AND other.id <> e.id AND other.state = 'delivered')"
        )
    };
}

const DELIVERED_BEFORE: SqlByDialect = SqlByDialect {
    sqlite: delivered_before!("(SELECT value FROM json_each($1))"),
    postgres: delivered_before!("(SELECT value::bigint FROM json_array_elements_text($1::json))"),
};

const KEEP_INDICATORS: SqlByDialect = SqlByDialect {
    sqlite: "INSERT INTO work_indicators (indicator, work) SELECT value, $2 FROM json_each($1) \
             WHERE true ON CONFLICT DO NOTHING",
    postgres: "INSERT INTO work_indicators (indicator, work) \
               SELECT value, $2 FROM json_array_elements_text($1::json) AS it (value) \
               ON CONFLICT DO NOTHING",
};

impl Journal {
    /// Remembers a work and what will leave in it.
    pub async fn work_opened(
        &self,
        work: &str,
        parts: &[WorkPart],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let mut transaction = self.begin(EventLocks::None).await?;
        query(
            // The sinks are shared: whose events leave tells whose work it is.
            "INSERT INTO works (id, console, opened_at, platform) VALUES \
             ($1, COALESCE((SELECT console FROM events WHERE id = $2), $3), $4, \
             (SELECT value FROM remembered WHERE name = '#opencti_version')) \
             ON CONFLICT DO NOTHING",
        )
        .bind(work)
        .bind(parts.first().map(|part| part.event))
        .bind(&self.console)
        .bind(now.timestamp_millis())
        .execute(&mut transaction)
        .await?;
        for (position, part) in parts.iter().enumerate() {
            query(
                "INSERT INTO work_parts (work, position, event, objects) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(work)
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .bind(part.event)
            .bind(serde_json::json!(part.objects).to_string())
            .execute(&mut transaction)
            .await?;
        }
        let objects = parts.iter().flat_map(|part| &part.objects);
        let indicators: BTreeSet<_> = objects.filter(|id| id.starts_with("indicator--")).collect();
        if !indicators.is_empty() {
            query(self.sql(KEEP_INDICATORS))
                .bind(serde_json::json!(indicators).to_string())
                .bind(work)
                .execute(&mut transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// A work could not be closed: it is to be closed with this message at `at`.
    pub async fn work_left_open(
        &self,
        work: &str,
        message: &str,
        at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        query("UPDATE works SET closing = $1, look_at = $2 WHERE id = $3")
            .bind(message)
            .bind(at.timestamp_millis())
            .bind(work)
            .execute(&mut self.writer().await?)
            .await?;
        Ok(())
    }

    /// A work is closed; it is to be looked at first at `look_at`.
    pub async fn work_closed(
        &self,
        work: &str,
        now: DateTime<Utc>,
        look_at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        query("UPDATE works SET closing = NULL, closed_at = $1, look_at = $2 WHERE id = $3")
            .bind(now.timestamp_millis())
            .bind(look_at.timestamp_millis())
            .bind(work)
            .execute(&mut self.writer().await?)
            .await?;
        Ok(())
    }

    /// Every work that a process before this one, or a delivery that broke off, left open is to be
    /// closed with this message; answers how many there are. Only while no delivery is under way:
    /// before the first one of this process, or after one that broke off. Among several replicas at
    /// any time, since a work that may be under way elsewhere is left alone until it is old.
    pub async fn close_orphaned_works(
        &self,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        self.leave_to_be_closed(self.sql(CLOSE_ORPHANED), message, now).await
    }

    /// The same at any time, for those that are too old to be under way: another replica died with
    /// them, or the journal failed when their end was to be noted.
    pub async fn close_forgotten_works(
        &self,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        self.leave_to_be_closed(CLOSE_FORGOTTEN, message, now).await
    }

    /// Works that are to be closed or looked at, the longest due first.
    pub async fn works_due(
        &self,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueWork>, JournalError> {
        let rows = query(
            "SELECT id, closing, looks, opened_at, shown, shown_since, was_reset, is_lost FROM works \
             WHERE console = $1 AND look_at <= $2 ORDER BY look_at, id LIMIT $3",
        )
        .bind(&self.console)
        .bind(now.timestamp_millis())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter().map(due).collect()
    }

    /// A work was looked at in vain and is to be looked at again at `at`. `None`: how it stands is
    /// not known, and what is remembered of that stays.
    pub async fn look_again(
        &self,
        work: &str,
        standing: Option<&WorkStanding>,
        at: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        query(
            "UPDATE works SET looks = looks + 1, look_at = $1, shown = COALESCE($2, shown), \
             shown_since = COALESCE($3, shown_since) WHERE id = $4",
        )
        .bind(at.timestamp_millis())
        .bind(standing.map(|standing| standing.shown.as_str()))
        .bind(standing.map(|standing| standing.since.timestamp_millis()))
        .bind(work)
        .execute(&mut self.writer().await?)
        .await?;
        Ok(())
    }

    /// OpenCTI could not answer for a work: its turn is again at `at`, and nothing is counted.
    pub async fn postpone_work(&self, work: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        query("UPDATE works SET look_at = $1 WHERE id = $2")
            .bind(at.timestamp_millis())
            .bind(work)
            .execute(&mut self.writer().await?)
            .await?;
        Ok(())
    }

    /// Returns what left in a work, in that order.
    pub async fn parts_of_work(&self, work: &str) -> Result<Vec<WorkPart>, JournalError> {
        let rows = query("SELECT event, objects FROM work_parts WHERE work = $1 ORDER BY position")
            .bind(work)
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter()
            .map(|row| {
                let objects = serde_json::from_str(row.str("objects")?)
                    .map_err(|_| JournalError::Corrupt(format!("objects of work {work}")))?;
                Ok(WorkPart { event: row.number("event")?, objects })
            })
            .collect()
    }

    /// Removes a work that needs nothing more and keeps what was refused in it, in the same commit. Of
    /// all refusals the newest [`MOST_REFUSALS`] are kept; the same again is counted.
    pub async fn remove_work(&self, work: &str, refusals: &[Refusal]) -> Result<(), JournalError> {
        let mut transaction = self.begin(EventLocks::None).await?;
        if !refusals.is_empty() {
            self.refuse(&mut transaction, refusals).await?;
        }
        query("DELETE FROM works WHERE id = $1").bind(work).execute(&mut transaction).await?;
        forget_parts(&mut transaction, work).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Returns what OpenCTI refused, newest first.
    pub async fn refusals(&self, limit: usize) -> Result<Vec<ListedRefusal>, JournalError> {
        let rows = query(
            "SELECT r.event, r.object, r.reason, r.work, r.refused_at, r.times, e.key, e.title, \
             e.root_id FROM refusals r LEFT JOIN events e ON e.id = r.event \
             WHERE r.console = $1 ORDER BY r.refused_at DESC, r.id DESC LIMIT $2",
        )
        .bind(&self.console)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter().map(listed).collect()
    }

    /// Returns those of these events that belong to an alert or threat of which a version was delivered before.
    pub async fn delivered_before(
        &self,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, JournalError> {
        let rows = query(self.sql(DELIVERED_BEFORE))
            .bind(serde_json::json!(events).to_string())
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter().map(|row| row.number("id")).collect()
    }
}

impl Journal {
    async fn leave_to_be_closed(
        &self,
        statement: &'static str,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        query(statement)
            .bind(message)
            .bind(now.timestamp_millis())
            .bind(&self.console)
            .bind((now - YOUNG).timestamp_millis())
            .execute(&mut self.writer().await?)
            .await
    }

    pub(super) async fn refuse(
        &self,
        transaction: &mut Change,
        refusals: &[Refusal],
    ) -> Result<(), JournalError> {
        for refusal in refusals {
            query(self.sql(REFUSE))
                .bind(&self.console)
                .bind(refusal.event.unwrap_or_default())
                .bind(&refusal.object)
                .bind(&refusal.reason)
                .bind(&refusal.work)
                .bind(refusal.refused_at.timestamp_millis())
                .execute(transaction)
                .await?;
        }
        // By date, not by id: one that comes again and again keeps its first id.
        query(
            "DELETE FROM refusals WHERE console = $1 AND id NOT IN (SELECT id FROM refusals \
             WHERE console = $1 ORDER BY refused_at DESC, id DESC LIMIT $2)",
        )
        .bind(&self.console)
        .bind(MOST_REFUSALS)
        .execute(transaction)
        .await?;
        Ok(())
    }

    /// Returns what OpenCTI refused of the events of a key, oldest first.
    pub(super) async fn refusals_of(&self, key: &str) -> Result<Vec<ListedRefusal>, JournalError> {
        let rows = query(
            "SELECT r.event, r.object, r.reason, r.work, r.refused_at, r.times, e.key, e.title, \
             e.root_id FROM events e JOIN refusals r ON r.console = e.console AND r.event = e.id \
             WHERE e.console = $1 AND e.key = $2 ORDER BY r.refused_at, r.id",
        )
        .bind(&self.console)
        .bind(key)
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter().map(listed).collect()
    }
}

/// Forgets the objects that left in a work. Its indicators go with the work itself.
pub(super) async fn forget_parts(transaction: &mut Change, work: &str) -> Result<(), JournalError> {
    query("DELETE FROM work_parts WHERE work = $1").bind(work).execute(transaction).await?;
    Ok(())
}

fn due(row: &Row) -> Result<DueWork, JournalError> {
    let standing = match (row.maybe_text("shown")?, row.maybe_date("shown_since")?) {
        (Some(shown), Some(since)) => Some(WorkStanding { shown, since }),
        _ => None,
    };
    Ok(DueWork {
        id: row.text("id")?,
        closing: row.maybe_text("closing")?,
        looks: row.attempts("looks")?,
        opened_at: row.date("opened_at")?,
        standing,
        was_reset: row.flag("was_reset")?,
        is_lost: row.flag("is_lost")?,
    })
}

fn listed(row: &Row) -> Result<ListedRefusal, JournalError> {
    let event = row.number("event")?;
    Ok(ListedRefusal {
        refusal: Refusal {
            event: (event != 0).then_some(event),
            object: row.text("object")?,
            reason: row.text("reason")?,
            work: row.text("work")?,
            refused_at: row.date("refused_at")?,
        },
        times: row.attempts("times")?,
        key: row.maybe_text("key")?,
        title: row.maybe_text("title")?,
        root_id: row.maybe_text("root_id")?,
    })
}
