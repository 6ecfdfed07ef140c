//! The operator's side: the story of an alert, pruning, size.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    incidents::identity,
    refused_rules,
    sent_again::{forget_sent_again, sent_again_prefix},
    space::close_gaps,
};
use crate::journal::{
    database::{
        dialect::SqlByDialect, locks::EventLocks, row::Row, session::Change, statement::query,
    },
    error::JournalError,
    event::EventId,
    handle::Journal,
    lacking::Lacking,
    operations::{PruneBefore, Pruned},
    refused_rules::LEFT_OUT_FOR,
    story::{Chapter, Story},
};

macro_rules! key_of {
    ($console:literal) => {
        concat!(
            "SELECT key FROM (\
                 SELECT key FROM events WHERE console = $1 AND key IN ($2, $3, 'threat:' || $3) \
                 LIMIT 1) AS by_key \
             UNION ALL SELECT key FROM (\
                 SELECT key FROM events WHERE console = $1 AND received_key IN ($2, $3) \
                 LIMIT 1) AS by_received_key \
             UNION ALL SELECT key FROM events WHERE id = $4 AND ",
            $console,
            " = $1 UNION ALL SELECT key FROM (\
                 SELECT key FROM events WHERE console = $1 AND root_id = $3 LIMIT 1) AS by_root \
             LIMIT 1"
        )
    };
}

/// The key that a name stands for: each way to name it asks an index of its own.
pub(in crate::journal) const KEY_OF: SqlByDialect =
    SqlByDialect { sqlite: key_of!("+console"), postgres: key_of!("console") };

macro_rules! empty {
    ($away:literal, $states:literal, $and:literal) => {
        concat!(
            "UPDATE events SET ",
            $away,
            "body = '', pruned_at = $1, \
             reason = CASE WHEN state = 'dead' THEN COALESCE(reason, '') \
                 || ' (dropped unseen at the end of HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD)' \
                 ELSE reason END, \
             state = CASE WHEN state = 'dead' THEN 'dropped' ELSE state END \
             WHERE id IN (SELECT id FROM events WHERE finished_at < $2 AND pruned_at IS NULL \
                 AND state IN (",
            $states,
            ")",
            $and,
            " ORDER BY finished_at LIMIT $3) AND state IN (",
            $states,
            ")"
        )
    };
}

/// Empties what found its end, of every console; an index of its own holds it. The state is looked at
/// once more in the row that is emptied: on PostgreSQL somebody may just bring a letter of another
/// console back.
///
/// As long as OpenCTI has not taken the whole work of an event, it may have to be sent once more.
pub(in crate::journal) const EMPTY_FINISHED: SqlByDialect = SqlByDialect {
    sqlite: empty!(
        "id = -id, ",
        "'delivered', 'filtered', 'superseded'",
        " AND NOT EXISTS (SELECT 1 FROM work_parts WHERE work_parts.event = events.id)"
    ),
    postgres: empty!(
        "",
        "'delivered', 'filtered', 'superseded'",
        " AND NOT EXISTS (SELECT 1 FROM work_parts WHERE work_parts.event = events.id)"
    ),
};

/// Empties letters, likewise.
pub(in crate::journal) const EMPTY_LETTERS: SqlByDialect = SqlByDialect {
    sqlite: empty!("id = -id, ", "'dead', 'dropped'", ""),
    postgres: empty!("", "'dead', 'dropped'", ""),
};

impl Journal {
    /// Everything about an alert or threat: `name` is an event's id, the id of the alert or threat,
    /// or the STIX id of its incident or case. `None` when the journal does not know it.
    pub async fn story(&self, name: &str) -> Result<Option<Story>, JournalError> {
        let Some(key) = self.key_of(name).await? else {
            return Ok(None);
        };
        let rows = query(
            "SELECT id, generation, version, received_key, key, origin, dialect, state, \
             attempts - attempts_before AS attempts, reason, received_at, due_at, leased_until, finished_at, \
             pruned_at, root_id, follows, lacking, deadline_at, \
             (SELECT CAST(value AS BIGINT) FROM remembered WHERE name = $3 || events.id) \
             AS sent_again \
             FROM events WHERE console = $1 AND key = $2 ORDER BY id",
        )
        .bind(&self.console)
        .bind(&key)
        .bind(sent_again_prefix(&self.console))
        .fetch_all(&mut self.reader().await?)
        .await?;
        let incident =
            query("SELECT name, created_at_us FROM incidents WHERE console = $1 AND key = $2")
                .bind(&self.console)
                .bind(&key)
                .fetch_optional(&mut self.reader().await?)
                .await?;
        let identity = incident.as_ref().map(identity).transpose()?;
        let chapters = rows.iter().map(chapter).collect::<Result<_, _>>()?;
        let refusals = self.refusals_of(&key).await?;
        Ok(Some(Story { key, identity, chapters, refusals }))
    }

    /// Removes a little of what is old enough, in one short commit of at most `rows` rows.
    pub async fn prune(
        &self,
        before: PruneBefore,
        rows: usize,
        now: DateTime<Utc>,
    ) -> Result<Pruned, JournalError> {
        let mut pruned = Pruned::default();
        let mut transaction = self.begin(EventLocks::Both).await?;
        refused_rules::prune(&mut transaction, now - LEFT_OUT_FOR).await?;
        if let Some(time) = before.finished {
            pruned.bodies = self.empty(&mut transaction, EMPTY_FINISHED, time, rows, now).await?;
        }
        if let Some(time) = before.letters {
            pruned.letters = self.empty(&mut transaction, EMPTY_LETTERS, time, rows, now).await?;
        }
        if let Some(time) = before.rows {
            let removed = remove(&mut transaction, time, rows).await?;
            pruned.rows = u64::try_from(removed.len()).unwrap_or(u64::MAX);
            for Removed { event, console, key, .. } in &removed {
                forget_sent_again(&mut transaction, console, *event).await?;
                self.of_console(console).forget_without_events(&mut transaction, key).await?;
            }
            let cases: BTreeSet<_> = removed
                .iter()
                .filter_map(|row| Some((row.console.as_str(), row.threat_key.as_deref()?)))
                .collect();
            for (console, threat_key) in cases {
                let generation = self.of_console(console).generation(&mut transaction).await?;
                forget_case(&mut transaction, console, threat_key, generation).await?;
            }
            pruned.rows += self.forget_old_generations(&mut transaction, rows).await?;
            pruned.rows += self.forget_identities(&mut transaction, time, rows).await?;
            pruned.rows += self.forget_dates_of_indicators(&mut transaction, rows, now).await?;
        }
        transaction.commit().await?;
        self.add_up_counts().await?;
        pruned.pages = self.give_back().await?;
        Ok(pruned)
    }
}

impl Journal {
    /// The key that `name` stands for.
    async fn key_of(&self, name: &str) -> Result<Option<String>, JournalError> {
        let name = name.trim();
        let lower = name.to_lowercase();
        let row = query(self.sql(KEY_OF))
            .bind(&self.console)
            .bind(name)
            .bind(lower)
            .bind(name.parse::<EventId>().unwrap_or(-1))
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.map(|row| row.text("key")).transpose()
    }

    /// Forgets names of incidents long after the rows of their events, which went before `rows_before`;
    /// with that of a case goes which note of it was sent.
    async fn forget_identities(
        &self,
        transaction: &mut Change,
        rows_before: DateTime<Utc>,
        rows: usize,
    ) -> Result<u64, JournalError> {
        let Some(time) = rows_before.checked_sub_signed(IDENTITIES_OUTLIVE) else {
            return Ok(0);
        };
        let forgotten = query(OLD_IDENTITIES)
            .bind(&self.console)
            .bind(time.timestamp_micros())
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .fetch_all(&mut *transaction)
            .await?;
        for row in &forgotten {
            let key = row.str("key")?;
            if let Some(threat_id) = key.strip_prefix("threat:") {
                query("DELETE FROM remembered WHERE name = $1")
                    .bind(self.remembered_name(&format!("note:{threat_id}")))
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        Ok(u64::try_from(forgotten.len()).unwrap_or(u64::MAX))
    }

    /// Removes the bodies of what ended before `time`, as `states` says. A dead letter without its
    /// text can never be tried again, so it is dropped with it.
    async fn empty(
        &self,
        transaction: &mut Change,
        states: SqlByDialect,
        time: DateTime<Utc>,
        rows: usize,
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        let emptied = query(self.sql(states))
            .bind(now.timestamp_millis())
            .bind(time.timestamp_millis())
            .bind(i64::try_from(rows).unwrap_or(i64::MAX))
            .execute(&mut *transaction)
            .await?;
        close_gaps(transaction).await?;
        Ok(emptied)
    }
}

/// Age beyond that of kept rows which an incident has to have for its name to go: what
/// the console still shows until then keeps the incident that it has.
const IDENTITIES_OUTLIVE: TimeDelta = TimeDelta::days(730);

/// Incidents, and cases, raised before a time of which no event is left.
pub(in crate::journal) const OLD_IDENTITIES: &str = "DELETE FROM incidents WHERE (console, key) IN (\
     SELECT i.console, i.key FROM incidents i WHERE i.console = $1 AND i.created_at_us < $2 \
     AND NOT EXISTS (SELECT 1 FROM events e WHERE e.console = $1 AND e.key = i.key) LIMIT $3) \
     RETURNING key";

/// Removes rows whose body was removed before `time`. Those of a threat's alerts go when all of the
/// threat is as old: until then its case refers to them.
pub(in crate::journal) const REMOVING: &str = "DELETE FROM events WHERE id IN (SELECT e.id FROM events e \
     WHERE e.pruned_at < $1 AND e.pruned_at IS NOT NULL AND (e.threat_key IS NULL \
         OR e.root_id IS NULL OR e.root_id NOT LIKE 'incident--%' \
         OR (NOT EXISTS (SELECT 1 FROM events other WHERE other.console = e.console \
                 AND other.threat_key = e.threat_key AND other.pruned_at IS NULL) \
             AND NOT EXISTS (SELECT 1 FROM events other WHERE other.console = e.console \
                 AND other.threat_key = e.threat_key AND other.pruned_at >= $1))) \
     ORDER BY e.pruned_at LIMIT $2) RETURNING console, key, threat_key, id";

/// A row that was removed.
struct Removed {
    event: EventId,
    console: String,
    key: String,
    threat_key: Option<String>,
}

async fn remove(
    transaction: &mut Change,
    time: DateTime<Utc>,
    rows: usize,
) -> Result<Vec<Removed>, JournalError> {
    let removed = query(REMOVING)
        .bind(time.timestamp_millis())
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .fetch_all(transaction)
        .await?;
    let removed = removed.iter().map(|row| {
        Ok(Removed {
            event: row.number("id")?,
            console: row.text("console")?,
            key: row.text("key")?,
            threat_key: row.maybe_text("threat_key")?,
        })
    });
    removed.collect()
}

/// Removes the objects of the case of a threat of which no event is left, whether or not the threat
/// itself ever came.
async fn forget_case(
    transaction: &mut Change,
    console: &str,
    threat_key: &str,
    generation: i64,
) -> Result<(), JournalError> {
    query(
        "DELETE FROM case_objects WHERE console = $1 AND threat_key = $2 \
         AND generation = $3 \
         AND NOT EXISTS (SELECT 1 FROM events WHERE console = $1 AND threat_key = $2)",
    )
    .bind(console)
    .bind(threat_key)
    .bind(generation)
    .execute(transaction)
    .await?;
    Ok(())
}

fn chapter(row: &Row) -> Result<Chapter, JournalError> {
    let received_key = row.text("received_key")?;
    let is_renamed = received_key != row.str("key")?;
    Ok(Chapter {
        id: row.number("id")?,
        generation: row.number("generation")?,
        version: row.text("version")?,
        received_key: is_renamed.then_some(received_key),
        origin: row.text("origin")?,
        dialect: row.maybe_text("dialect")?,
        state: row.text("state")?,
        attempts: row.attempts("attempts")?,
        reason: row.maybe_text("reason")?,
        received_at: row.date("received_at")?,
        due_at: row.date("due_at")?,
        leased_until: row.maybe_date("leased_until")?,
        finished_at: row.maybe_date("finished_at")?,
        pruned_at: row.maybe_date("pruned_at")?,
        root_id: row.maybe_text("root_id")?,
        follows: row.maybe_number("follows")?,
        lacking: row.maybe_text("lacking")?.as_deref().map(Lacking::from_text),
        deadline_at: row.maybe_date("deadline_at")?,
        sent_again: u32::try_from(row.maybe_number("sent_again")?.unwrap_or_default())
            .unwrap_or(u32::MAX),
    })
}
