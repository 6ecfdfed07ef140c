//! Refusals of OpenCTI come back: works are closed where that failed before, looked at until they
//! are done, and each error is put on the event whose object it is about. An event of which something
//! was refused for a reason that passes leaves once more (`requeue`), and so do the events of a work
//! that lost objects without an error (`lost_works`).
//!
//! A work is looked at a few times, further and further apart; after the last look it is let go with
//! what it says by then, unless some of it is still queued. A work for which OpenCTI has no answer lets
//! the others go first, and is let go by age. A token that may not read works is told once, then works
//! are let go.
//!
//! Does not live here: asking OpenCTI (`opencti`), keeping (`journal`), when this runs
//! (`afterwards`), when a work counts as lost (`lost_works`).

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use super::{
    lost_works::{self, Loss, Verdict},
    matching::matched,
    refused_rules::{ReadWork, RefusedRuleReader},
    requeue,
};
use crate::{
    clock::Clock,
    journal::{DueWork, Journal, JournalError, LostWork, WorkPart, WorkStanding},
    opencti::{
        CONTINUED, ConfirmedObjects, FIRST_LOOK_AFTER, OpenCti, OpenCtiError, WorkError, WorkId,
        WorkOutcome, WorkReport,
    },
};

/// Seconds from one look at a work to the next; the first counts from its closing. The last look is
/// about a day after.
const LOOKS_AFTER_SECONDS: [i64; 10] =
    [FIRST_LOOK_AFTER.num_seconds(), 40, 60, 180, 600, 1_800, 3_600, 10_800, 21_600, 43_200];
/// From one look to the next for a work of which something is queued after all of these.
const LAST_WAIT: TimeDelta = TimeDelta::hours(12);
/// Works handled in one round.
const WORKS_A_ROUND: usize = 20;
/// A work that could not be closed or read has its turn again after a quarter of its age, between
/// these two.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(60);
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);
/// A work this old that still cannot be closed or read is let go.
const OLDEST_WORK: TimeDelta = TimeDelta::days(7);
/// Name of a remembered number that grows whenever something counts as unknown to OpenCTI that was
/// confirmed before: the other replicas then forget all that was confirmed to them, which costs messages
/// only.
const FORGOTTEN: &str = "confirmed_forgotten";
/// Name of a remembered number that grows whenever a custom field refused a property of our own.
const REFUSED_PROPERTIES: &str = "custom_properties_refused";
/// Errors that the platform keeps of a work.
const MOST_ERRORS_OF_A_WORK: usize = 100;

/// Closes, reads and lets go of works.
pub(super) struct Refusals {
    pub(super) journal: Journal,
    pub(super) platform: OpenCti,
    /// The connector whose queue its works are about.
    pub(super) connector_id: String,
    pub(super) confirmed: Option<Arc<ConfirmedObjects>>,
    pub(super) clock: Clock,
    /// Set when the token may not read works.
    pub(super) may_not_read: AtomicBool,
}

/// The rest of a round that could be done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    None,
    /// The round was full.
    MaybeMore,
}

/// The connector's queue in OpenCTI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    /// Nothing waits there.
    Empty,
    /// Something waits there.
    Holds,
    /// OpenCTI does not say.
    Unknown,
}

/// The future of a round.
enum Next {
    Work,
    /// OpenCTI as a whole cannot be asked at the moment.
    Round,
}

impl Refusals {
    /// Handles the works that are due.
    pub(super) async fn round(&self) -> Result<Rest, JournalError> {
        let due = self.journal.works_due(WORKS_A_ROUND, self.clock.now()).await?;
        let rest = if due.len() < WORKS_A_ROUND { Rest::None } else { Rest::MaybeMore };
        for work in due {
            let next = match &work.closing {
                Some(message) if work.is_lost => self.end(&work, message).await?,
                Some(message) => self.close(&work, message).await?,
                None => self.look_at(&work).await?,
            };
            if matches!(next, Next::Round) {
                return Ok(Rest::None);
            }
        }
        Ok(rest)
    }

    async fn close(&self, work: &DueWork, message: &str) -> Result<Next, JournalError> {
        let id = WorkId::remembered(&*work.id);
        let now = self.clock.now();
        match self.platform.close_work(&id, message, WorkOutcome::told_by(message)).await {
            Ok(()) => {
                info!(work_id = work.id, "a work that was left open in OpenCTI is closed now");
                self.journal.work_closed(&work.id, now, now + FIRST_LOOK_AFTER).await?;
                Ok(Next::Work)
            }
            Err(error) if error.is_work_gone() => {
                self.heed(work, None, self.next_look(work)).await?;
                Ok(Next::Work)
            }
            Err(error) => self.postpone(work, "closed", &error).await,
        }
    }

    /// Closes a lost work: nothing of it is open in OpenCTI afterwards, and it is let go.
    async fn end(&self, work: &DueWork, message: &str) -> Result<Next, JournalError> {
        let id = WorkId::remembered(&*work.id);
        let ended = async {
            match self.platform.read_work(&id).await? {
                Some(report) if !report.is_complete => {
                    self.complete(&id, report.outstanding(), message).await
                }
                _ => Ok(()),
            }
        };
        match ended.await {
            Ok(()) => {
                self.journal.remove_work(&work.id, &[]).await?;
                Ok(Next::Work)
            }
            Err(error) if error.is_work_gone() => {
                self.journal.remove_work(&work.id, &[]).await?;
                Ok(Next::Work)
            }
            Err(error) => self.postpone(work, "closed", &error).await,
        }
    }

    /// Completes a work of which `outstanding` announced objects never come.
    async fn complete(
        &self,
        work: &WorkId,
        outstanding: usize,
        message: &str,
    ) -> Result<(), OpenCtiError> {
        if outstanding > 0 {
            self.platform.expect_fewer_objects(work, outstanding).await?;
        }
        self.platform.close_work(work, message, WorkOutcome::Interrupted).await
    }

    /// Makes room for other works; the round ends only with OpenCTI as a whole.
    async fn postpone(
        &self,
        work: &DueWork,
        what: &str,
        error: &OpenCtiError,
    ) -> Result<Next, JournalError> {
        let now = self.clock.now();
        let age = now - work.opened_at;
        if age > OLDEST_WORK {
            warn!(work_id = work.id, %error, "a work in OpenCTI cannot be {what} and is let go");
            self.journal.remove_work(&work.id, &[]).await?;
        } else {
            warn!(work_id = work.id, %error, "a work in OpenCTI cannot be {what} for now");
            let wait = (age / 4).clamp(ASK_AGAIN, LONGEST_WAIT);
            self.journal.postpone_work(&work.id, now + wait).await?;
        }
        Ok(if error.is_outage() { Next::Round } else { Next::Work })
    }

    async fn look_at(&self, work: &DueWork) -> Result<Next, JournalError> {
        if self.may_not_read.load(Ordering::Relaxed) {
            self.journal.remove_work(&work.id, &[]).await?;
            return Ok(Next::Work);
        }
        let next_look = self.next_look(work);
        match self.platform.read_work(&WorkId::remembered(&*work.id)).await {
            Ok(report) => self.heed(work, report, next_look).await?,
            Err(error) => return self.cannot_be_read(work, error, next_look).await,
        }
        Ok(Next::Work)
    }

    /// The date of the look after this one; `None`: this is the last.
    fn next_look(&self, work: &DueWork) -> Option<DateTime<Utc>> {
        let look = usize::try_from(work.looks + 1).ok()?;
        let wait = LOOKS_AFTER_SECONDS.get(look)?;
        Some(self.clock.now() + TimeDelta::seconds(*wait))
    }

    /// Requeues what a lost work brought, keeps what a work says that is done, and waits on for any
    /// other, unless this was the last look. `None`: OpenCTI does not know the work.
    async fn heed(
        &self,
        work: &DueWork,
        report: Option<WorkReport>,
        next_look: Option<DateTime<Utc>>,
    ) -> Result<(), JournalError> {
        let now = self.clock.now();
        let standing = lost_works::standing(work, report.as_ref(), now);
        if report.is_none() && standing.since == now {
            // At once: what is delivered meanwhile must not count on what was queued of it.
            self.forget_everything_confirmed().await?;
        }
        let verdict = lost_works::judge(work, report.as_ref(), standing.since, now);
        match (verdict, report) {
            (Verdict::Lost(loss), report) => self.lost(work, loss, report, &standing).await,
            (Verdict::Open(Some(decided_at)), _) => {
                let at = next_look.map_or(decided_at, |next| next.min(decided_at));
                self.journal.look_again(&work.id, Some(&standing), at).await
            }
            (Verdict::Open(None), Some(report)) => {
                self.wait_on(work, report, &standing, next_look).await
            }
            (_, report) => {
                let errors = report.map(|report| report.errors).unwrap_or_default();
                self.keep(work, errors).await
            }
        }
    }

    /// A work in progress with objects that are still to come.
    async fn wait_on(
        &self,
        work: &DueWork,
        report: WorkReport,
        standing: &WorkStanding,
        next_look: Option<DateTime<Utc>>,
    ) -> Result<(), JournalError> {
        let now = self.clock.now();
        let is_interrupted = report.was_interrupted() && report.outstanding() > 0;
        let is_unmoved = lost_works::is_unmoved(&report, standing.since, now);
        // The queue is asked for only where that decides something.
        let queue = if is_interrupted || is_unmoved { self.queue().await } else { Queue::Unknown };
        if is_interrupted && (next_look.is_none() || queue == Queue::Empty) {
            self.settle(work, report.outstanding()).await;
        }
        if is_unmoved && (queue == Queue::Empty || (queue, next_look) == (Queue::Unknown, None)) {
            return self.lost(work, Loss::Unmoved, Some(report), standing).await;
        }
        // A backlog may take longer than all looks together.
        let is_queued = is_unmoved && queue == Queue::Holds && now - work.opened_at < OLDEST_WORK;
        match next_look.or_else(|| is_queued.then_some(now + LAST_WAIT)) {
            Some(at) => self.journal.look_again(&work.id, Some(standing), at).await,
            None => self.keep(work, report.errors).await,
        }
    }

    /// Requeues what was delivered in a work that lost objects.
    async fn lost(
        &self,
        work: &DueWork,
        loss: Loss,
        report: Option<WorkReport>,
        standing: &WorkStanding,
    ) -> Result<(), JournalError> {
        let now = self.clock.now();
        self.forget_everything_confirmed().await?;
        let parts = self.journal.parts_of_work(&work.id).await?;
        let errors = report.map(|report| report.errors).unwrap_or_default();
        self.consequences(work, &errors, &parts).await?;
        let refusals = matched(&work.id, errors, parts, now);
        let closing = loss.closing();
        let ending = LostWork {
            work: &work.id,
            reason: loss.reason(),
            waits: &lost_works::WAITS,
            closing: closing.as_deref(),
            refusals: &refusals,
        };
        let Some(requeued) = self.journal.work_lost(&ending, now).await? else {
            return self.journal.look_again(&work.id, Some(standing), now + FIRST_LOOK_AFTER).await;
        };
        metrics::counter!("objects_refused_by_opencti_total").increment(refusals.len() as u64);
        metrics::counter!("works_lost_total", "reason" => loss.name()).increment(1);
        requeue::tell_lost(&work.id, loss.reason(), &standing.shown, &requeued);
        Ok(())
    }

    async fn forget_everything_confirmed(&self) -> Result<(), JournalError> {
        let Some(confirmed) = &self.confirmed else { return Ok(()) };
        confirmed.forget();
        self.tell_other_replicas(FORGOTTEN).await
    }

    async fn cannot_be_read(
        &self,
        work: &DueWork,
        error: OpenCtiError,
        next_look: Option<DateTime<Utc>>,
    ) -> Result<Next, JournalError> {
        if matches!(error, OpenCtiError::Forbidden { .. }) {
            if !self.may_not_read.swap(true, Ordering::Relaxed) {
                warn!(
                    "the user of OPENCTI_TOKEN may not read works: what OpenCTI refuses does not \
                     come back; give its role the right to read connectors (MODULES), then restart"
                );
            }
            self.journal.remove_work(&work.id, &[]).await?;
        } else if error.is_retryable() || error.is_outage() {
            // An outage, a token to be replaced, or trouble with this one: not counted.
            return self.postpone(work, "read", &error).await;
        } else if let Some(at) = next_look {
            warn!(work_id = work.id, %error, "a work in OpenCTI cannot be read");
            self.journal.look_again(&work.id, None, at).await?;
        } else {
            warn!(work_id = work.id, %error, "a work in OpenCTI cannot be read and is let go");
            self.journal.remove_work(&work.id, &[]).await?;
        }
        Ok(Next::Work)
    }

    /// Asks whether anything can still come from the connector's queue.
    async fn queue(&self) -> Queue {
        match self.platform.queue_bytes(&self.connector_id).await {
            Ok(bytes) if bytes <= 0.0 => Queue::Empty,
            Ok(_) => Queue::Holds,
            Err(_) => Queue::Unknown,
        }
    }

    /// Completes a work of which something that was announced never comes, as after a crash: else
    /// OpenCTI shows it as in progress for ever.
    async fn settle(&self, work: &DueWork, outstanding: usize) {
        let id = WorkId::remembered(&*work.id);
        let message = format!(
            "{outstanding} announced objects never came in this work; what is missing {CONTINUED}"
        );
        match self.complete(&id, outstanding, &message).await {
            Ok(()) => {
                info!(work_id = work.id, outstanding, "an interrupted work is settled in OpenCTI");
            }
            Err(error) => {
                warn!(work_id = work.id, %error, "an interrupted work stays open in OpenCTI");
            }
        }
    }

    /// Puts the errors of a work on their events, and lets the work go.
    async fn keep(&self, work: &DueWork, errors: Vec<WorkError>) -> Result<(), JournalError> {
        let parts = self.journal.parts_of_work(&work.id).await?;
        let consequences = self.consequences(work, &errors, &parts).await?;
        self.forget_what_was_refused(&errors, &consequences).await?;
        if errors.iter().any(WorkError::is_refused_property) {
            self.platform.leave_out_custom_properties();
            self.tell_other_replicas(REFUSED_PROPERTIES).await?;
        }
        let is_cut_off = errors.len() >= MOST_ERRORS_OF_A_WORK;
        let all: HashSet<_> = parts.iter().map(|part| part.event).collect();
        let refusals = matched(&work.id, errors, parts, self.clock.now());
        let Some(first) = refusals.first() else {
            return self.journal.remove_work(&work.id, &[]).await;
        };
        let events: HashSet<_> = refusals.iter().filter_map(|refusal| refusal.event).collect();
        metrics::counter!("objects_refused_by_opencti_total").increment(refusals.len() as u64);
        warn!(
            work_id = work.id,
            objects = refusals.len(),
            events = events.len(),
            there_may_be_more = is_cut_off,
            object = first.object,
            reason = first.reason,
            "OpenCTI refused objects of delivered events; the journal keeps which and why"
        );
        let unnamed = if is_cut_off { all } else { HashSet::new() };
        let passing = refusals.iter().filter(|refusal| !consequences.contains(&refusal.object));
        requeue::requeue_passing(&self.journal, self.clock.now(), passing, &unnamed).await?;
        self.journal.remove_work(&work.id, &refusals).await
    }

    /// Keeps the rules that were refused in a work; returns the objects that were refused only because
    /// of something that was refused for good.
    async fn consequences(
        &self,
        work: &DueWork,
        errors: &[WorkError],
        parts: &[WorkPart],
    ) -> Result<HashSet<String>, JournalError> {
        let reader = RefusedRuleReader {
            journal: &self.journal,
            platform: &self.platform,
            now: self.clock.now(),
        };
        let was_reset = work.was_reset;
        reader.read(ReadWork { id: &work.id, was_reset, errors, parts }).await
    }

    async fn forget_what_was_refused(
        &self,
        errors: &[WorkError],
        consequences: &HashSet<String>,
    ) -> Result<(), JournalError> {
        let Some(confirmed) = &self.confirmed else { return Ok(()) };
        let is_missing_some = errors.iter().any(|error| {
            let is_consequence = |object: &String| consequences.contains(object);
            error.is_missing_reference() && !error.object.as_ref().is_some_and(is_consequence)
        });
        if is_missing_some {
            confirmed.forget();
        }
        let refused: Vec<&str> =
            errors.iter().filter_map(|error| error.object.as_deref()).collect();
        confirmed.forget_objects(refused.iter().copied());
        if is_missing_some || !refused.is_empty() {
            self.tell_other_replicas(FORGOTTEN).await?;
        }
        Ok(())
    }

    /// Lets the remembered number `name` grow, by which the other replicas learn of it.
    async fn tell_other_replicas(&self, name: &str) -> Result<(), JournalError> {
        let before = self.journal.remembered(name).await?;
        let before: u64 = before.and_then(|number| number.parse().ok()).unwrap_or_default();
        self.journal.remember(name, &before.saturating_add(1).to_string()).await
    }
}

/// Returns what tells a replica, by being another than before, that nothing counts as known to OpenCTI any
/// more: the import generation, and how often the one that leads has forgotten something.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub async fn era_of_confirmed(journal: &Journal) -> Result<[Option<String>; 2], JournalError> {
    Ok([journal.remembered("generation").await?, journal.remembered(FORGOTTEN).await?])
}

/// Returns what tells a replica, by being another than before, that a custom field refused a property of
/// our own.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub async fn era_of_properties(journal: &Journal) -> Result<Option<String>, JournalError> {
    journal.remembered(REFUSED_PROPERTIES).await
}
