//! The works of a sink that opens some: each is noted in the journal before anything leaves in it, and
//! ends closed or deleted; what cannot be ended now is left to post-delivery checks.
//!
//! Does not live here: the requests themselves (`work`), when a work is opened (`queue`, `api`).

use std::sync::Arc;

use backon::{ExponentialBuilder, Retryable};
use chrono::TimeDelta;
use tracing::{error, warn};

use super::{
    error::OpenCtiError,
    registration::Connector,
    work::{CONTINUED, WorkId, WorkOutcome},
};
use crate::{
    clock::Clock,
    journal::{Journal, JournalError, WorkPart},
};

/// Time from the closing of a work to the first look at it.
pub const FIRST_LOOK_AFTER: TimeDelta = TimeDelta::seconds(20);

/// Works of this connector.
pub(super) struct Works {
    connector: Arc<Connector>,
    /// The journal in which works are noted, and the clock by which they are.
    noted: Option<(Journal, Clock)>,
}

/// The reason for which no work was opened.
pub(super) enum NotOpened {
    /// The connector was deleted in OpenCTI.
    ConnectorUnknown,
    /// Something is not there.
    Unavailable(String),
}

impl Works {
    /// Makes works that are not noted yet.
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self { connector, noted: None }
    }

    /// Notes works in `journal` from now on.
    pub(super) fn note_in(&mut self, journal: Journal, clock: Clock) {
        self.noted = Some((journal, clock));
    }

    /// Opens a work in which these parts will leave. One that cannot be noted is not used: it might stay
    /// open for ever.
    pub(super) async fn open(&self, title: &str, parts: &[WorkPart]) -> Result<WorkId, NotOpened> {
        let platform = self.connector.platform();
        let work = match platform.open_work(&self.connector.settings().id, title).await {
            Ok(work) => work,
            Err(OpenCtiError::ConnectorUnknown) => return Err(NotOpened::ConnectorUnknown),
            Err(error) => return Err(NotOpened::Unavailable(error.to_string())),
        };
        if let Some((journal, clock)) = &self.noted
            && let Err(failure) = journal.work_opened(work.as_str(), parts, clock.now()).await
        {
            self.delete(&work).await;
            return Err(NotOpened::Unavailable(failure.to_string()));
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
            Ok(()) => self.note_closed(work).await,
            // Deleted there with what was queued of it: the first look finds that.
            Err(error) if error.is_work_gone() => self.note_closed(work).await,
            Err(error) => {
                warn!(
                    work_id = work.as_str(),
                    %error,
                    "a work in OpenCTI stays open for now and is closed later"
                );
                self.note_left_open(work, message).await;
            }
        }
    }

    /// Closes a work in which `missing` of the announced objects did not leave: it would wait for them
    /// for ever. Those that the broker took without saying so may come all the same, which a work
    /// bears. A platform that is not told now is told when the work is looked at (`pipeline`).
    pub(super) async fn close_short(&self, work: &WorkId, message: &str, missing: usize) {
        if let Err(error) = self.connector.platform().expect_fewer_objects(work, missing).await {
            warn!(
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
            Ok(()) => self.note_deleted(work).await,
            Err(error) if error.is_work_gone() => self.note_deleted(work).await,
            Err(error) => {
                warn!(
                    work_id = work.as_str(),
                    %error,
                    "an empty work stays in OpenCTI for now and is closed later"
                );
                let message = format!("nothing was sent; what was to be sent {CONTINUED}");
                self.note_left_open(work, &message).await;
            }
        }
    }

    async fn note_closed(&self, work: &WorkId) {
        if let Some((journal, clock)) = &self.noted {
            let now = clock.now();
            let noted = journal.work_closed(work.as_str(), now, now + FIRST_LOOK_AFTER).await;
            tell_failure(noted);
        }
    }

    /// Notes a work that is to be closed later, with this message.
    async fn note_left_open(&self, work: &WorkId, message: &str) {
        if let Some((journal, clock)) = &self.noted {
            let at = clock.now() + FIRST_LOOK_AFTER;
            tell_failure(journal.work_left_open(work.as_str(), message, at).await);
        }
    }

    async fn note_deleted(&self, work: &WorkId) {
        if let Some((journal, _clock)) = &self.noted {
            tell_failure(journal.remove_work(work.as_str(), &[]).await);
        }
    }
}

/// Logs that the end of a work was not noted; it is closed once more when it is old (`pipeline`).
fn tell_failure(noted: Result<(), JournalError>) {
    if let Err(failure) = noted {
        error!(%failure, "the journal could not note what became of a work");
    }
}
