//! Takes up the jobs that hang on the board, one after the other, beside the scheduled sweeps.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::account::{Account, Trigger};
use crate::sweep::{Found, Job, JobBoard, JobState, Pace, Sweep, SweepError};

/// Works until `stop`, the end of a term.
pub(super) async fn take_up(
    sweep: Arc<Sweep>,
    account: Account,
    board: Arc<JobBoard>,
    jobs: &Mutex<mpsc::Receiver<Job>>,
    stop: CancellationToken,
) {
    let mut jobs = jobs.lock().await;
    while let Some(Some(job)) = stop.run_until_cancelled(jobs.recv()).await {
        info!(?job, "a job was asked for");
        let running = AssertUnwindSafe(run(&sweep, &account, &board, &job)).catch_unwind();
        match stop.run_until_cancelled(running).await {
            Some(Ok(Ok(found))) => {
                info!(?job, new = found.new, known = found.known, "the job is done");
            }
            Some(Ok(Err(SweepError::CalledOff(why)))) => info!(?job, %why, "the job is over"),
            Some(Ok(Err(failure))) => {
                warn!(?job, %failure, "the job ended early; asked for again, it goes on from there");
            }
            Some(Err(_panic)) => {
                error!(?job, "the job broke off by a defect; please report it");
                fail(&board, "it broke off by a defect");
            }
            None => fail(&board, "the service stopped meanwhile"),
        }
    }
}

/// Fails the job that hangs there at the end of a term and was not taken up: who asked for it must not
/// wait for a term that may never come, and may ask the replica that leads now.
pub(super) async fn give_back(board: &JobBoard, jobs: &Mutex<mpsc::Receiver<Job>>) {
    if let Ok(job) = jobs.lock().await.try_recv() {
        info!(?job, "a job was asked for just before the end and is not begun");
        fail(board, "the service stopped, or leads no longer, before it began; ask again");
    }
}

fn fail(board: &JobBoard, why: &str) {
    board.tell(|progress| {
        progress.state = JobState::Failed;
        why.clone_into(&mut progress.words);
    });
}

/// Does one job; the board is told how it goes.
pub(super) async fn run(
    sweep: &Sweep,
    account: &Account,
    board: &JobBoard,
    job: &Job,
) -> Result<Found, SweepError> {
    board.tell(|progress| {
        progress.state = JobState::Running;
        (progress.expected, progress.new, progress.known) = (0, 0, 0);
    });
    let work = async {
        match job {
            Job::Sweep => Box::pin(sweep.run_once(Pace::Job(board))).await,
            Job::Backfill(range) => Box::pin(sweep.backfill(range, board)).await,
        }
    };
    let result = account.of(Trigger::of(job), work).await;
    board.tell(|progress| match &result {
        Ok(found) => {
            progress.state = JobState::Done;
            progress.new = found.new as u64;
            progress.known = found.known as u64;
        }
        Err(failure) => {
            progress.state = match failure {
                SweepError::CalledOff(_) => JobState::Interrupted,
                _ => JobState::Failed,
            };
            progress.words = failure.to_string();
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_job_that_no_term_took_up_fails_and_makes_room_for_the_next() {
        let (board, jobs) = JobBoard::new("https://console.example".to_owned(), Clock::system());
        let jobs = Mutex::new(jobs);
        give_back(&board, &jobs).await;
        assert_eq!(board.current().state, JobState::None, "nothing hung there");
        board.submit(Job::Sweep).unwrap();
        give_back(&board, &jobs).await;
        let given_back = board.current();
        assert_eq!(given_back.state, JobState::Failed);
        assert!(given_back.words.contains("ask again") && given_back.ended_at.is_some());
        assert_eq!(board.submit(Job::Sweep).map(|progress| progress.number), Ok(2));
    }
}
