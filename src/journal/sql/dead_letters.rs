//! Dead letters: found, tried again, dropped.

use chrono::{DateTime, Utc};
use serde_json::json;
use tracing::warn;

use super::{
    space::close_gaps,
    versions::{Standing, dated},
};
use crate::{
    alert::element::MaxValues,
    intake::{
        Notification, Origin,
        decode::{Element, decode},
        dialect::{Dialect, Recognised},
        envelope,
        verification::Proof,
    },
    journal::{
        database::{
            dialect::SqlByDialect,
            locks::EventLocks,
            row::Row,
            session::Change,
            statement::{Statement, query},
        },
        dead_letters::{DeadLetter, DeadLetterFilter, DeadLetterGroup, Retried},
        error::JournalError,
        event::EventId,
        handle::Journal,
    },
};

/// Reason of a version that was overtaken.
const OVERTAKEN: &str = "asked for again, but a newer version was delivered meanwhile";
/// Reason of a version that another row holds.
const KNOWN: &str = "asked for again, but the same version came by another road";

macro_rules! dropping {
    ($away:literal, $state:literal, $one_of:literal) => {
        concat!(
            "UPDATE events SET ",
            $away,
            "state = 'dropped', finished_at = $1, body = '', pruned_at = $1 WHERE ",
            $state,
            " = 'dead' AND console = $2 AND id IN ",
            $one_of
        )
    };
}

/// Finds the rows by their ids: SQLite would walk over all dead letters.
const DROPPING: SqlByDialect = SqlByDialect {
    sqlite: dropping!("id = -id, ", "+state", "(SELECT value FROM json_each($3))"),
    postgres: dropping!(
        "",
        "state",
        "(SELECT value::bigint FROM json_array_elements_text($3::json))"
    ),
};

/// Narrows a search to these ids: before and after their JSON.
const ONE_OF: [SqlByDialect; 2] = [
    SqlByDialect {
        sqlite: " AND id IN (SELECT value FROM json_each(",
        postgres: " AND id IN (SELECT value::bigint FROM json_array_elements_text(",
    },
    SqlByDialect { sqlite: "))", postgres: "::json))" },
];

impl Journal {
    /// Letters after event `after`, in the order of their ids, at most `limit`.
    pub async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: EventId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, JournalError> {
        let mut query = query(
            "SELECT id, key, version, origin, dialect, title, received_at, finished_at, \
             attempts - attempts_before AS attempts, reason, \
             CAST(OCTET_LENGTH(body) AS BIGINT) AS bytes FROM events \
             WHERE id IN (SELECT id FROM events WHERE console = ",
        );
        // The ids first: an index holds those of all letters, and only the texts of a page are looked at.
        self.push_filter(&mut query, filter);
        query.push(" AND id > ").push_bind(after);
        query.push(" ORDER BY id LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        query.push(") ORDER BY id");
        let rows = query.fetch_all(&mut self.reader().await?).await?;
        rows.iter().map(letter).collect()
    }

    /// At most `limit` groups of letters with equal reasons, the largest first.
    pub async fn dead_letter_groups(
        &self,
        filter: &DeadLetterFilter,
        limit: usize,
    ) -> Result<Vec<DeadLetterGroup>, JournalError> {
        let mut query = query(
            "SELECT reason, COUNT(*) AS letters, MAX(finished_at) AS newest_at, MAX(id) AS example FROM events \
             WHERE state IN ('dead', 'dropped') AND console = ",
        );
        self.push_filter(&mut query, filter);
        query.push(" GROUP BY reason ORDER BY COUNT(*) DESC, MAX(id) LIMIT ");
        query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&mut self.reader().await?).await?;
        let groups = rows.iter().map(|row| {
            Ok(DeadLetterGroup {
                reason: row.maybe_text("reason")?.unwrap_or_default(),
                letters: row.count("letters")?,
                newest_at: row.maybe_date("newest_at")?.unwrap_or_default(),
                example: row.number("example")?,
            })
        });
        groups.collect()
    }

    /// Adds the console and the rest of the filter behind `console = `.
    fn push_filter(&self, query: &mut Statement, filter: &DeadLetterFilter) {
        query.push_bind(&self.console).push(" AND state = ").push_bind(filter.kind.state());
        if !filter.ids.is_empty() {
            let [before, after] = ONE_OF.map(|part| self.sql(part));
            query.push(before).push_bind(json!(filter.ids).to_string()).push(after);
        }
        if let Some(reason) = &filter.reason {
            query.push(" AND LOWER(reason) LIKE LOWER(").push_bind(containing(reason));
            query.push(") ESCAPE '!'");
        }
        if let Some(like) = filter.like {
            query.push(" AND reason = (SELECT reason FROM events WHERE id = ").push_bind(like);
            query.push(")");
        }
        if let Some(before) = filter.ended_before {
            query.push(" AND finished_at < ").push_bind(before.timestamp_millis());
        }
        if let Some(origin) = filter.origin {
            query.push(" AND origin = ").push_bind(origin.as_str());
        }
    }

    /// The text of an event as it was received; `None` when there is no such event or its text was
    /// pruned.
    pub async fn text(&self, event: EventId) -> Result<Option<String>, JournalError> {
        let row =
            query("SELECT body FROM events WHERE id = $1 AND console = $2 AND pruned_at IS NULL")
                .bind(event)
                .bind(&self.console)
                .fetch_optional(&mut self.reader().await?)
                .await?;
        row.map(|row| row.text("body")).transpose()
    }

    /// Lets letters enter the pipeline again, as if they had just come in. Answers what became of
    /// each, in the same order.
    pub async fn retry(
        &self,
        letters: &[EventId],
        now: DateTime<Utc>,
    ) -> Result<Vec<Retried>, JournalError> {
        let mut transaction = self.begin(EventLocks::Both).await?;
        let mut became = Vec::with_capacity(letters.len());
        for id in letters {
            became.push(self.retry_one(&mut transaction, *id, now).await?);
        }
        transaction.commit().await?;
        Ok(became)
    }

    async fn retry_one(
        &self,
        transaction: &mut Change,
        id: EventId,
        now: DateTime<Utc>,
    ) -> Result<Retried, JournalError> {
        let row = query(
            "SELECT dialect, body, received_at, origin FROM events WHERE id = $1 AND console = $2 \
             AND state IN ('dead', 'dropped') AND pruned_at IS NULL",
        )
        .bind(id)
        .bind(&self.console)
        .fetch_optional(transaction)
        .await?;
        let Some(row) = row else {
            return Ok(Retried::NotThere);
        };
        if row.maybe_text("dialect")?.is_none() {
            let Some((dialect, read)) = read_again(row.str("body")?, row.date("received_at")?)
            else {
                return Ok(Retried::StillUnreadable);
            };
            // Its road decides what a text without a date undoes, as when it came.
            let origin = row.str("origin")?.parse().unwrap_or(Origin::Push);
            if let Some(reason) = self.name(transaction, id, dialect, &read, origin).await? {
                self.supersede(transaction, id, reason, now).await?;
                return Ok(Retried::Superseded);
            }
        }
        if self.was_overtaken(transaction, id).await? {
            self.supersede(transaction, id, OVERTAKEN, now).await?;
            return Ok(Retried::Superseded);
        }
        query(
            "UPDATE events SET state = 'pending', attempts = attempts + 1, \
             attempts_before = attempts + 1, due_at = $1, \
             finished_at = NULL, leased_until = NULL, gave_up_at = NULL, \
             reason = 'asked for again by a person; it had ended because: ' \
                 || COALESCE(reason, 'no reason') WHERE id = $2",
        )
        .bind(now.timestamp_millis())
        .bind(id)
        .execute(transaction)
        .await?;
        Ok(Retried::Pending)
    }

    /// Returns whether a version of the same alert that arrived later has been delivered.
    async fn was_overtaken(
        &self,
        transaction: &mut Change,
        id: EventId,
    ) -> Result<bool, JournalError> {
        let row = query(
            "SELECT EXISTS (SELECT 1 FROM events letter JOIN events newer \
             ON newer.console = letter.console AND newer.key = letter.key \
             AND newer.state = 'delivered' \
             AND COALESCE(newer.follows, newer.id) > COALESCE(letter.follows, letter.id) \
             WHERE letter.id = $1) AS was_overtaken",
        )
        .bind(id)
        .fetch_one(transaction)
        .await?;
        row.holds("was_overtaken")
    }

    /// Gives a letter that could not be read the name that it has by now, and its standing like any
    /// arrival; else answers why it is not to leave.
    async fn name(
        &self,
        transaction: &mut Change,
        id: EventId,
        dialect: Dialect,
        read: &Notification,
        origin: Origin,
    ) -> Result<Option<&'static str>, JournalError> {
        let generation = self.generation(transaction).await?;
        let keys = std::iter::once(read.key());
        let others = self.versions_of(transaction, keys, generation).await?.without(id);
        let standing = others.standing(read.key(), read.version(), dated(read), origin);
        let (recurrence, updated_at) = match standing {
            Standing::Latest { recurrence, updated_at, .. } => (recurrence, updated_at),
            Standing::Overtaken { .. } => return Ok(Some(OVERTAKEN)),
            Standing::Repetition { .. } => return Ok(Some(KNOWN)),
        };
        let named = query(
            "UPDATE events SET dialect = $1, key = $2, version = $3, happened_at = $4, \
             agent_id = $5, title = $6, threat_key = $7, recurrence = $9, updated_at = $10, \
             shape = NULL, body = $11 \
             WHERE id = $8 AND NOT EXISTS (SELECT 1 FROM events other \
                 WHERE other.console = events.console AND other.key = $2 \
                 AND other.version = $3 AND other.recurrence = $9 \
                 AND other.generation = events.generation AND other.id <> $8)",
        )
        .bind(dialect.as_str())
        .bind(read.key())
        .bind(read.version())
        .bind(read.happened_at().timestamp_millis())
        .bind(read.agent_id())
        .bind(read.title())
        .bind(read.threat_key())
        .bind(id)
        .bind(recurrence)
        .bind(updated_at)
        .bind(read.body().as_ref())
        .execute(transaction)
        .await?;
        Ok((named == 0).then_some(KNOWN))
    }

    async fn supersede(
        &self,
        transaction: &mut Change,
        id: EventId,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        query(
            "UPDATE events SET state = 'superseded', reason = $1, finished_at = $2 WHERE id = $3",
        )
        .bind(reason)
        .bind(now.timestamp_millis())
        .bind(id)
        .execute(transaction)
        .await?;
        Ok(())
    }

    /// Drops dead letters: their texts are removed at once, and the same version, when it comes again,
    /// is a duplicate. Answers how many there were.
    pub async fn discard(
        &self,
        letters: &[EventId],
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        let mut transaction = self.begin(EventLocks::Both).await?;
        let dropped = query(self.sql(DROPPING))
            .bind(now.timestamp_millis())
            .bind(&self.console)
            .bind(json!(letters).to_string())
            .execute(&mut transaction)
            .await?;
        close_gaps(&mut transaction).await?;
        transaction.commit().await?;
        if let Err(failure) = self.give_back().await {
            // They are dropped, and whoever prunes gives it back later.
            warn!(%failure, "the disk of dropped letters is not given back yet");
        }
        Ok(dropped)
    }
}

/// A pattern for what contains `text` as it stands.
fn containing(text: &str) -> String {
    let text = text.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{text}%")
}

/// Reads a text that no earlier version could read.
fn read_again(text: &str, received_at: DateTime<Utc>) -> Option<(Dialect, Notification)> {
    let element = decode(text, 1).ok()?.into_iter().next()?;
    let Element::Json { raw } = element else {
        return None;
    };
    let read = envelope::read(raw, MaxValues::LARGEST).ok()?;
    let Recognised::Notification(dialect) = read.recognised else {
        return None;
    };
    // Only what the text says is taken from it: the row keeps the road that it came by.
    let proof = Proof::answered_by_console(received_at);
    Some((dialect, Notification::of_dialect(&proof, dialect, &read.value, read.text)))
}

fn letter(row: &Row) -> Result<DeadLetter, JournalError> {
    let received_at = row.date("received_at")?;
    Ok(DeadLetter {
        id: row.number("id")?,
        key: row.text("key")?,
        version: row.text("version")?,
        origin: row.text("origin")?,
        dialect: row.maybe_text("dialect")?,
        title: row.maybe_text("title")?,
        received_at,
        ended_at: row.maybe_date("finished_at")?.unwrap_or(received_at),
        attempts: row.attempts("attempts")?,
        reason: row.maybe_text("reason")?.unwrap_or_default(),
        size_bytes: row.count("bytes")?,
    })
}
