//! The other side of the door: commits all that is waiting at once, so that a hundred deliveries
//! share one fsync.
//!
//! A commit is bounded in rows and in bytes of text. A delivery that is larger is stored by several
//! commits and answered after the last one; in each of them the other deliveries have their turn, so
//! that none of them waits for all of it. When one of its commits fails, its sender is asked to come
//! back: what was stored of it is recognised then.

use std::{collections::VecDeque, sync::Arc, vec};

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::error;

use super::{Journal, JournalError};
use crate::{
    health::{Health, Part},
    intake::{DoorError, Entry, Notification, Origin, Receipt},
};

/// Deliveries that share one commit at most.
const DELIVERIES_PER_COMMIT: usize = 256;
/// Rows of one commit: a fraction of a second, even where each replaces another one.
const ROWS_PER_COMMIT: usize = 1_000;
/// Bytes of text of one commit, unless its only row has more.
const BYTES_PER_COMMIT: usize = 4 << 20;
/// Rows that a delivery adds to a commit before the next one has its turn.
const ROWS_PER_TURN: usize = 50;

/// Commits what comes through the door until it is closed; `arrived` is notified after each commit,
/// `health` told how it went.
pub async fn write_what_comes_in(
    journal: Arc<dyn Journal>,
    mut entries: mpsc::Receiver<Entry>,
    arrived: Arc<Notify>,
    health: Arc<Health>,
) {
    let mut received = Vec::with_capacity(DELIVERIES_PER_COMMIT);
    let mut waiting = VecDeque::new();
    loop {
        let free = DELIVERIES_PER_COMMIT.saturating_sub(waiting.len());
        if waiting.is_empty() {
            if entries.recv_many(&mut received, free).await == 0 {
                return;
            }
        } else {
            received.extend(std::iter::from_fn(|| entries.try_recv().ok()).take(free));
        }
        waiting.extend(received.drain(..).map(Delivery::from));
        let batches = next_commit(&mut waiting);
        match journal.append(&batches).await {
            Ok(receipts) => {
                health.well(Part::Journal);
                stored(&mut waiting, &batches, receipts);
                arrived.notify_one();
            }
            Err(failure) => {
                error!(%failure, "the journal could not commit; senders are asked to come back");
                health.degraded(Part::Journal, failure.to_string());
                failed(&mut waiting, &batches, &failure);
            }
        }
    }
}

/// A delivery of which something is still to be stored.
struct Delivery {
    rest: vec::IntoIter<Notification>,
    /// Sums up what is stored.
    receipt: Receipt,
    reply: oneshot::Sender<Result<Receipt, DoorError>>,
}

impl From<Entry> for Delivery {
    fn from(entry: Entry) -> Self {
        let (rest, receipt) = (entry.notifications.into_iter(), Receipt::default());
        Self { rest, receipt, reply: entry.reply }
    }
}

impl Delivery {
    fn answer(self, result: Result<Receipt, DoorError>) {
        // A sender that went away meanwhile does not change what is stored.
        let _gone = self.reply.send(result);
    }
}

/// Takes out what one commit holds: rows of each delivery in turn, in the order of the deliveries.
fn next_commit(waiting: &mut VecDeque<Delivery>) -> Vec<Vec<Notification>> {
    let mut batches: Vec<Vec<Notification>> = waiting.iter().map(|_| Vec::new()).collect();
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let rows_before = rows;
        for (delivery, batch) in waiting.iter_mut().zip(&mut batches) {
            for _ in 0..ROWS_PER_TURN {
                let Some(next) = delivery.rest.as_slice().first() else { break };
                let size = next.body().len();
                if rows > 0 && (rows == ROWS_PER_COMMIT || bytes + size > BYTES_PER_COMMIT) {
                    return batches;
                }
                (rows, bytes) = (rows + 1, bytes + size);
                batch.extend(delivery.rest.next());
            }
        }
        if rows == rows_before {
            return batches;
        }
    }
}

/// Answers those that are stored whole. Of the others those come first next time that had no turn.
fn stored(waiting: &mut VecDeque<Delivery>, batches: &[Vec<Notification>], receipts: Vec<Receipt>) {
    let mut had_a_turn = Vec::new();
    let mut had_none = VecDeque::new();
    for ((mut delivery, batch), receipt) in waiting.drain(..).zip(batches).zip(receipts) {
        count(batch, receipt);
        delivery.receipt += receipt;
        if delivery.rest.as_slice().is_empty() {
            let receipt = delivery.receipt;
            delivery.answer(Ok(receipt));
        } else if batch.is_empty() {
            had_none.push_back(delivery);
        } else {
            had_a_turn.push(delivery);
        }
    }
    *waiting = had_none;
    waiting.extend(had_a_turn);
}

/// Refuses those that had a part in a commit that failed.
fn failed(waiting: &mut VecDeque<Delivery>, batches: &[Vec<Notification>], failure: &JournalError) {
    let reason = DoorError::Failed(failure.to_string());
    let mut had_none = VecDeque::new();
    for (delivery, batch) in waiting.drain(..).zip(batches) {
        if batch.is_empty() && !delivery.rest.as_slice().is_empty() {
            had_none.push_back(delivery);
        } else {
            delivery.answer(Err(reason.clone()));
        }
    }
    *waiting = had_none;
}

/// Counts what became of a batch; all that one proof verified came by the same road.
fn count(batch: &[Notification], receipt: Receipt) {
    let Some(origin) = batch.first().map(Notification::origin).map(Origin::as_str) else { return };
    for (result, number) in [
        ("accepted", receipt.accepted),
        ("duplicate", receipt.duplicates),
        ("dead_letter", receipt.dead_letters),
    ] {
        metrics::counter!("events_received_total", "origin" => origin, "result" => result)
            .increment(number as u64);
    }
    metrics::counter!("dead_letters_total", "step" => "receiving")
        .increment(receipt.dead_letters as u64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::verification::Proof;

    fn delivery(
        rows: usize,
        bytes: usize,
    ) -> (Delivery, oneshot::Receiver<Result<Receipt, DoorError>>) {
        let proof = Proof::answered_by_console("2026-05-26T07:40:00Z".parse().unwrap());
        let row = || Notification::dead_letter(&proof, "x".repeat(bytes), "a reason".to_owned());
        let notifications = std::iter::repeat_with(row).take(rows).collect();
        let (reply, answer) = oneshot::channel();
        (Delivery::from(Entry { notifications, reply }), answer)
    }

    /// Commits until nothing waits; answers how many rows of each delivery each commit had.
    fn commit_all(waiting: &mut VecDeque<Delivery>) -> Vec<Vec<usize>> {
        let mut commits = Vec::new();
        while !waiting.is_empty() {
            let batches = next_commit(waiting);
            let rows: Vec<usize> = batches.iter().map(Vec::len).collect();
            let receipt = |rows: &usize| Receipt { accepted: *rows, ..Receipt::default() };
            let receipts = rows.iter().map(receipt).collect();
            stored(waiting, &batches, receipts);
            commits.push(rows);
        }
        commits
    }

    #[test]
    fn a_large_delivery_takes_several_commits_and_small_ones_do_not_wait_for_all_of_it() {
        let (large, mut answer_of_large) = delivery(2_500, 10);
        let (small, mut answer_of_small) = delivery(2, 10);
        let mut waiting = VecDeque::from([large, small]);
        assert_eq!(commit_all(&mut waiting), [vec![998, 2], vec![1_000], vec![502]]);
        assert_eq!(answer_of_large.try_recv().unwrap().unwrap().accepted, 2_500);
        assert_eq!(answer_of_small.try_recv().unwrap().unwrap().accepted, 2);
    }

    #[test]
    fn whoever_had_no_turn_in_a_commit_comes_first_in_the_next_one() {
        let deliveries = (0..30).map(|_| delivery(100, 10));
        let (mut waiting, answers): (VecDeque<_>, Vec<_>) = deliveries.unzip();
        let commits = commit_all(&mut waiting);
        assert_eq!(commits[0], [vec![50; 20], vec![0; 10]].concat());
        assert_eq!(
            commits[1],
            [vec![50; 20], vec![0; 10]].concat(),
            "ten new ones, then ten again"
        );
        assert_eq!(commits.len(), 3);
        for mut answer in answers {
            assert_eq!(answer.try_recv().unwrap().unwrap().accepted, 100);
        }
    }

    #[test]
    fn a_commit_holds_no_more_bytes_than_its_bound_unless_a_single_row_does() {
        let (first, _first) = delivery(3, BYTES_PER_COMMIT / 2);
        let (second, _second) = delivery(1, BYTES_PER_COMMIT + 1);
        let mut waiting = VecDeque::from([first, second]);
        assert_eq!(commit_all(&mut waiting), [vec![2, 0], vec![1, 0], vec![1]]);
    }

    #[test]
    fn a_commit_that_fails_refuses_those_in_it_and_nobody_else() {
        let (large, mut answer) = delivery(ROWS_PER_COMMIT * 2, 10);
        let (small, mut answer_of_small) = delivery(1, 10);
        let mut waiting = VecDeque::from([large, small]);
        let batches = vec![Vec::from_iter(waiting[0].rest.next()), Vec::new()];
        failed(&mut waiting, &batches, &JournalError::Corrupt("a test".to_owned()));
        assert!(matches!(answer.try_recv(), Ok(Err(DoorError::Failed(_)))));
        assert!(answer_of_small.try_recv().is_err(), "it has had no answer yet");
        assert_eq!(waiting.len(), 1);
    }
}
