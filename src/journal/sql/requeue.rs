//! Requeues delivered events of which OpenCTI refused something for a reason that passes, or whose work
//! was lost. They leave whole, and count how often they were requeued: refusals among the remembered
//! values, under the event's id, until its row is removed; lost works in its row.
//!
//! An event of an earlier import generation is requeued in the present one, so that the sweep which
//! brings it again finds it there. One that the sweep has brought already stays where it is.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::remembered::REMEMBER;
use crate::journal::{
    database::{dialect::SqlByDialect, locks::EventLocks, session::Change, statement::query},
    error::JournalError,
    event::EventId,
    handle::Journal,
    works::RequeueOutcome,
};

/// Asks whether a version of the alert or threat of an event is on its way: also one that was
/// delivered, and is requeued already.
const ON_ITS_WAY: &str = "SELECT EXISTS (SELECT 1 FROM events about JOIN events other \
     ON other.console = about.console AND other.key = about.key \
     WHERE about.id = $1 AND about.console = $2 \
     AND other.state = 'pending' AND other.follows IS NULL) AS is_on_its_way";

/// The newest delivered version of the alert or threat of an event, whose text is still there; and
/// whether the present import generation has it under its key, or something that was received as it
/// was.
const NEWEST: &str = "SELECT version.id, version.key, version.generation, about.generation AS generation_of_event, version.times_lost, \
     EXISTS (SELECT 1 FROM events other WHERE other.console = version.console \
         AND other.key = version.key AND other.generation = $3 AND other.follows IS NULL) \
     OR EXISTS (SELECT 1 FROM events other WHERE other.console = version.console \
         AND other.received_key = version.received_key AND other.generation = $3) AS is_there \
     FROM events about JOIN events version \
     ON version.console = about.console AND version.key = about.key \
     WHERE about.id = $1 AND about.console = $2 \
     AND version.state = 'delivered' AND version.follows IS NULL AND version.is_version = 1 \
     AND version.pruned_at IS NULL ORDER BY version.id DESC LIMIT 1";

/// The objects of a case go along into another import generation.
const MOVE_CASE: &str = "INSERT INTO case_objects \
     (console, generation, threat_key, object_id, is_sent) \
     SELECT console, $1, threat_key, object_id, 0 FROM case_objects \
     WHERE console = $2 AND generation = $3 AND threat_key = $4 ON CONFLICT DO NOTHING";

/// The reason why an event is requeued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// OpenCTI refused something of it.
    Refusal,
    /// Its work lost objects.
    LostWork,
}

/// Terms on which an event is requeued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requeue<'a> {
    pub(super) cause: Cause,
    /// In plain words.
    pub(super) reason: &'a str,
    /// Waits before the first time, the second and so on.
    pub(super) waits: &'a [TimeDelta],
}

/// A delivered version.
struct Newest {
    id: EventId,
    key: String,
    generation: i64,
    /// Number of times that its work was lost in its generation.
    times_lost: usize,
    /// Set when it came again in the present generation, after the event in question.
    came_again: bool,
}

macro_rules! requeued {
    ($events:literal) => {
        concat!(
            "SELECT k.value AS event FROM ",
            $events,
            " WHERE EXISTS (SELECT 1 FROM remembered WHERE name = $2 || k.value) \
             OR EXISTS (SELECT 1 FROM events WHERE id = k.value AND times_lost > 0)"
        )
    };
}

/// Selects those of some events that were requeued.
const REQUEUED: SqlByDialect = SqlByDialect {
    sqlite: requeued!("json_each($1) k"),
    postgres: requeued!(
        "(SELECT value::bigint FROM json_array_elements_text($1::json)) AS k(value)"
    ),
};

impl Journal {
    /// Requeues the newest delivered version of the alert or threat of `event`, to leave whole, because
    /// of `reason`: after the first of `waits` the first time, after the next one the next
    /// time, and no more after the last.
    pub async fn requeue_delivered(
        &self,
        event: EventId,
        reason: &str,
        waits: &[TimeDelta],
        now: DateTime<Utc>,
    ) -> Result<RequeueOutcome, JournalError> {
        let mut transaction = self.begin(EventLocks::Departures).await?;
        let requeue = Requeue { cause: Cause::Refusal, reason, waits };
        let requeued = self.requeue(&mut transaction, event, &requeue, now).await?;
        transaction.commit().await?;
        Ok(requeued)
    }

    /// Requeues the newest delivered version of the alert or threat of `event`.
    pub(super) async fn requeue(
        &self,
        transaction: &mut Change,
        event: EventId,
        requeue: &Requeue<'_>,
        now: DateTime<Utc>,
    ) -> Result<RequeueOutcome, JournalError> {
        let on_its_way = query(ON_ITS_WAY).bind(event).bind(&self.console);
        if on_its_way.fetch_one(transaction).await?.holds("is_on_its_way")? {
            return Ok(RequeueOutcome::OnItsWay);
        }
        let generation = self.generation(transaction).await?;
        let Some(newest) = self.newest_delivered(transaction, event, generation).await? else {
            return Ok(RequeueOutcome::NotThere);
        };
        if newest.came_again {
            return Ok(RequeueOutcome::CameAgain);
        }
        // Whoever starts the import over means it: lost works count anew.
        let times_lost = if newest.generation == generation { newest.times_lost } else { 0 };
        let (times, times_lost) = match requeue.cause {
            Cause::LostWork => (times_lost, times_lost + 1),
            Cause::Refusal => (self.times_refused(transaction, newest.id).await?, times_lost),
        };
        let Some(wait) = requeue.waits.get(times) else {
            return Ok(RequeueOutcome::GaveUp);
        };
        let Requeue { reason, waits, .. } = requeue;
        query(
            "UPDATE events SET state = 'pending', attempts = attempts + 1, \
             attempts_before = attempts + 1, due_at = $1, \
             finished_at = NULL, leased_until = NULL, reason = $2, generation = $3, \
             times_lost = $4 WHERE id = $5",
        )
        .bind((now + *wait).timestamp_millis())
        .bind(format!("leaves once more ({} of {}): {reason}", times + 1, waits.len()))
        .bind(generation)
        .bind(i64::try_from(times_lost).unwrap_or(i64::MAX))
        .bind(newest.id)
        .execute(transaction)
        .await?;
        if requeue.cause == Cause::Refusal {
            query(self.sql(REMEMBER))
                .bind(times_requeued_name(&self.console, newest.id))
                .bind((times + 1).to_string())
                .execute(transaction)
                .await?;
        }
        self.let_case_refer_again(transaction, &newest, generation).await?;
        Ok(RequeueOutcome::Pending)
    }

    async fn newest_delivered(
        &self,
        transaction: &mut Change,
        event: EventId,
        generation: i64,
    ) -> Result<Option<Newest>, JournalError> {
        let row = query(NEWEST)
            .bind(event)
            .bind(&self.console)
            .bind(generation)
            .fetch_optional(transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (of_version, of_event) =
            (row.number("generation")?, row.number("generation_of_event")?);
        let is_there = row.holds("is_there")?;
        let came_again = if of_version == generation { of_event < generation } else { is_there };
        Ok(Some(Newest {
            id: row.number("id")?,
            key: row.text("key")?,
            generation: of_version,
            times_lost: usize::try_from(row.number("times_lost")?).unwrap_or_default(),
            came_again,
        }))
    }

    /// Makes the case of a threat refer once more to what it referred to.
    async fn let_case_refer_again(
        &self,
        transaction: &mut Change,
        newest: &Newest,
        generation: i64,
    ) -> Result<(), JournalError> {
        let Some(threat_key) = newest.key.strip_prefix("threat:") else {
            return Ok(());
        };
        if newest.generation != generation {
            query(MOVE_CASE)
                .bind(generation)
                .bind(&self.console)
                .bind(newest.generation)
                .bind(threat_key)
                .execute(transaction)
                .await?;
        }
        query(
            "UPDATE case_objects SET is_sent = 0 \
             WHERE console = $1 AND generation = $2 AND threat_key = $3",
        )
        .bind(&self.console)
        .bind(generation)
        .bind(threat_key)
        .execute(transaction)
        .await?;
        Ok(())
    }

    async fn times_refused(
        &self,
        transaction: &mut Change,
        event: EventId,
    ) -> Result<usize, JournalError> {
        let row = query("SELECT CAST(value AS BIGINT) AS times FROM remembered WHERE name = $1")
            .bind(times_requeued_name(&self.console, event))
            .fetch_optional(transaction)
            .await?;
        let times = row.map(|row| row.number("times")).transpose()?.unwrap_or_default();
        Ok(usize::try_from(times).unwrap_or_default())
    }

    /// Returns those of these events that [`Journal::requeue_delivered`] or [`Journal::work_lost`]
    /// requeued.
    pub async fn requeued(&self, events: &[EventId]) -> Result<HashSet<EventId>, JournalError> {
        if events.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = query(self.sql(REQUEUED))
            .bind(serde_json::json!(events).to_string())
            .bind(times_requeued_prefix(&self.console))
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter().map(|row| row.number("event")).collect()
    }
}

/// A row that was removed is counted no more.
pub(super) async fn forget_times_requeued(
    transaction: &mut Change,
    console: &str,
    event: EventId,
) -> Result<(), JournalError> {
    query("DELETE FROM remembered WHERE name = $1")
        .bind(times_requeued_name(console, event))
        .execute(transaction)
        .await?;
    Ok(())
}

/// Returns the beginning of the names of these values; the event's id follows.
pub(super) fn times_requeued_prefix(console: &str) -> String {
    format!("{console}#sent_again:")
}

fn times_requeued_name(console: &str, event: EventId) -> String {
    format!("{}{event}", times_requeued_prefix(console))
}
