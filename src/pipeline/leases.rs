//! The leases of what is under way in this process, renewed for as long as it is: however long a
//! sink or a look-up takes, nobody takes the event a second time.
//!
//! Renewed before each claim, by the time of that claim, so that none takes what is under way here
//! whatever the clock does; and in between by a timer, for who else may claim.
//!
//! Does not live here: what a lease means (`journal`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::error;

use crate::{
    clock::Clock,
    journal::{Claim, EventId, Journal, JournalError},
};

/// Parts of a lease after which the timer looks.
const LOOKS_A_LEASE: u32 = 4;

/// What is under way.
pub(super) struct Leases {
    length: Duration,
    held: Mutex<BTreeMap<EventId, Held>>,
}

#[derive(Clone, Copy)]
struct Held {
    claim: Claim,
    until: DateTime<Utc>,
}

/// Keeps an event's lease until it is dropped.
pub(super) struct Lease {
    leases: Arc<Leases>,
    claim: Claim,
}

impl Leases {
    /// Leases of this length; none yet.
    pub(super) fn new(length: Duration) -> Arc<Self> {
        Arc::new(Self { length, held: Mutex::default() })
    }

    /// Keeps the lease of an event that was claimed at `claimed_at`.
    pub(super) fn keep(self: &Arc<Self>, claim: Claim, claimed_at: DateTime<Utc>) -> Lease {
        let until = self.ending(claimed_at);
        self.lock().insert(claim.event, Held { claim, until });
        Lease { leases: Arc::clone(self), claim }
    }

    /// Renews those of which half has passed, and those that end later than any can: the clock was set
    /// back, and what the journal holds with it.
    pub(super) async fn renew(
        &self,
        journal: &dyn Journal,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let half = TimeDelta::from_std(self.length / 2).unwrap_or(TimeDelta::MAX);
        let latest = self.ending(now);
        let is_ageing = |it: &&Held| it.until - now < half || it.until > latest;
        let ageing: Vec<Claim> =
            self.lock().values().filter(is_ageing).map(|it| it.claim).collect();
        if ageing.is_empty() {
            return Ok(());
        }
        journal.renew(&ageing, self.length, now).await?;
        let mut held = self.lock();
        for claim in ageing {
            if let Some(it) = held.get_mut(&claim.event).filter(|it| it.claim == claim) {
                it.until = latest;
            }
        }
        Ok(())
    }

    /// Renews for ever.
    pub(super) async fn renew_in_time(self: Arc<Self>, journal: Arc<dyn Journal>, clock: Clock) {
        loop {
            tokio::time::sleep(self.length / LOOKS_A_LEASE).await;
            if let Err(failure) = self.renew(&*journal, clock.now()).await {
                error!(%failure, "the leases of what is under way could not be renewed");
            }
        }
    }

    fn ending(&self, from: DateTime<Utc>) -> DateTime<Utc> {
        let length = TimeDelta::from_std(self.length).unwrap_or(TimeDelta::MAX);
        from.checked_add_signed(length).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<EventId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.lock();
        // It may have been put back and claimed anew meanwhile.
        if held.get(&self.claim.event).is_some_and(|it| it.claim == self.claim) {
            held.remove(&self.claim.event);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        intake::{Notification, dialect::Dialect, verification::Proof},
        journal::SqliteJournal,
    };

    const LEASE: Duration = Duration::from_mins(5);

    #[tokio::test]
    async fn what_is_under_way_stays_ours_when_the_clock_is_set_back() {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal = SqliteJournal::open(&url, "https://console.example").await.unwrap();
        let set_back: DateTime<Utc> = "2026-05-26T07:40:00Z".parse().unwrap();
        let before = set_back + TimeDelta::hours(1);
        let element = json!({
            "log_type": "alert", "alert_type": "sigma", "alert_unique_id": "a", "status": "new",
        });
        let proof = Proof::answered_by_console(before);
        let alert =
            Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string());
        journal.append(&[vec![alert]]).await.unwrap();
        let claimed = journal.claim(1, LEASE, before).await.unwrap().remove(0);
        let leases = Leases::new(LEASE);
        let _under_way = leases.keep(claimed.claim, before);
        // As the pipeline claims.
        for minutes in 0..9 {
            let now = set_back + TimeDelta::minutes(minutes);
            leases.renew(&journal, now).await.unwrap();
            let twice = journal.claim(1, LEASE, now).await.unwrap();
            assert!(twice.is_empty(), "taken twice after {minutes} minutes");
        }
    }
}
