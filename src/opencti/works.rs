//! The works of a sink that opens some: each is noted in the ledger before anything leaves in it, and
//! ends closed or deleted; what cannot be ended now is left to the ledger.
//!
//! Does not live here: the requests themselves (`work`), when a work is opened (`queue`, `api`).

use std::sync::Arc;

use backon::{ExponentialBuilder, Retryable};

use super::{
    error::OpenCtiError,
    ledger::{Cargo, WorkLedger},
    registration::Connector,
    work::{CONTINUED, WorkId, WorkOutcome},
};

/// Works of this connector.
pub(super) struct Works {
    connector: Arc<Connector>,
    ledger: Option<Arc<dyn WorkLedger>>,
}

/// Why no work was opened.
pub(super) enum NotOpened {
    /// The connector was deleted in OpenCTI.
    ConnectorUnknown,
    /// Something is not there.
    Unavailable(String),
}

impl Works {
    /// Remembered by nobody yet.
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self { connector, ledger: None }
    }

    /// Remembered by `ledger`.
    pub(super) fn noted_in(&mut self, ledger: Arc<dyn WorkLedger>) {
        self.ledger = Some(ledger);
    }

    /// Opens a work in which `cargo` will leave.
    pub(super) async fn open(&self, title: &str, cargo: &[Cargo]) -> Result<WorkId, NotOpened> {
        let platform = self.connector.platform();
        let work = match platform.open_work(&self.connector.settings().id, title).await {
            Ok(work) => work,
            Err(OpenCtiError::ConnectorUnknown) => return Err(NotOpened::ConnectorUnknown),
            Err(error) => return Err(NotOpened::Unavailable(error.to_string())),
        };
        let noted = match &self.ledger {
            Some(ledger) => ledger.opened(&work, cargo).await,
            None => Ok(()),
        };
        if let Err(reason) = noted {
            self.delete(&work).await;
            return Err(NotOpened::Unavailable(reason));
        }
        Ok(work)
    }

    /// Closes a work with a message for analysts.
    pub(super) async fn close(&self, work: &WorkId, message: &str, outcome: WorkOutcome) {
        let platform = self.connector.platform();
        let closed = (|| platform.close_work(work, message, outcome))
            .retry(ExponentialBuilder::default().with_max_times(2))
            .when(OpenCtiError::is_retryable)
            .await;
        match closed {
            Ok(()) => self.tell(|ledger| ledger.closed(work)).await,
            // Deleted there with what was queued of it: the first look finds that.
            Err(error) if error.is_work_gone() => self.tell(|ledger| ledger.closed(work)).await,
            Err(error) => {
                tracing::warn!(
                    work_id = work.as_str(),
                    %error,
                    "a work in OpenCTI stays open for now and is closed later"
                );
                self.tell(|ledger| ledger.left_open(work, message)).await;
            }
        }
    }

    /// Closes a work in which `missing` of the announced objects did not leave: it would wait for them
    /// for ever. Those that the broker took without saying so may come all the same, which a work
    /// bears. A platform that is not told now is told when the work is looked at (`pipeline`).
    pub(super) async fn close_short(&self, work: &WorkId, message: &str, missing: usize) {
        if let Err(error) = self.connector.platform().expect_fewer_objects(work, missing).await {
            tracing::warn!(
                work_id = work.as_str(),
                %error,
                "OpenCTI was not told how many objects of a work never come"
            );
        }
        self.close(work, message, WorkOutcome::Interrupted).await;
    }

    /// Deletes a work in which nothing left.
    pub(super) async fn delete(&self, work: &WorkId) {
        match self.connector.platform().delete_work(work).await {
            Ok(()) => self.tell(|ledger| ledger.deleted(work)).await,
            Err(error) if error.is_work_gone() => self.tell(|ledger| ledger.deleted(work)).await,
            Err(error) => {
                tracing::warn!(
                    work_id = work.as_str(),
                    %error,
                    "an empty work stays in OpenCTI for now and is closed later"
                );
                let message = format!("nothing was sent; what was to be sent {CONTINUED}");
                self.tell(|ledger| ledger.left_open(work, &message)).await;
            }
        }
    }

    async fn tell<'a, F: Future<Output = ()>>(
        &'a self,
        what: impl FnOnce(&'a dyn WorkLedger) -> F,
    ) {
        if let Some(ledger) = &self.ledger {
            what(&**ledger).await;
        }
    }
}
