//! The event history of an alert or threat.

use super::{identities::identity, requeue::times_requeued_prefix};
use crate::journal::{
    database::{dialect::SqlByDialect, row::Row, statement::query},
    error::JournalError,
    event::EventId,
    event_history::{EventHistory, HistoryEntry},
    handle::Journal,
    missing_enrichment::MissingEnrichment,
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

impl Journal {
    /// Everything about an alert or threat: `name` is an event's id, the id of the alert or threat,
    /// or the STIX id of its incident or case. `None` when the journal does not know it.
    pub async fn event_history(&self, name: &str) -> Result<Option<EventHistory>, JournalError> {
        let Some(key) = self.key_of(name).await? else {
            return Ok(None);
        };
        let rows = query(
            "SELECT id, generation, version, received_key, key, origin, dialect, state, \
             attempts - attempts_before AS attempts, reason, received_at, due_at, leased_until, \
             finished_at, pruned_at, root_id, follows, lacking, deadline_at, \
             (SELECT CAST(value AS BIGINT) FROM remembered WHERE name = $3 || events.id) \
             AS sent_again \
             FROM events WHERE console = $1 AND key = $2 ORDER BY id",
        )
        .bind(&self.console)
        .bind(&key)
        .bind(times_requeued_prefix(&self.console))
        .fetch_all(&mut self.reader().await?)
        .await?;
        let incident =
            query("SELECT name, created_at_us FROM incidents WHERE console = $1 AND key = $2")
                .bind(&self.console)
                .bind(&key)
                .fetch_optional(&mut self.reader().await?)
                .await?;
        let identity = incident.as_ref().map(identity).transpose()?;
        let entries = rows.iter().map(entry).collect::<Result<_, _>>()?;
        let refusals = self.refusals_of(&key).await?;
        Ok(Some(EventHistory { key, identity, entries, refusals }))
    }

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
}

fn entry(row: &Row) -> Result<HistoryEntry, JournalError> {
    let received_key = row.text("received_key")?;
    let is_renamed = received_key != row.str("key")?;
    Ok(HistoryEntry {
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
        missing: row.maybe_text("lacking")?.as_deref().map(MissingEnrichment::from_text),
        deadline_at: row.maybe_date("deadline_at")?,
        times_requeued: u32::try_from(row.maybe_number("sent_again")?.unwrap_or_default())
            .unwrap_or(u32::MAX),
    })
}
