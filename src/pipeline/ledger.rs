//! The ledger of works, kept in the journal: what a sink opens there is found again after a crash.

use async_trait::async_trait;
use tracing::error;

use super::refusals::first_look;
use crate::{
    clock::Clock,
    journal::{Journal, JournalError, WorkPart},
    opencti::{Cargo, WorkId, WorkLedger},
};

/// Notes works in the journal.
pub struct JournalLedger {
    journal: Journal,
    clock: Clock,
}

impl JournalLedger {
    /// In this journal.
    pub fn new(journal: Journal, clock: Clock) -> Self {
        Self { journal, clock }
    }
}

#[async_trait]
impl WorkLedger for JournalLedger {
    async fn opened(&self, work: &WorkId, cargo: &[Cargo]) -> Result<(), String> {
        let parts: Vec<WorkPart> = cargo
            .iter()
            .map(|cargo| WorkPart { event: cargo.sender, objects: cargo.objects.clone() })
            .collect();
        let noted = self.journal.work_opened(work.as_str(), &parts, self.clock.now()).await;
        noted.map_err(|failure| failure.to_string())
    }

    async fn closed(&self, work: &WorkId) {
        let now = self.clock.now();
        tell(self.journal.work_closed(work.as_str(), now, first_look(now)).await);
    }

    async fn left_open(&self, work: &WorkId, message: &str) {
        let at = first_look(self.clock.now());
        tell(self.journal.work_left_open(work.as_str(), message, at).await);
    }

    async fn deleted(&self, work: &WorkId) {
        tell(self.journal.forget_work(work.as_str()).await);
    }
}

/// A work whose end the journal could not note is closed once more when it is old (`afterwards`).
fn tell(noted: Result<(), JournalError>) {
    if let Err(failure) = noted {
        error!(%failure, "the journal could not note what became of a work");
    }
}
