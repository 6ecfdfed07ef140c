//! The road of every event, on either database.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    SqlJournal,
    statement::{Columns as _, query},
    store::{Change as _, Dialect, Order, Store, Words},
    versions::Standing,
};
use crate::{
    alert::{IncidentIdentity, MergedSightings, SeenIndicator, Sighted},
    clock::Clock,
    intake::{Notification, Place, Receipt},
    journal::{
        Adoption, AlertName, CaseObjects, Claim, Counts, Event, Journal, JournalError, Outcome,
        SMALL_BYTES, Storage, storage::PROBES,
    },
};

/// Columns of a new row.
const COLUMNS: usize = 21;

macro_rules! write_probe {
    ($name:literal) => {
        concat!(
            "INSERT INTO remembered (name, value) VALUES ($1, $2) ON CONFLICT (",
            $name,
            ") DO UPDATE SET value = CASE WHEN remembered.value = $2 THEN $3 ELSE $2 END"
        )
    };
}

/// Keeps one text, and each time another one than before.
const WRITE_PROBE: Words =
    Words { sqlite: write_probe!("name"), postgres: write_probe!("md5(name)") };

/// Whether an alert of a threat is still to be delivered.
pub(in crate::journal) const UNFINISHED_OF_THREAT: &str = "SELECT EXISTS (SELECT 1 FROM events \
     WHERE console = $1 AND threat_key = $2 AND state = 'pending' AND dialect <> 'native-threat' \
     AND follows IS NULL)";

/// How many events wait.
pub(in crate::journal) const PENDING: &str = "SELECT COUNT(*) FROM events WHERE console = $1 \
     AND state = 'pending' AND follows IS NULL";

macro_rules! remember {
    ($name:literal) => {
        concat!(
            "INSERT INTO remembered (name, value) VALUES ($1, $2) ON CONFLICT (",
            $name,
            ") DO UPDATE SET value = excluded.value"
        )
    };
}

pub(super) const REMEMBER: Words =
    Words { sqlite: remember!("name"), postgres: remember!("md5(name)") };

#[async_trait]
impl<S: Store> Journal for SqlJournal<S> {
    fn of_console(&self, console: &str) -> Arc<dyn Journal> {
        Arc::new(self.for_console(console))
    }

    fn has_replicas(&self) -> bool {
        S::DIALECT == Dialect::Postgres
    }

    async fn clock_skew(&self, clock: &Clock) -> Result<Option<TimeDelta>, JournalError> {
        self.store.clock_skew(clock).await
    }

    fn storage(&self) -> &Storage {
        self.store.storage()
    }

    async fn check_not_lost(&self) -> Result<(), JournalError> {
        self.store.check_not_lost().await
    }

    async fn probe(&self) -> Result<(), JournalError> {
        self.check_not_lost().await?;
        let [one, other] = &*PROBES;
        query(S::say(WRITE_PROBE))
            .bind(self.remembered_name("readiness_probe"))
            .bind(one)
            .bind(other)
            .execute(&mut self.store.writer())
            .await?;
        Ok(())
    }

    async fn append(&self, batches: &[Vec<Notification>]) -> Result<Vec<Receipt>, JournalError> {
        // Refused at once, without the repairs of a look.
        self.storage().check_not_lost()?;
        self.check_not_lost().await?;
        let mut transaction = self.begin(Order::Arrivals).await?;
        let generation = self.generation(&mut transaction).await?;
        let keys = batches.iter().flatten().map(Notification::key);
        let mut versions = self.versions_of(&mut transaction, keys, generation).await?;
        let mut receipts = Vec::with_capacity(batches.len());
        let mut entered = Vec::new();
        let mut seen_again = Vec::new();
        for batch in batches {
            let mut receipt = Receipt::default();
            for notification in batch {
                let standing = versions.place(notification);
                count(&mut receipt, notification, standing);
                match standing {
                    Standing::Repetition { of: Some(event), later } => {
                        seen_again.push((event, later, notification));
                    }
                    Standing::Repetition { of: None, .. } => {}
                    _ => entered.push((notification, standing)),
                }
            }
            receipts.push(receipt);
        }
        // SQLite copies the texts of a statement that inserts several rows twice more.
        let go_together = |one: &(&Notification, _), other: &(&Notification, _)| {
            [one, other].iter().all(|(notification, _)| notification.body().len() <= SMALL_BYTES)
        };
        for rows in entered.chunk_by(go_together) {
            for rows in rows.chunks(S::VALUES_MAX / COLUMNS) {
                self.insert(&mut transaction, rows, generation).await?;
            }
        }
        if !seen_again.is_empty() {
            transaction.also(&self.console, Order::Departures).await?;
        }
        for (event, later, notification) in seen_again {
            if let Some(updated_at) = later {
                self.seen_again(&mut transaction, event, updated_at).await?;
            }
            self.complete_by(&mut transaction, notification, event).await?;
        }
        transaction.commit().await?;
        // What went into a file that is gone was not stored.
        self.check_not_lost().await?;
        Ok(receipts)
    }

    async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Event>, JournalError> {
        self.claim_due(limit, lease, now).await
    }

    async fn read_text(&self, event: &mut Event) -> Result<(), JournalError> {
        self.read_large_text(event).await
    }

    async fn renew(
        &self,
        claims: &[Claim],
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claim>, JournalError> {
        self.renew_claims(claims, lease, now).await
    }

    async fn finish(
        &self,
        outcomes: &[(Claim, Outcome)],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.finish_claims(outcomes, now).await
    }

    async fn make_due(&self, reason: &str, now: DateTime<Utc>) -> Result<u64, JournalError> {
        self.make_put_back_due(reason, now).await
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, JournalError> {
        self.next_due_head().await
    }

    async fn is_drained(&self) -> Result<bool, JournalError> {
        self.has_nothing_under_way().await
    }

    async fn fix_identities(
        &self,
        wanted: &[(String, IncidentIdentity)],
    ) -> Result<Vec<IncidentIdentity>, JournalError> {
        self.fix_incident_identities(wanted).await
    }

    async fn identify(&self, claim: Claim, alert: &AlertName) -> Result<Adoption, JournalError> {
        self.identify_event(claim, alert).await
    }

    async fn adopt_unmatched(
        &self,
        event: &Event,
        tolerance: Duration,
    ) -> Result<Option<IncidentIdentity>, JournalError> {
        self.adopt_unmatched_event(event, tolerance).await
    }

    async fn note_sighting(
        &self,
        key: &str,
        sighted: &Sighted,
    ) -> Result<MergedSightings, JournalError> {
        self.note_sighting_of(key, sighted).await
    }

    async fn valid_from(&self, seen: &SeenIndicator) -> Result<DateTime<Utc>, JournalError> {
        self.valid_from_of(seen).await
    }

    async fn keep_case_objects(&self, kept: &[CaseObjects]) -> Result<(), JournalError> {
        self.keep_objects_of_cases(kept).await
    }

    async fn new_case_objects(&self, threat_key: &str) -> Result<Vec<String>, JournalError> {
        self.new_objects_of_case(threat_key).await
    }

    async fn uncounted(&self, claim: Claim) -> Result<(), JournalError> {
        self.take_back_try(claim).await
    }

    async fn has_unfinished_alerts(&self, threat_key: &str) -> Result<bool, JournalError> {
        let row = query(UNFINISHED_OF_THREAT)
            .bind(&self.console)
            .bind(threat_key)
            .fetch_one(&mut self.store.readers())
            .await?;
        row.try_get(0)
    }

    async fn remembered(&self, name: &str) -> Result<Option<String>, JournalError> {
        let row = query("SELECT value FROM remembered WHERE name = $1")
            .bind(self.remembered_name(name))
            .fetch_optional(&mut self.store.readers())
            .await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    async fn remember(&self, name: &str, value: &str) -> Result<(), JournalError> {
        query(S::say(REMEMBER))
            .bind(self.remembered_name(name))
            .bind(value)
            .execute(&mut self.store.writer())
            .await?;
        Ok(())
    }

    async fn forget(&self, name: &str) -> Result<(), JournalError> {
        query("DELETE FROM remembered WHERE name = $1")
            .bind(self.remembered_name(name))
            .execute(&mut self.store.writer())
            .await?;
        Ok(())
    }

    async fn start_over(&self, forgotten: &[&str]) -> Result<(), JournalError> {
        let mut transaction = self.begin(Order::Both).await?;
        let next = self.generation(&mut transaction).await? + 1;
        query(S::say(REMEMBER))
            .bind(self.remembered_name("generation"))
            .bind(next.to_string())
            .execute(&mut transaction)
            .await?;
        for name in forgotten {
            query("DELETE FROM remembered WHERE name = $1")
                .bind(self.remembered_name(name))
                .execute(&mut transaction)
                .await?;
        }
        query("DELETE FROM refused_rules").execute(&mut transaction).await?;
        // The queue was purged or deleted: what was lost with it shows in the works, which are looked
        // at now.
        query(
            "UPDATE works SET was_reset = 1, \
             look_at = CASE WHEN closed_at IS NULL THEN look_at ELSE opened_at END \
             WHERE console = $1",
        )
        .bind(&self.console)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn pending(&self) -> Result<u64, JournalError> {
        let row = query(PENDING).bind(&self.console).fetch_one(&mut self.store.readers()).await?;
        row.count(0)
    }

    async fn counts(&self) -> Result<Counts, JournalError> {
        self.count_standings().await
    }
}

impl<S: Store> SqlJournal<S> {
    async fn insert(
        &self,
        transaction: &mut S::Change,
        rows: &[(&Notification, Standing)],
        generation: i64,
    ) -> Result<(), JournalError> {
        let mut insert = query(
            "INSERT INTO events (console, generation, received_key, received_version, key, \
             version, origin, dialect, body, received_at, happened_at, agent_id, title, \
             threat_key, state, due_at, reason, finished_at, updated_at, recurrence, shape) \
             VALUES ",
        );
        for (place, (notification, standing)) in rows.iter().enumerate() {
            let (state, dialect, reason) = match notification.place() {
                Place::Pending(dialect) => ("pending", Some(dialect.as_str()), None),
                Place::DeadLetter(reason) => ("dead", None, Some(reason.as_str())),
            };
            let (state, reason, updated_at, recurrence) = match standing {
                Standing::Overtaken { updated_at } => {
                    ("superseded", Some("a newer version was there first"), *updated_at, 0)
                }
                Standing::Latest { updated_at, recurrence, .. } => {
                    (state, reason, *updated_at, *recurrence)
                }
                Standing::Repetition { .. } => (state, reason, None, 0),
            };
            let received_at = notification.received_at().timestamp_millis();
            insert
                .push(if place == 0 { "(" } else { "), (" })
                .push_bind(&self.console)
                .and_bind(generation)
                .and_bind(notification.key())
                .and_bind(notification.version())
                .and_bind(notification.key())
                .and_bind(notification.version())
                .and_bind(notification.origin().as_str())
                .and_bind(dialect)
                .and_bind(Arc::clone(notification.body()))
                .and_bind(received_at)
                .and_bind(notification.happened_at().timestamp_millis())
                .and_bind(notification.agent_id())
                .and_bind(notification.title())
                .and_bind(notification.threat_key())
                .and_bind(state)
                .and_bind(received_at)
                .and_bind(reason)
                .and_bind(reason.is_some().then_some(received_at))
                .and_bind(updated_at)
                .and_bind(recurrence)
                .and_bind(notification.shape());
        }
        insert.push(") ON CONFLICT DO NOTHING");
        insert.execute(transaction).await?;
        Ok(())
    }

    /// Remembered values belong to a console.
    pub(super) fn remembered_name(&self, name: &str) -> String {
        format!("{}#{name}", self.console)
    }

    /// The import generation: 1 until a reset starts another.
    pub(super) async fn generation(
        &self,
        transaction: &mut S::Change,
    ) -> Result<i64, JournalError> {
        let row = query("SELECT CAST(value AS BIGINT) FROM remembered WHERE name = $1")
            .bind(self.remembered_name("generation"))
            .fetch_optional(transaction)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(1))
    }
}

/// Adds to a batch's receipt what became of one of its notifications.
fn count(receipt: &mut Receipt, notification: &Notification, standing: Standing) {
    match (standing, notification.place()) {
        (Standing::Latest { is_first, .. }, Place::Pending(_)) => {
            receipt.accepted += 1;
            receipt.first_seen += usize::from(is_first);
        }
        (Standing::Latest { .. }, Place::DeadLetter(_)) => receipt.dead_letters += 1,
        (Standing::Overtaken { .. } | Standing::Repetition { .. }, _) => receipt.duplicates += 1,
    }
}
