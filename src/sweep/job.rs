//! Jobs that a person asks for: a sweep now, or a backfill of a stretch of time. The management
//! pages take them for a running service, the commands run them themselves when there is none.
//!
//! A job is called off between two pages, by a person or by a reset, never while a page is stored: what
//! it has read is in the journal, and its mark stands behind that.
//!
//! Lives here: what is asked for, the board on which it hangs, how far it is, calling it off. Does not
//! live here: HTTP (`ops`), the command line (`cli`), doing it (`backfill`, `Sweep::run_once`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::Found;
use crate::clock::Clock;

/// The work that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "lowercase", deny_unknown_fields)]
pub enum Job {
    /// One sweep, now.
    Sweep,
    /// Everything of a stretch of time.
    Backfill(Range),
}

/// A stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// From this date on.
    pub since: DateTime<Utc>,
    /// Before this date; `None`: up to now.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// Only alerts of these types, as the console calls them; empty: alerts of every type, and
    /// threats if they are imported.
    #[serde(default)]
    pub types: Vec<String>,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// None was asked for yet.
    #[default]
    None,
    /// It waits for its turn or is under way.
    Running,
    /// It is done: the journal has everything.
    Done,
    /// It ended early.
    Failed,
    /// It was called off.
    Interrupted,
}

/// The reason for which a job was called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CalledOff {
    /// Everything is imported again, and what it had read with it.
    #[error("interrupted by a reset in OpenCTI: everything is imported again from the start date")]
    ByReset,
    /// Somebody wanted it no longer.
    #[error("cancelled; what it had read until then is imported")]
    ByPerson,
}

/// For whom the console is read.
#[derive(Debug, Clone, Copy)]
pub enum Pace<'a> {
    /// The schedule: as fast as the console answers.
    Schedule,
    /// A sweep that hangs on this board: as fast, unless it is called off.
    Job(&'a JobBoard),
    /// A backfill that hangs on this board: it gives way to deliveries, unless it is called off.
    Backfill(&'a JobBoard),
}

impl<'a> Pace<'a> {
    /// Returns the board that it is on, if any.
    pub(super) fn board(self) -> Option<&'a JobBoard> {
        match self {
            Self::Schedule => None,
            Self::Job(board) | Self::Backfill(board) => Some(board),
        }
    }

    /// Does what may be broken off at any time, as asking the console may.
    pub(super) async fn unless_called_off<T>(
        self,
        work: impl Future<Output = T>,
    ) -> Result<T, CalledOff> {
        match self.board() {
            Some(board) => board.unless_called_off(work).await,
            None => Ok(work.await),
        }
    }
}

/// The progress of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of the job in this process, from 1.
    pub number: u64,
    /// Its state.
    pub state: JobState,
    /// The job that was asked for.
    #[serde(default)]
    pub job: Option<Box<Job>>,
    /// The time at which it was asked for.
    #[serde(default)]
    pub asked_at: Option<DateTime<Utc>>,
    /// The time of its end, however it ended.
    #[serde(default)]
    pub ended_at: Option<DateTime<Utc>>,
    /// Items that it will read in all, as far as is known.
    pub expected: u64,
    /// Items that the journal did not have.
    pub new: u64,
    /// Items that it had.
    pub known: u64,
    /// The reason for which it waits, failed or was called off, in plain words; else empty.
    pub words: String,
}

/// The board on which jobs are put, one at a time, and their progress is read.
#[derive(Debug)]
pub struct JobBoard {
    console: String,
    clock: Clock,
    inbox: mpsc::Sender<Job>,
    progress: watch::Sender<Progress>,
    /// Of the newest job. Only written while `progress` is, so that it cannot hit the one after it.
    called_off: watch::Sender<Option<CalledOff>>,
}

impl JobBoard {
    /// A board for jobs on `console`, and the end at which they are taken up.
    pub fn new(console: String, clock: Clock) -> (Self, mpsc::Receiver<Job>) {
        let (inbox, jobs) = mpsc::channel(1);
        let (progress, called_off) = (watch::Sender::default(), watch::Sender::default());
        (Self { console, clock, inbox, progress, called_off }, jobs)
    }

    /// Returns the console that the jobs are about.
    pub fn console(&self) -> &str {
        &self.console
    }

    /// Hangs up a job. `Err`: another one is under way.
    pub fn submit(&self, job: Job) -> Result<Progress, Progress> {
        let is_taken = self.progress.send_if_modified(|progress| {
            if progress.state == JobState::Running {
                return false;
            }
            let (number, state) = (progress.number + 1, JobState::Running);
            let (asked, asked_at) = (Some(Box::new(job.clone())), Some(self.clock.now()));
            // Before it can be taken up.
            self.called_off.send_replace(None);
            let is_free = self.inbox.try_send(job).is_ok();
            if is_free {
                *progress = Progress { number, state, job: asked, asked_at, ..Progress::default() };
            }
            is_free
        });
        let progress = self.current();
        if is_taken { Ok(progress) } else { Err(progress) }
    }

    /// Cancels job `number` at its next page. `Err`: it is not under way.
    pub fn cancel(&self, number: u64) -> Result<Progress, Progress> {
        let is_cancelled = self.call_off(CalledOff::ByPerson, |progress| progress.number == number);
        let progress = self.current();
        if is_cancelled { Ok(progress) } else { Err(progress) }
    }

    /// Ends the job that is under way, if any is, at its next page: everything is imported again.
    pub(super) fn reset(&self) {
        self.call_off(CalledOff::ByReset, |_any| true);
    }

    fn call_off(&self, why: CalledOff, is_meant: impl FnOnce(&Progress) -> bool) -> bool {
        let mut is_called_off = false;
        self.progress.send_if_modified(|progress| {
            is_called_off = progress.state == JobState::Running && is_meant(progress);
            if is_called_off {
                self.called_off.send_replace(Some(why));
            }
            false
        });
        is_called_off
    }

    /// Does `work` until the job is called off; at once, if it already is.
    async fn unless_called_off<T>(&self, work: impl Future<Output = T>) -> Result<T, CalledOff> {
        let mut called_off = self.called_off.subscribe();
        let why = async {
            match called_off.wait_for(Option::is_some).await.map(|why| *why) {
                Ok(Some(why)) => why,
                // The sender is this board's own.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            why = why => Err(why),
            done = work => Ok(done),
        }
    }

    /// Returns the progress of the newest job.
    pub fn current(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Follows the newest job.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// A page was read.
    pub(super) fn found(&self, of_page: Found) {
        self.tell(|progress| {
            progress.new += of_page.new as u64;
            progress.known += of_page.known as u64;
        });
    }

    /// Writes progress down.
    pub fn tell(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            let was_running = progress.state == JobState::Running;
            change(progress);
            if was_running && progress.state != JobState::Running {
                progress.ended_at = Some(self.clock.now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> (JobBoard, mpsc::Receiver<Job>) {
        JobBoard::new("https://console.example".to_owned(), Clock::system())
    }

    #[tokio::test]
    async fn what_calls_a_job_off_does_not_touch_the_one_after_it() {
        let (board, mut jobs) = board();
        assert!(board.cancel(0).is_err(), "nothing is under way");
        board.submit(Job::Sweep).unwrap();
        assert!(board.cancel(7).is_err(), "there is no such job");
        assert_eq!(board.unless_called_off(async { "read" }).await, Ok("read"));
        board.cancel(1).unwrap();
        let never = std::future::pending::<()>();
        assert_eq!(board.unless_called_off(never).await, Err(CalledOff::ByPerson));
        jobs.recv().await.unwrap();
        board.tell(|progress| progress.state = JobState::Interrupted);
        assert!(board.current().ended_at.is_some());
        board.reset();
        board.submit(Job::Sweep).unwrap();
        assert_eq!(board.unless_called_off(async { "read" }).await, Ok("read"));
    }

    #[test]
    fn one_job_hangs_at_a_time_and_its_number_tells_it_from_the_one_before() {
        let (board, mut jobs) = board();
        assert_eq!(board.submit(Job::Sweep).map(|progress| progress.number), Ok(1));
        assert_eq!(board.submit(Job::Sweep).map_err(|progress| progress.number), Err(1));
        assert_eq!(jobs.try_recv(), Ok(Job::Sweep));
        board.tell(|progress| progress.state = JobState::Done);
        assert_eq!(board.submit(Job::Sweep).map(|progress| progress.number), Ok(2));
    }

    #[test]
    fn a_job_is_read_as_it_was_written() {
        let types = vec!["sigma".to_owned()];
        let range = Range { since: DateTime::UNIX_EPOCH, until: None, types };
        for job in [Job::Sweep, Job::Backfill(range)] {
            let text = serde_json::to_string(&job).unwrap();
            assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{text}");
        }
    }
}
