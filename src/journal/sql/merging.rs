//! Objects that OpenCTI merges: sightings of one indicator in one place, and the
//! objects that the case of a threat refers to. A case that left before one of its alerts leaves once
//! more for what it does not refer to yet.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    alert::{MergedSightings, Sighted},
    journal::{
        database::{dialect::SqlByDialect, locks::EventLocks, session::Change, statement::query},
        error::JournalError,
        event::{CaseObjects, CaseStanding, Claim},
        handle::Journal,
    },
};

/// Time for which a case that is to leave once more waits, so that it does so once for all the alerts of
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

const NOTE: SqlByDialect = SqlByDialect { sqlite: note!("key"), postgres: note!("md5(key)") };

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

const KEEP: SqlByDialect =
    SqlByDialect { sqlite: keep!("threat_key"), postgres: keep!("md5(threat_key)") };

/// Asks whether an alert of a threat is still to be delivered.
pub(in crate::journal) const UNFINISHED_OF_THREAT: &str = "SELECT EXISTS (SELECT 1 FROM events \
     WHERE console = $1 AND threat_key = $2 AND state = 'pending' AND dialect <> 'native-threat' \
     AND follows IS NULL) AS has_unfinished";

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
pub(in crate::journal) const COMPLETE_CASE: SqlByDialect = SqlByDialect {
    sqlite: complete_case!("events version INDEXED BY events_as_identified"),
    postgres: complete_case!("events version"),
};

impl Journal {
    /// Keeps the sighting of the alert `key` in place of an earlier one, and answers what the other
    /// alerts say whose sightings OpenCTI merges with it. Only a false positive is told.
    pub async fn note_sighting(
        &self,
        key: &str,
        sighted: &Sighted,
    ) -> Result<MergedSightings, JournalError> {
        // Most alerts say the same again: reading costs no commit.
        if !self.is_noted(key, sighted).await? {
            query(self.sql(NOTE))
                .bind(&self.console)
                .bind(key)
                .bind(&sighted.indicator_id)
                .bind(&sighted.place_id)
                .bind(sighted.first_seen.timestamp_millis())
                .bind(sighted.last_seen.timestamp_millis())
                .bind(sighted.is_false_positive)
                .execute(&mut self.writer().await?)
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

    /// Returns whether the sighting of `key` is there just so.
    async fn is_noted(&self, key: &str, sighted: &Sighted) -> Result<bool, JournalError> {
        let row = query(
            "SELECT EXISTS (SELECT 1 FROM sightings WHERE console = $1 AND key = $2 \
             AND indicator_id = $3 AND place_id = $4 AND first_seen_at = $5 AND last_seen_at = $6 \
             AND is_false_positive = $7) AS is_noted",
        )
        .bind(&self.console)
        .bind(key)
        .bind(&sighted.indicator_id)
        .bind(&sighted.place_id)
        .bind(sighted.first_seen.timestamp_millis())
        .bind(sighted.last_seen.timestamp_millis())
        .bind(sighted.is_false_positive)
        .fetch_one(&mut self.reader().await?)
        .await?;
        row.holds("is_noted")
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
        .fetch_all(&mut self.reader().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Sighted {
                    first_seen: row.date("first_seen_at")?,
                    last_seen: row.date("last_seen_at")?,
                    is_false_positive: row.flag("is_false_positive")?,
                    ..sighted.clone()
                })
            })
            .collect()
    }

    /// An event that turned out to be another alert has no sighting of its own any more.
    pub(super) async fn forget_sighting(
        &self,
        transaction: &mut Change,
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
        transaction: &mut Change,
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
        transaction: &mut Change,
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

    /// Keeps objects that cases of threats refer to; one that was sent stays sent. Forgets those that were
    /// left out.
    pub async fn keep_case_objects(&self, kept: &[CaseObjects]) -> Result<(), JournalError> {
        let mut transaction = self.begin(EventLocks::Departures).await?;
        let generation = self.generation(&mut transaction).await?;
        for CaseObjects { threat_key, object_ids, standing } in kept {
            for object_id in object_ids {
                let (words, is_sent) = match standing {
                    CaseStanding::LeftOut => (FORGET, None),
                    CaseStanding::Waiting => (self.sql(KEEP), Some(false)),
                    CaseStanding::Sent => (self.sql(KEEP), Some(true)),
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

    /// STIX ids of what the case of a threat is still to refer to, incidents first: the delivered
    /// incidents of its alerts and the objects that were kept for it, without those that were sent
    /// since the last reset.
    pub async fn new_case_objects(&self, threat_key: &str) -> Result<Vec<String>, JournalError> {
        let mut transaction = self.begin(EventLocks::None).await?;
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
        rows.iter().map(|row| row.text("object_id")).collect()
    }

    /// Returns whether alerts of a threat are still on their way.
    pub async fn has_unfinished_alerts(&self, threat_key: &str) -> Result<bool, JournalError> {
        let row = query(UNFINISHED_OF_THREAT)
            .bind(&self.console)
            .bind(threat_key)
            .fetch_one(&mut self.reader().await?)
            .await?;
        row.holds("has_unfinished")
    }

    /// Puts the case of a threat back when the delivery of an alert, or of the case itself, leaves
    /// objects that it does not refer to: its newest delivered version leaves once more. One that
    /// is on its way takes them along, or comes here itself when it is delivered.
    pub(super) async fn complete_case(
        &self,
        transaction: &mut Change,
        delivered: Claim,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let generation = self.generation(transaction).await?;
        query(self.sql(COMPLETE_CASE))
            .bind((now + GATHER_FOR_CASE).timestamp_millis())
            .bind(delivered.event)
            .bind(generation)
            .execute(transaction)
            .await?;
        Ok(())
    }

    /// Makes the try that is under way count as none: waiting for another event uses up no tries.
    /// The claim stays as it is, and is finished as any other. A lost one is left alone.
    pub async fn refund_attempt(&self, claim: Claim) -> Result<(), JournalError> {
        query(
            "UPDATE events SET attempts_before = attempts_before + 1 \
             WHERE id = $1 AND attempts = $2 AND state = 'pending'",
        )
        .bind(claim.event)
        .bind(claim.fence)
        .execute(&mut self.writer().await?)
        .await?;
        Ok(())
    }
}
