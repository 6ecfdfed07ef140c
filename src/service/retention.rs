//! Forgetting what ended long ago, a little at a time, so that no delivery waits for it.
//!
//! Bodies go first, when the operator's time is over. The rows stay as long as a sweep, a push or a
//! backfill may bring the same version again, so that it is not imported once more; then they go,
//! too, with what is kept of their sightings and cases. Alerts of a threat stay until all of the
//! threat is as old, because its case refers to them. Names of incidents that were raised within two
//! years before that are kept: what the console still shows keeps the incident that it has. Dates from
//! which indicators are valid go 500 days later, when no alert with the indicator is left.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    config::JournalSettings,
    journal::{Journal, JournalError, PruneBefore, Pruned},
};

/// Time between two looks for what is old enough.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Time for which the writer is left alone between two steps.
const BETWEEN_STEPS: Duration = Duration::from_millis(50);
/// Rows in one step: a commit of milliseconds.
const ROWS_PER_STEP: usize = 200;
/// Time for which a row without a body is kept: longer than the console keeps alerts, and than any sweep
/// looks back.
const ROWS_KEPT: TimeDelta = TimeDelta::days(400);

/// Prunes the journal.
pub(super) struct Retention {
    /// One for each console; texts and rows go from all by any of them.
    journals: Vec<Journal>,
    clock: Clock,
    finished: Option<TimeDelta>,
    letters: Option<TimeDelta>,
}

impl Retention {
    pub(super) fn new(journals: Vec<Journal>, settings: &JournalSettings, clock: Clock) -> Self {
        let length =
            |length: Duration| TimeDelta::from_std(length).ok().filter(|length| !length.is_zero());
        let (finished, letters) = (length(settings.retention), length(settings.retention_dead));
        Self { journals, clock, finished, letters }
    }

    /// Prunes until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        loop {
            for journal in &self.journals {
                match stop.run_until_cancelled(self.prune(journal)).await {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(failure)) => {
                        warn!(%failure, "the journal was not pruned; trying again");
                    }
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Step by step, until nothing is old enough.
    async fn prune(&self, journal: &Journal) -> Result<(), JournalError> {
        let mut sum = Pruned::default();
        loop {
            let now = self.clock.now();
            let step = journal.prune(self.before(now), ROWS_PER_STEP, now).await?;
            if step.is_nothing() {
                break;
            }
            sum.bodies += step.bodies;
            sum.letters += step.letters;
            sum.rows += step.rows;
            sum.pages += step.pages;
            tokio::time::sleep(BETWEEN_STEPS).await;
        }
        if sum.letters > 0 {
            warn!(
                letters = sum.letters,
                "dead or dropped letters were removed at the end of \
                 HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD"
            );
        }
        if sum.bodies + sum.rows > 0 {
            info!(
                texts = sum.bodies,
                rows = sum.rows,
                pages = sum.pages,
                "the journal forgot what ended long ago"
            );
        }
        Ok(())
    }

    fn before(&self, now: DateTime<Utc>) -> PruneBefore {
        let ago = |length: TimeDelta| now.checked_sub_signed(length);
        PruneBefore {
            finished: self.finished.and_then(ago),
            letters: self.letters.and_then(ago),
            rows: ago(ROWS_KEPT),
        }
    }
}
