//! The other side of the door: commits all that is waiting at once, so that a hundred deliveries
//! share one fsync.
//!
//! A commit is bounded in rows and in bytes of text. A delivery that is larger is stored by several
//! commits and answered after the last one; in each of them the other deliveries have their turn, so
//! that none of them waits for all of it. When one of its commits fails, its sender is asked to come
//! back: what was stored of it is recognised then.
//!
//! Probes have a lane of their own: they wait for the commit that is under way, and for no other. Between
//! two of them there is a commit of deliveries.

use std::{collections::VecDeque, sync::Arc, vec};

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::error;

use super::{error::JournalError, failure::FailureKind, handle::Journal};
use crate::intake::{DoorError, Entries, Entry, Notification, Origin, Receipt};

/// Deliveries that share one commit at most.
const DELIVERIES_PER_COMMIT: usize = 256;
/// Rows of one commit: a fraction of a second, even where each replaces another one.
const ROWS_PER_COMMIT: usize = 1_000;
/// Bytes of text of one commit, unless its only row has more.
const BYTES_PER_COMMIT: usize = 4 << 20;
/// Rows that a delivery adds to a commit before the next one has its turn.
const ROWS_PER_TURN: usize = 50;
/// Times that a commit is tried which gives way to another one.
const TRIES: usize = 4;

/// Probes that share one write at most.
const PROBES_AT_ONCE: usize = 64;

/// The way back to whoever asks for a probe.
type Probe = oneshot::Sender<Result<(), DoorError>>;

/// Commits what comes through the door until it is closed; `arrived` is notified after each commit.
pub async fn write_what_comes_in(journal: Journal, mut entries: Entries, arrived: Arc<Notify>) {
    let mut received = Vec::with_capacity(DELIVERIES_PER_COMMIT);
    let mut waiting = VecDeque::new();
    loop {
        let free = DELIVERIES_PER_COMMIT.saturating_sub(waiting.len());
        tokio::select! {
            biased;
            Some(reply) = entries.probes.recv() => probe(&journal, reply, &mut entries.probes).await,
            () = std::future::ready(()), if !waiting.is_empty() => {}
            count = entries.deliveries.recv_many(&mut received, free) => {
                if count == 0 {
                    return;
                }
            }
        }
        let free = free.saturating_sub(received.len());
        received.extend(std::iter::from_fn(|| entries.deliveries.try_recv().ok()).take(free));
        waiting.extend(received.drain(..).map(Delivery::from));
        if waiting.is_empty() {
            continue;
        }
        let batches = next_commit(&mut waiting);
        let results = commit(&journal, &batches).await;
        if results.iter().any(Result::is_ok) {
            arrived.notify_one();
        }
        settle(&mut waiting, &batches, results);
    }
}

/// Answers everybody who asks for a probe by a single write. A commit of deliveries follows before the next
/// one, so that no number of probes keeps them waiting.
async fn probe(journal: &Journal, first: Probe, others: &mut mpsc::Receiver<Probe>) {
    let others = std::iter::from_fn(|| others.try_recv().ok()).take(PROBES_AT_ONCE);
    let mut asked: Vec<Probe> = std::iter::once(first).chain(others).collect();
    asked.retain(|reply| !reply.is_closed());
    if asked.is_empty() {
        return;
    }
    let probed = journal.probe().await.map_err(|failure| DoorError::Failed(failure.to_string()));
    for reply in asked {
        // Who asked may have gone.
        let _gone = reply.send(probed.clone());
    }
}

/// Stores batches in one commit. When that fails by what one of them holds, each is stored by itself, so
/// that the others do not suffer for it.
async fn commit(
    journal: &Journal,
    batches: &[Vec<Notification>],
) -> Vec<Result<Receipt, DoorError>> {
    let failure = match append(journal, batches).await {
        Ok(receipts) => return receipts.into_iter().map(Ok).collect(),
        Err(failure) => failure,
    };
    let is_of_one = failure.kind() == Some(FailureKind::Statement);
    if is_of_one && batches.iter().filter(|batch| !batch.is_empty()).count() > 1 {
        let mut results = Vec::with_capacity(batches.len());
        for batch in batches {
            let stored = append(journal, std::slice::from_ref(batch)).await;
            let stored = stored.map_err(|failure| refused(&failure));
            results.push(stored.map(|receipts| receipts.into_iter().sum()));
        }
        return results;
    }
    vec![Err(refused(&failure)); batches.len()]
}

/// Stores batches in one commit, again when it gave way to another one.
async fn append(
    journal: &Journal,
    batches: &[Vec<Notification>],
) -> Result<Vec<Receipt>, JournalError> {
    for _ in 1..TRIES {
        match journal.append(batches).await {
            Err(failure) if failure.kind() == Some(FailureKind::Conflict) => {}
            ended => return ended,
        }
    }
    journal.append(batches).await
}

/// A failure of the storage is told by `storage`, from its beginning to its end.
fn refused(failure: &JournalError) -> DoorError {
    if !failure.is_told() {
        error!(%failure, "the journal could not commit deliveries; their senders are asked to come back");
    }
    DoorError::Failed(failure.to_string())
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

/// Answers those that are stored whole or had a part in a commit that failed. Of the others those come
/// first next time that had no turn.
fn settle(
    waiting: &mut VecDeque<Delivery>,
    batches: &[Vec<Notification>],
    results: Vec<Result<Receipt, DoorError>>,
) {
    let mut had_a_turn = Vec::new();
    let mut had_none = VecDeque::new();
    for ((mut delivery, batch), result) in waiting.drain(..).zip(batches).zip(results) {
        let is_whole = delivery.rest.as_slice().is_empty();
        if batch.is_empty() && !is_whole {
            had_none.push_back(delivery);
            continue;
        }
        match result {
            Ok(receipt) => {
                count(batch, receipt);
                delivery.receipt += receipt;
                if is_whole {
                    let receipt = delivery.receipt;
                    delivery.answer(Ok(receipt));
                } else {
                    had_a_turn.push(delivery);
                }
            }
            Err(reason) => delivery.answer(Err(reason)),
        }
    }
    *waiting = had_none;
    waiting.extend(had_a_turn);
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
    use std::time::Duration;

    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::{
        intake::{Door, verification::Proof},
        journal::SqliteDatabase,
    };

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
            let receipts = rows.iter().map(receipt).map(Ok).collect();
            settle(waiting, &batches, receipts);
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
        settle(&mut waiting, &batches, vec![Err(DoorError::Busy); 2]);
        assert_eq!(answer.try_recv(), Ok(Err(DoorError::Busy)));
        assert!(answer_of_small.try_recv().is_err(), "it has had no answer yet");
        assert_eq!(waiting.len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_delivery_is_stored_while_probes_are_asked_for_without_a_pause() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal =
            Journal::new(SqliteDatabase::open(&url).await.unwrap(), "https://console.example");
        let (door, entries) = Door::new(4);
        let writing = write_what_comes_in(journal, entries, Arc::default());
        let _writing = AbortOnDropHandle::new(tokio::spawn(writing));
        let asking: Vec<_> = std::iter::repeat_with(|| {
            let door = door.clone();
            AbortOnDropHandle::new(tokio::spawn(async move { while door.probe().await.is_ok() {} }))
        })
        .take(16)
        .collect();
        door.probe().await.unwrap();
        let proof = Proof::answered_by_console("2026-05-26T07:40:00Z".parse().unwrap());
        let letter = Notification::dead_letter(&proof, "x".to_owned(), "a reason".to_owned());
        let stored = tokio::time::timeout(Duration::from_mins(1), door.append(vec![letter])).await;
        assert_eq!(stored.expect("probes starve it").unwrap().dead_letters, 1);
        drop(asking);
    }
}
