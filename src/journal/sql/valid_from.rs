//! From when on indicators are valid, over all consoles: one rule is one indicator.

use chrono::{DateTime, Utc};

use super::{
    SqlJournal, date,
    statement::{Columns as _, query},
    store::{Store, Words},
};
use crate::{alert::SeenIndicator, journal::JournalError};

macro_rules! move_forward {
    ($name:literal) => {
        concat!(
            "INSERT INTO remembered (name, value) VALUES ($1, $2) ON CONFLICT (",
            $name,
            ") DO UPDATE SET value = \
             CASE WHEN CAST(remembered.value AS BIGINT) + $3 <= CAST($2 AS BIGINT) THEN $2 \
             ELSE remembered.value END RETURNING CAST(value AS BIGINT)"
        )
    };
}

/// Of replicas that move it at once the first one does.
const MOVE_FORWARD: Words =
    Words { sqlite: move_forward!("name"), postgres: move_forward!("md5(name)") };

impl<S: Store> SqlJournal<S> {
    pub(super) async fn valid_from_of(
        &self,
        seen: &SeenIndicator,
    ) -> Result<DateTime<Utc>, JournalError> {
        let name = format!("#valid_from:{}", seen.id);
        let row = query("SELECT CAST(value AS BIGINT) FROM remembered WHERE name = $1")
            .bind(&name)
            .fetch_optional(&mut self.store.readers())
            .await?;
        let held = row.map(|row| date(row.try_get(0)?)).transpose()?;
        if let Some(held) = held.filter(|held| !seen.moves(*held)) {
            return Ok(held);
        }
        let moved = query(S::say(MOVE_FORWARD))
            .bind(name)
            .bind(seen.seen_at.timestamp_millis().to_string())
            .bind(seen.moves_after.num_milliseconds())
            .fetch_one(&mut self.store.writer())
            .await?;
        date(moved.try_get(0)?)
    }
}
