//! Where works are remembered durably, so that none stays open and what OpenCTI says of them finds
//! its way back. The sinks that open works tell the ledger; it is kept elsewhere (`pipeline`,
//! `journal`).

use async_trait::async_trait;

use super::work::WorkId;

/// What left of one sender in a work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cargo {
    /// The sender, as the delivery names it.
    pub sender: i64,
    /// STIX ids, in the order in which they leave.
    pub objects: Vec<String>,
}

/// Remembers works.
#[async_trait]
pub trait WorkLedger: Send + Sync {
    /// A work was opened and this will leave in it. An error keeps it from leaving: a work that is
    /// not remembered might stay open for ever.
    async fn opened(&self, work: &WorkId, cargo: &[Cargo]) -> Result<(), String>;

    /// The work is closed.
    async fn closed(&self, work: &WorkId);

    /// The work could not be closed: somebody else is to do it, with this message.
    async fn left_open(&self, work: &WorkId, message: &str);

    /// The work was deleted: nothing left in it.
    async fn deleted(&self, work: &WorkId);
}
