//! Removes what is old enough.
//!
//! Does not live here: what goes early when space runs short (`space`).

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{refused_rules, requeue::forget_times_requeued, space::close_gaps};
use crate::journal::{
    database::{dialect::SqlByDialect, locks::EventLocks, session::Change, statement::query},
    error::JournalError,
    event::EventId,
    handle::Journal,
    pruning::{PruneBefore, Pruned},
    refused_rules::LEFT_OUT_FOR,
};

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
                forget_times_requeued(&mut transaction, console, *event).await?;
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
