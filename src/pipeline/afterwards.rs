//! Post-delivery checks, in their own time: works are closed and read (`refusals`), sightings
//! of false positives are flagged (`false_positives`).
//!
//! All that is to be done is in the journal, so it goes on after a restart. One request at a time.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    false_positives::FalsePositives,
    refusals::{Refusals, Rest},
};
use crate::{
    clock::Clock,
    journal::{Journal, JournalError},
    opencti::{CONTINUED, ConfirmedObjects, OpenCti},
};

/// Time between two rounds. The journal is asked, OpenCTI only when something is due.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(10);

/// Does what is to be done after deliveries.
pub struct Afterwards {
    refusals: Refusals,
    false_positives: FalsePositives,
}

impl Afterwards {
    /// With what the journal notes and this platform answers of this connector; `confirmed` is told
    /// what is to be sent again.
    pub fn new(
        journal: Journal,
        (platform, connector_id): (OpenCti, String),
        confirmed: Option<Arc<ConfirmedObjects>>,
        clock: Clock,
    ) -> Self {
        let false_positives = FalsePositives {
            journal: journal.clone(),
            platform: platform.clone(),
            clock: clock.clone(),
        };
        let may_not_read = AtomicBool::new(false);
        let refusals = Refusals { journal, platform, connector_id, confirmed, clock, may_not_read };
        Self { refusals, false_positives }
    }

    /// Marks what a process before this one left open, to be closed in the next round. Only before
    /// the first delivery.
    ///
    /// # Errors
    /// [`JournalError`] when the journal fails.
    pub async fn take_over(journal: &Journal, now: DateTime<Utc>) -> Result<(), JournalError> {
        let message =
            format!("the service was stopped in mid-delivery; what is missing {CONTINUED}");
        let orphaned = journal.close_orphaned_works(&message, now).await?;
        if orphaned > 0 {
            info!(works = orphaned, "works were left open in OpenCTI at the last stop");
        }
        Ok(())
    }

    /// Does everything that is due now, round after round as long as they are full: each delivery
    /// has a work of its own, so that many are due after a busy minute.
    pub async fn round(&self) {
        if let Err(failure) = self.close_forgotten().await {
            warn!(%failure, "the journal fails; works that were left open wait");
        }
        loop {
            let works = self.refusals.round().await;
            let rest = works.as_ref().map_or(Rest::None, |rest| *rest);
            for done in [works.map(drop), self.false_positives.round().await] {
                if let Err(failure) = done {
                    warn!(%failure, "the journal fails; what is to be done after deliveries waits");
                }
            }
            if rest == Rest::None {
                return;
            }
        }
    }

    /// Marks works whose end nobody noted, to be closed in this round.
    async fn close_forgotten(&self) -> Result<(), JournalError> {
        let Refusals { journal, clock, .. } = &self.refusals;
        let message = format!("the end of its delivery was not noted; what is missing {CONTINUED}");
        let forgotten = journal.close_forgotten_works(&message, clock.now()).await?;
        if forgotten > 0 {
            info!(works = forgotten, "works whose end was not noted are closed in OpenCTI");
        }
        Ok(())
    }

    /// Goes round until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let rounds = async {
            loop {
                self.round().await;
                tokio::time::sleep(BETWEEN_ROUNDS).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }
}
