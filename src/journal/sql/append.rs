//! Stores deliveries.

use std::sync::Arc;

use super::versions::Standing;
use crate::{
    intake::{Notification, Place, Receipt},
    journal::{
        database::{locks::EventLocks, session::Change, statement::query},
        error::JournalError,
        event::SMALL_BYTES,
        handle::Journal,
    },
};

/// Columns of a new row.
const COLUMNS: usize = 21;

impl Journal {
    /// Stores every batch in one commit, and says what became of each.
    pub async fn append(
        &self,
        batches: &[Vec<Notification>],
    ) -> Result<Vec<Receipt>, JournalError> {
        // Refused at once, without the repairs of a look.
        self.storage().check_not_lost()?;
        self.check_not_lost().await?;
        let mut transaction = self.begin(EventLocks::Arrivals).await?;
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
            for rows in rows.chunks(self.dialect().values_max() / COLUMNS) {
                self.insert(&mut transaction, rows, generation).await?;
            }
        }
        if !seen_again.is_empty() {
            transaction.lock(&self.console, EventLocks::Departures).await?;
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

    async fn insert(
        &self,
        transaction: &mut Change,
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
