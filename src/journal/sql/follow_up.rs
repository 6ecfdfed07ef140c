//! Follow-ups: rows that complete what was delivered without all that the
//! console may know of it. How they fit in between versions stands in the header of `journal`.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    intake::{Notification, Origin, Place, dialect::Dialect},
    journal::{
        database::{session::Change, statement::query},
        error::JournalError,
        event::{Claim, EventId, FollowUp, SMALL_BYTES},
        handle::Journal,
    },
};

impl Journal {
    /// Stores the follow-up of a version that has just been delivered. Its version says what is
    /// lacking, so each state of the enrichment is there once.
    pub(super) async fn enqueue_follow_up(
        &self,
        transaction: &mut Change,
        delivered: Claim,
        follow_up: &FollowUp,
    ) -> Result<(), JournalError> {
        // A large text follows by itself: SQLite puts rows that come from the table itself into a temporary
        // one first, and would hold it four times.
        let enqueued = query(
            "INSERT INTO events (console, generation, received_key, received_version, key, \
             version, origin, dialect, body, received_at, happened_at, agent_id, title, \
             threat_key, state, due_at, follows, lacking, deadline_at, recurrence, is_version) \
             SELECT console, generation, received_key, received_version || '|lacks ' || $1, key, \
             version || '|lacks ' || $1, $2, dialect, \
             CASE WHEN OCTET_LENGTH(body) <= $6 THEN body ELSE '' END, received_at, happened_at, agent_id, \
             title, threat_key, 'pending', $3, COALESCE(follows, id), $1, $4, \
             recurrence, 0 FROM events WHERE id = $5 ON CONFLICT DO NOTHING \
             RETURNING id, CAST(CASE WHEN body = '' THEN 1 ELSE 0 END AS BIGINT) AS is_empty",
        )
        .bind(follow_up.missing.to_text())
        .bind(Origin::FollowUp.as_str())
        .bind(follow_up.due_at.timestamp_millis())
        .bind(follow_up.deadline.timestamp_millis())
        .bind(delivered.event)
        .bind(i64::try_from(SMALL_BYTES).unwrap_or(i64::MAX))
        .fetch_optional(transaction)
        .await?;
        let Some(enqueued) = enqueued else { return Ok(()) };
        if !enqueued.flag("is_empty")? {
            return Ok(());
        }
        // Two columns, since SQLite would copy the text of one alone once more.
        query(
            "UPDATE events SET (body, dialect) = (SELECT body, dialect FROM events WHERE id = $1) \
             WHERE id = $2",
        )
        .bind(delivered.event)
        .bind(enqueued.number("id")?)
        .execute(transaction)
        .await?;
        Ok(())
    }

    /// Ends what is older than the version that has just been delivered, if only to some sinks, and still
    /// waits: follow-ups, what some sink lacks, and letters that a person asked for again. What its case
    /// lacks now makes the case leave again.
    pub(super) async fn supersede_older(
        &self,
        transaction: &mut Change,
        delivered: Claim,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        query(
            "UPDATE events SET state = 'superseded', finished_at = $1, leased_until = NULL, \
             reason = 'a newer version of the alert was delivered' \
             FROM (SELECT console AS its_console, key AS its_key, \
                 COALESCE(follows, id) AS its_version FROM events WHERE id = $2) AS newer \
             WHERE console = its_console AND key = its_key AND state = 'pending' \
             AND COALESCE(follows, id) < its_version",
        )
        .bind(now.timestamp_millis())
        .bind(delivered.event)
        .execute(transaction)
        .await?;
        self.complete_case(transaction, delivered, now).await
    }

    /// Lets an item of the sweep complete the alert that was delivered in the same version, which is
    /// the row `event`: a follow-up that waits or gave up goes on at once, with what the console shows.
    /// One that was delivered or superseded stays as it is.
    pub(super) async fn complete_by(
        &self,
        transaction: &mut Change,
        item: &Notification,
        event: EventId,
    ) -> Result<(), JournalError> {
        if item.origin() != Origin::Sweep || *item.place() != Place::Pending(Dialect::NativeAlert) {
            return Ok(());
        }
        query(
            "UPDATE events SET state = 'pending', body = $1, dialect = $2, due_at = $3, \
             gave_up_at = NULL, finished_at = NULL, pruned_at = NULL \
             WHERE follows = (SELECT COALESCE(follows, id) FROM events WHERE id = $4) \
             AND (gave_up_at IS NOT NULL OR (state = 'pending' AND leased_until IS NULL))",
        )
        .bind(Arc::clone(item.body()))
        .bind(Dialect::NativeAlert.as_str())
        .bind(item.received_at().timestamp_millis())
        .bind(event)
        .execute(transaction)
        .await?;
        Ok(())
    }

    /// Returns whether everything that was received has its end. Follow-ups do not count unless they are
    /// under way: they may wait for the console long after their alert is delivered.
    pub async fn is_drained(&self) -> Result<bool, JournalError> {
        let row = query(
            "SELECT NOT EXISTS (SELECT 1 FROM (SELECT id FROM events WHERE console = $1 \
             AND state = 'pending' AND (follows IS NULL OR leased_until IS NOT NULL) \
             ORDER BY due_at, id LIMIT 1) AS first) AS is_drained",
        )
        .bind(&self.console)
        .fetch_one(&mut self.reader().await?)
        .await?;
        row.holds("is_drained")
    }
}
