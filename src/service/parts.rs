//! The parts that run as long as the service: each in a task of its own, and none of them can end by a
//! defect without anybody noticing.
//!
//! Does not live here: what becomes of the service then (`service`).

use std::{fmt, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::task::TaskTracker;
use tracing::error;

/// A part of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServicePart {
    /// Sees to it that one replica leads, and heeds what the leader tells.
    Leader,
    /// Moves events from the journal to the sinks.
    Pipeline,
    /// Writes what comes in to the journal.
    JournalWriter,
    /// Notices that the journal is lost, or can be written again.
    JournalWatch,
    /// Watches the room on the journal's disk.
    Room,
    /// Compares this replica's clock with the database's.
    ClockSkew,
    /// Removes what ended long ago.
    Retention,
    /// Tells whether the console denies access.
    ConsoleAccess,
    /// Reads renewed tokens.
    Token,
    /// Reads renewed authorities.
    Authorities,
    /// Watches whether OpenCTI answers.
    OutageWatch,
    /// Watches the length of OpenCTI's queue.
    QueueWatch,
    /// Reads what OpenCTI says of works.
    Afterwards,
    /// Tells OpenCTI that we live.
    Heartbeat,
    /// Takes up sweeps and backfills that are asked for.
    Jobs,
    /// Reads the queue of the console's Elastic connector.
    ElasticQueue,
}

impl fmt::Display for ServicePart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Leader => "choice of the replica that leads",
            Self::Pipeline => "pipeline",
            Self::JournalWriter => "journal's writer",
            Self::JournalWatch => "watch over the journal",
            Self::Room => "watch over the journal's disk",
            Self::ClockSkew => "watch over the clock",
            Self::Retention => "journal's retention",
            Self::ConsoleAccess => "watch over the console's access",
            Self::Token => "watch over the token's file",
            Self::Authorities => "watch over files of authorities",
            Self::OutageWatch => "watch over OpenCTI's answers",
            Self::QueueWatch => "watch over OpenCTI's queue",
            Self::Afterwards => "reader of OpenCTI's works",
            Self::Heartbeat => "heartbeat",
            Self::Jobs => "taker of jobs",
            Self::ElasticQueue => "reader of the Elastic connector's queue",
        })
    }
}

/// All that run.
pub(super) struct Parts {
    tasks: TaskTracker,
    broken: watch::Sender<Option<ServicePart>>,
}

impl Parts {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { tasks: TaskTracker::new(), broken: watch::Sender::new(None) }
    }

    /// Runs a part. It may end by itself; a panic is told to [`Parts::broken`].
    pub(super) fn spawn(
        &self,
        part: ServicePart,
        running: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let broken = self.broken.clone();
        self.tasks.spawn(async move {
            if AssertUnwindSafe(running).catch_unwind().await.is_err() {
                error!(%part, "a part of the service has ended by a defect; the service stops");
                broken.send_replace(Some(part));
            }
        })
    }

    /// Waits until a part has ended by a defect.
    pub(super) async fn broken(&self) -> ServicePart {
        let mut broken = self.broken.subscribe();
        loop {
            if let Some(part) = *broken.borrow_and_update() {
                return part;
            }
            // The sender lives as long as `self`.
            let _changed = broken.changed().await;
        }
    }

    /// Waits until every part has ended. None may be added any more.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_told_and_one_that_ends_is_not() {
        let parts = Parts::new();
        let _done = parts.spawn(ServicePart::Jobs, async {}).await;
        assert!(parts.broken().now_or_never().is_none());
        let _gone = parts.spawn(ServicePart::Heartbeat, async { panic!("as a defect does") }).await;
        assert_eq!(parts.broken().await, ServicePart::Heartbeat);
        parts.ended().await;
    }
}
