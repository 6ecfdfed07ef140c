//! Works of which objects never reached OpenCTI. Their events are requeued and the work ends in one
//! commit, so that neither a crash nor another replica requeues them twice.
//!
//! Does not live here: how an event is requeued (`requeue`), which works are lost (`pipeline`).

use chrono::{DateTime, Utc};

use super::{
    requeue::{Cause, Requeue},
    works::forget_parts,
};
use crate::journal::{
    database::{locks::EventLocks, session::Change, statement::query},
    error::JournalError,
    event::EventId,
    handle::Journal,
    works::{LostWork, RequeueOutcome, Requeued},
};

impl Journal {
    /// Objects of a work never came: requeues what was delivered in it, in the newest version and in
    /// the present import generation, and forgets the work or has it closed, in one commit. `None`
    /// while an event of it is claimed: to be asked again. A work that was ended before needs nothing.
    pub async fn work_lost(
        &self,
        lost: &LostWork<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<Requeued>, JournalError> {
        let mut transaction = self.begin(EventLocks::Departures).await?;
        if !self.is_still_known(&mut transaction, lost.work).await? {
            transaction.roll_back().await?;
            return Ok(Some(Requeued::default()));
        }
        if is_under_way(&mut transaction, lost.work).await? {
            transaction.roll_back().await?;
            return Ok(None);
        }
        let requeue = Requeue { cause: Cause::LostWork, reason: lost.reason, waits: lost.waits };
        let mut requeued = Requeued::default();
        for event in events_of(&mut transaction, lost.work).await? {
            match self.requeue(&mut transaction, event, &requeue, now).await? {
                RequeueOutcome::Pending => requeued.pending += 1,
                RequeueOutcome::OnItsWay | RequeueOutcome::CameAgain => {
                    requeued.came_otherwise += 1;
                }
                RequeueOutcome::GaveUp => requeued.gave_up.push(event),
                RequeueOutcome::NotThere => requeued.without_text.push(event),
            }
        }
        if !lost.refusals.is_empty() {
            self.refuse(&mut transaction, lost.refusals).await?;
        }
        let ending = match lost.closing {
            Some(message) => {
                query("UPDATE works SET is_lost = 1, closing = $1, look_at = $2 WHERE id = $3")
                    .bind(message)
                    .bind(now.timestamp_millis())
                    .bind(lost.work)
            }
            None => query("DELETE FROM works WHERE id = $1").bind(lost.work),
        };
        ending.execute(&mut transaction).await?;
        forget_parts(&mut transaction, lost.work).await?;
        transaction.commit().await?;
        Ok(Some(requeued))
    }

    /// Returns whether nobody else has ended it.
    async fn is_still_known(
        &self,
        transaction: &mut Change,
        work: &str,
    ) -> Result<bool, JournalError> {
        let row = query(
            "SELECT EXISTS (SELECT 1 FROM works WHERE id = $1 AND console = $2 AND is_lost = 0) AS is_known",
        )
        .bind(work)
        .bind(&self.console)
        .fetch_one(transaction)
        .await?;
        row.holds("is_known")
    }
}

/// Returns whether an event of the work is claimed: it may be about to count as delivered by this
/// very work.
async fn is_under_way(transaction: &mut Change, work: &str) -> Result<bool, JournalError> {
    let row = query(
        "SELECT EXISTS (SELECT 1 FROM work_parts JOIN events ON events.id = work_parts.event \
         WHERE work_parts.work = $1 AND events.leased_until IS NOT NULL) AS is_under_way",
    )
    .bind(work)
    .fetch_one(transaction)
    .await?;
    row.holds("is_under_way")
}

async fn events_of(transaction: &mut Change, work: &str) -> Result<Vec<EventId>, JournalError> {
    let rows =
        query("SELECT event FROM work_parts WHERE work = $1 GROUP BY event ORDER BY MIN(position)")
            .bind(work)
            .fetch_all(transaction)
            .await?;
    rows.iter().map(|row| row.number("event")).collect()
}
