//! What leaves once more because OpenCTI refused something of it after it was delivered: how often that
//! was, and when it leaves next.
//!
//! Counted among the remembered values, under the event's id, until the event's row is removed.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    SqlJournal,
    journal::REMEMBER,
    statement::{Columns as _, query},
    store::{Change as _, Order, Session, Store, Words},
};
use crate::journal::{EventId, JournalError, SentAgain};

/// The newest delivered version of the alert or threat of an event, whose text is still there, and
/// whether another one is on its way.
const NEWEST: &str = "SELECT version.id, version.key, \
     EXISTS (SELECT 1 FROM events other WHERE other.console = version.console \
         AND other.key = version.key AND other.state = 'pending' AND other.follows IS NULL) \
     FROM events about JOIN events version \
     ON version.console = about.console AND version.key = about.key \
     WHERE about.id = $1 AND about.console = $2 AND version.generation = $3 \
     AND version.state = 'delivered' AND version.follows IS NULL AND version.is_version = 1 \
     AND version.pruned_at IS NULL ORDER BY version.id DESC LIMIT 1";

macro_rules! sent_again {
    ($events:literal) => {
        concat!(
            "SELECT k.value FROM ",
            $events,
            " WHERE EXISTS (SELECT 1 FROM remembered WHERE name = $2 || k.value)"
        )
    };
}

/// Which of some events were sent again.
const SENT_AGAIN: Words = Words {
    sqlite: sent_again!("json_each($1) k"),
    postgres: sent_again!(
        "(SELECT value::bigint FROM json_array_elements_text($1::json)) AS k(value)"
    ),
};

impl<S: Store> SqlJournal<S> {
    pub(super) async fn let_leave_again(
        &self,
        event: EventId,
        reason: &str,
        waits: &[TimeDelta],
        now: DateTime<Utc>,
    ) -> Result<SentAgain, JournalError> {
        let mut transaction = self.begin(Order::Departures).await?;
        let generation = self.generation(&mut transaction).await?;
        let newest = query(NEWEST)
            .bind(event)
            .bind(&self.console)
            .bind(generation)
            .fetch_optional(&mut transaction)
            .await?;
        let Some(newest) = newest else {
            return Ok(SentAgain::NotThere);
        };
        let (id, key, is_on_its_way): (EventId, String, bool) =
            (newest.try_get(0)?, newest.try_get(1)?, newest.try_get(2)?);
        if is_on_its_way {
            return Ok(SentAgain::OnItsWay);
        }
        let times = self.times_sent_again(&mut transaction, id).await?;
        let Some(wait) = waits.get(times) else {
            return Ok(SentAgain::GaveUp);
        };
        query(
            "UPDATE events SET state = 'pending', attempts_before = attempts, due_at = $1, \
             finished_at = NULL, leased_until = NULL, reason = $2 WHERE id = $3",
        )
        .bind((now + *wait).timestamp_millis())
        .bind(format!("leaves once more ({} of {}): {reason}", times + 1, waits.len()))
        .bind(id)
        .execute(&mut transaction)
        .await?;
        query(S::say(REMEMBER))
            .bind(sent_again_name(&self.console, id))
            .bind((times + 1).to_string())
            .execute(&mut transaction)
            .await?;
        self.let_case_refer_again(&mut transaction, &key, generation).await?;
        transaction.commit().await?;
        Ok(SentAgain::Pending)
    }

    /// What the case of a threat referred to, it refers to once more.
    async fn let_case_refer_again(
        &self,
        transaction: &mut S::Change,
        key: &str,
        generation: i64,
    ) -> Result<(), JournalError> {
        let Some(threat_key) = key.strip_prefix("threat:") else {
            return Ok(());
        };
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

    async fn times_sent_again(
        &self,
        transaction: &mut S::Change,
        event: EventId,
    ) -> Result<usize, JournalError> {
        let row = query("SELECT CAST(value AS BIGINT) FROM remembered WHERE name = $1")
            .bind(sent_again_name(&self.console, event))
            .fetch_optional(transaction)
            .await?;
        let times: i64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        Ok(usize::try_from(times).unwrap_or_default())
    }

    pub(super) async fn those_sent_again(
        &self,
        events: &[EventId],
    ) -> Result<HashSet<EventId>, JournalError> {
        if events.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = query(S::say(SENT_AGAIN))
            .bind(serde_json::json!(events).to_string())
            .bind(sent_again_prefix(&self.console))
            .fetch_all(&mut self.store.readers())
            .await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

/// A row that was removed is counted no more.
pub(super) async fn forget_sent_again(
    transaction: &mut impl Session,
    console: &str,
    event: EventId,
) -> Result<(), JournalError> {
    query("DELETE FROM remembered WHERE name = $1")
        .bind(sent_again_name(console, event))
        .execute(transaction)
        .await?;
    Ok(())
}

/// What the names of these values begin with; the event's id follows.
pub(super) fn sent_again_prefix(console: &str) -> String {
    format!("{console}#sent_again:")
}

fn sent_again_name(console: &str, event: EventId) -> String {
    format!("{}{event}", sent_again_prefix(console))
}
