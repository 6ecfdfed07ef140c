//! Knows whether the journal can be written, in one place for all consoles of a process, and tells
//! the log and the health alike (and so `/readyz`, status page, metrics and `healthcheck`).
//!
//! ```text
//! writable ── any change fails ──▶ not writable ── a probe is committed ──▶ writable
//! ```
//!
//! Any failed change begins it: of a delivery, a claim, an outcome, a cursor. Only a probe ends it, which
//! goes through the writer of deliveries and writes as much as a large alert with its indexes (64 KiB),
//! since smaller changes may still find room on a full disk; afterwards the journal is read as well. While
//! it lasts there is a probe every second, so that it ends by itself, and deliveries go on being tried.
//!
//! A file whose disk is too full to open it at the start is trouble from then on (`sqlite`).
//!
//! A journal is lost when its file is damaged, or one of its files is no longer the one that was opened:
//! what is stored then may never be found again. Nothing ends that but a restart. Until then deliveries are
//! refused and no probe is made; what was accepted already goes on leaving, as far as it can be read.
//!
//! Does not live here: kinds of failures (`failure`), noticing them (`database::connection`,
//! `sqlite::lost`), probes (`probe`).

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::{
    error::JournalError,
    failure::{FailureKind, kind_of},
};
use crate::health::{Health, Part};

/// From one line of the log to the next while it lasts.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// Knows whether the journal can be written.
#[derive(Debug, Default)]
pub struct Storage {
    trouble: Mutex<Option<Trouble>>,
    health: OnceLock<Arc<Health>>,
}

#[derive(Debug)]
struct Trouble {
    began: Instant,
    said: Instant,
    /// Failures since then.
    unsaid: u64,
    /// The newest.
    reason: String,
    /// Only a restart ends it, and no probe.
    is_lost: bool,
}

/// Failures of a statement that [`Storage`] is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// Any: something was to be changed.
    AnyFailure,
    /// Only that the file is damaged.
    Damage,
}

impl Storage {
    /// Tells `health` from now on, also of trouble that has begun before.
    pub fn report_to(&self, health: &Arc<Health>) {
        let trouble = self.trouble.lock();
        let _already = self.health.set(Arc::clone(health));
        if let Some(trouble) = trouble.as_ref() {
            health.degraded(Part::Journal, trouble.reason.clone());
        }
    }

    /// A statement failed.
    pub(super) fn failed(&self, error: &sqlx::Error, report: Report) {
        match kind_of(error) {
            FailureKind::Damage(advice) => self.lost(format!("{error}; {advice}")),
            FailureKind::Storage(advice) if report == Report::AnyFailure => {
                self.failed_because(format!("{error}; {advice}"));
            }
            _ => {}
        }
    }

    /// Checks that nothing is known because of which no delivery must be accepted until a restart.
    pub(super) fn check_not_lost(&self) -> Result<(), JournalError> {
        match self.trouble.lock().as_ref() {
            Some(trouble) if trouble.is_lost => Err(JournalError::Lost(trouble.reason.clone())),
            _ => Ok(()),
        }
    }

    /// Notes that nothing stored from now on may be found again, for this reason.
    pub(super) fn lost(&self, reason: String) {
        let mut trouble = self.trouble.lock();
        if trouble.as_ref().is_some_and(|trouble| trouble.is_lost) {
            return;
        }
        error!(
            %reason,
            "the journal is lost: deliveries get 503 and /readyz answers 503 until the service is \
             restarted"
        );
        if let Some(health) = self.health.get() {
            health.degraded(Part::Journal, reason.clone());
        }
        let now = Instant::now();
        *trouble = Some(Trouble { began: now, said: now, unsaid: 0, reason, is_lost: true });
    }

    /// Notes that everything stored before the journal was lost will be found, for this reason.
    pub(super) fn saved(&self, reason: String) {
        let mut trouble = self.trouble.lock();
        let Some(trouble) = trouble.as_mut().filter(|trouble| trouble.is_lost) else { return };
        warn!(%reason, "what was accepted before the journal was lost is saved");
        trouble.reason.clone_from(&reason);
        if let Some(health) = self.health.get() {
            health.degraded(Part::Journal, reason);
        }
    }

    pub(super) fn failed_because(&self, reason: String) {
        let mut trouble = self.trouble.lock();
        let now = Instant::now();
        match trouble.as_mut() {
            None => {
                error!(
                    %reason,
                    "the journal cannot be written: deliveries get 503, /readyz answers 503, and what \
                     is accepted already waits; it goes on by itself as soon as it can be written"
                );
                let reason = reason.clone();
                *trouble =
                    Some(Trouble { began: now, said: now, unsaid: 0, reason, is_lost: false });
            }
            // Its own reason says what to do.
            Some(trouble) if trouble.is_lost => return,
            Some(trouble) => {
                if now - trouble.said >= SAY_EVERY {
                    let seconds = (now - trouble.began).as_secs();
                    let failures = trouble.unsaid + 1;
                    error!(%reason, seconds, failures, "the journal still cannot be written");
                    (trouble.said, trouble.unsaid) = (now, 0);
                } else {
                    trouble.unsaid += 1;
                }
                trouble.reason.clone_from(&reason);
            }
        }
        if let Some(health) = self.health.get() {
            health.degraded(Part::Journal, reason);
        }
        // Only now, so that nobody sees the two differ for longer than a moment.
        drop(trouble);
    }

    /// A probe was committed.
    pub(super) fn written(&self) {
        let mut trouble = self.trouble.lock();
        if trouble.as_ref().is_some_and(|trouble| trouble.is_lost) {
            return;
        }
        if let Some(trouble) = trouble.take() {
            let seconds = trouble.began.elapsed().as_secs();
            info!(seconds, "the journal can be written again: deliveries are accepted");
        }
        if let Some(health) = self.health.get() {
            health.well(Part::Journal);
        }
        drop(trouble);
    }

    pub(super) fn is_in_trouble(&self) -> bool {
        self.trouble.lock().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_failure_of_the_storage_begins_trouble_and_only_a_probe_ends_it() {
        let (storage, health) = (Storage::default(), Arc::new(Health::default()));
        storage.report_to(&health);
        storage.failed(&sqlx::Error::RowNotFound, Report::AnyFailure);
        assert!(health.reasons().is_empty(), "the values' fault");
        storage.failed(&sqlx::Error::WorkerCrashed, Report::Damage);
        assert!(health.reasons().is_empty(), "only a reader's");
        storage.failed(&sqlx::Error::WorkerCrashed, Report::AnyFailure);
        storage.failed(&sqlx::Error::PoolTimedOut, Report::AnyFailure);
        let reasons = health.reasons();
        assert!(reasons["journal"].contains("overloaded"), "the newest: {reasons:?}");
        assert!(storage.is_in_trouble());
        storage.written();
        assert!(health.reasons().is_empty() && !storage.is_in_trouble());
    }

    #[test]
    fn trouble_that_began_before_anybody_listened_is_told_to_whoever_listens_later() {
        let (storage, health) = (Storage::default(), Arc::new(Health::default()));
        storage.failed_because("the disk is full".to_owned());
        storage.failed_because("the disk is still full".to_owned());
        storage.report_to(&health);
        assert_eq!(health.reasons()["journal"], "the disk is still full");
        storage.written();
        assert!(health.reasons().is_empty());
    }
}
