//! What OpenCTI merges: sightings of one indicator in one place, and the
//! objects that the case of a threat refers to. A case that left before one of its alerts leaves once
//! more for what it does not refer to yet.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    SqlJournal, date,
    statement::{Columns as _, query},
    store::{Change as _, Order, Store, Words},
};
use crate::{
    alert::{MergedSightings, Sighted},
    journal::{CaseObjects, CaseStanding, Claim, JournalError},
};

/// How long a case that is to leave once more waits, so that it does so once for all the alerts of
/// some seconds.
const GATHER_FOR_CASE: TimeDelta = TimeDelta::seconds(10);

macro_rules! note {
    ($key:literal) => {
        concat!(
            "INSERT INTO sightings (console, key, indicator_id, place_id, first_seen_at, \
             last_seen_at, is_false_positive) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (console, ",
            $key,
            ") DO UPDATE SET indicator_id = $3, place_id = $4, first_seen_at = $5, \
             last_seen_at = $6, is_false_positive = $7"
        )
    };
}

const NOTE: Words = Words { sqlite: note!("key"), postgres: note!("md5(key)") };

macro_rules! keep {
    ($threat_key:literal) => {
        concat!(
            "INSERT INTO case_objects (console, generation, threat_key, object_id, is_sent) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (console, generation, ",
            $threat_key,
            ", object_id) DO UPDATE SET is_sent = 1 WHERE excluded.is_sent = 1"
        )
    };
}

const KEEP: Words = Words { sqlite: keep!("threat_key"), postgres: keep!("md5(threat_key)") };

const FORGET: &str = "DELETE FROM case_objects \
     WHERE console = $1 AND generation = $2 AND threat_key = $3 AND object_id = $4";

macro_rules! complete_case {
    ($versions:literal) => {
        concat!(
            "UPDATE events SET state = 'pending', attempts = attempts + 1, \
             attempts_before = attempts + 1, due_at = $1, \
             finished_at = NULL, leased_until = NULL, \
             reason = 'leaves once more: alerts of the threat were delivered after it' \
             WHERE id = (SELECT MAX(version.id) FROM events of_threat JOIN ",
            $versions,
            " ON version.console = of_threat.console \
                 AND version.key = 'threat:' || of_threat.threat_key \
                 WHERE of_threat.id = $2 AND version.state = 'delivered' \
                 AND version.dialect = 'native-threat' AND version.generation = $3 \
                 AND version.pruned_at IS NULL \
                 AND EXISTS (SELECT 1 FROM case_objects waiting \
                     WHERE waiting.console = of_threat.console AND waiting.generation = $3 \
                     AND waiting.threat_key = of_threat.threat_key AND waiting.is_sent = 0) \
                 AND NOT EXISTS (SELECT 1 FROM events other \
                     WHERE other.console = version.console AND other.key = version.key \
                     AND other.state = 'pending'))"
        )
    };
}

/// Lets the newest delivered version of a case leave once more. SQLite is told the index: by itself it
/// reads every delivered event of the journal for each one that is delivered.
pub(in crate::journal) const COMPLETE_CASE: Words = Words {
    sqlite: complete_case!("events version INDEXED BY events_as_identified"),
    postgres: complete_case!("events version"),
};

impl<S: Store> SqlJournal<S> {
    pub(super) async fn note_sighting_of(
        &self,
        key: &str,
        sighted: &Sighted,
    ) -> Result<MergedSightings, JournalError> {
        // Most alerts say the same again: reading costs no commit.
        if !self.is_noted(key, sighted).await? {
            query(S::say(NOTE))
                .bind(&self.console)
                .bind(key)
                .bind(&sighted.indicator_id)
                .bind(&sighted.place_id)
                .bind(sighted.first_seen.timestamp_millis())
                .bind(sighted.last_seen.timestamp_millis())
                .bind(sighted.is_false_positive)
                .execute(&mut self.store.writer())
                .await?;
        }
        // Only a false positive asks what the others say, after it is noted itself: of two that ask
        // at once, the later knows of the earlier.
        let others = if sighted.is_false_positive {
            self.other_sightings(key, sighted).await?
        } else {
            Vec::new()
        };
        Ok(MergedSightings::of(sighted, others))
    }

    /// Whether the sighting of `key` is there just so.
    async fn is_noted(&self, key: &str, sighted: &Sighted) -> Result<bool, JournalError> {
        let row = query(
            "SELECT EXISTS (SELECT 1 FROM sightings WHERE console = $1 AND key = $2 \
             AND indicator_id = $3 AND place_id = $4 AND first_seen_at = $5 AND last_seen_at = $6 \
             AND is_false_positive = $7)",
        )
        .bind(&self.console)
        .bind(key)
        .bind(&sighted.indicator_id)
        .bind(&sighted.place_id)
        .bind(sighted.first_seen.timestamp_millis())
        .bind(sighted.last_seen.timestamp_millis())
        .bind(sighted.is_false_positive)
        .fetch_one(&mut self.store.readers())
        .await?;
        row.try_get(0)
    }

    async fn other_sightings(
        &self,
        key: &str,
        sighted: &Sighted,
    ) -> Result<Vec<Sighted>, JournalError> {
        let rows = query(
            "SELECT first_seen_at, last_seen_at, is_false_positive FROM sightings \
             WHERE console = $1 AND indicator_id = $2 AND place_id = $3 AND key <> $4",
        )
        .bind(&self.console)
        .bind(&sighted.indicator_id)
        .bind(&sighted.place_id)
        .bind(key)
        .fetch_all(&mut self.store.readers())
        .await?;
        let moment =
            |milliseconds: i64| -> Result<DateTime<Utc>, JournalError> { date(milliseconds) };
        rows.iter()
            .map(|row| {
                Ok(Sighted {
                    first_seen: moment(row.try_get(0)?)?,
                    last_seen: moment(row.try_get(1)?)?,
                    is_false_positive: row.flag(2)?,
                    ..sighted.clone()
                })
            })
            .collect()
    }

    /// An event that turned out to be another alert has no sighting of its own any more.
    pub(super) async fn forget_sighting(
        &self,
        transaction: &mut S::Change,
        key: &str,
    ) -> Result<(), JournalError> {
        query("DELETE FROM sightings WHERE console = $1 AND key = $2")
            .bind(&self.console)
            .bind(key)
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Removes the sighting of an alert, and the objects of a threat's case, of which no event is
    /// left. Should either come again, it is as one seen for the first time.
    pub(super) async fn forget_without_events(
        &self,
        transaction: &mut S::Change,
        key: &str,
    ) -> Result<(), JournalError> {
        query(
            "DELETE FROM sightings WHERE console = $1 AND key = $2 \
             AND NOT EXISTS (SELECT 1 FROM events WHERE console = $1 AND key = $2)",
        )
        .bind(&self.console)
        .bind(key)
        .execute(transaction)
        .await?;
        let Some(threat_key) = key.strip_prefix("threat:") else {
            return Ok(());
        };
        query(
            "DELETE FROM case_objects WHERE console = $1 AND generation = $2 AND threat_key = $3 \
             AND NOT EXISTS (SELECT 1 FROM events WHERE console = $1 AND key = $4)",
        )
        .bind(&self.console)
        .bind(self.generation(transaction).await?)
        .bind(threat_key)
        .bind(key)
        .execute(transaction)
        .await?;
        Ok(())
    }

    /// Removes some objects of cases of earlier import generations, which nothing asks for any more.
    pub(super) async fn forget_old_generations(
        &self,
        transaction: &mut S::Change,
        rows: usize,
    ) -> Result<u64, JournalError> {
        let removed = query(
            "DELETE FROM case_objects WHERE (console, generation, threat_key, object_id) IN (\
                 SELECT console, generation, threat_key, object_id FROM case_objects \
                 WHERE console = $1 AND generation < $2 LIMIT $3)",
        )
        .bind(&self.console)
        .bind(self.generation(transaction).await?)
        .bind(i64::try_from(rows).unwrap_or(i64::MAX))
        .execute(transaction)
        .await?;
        Ok(removed)
    }

    pub(super) async fn keep_objects_of_cases(
        &self,
        kept: &[CaseObjects],
    ) -> Result<(), JournalError> {
        let mut transaction = self.begin(Order::Departures).await?;
        let generation = self.generation(&mut transaction).await?;
        for CaseObjects { threat_key, object_ids, standing } in kept {
            for object_id in object_ids {
                let (words, is_sent) = match standing {
                    CaseStanding::LeftOut => (FORGET, None),
                    CaseStanding::Waiting => (S::say(KEEP), Some(false)),
                    CaseStanding::Sent => (S::say(KEEP), Some(true)),
                };
                let statement = query(words).bind(&self.console).bind(generation);
                let statement = statement.bind(threat_key).bind(object_id);
                let statement = match is_sent {
                    None => statement,
                    Some(is_sent) => statement.bind(is_sent),
                };
                statement.execute(&mut transaction).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn new_objects_of_case(
        &self,
        threat_key: &str,
    ) -> Result<Vec<String>, JournalError> {
        let mut transaction = self.begin(Order::None).await?;
        let generation = self.generation(&mut transaction).await?;
        let rows = query(
            "SELECT object_id FROM (\
                 SELECT root_id AS object_id FROM events WHERE console = $1 AND threat_key = $2 \
                 AND state = 'delivered' AND root_id LIKE 'incident--%' \
                 UNION SELECT object_id FROM case_objects \
                 WHERE console = $1 AND generation = $3 AND threat_key = $2\
             ) AS of_case WHERE object_id NOT IN (\
                 SELECT object_id FROM case_objects WHERE console = $1 AND generation = $3 \
                 AND threat_key = $2 AND is_sent = 1\
             ) ORDER BY object_id NOT LIKE 'incident--%', object_id",
        )
        .bind(&self.console)
        .bind(threat_key)
        .bind(generation)
        .fetch_all(&mut transaction)
        .await?;
        transaction.commit().await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// Puts the case of a threat back when the delivery of an alert, or of the case itself, leaves
    /// objects that it does not refer to: its newest delivered version leaves once more. One that
    /// is on its way takes them along, or comes here itself when it is delivered.
    pub(super) async fn complete_case(
        &self,
        transaction: &mut S::Change,
        delivered: Claim,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let generation = self.generation(transaction).await?;
        query(S::say(COMPLETE_CASE))
            .bind((now + GATHER_FOR_CASE).timestamp_millis())
            .bind(delivered.event)
            .bind(generation)
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Makes the try that is under way count as none.
    pub(super) async fn take_back_try(&self, claim: Claim) -> Result<(), JournalError> {
        query(
            "UPDATE events SET attempts_before = attempts_before + 1 \
             WHERE id = $1 AND attempts = $2 AND state = 'pending'",
        )
        .bind(claim.event)
        .bind(claim.fence)
        .execute(&mut self.store.writer())
        .await?;
        Ok(())
    }
}
