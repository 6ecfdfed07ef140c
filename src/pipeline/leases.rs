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

    /// Renews those of which half has passed.
    pub(super) async fn renew(
        &self,
        journal: &dyn Journal,
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let half = TimeDelta::from_std(self.length / 2).unwrap_or(TimeDelta::MAX);
        let ageing: Vec<Claim> = {
            let held = self.lock();
            held.values().filter(|it| it.until - now < half).map(|it| it.claim).collect()
        };
        if ageing.is_empty() {
            return Ok(());
        }
        journal.renew(&ageing, self.length, now).await?;
        let until = self.ending(now);
        let mut held = self.lock();
        for claim in ageing {
            if let Some(it) = held.get_mut(&claim.event).filter(|it| it.claim == claim) {
                it.until = until;
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
