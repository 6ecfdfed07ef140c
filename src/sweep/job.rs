//! Jobs that a person asks for: a sweep now, or a backfill of a stretch of time. The management
//! pages take them for a running service, the commands run them themselves when there is none.
//!
//! Lives here: what is asked for, the board on which it hangs, how far it is. Does not live here:
//! HTTP (`ops`), the command line (`cli`), doing it (`backfill`, `Sweep::run_once`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::Found;

/// What is asked for.
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

/// Where a job stands.
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
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which job of this process it is, from 1.
    pub number: u64,
    /// Where it stands.
    pub state: JobState,
    /// Items that it will read in all, as far as is known.
    pub expected: u64,
    /// Items that the journal did not have.
    pub new: u64,
    /// Items that it had.
    pub known: u64,
    /// Why it waits or failed, in plain words; else empty.
    pub words: String,
}

/// Where jobs are hung up, one at a time, and their progress is read.
#[derive(Debug)]
pub struct JobBoard {
    console: String,
    inbox: mpsc::Sender<Job>,
    progress: watch::Sender<Progress>,
}

impl JobBoard {
    /// A board for jobs on `console`, and the end at which they are taken up.
    pub fn new(console: String) -> (Self, mpsc::Receiver<Job>) {
        let (inbox, jobs) = mpsc::channel(1);
        (Self { console, inbox, progress: watch::Sender::default() }, jobs)
    }

    /// Which console the jobs are about.
    pub fn console(&self) -> &str {
        &self.console
    }

    /// Hangs up a job. `Err`: another one is under way.
    pub fn submit(&self, job: Job) -> Result<Progress, Progress> {
        let is_taken = self.progress.send_if_modified(|progress| {
            let is_free = progress.state != JobState::Running && self.inbox.try_send(job).is_ok();
            if is_free {
                let (number, state) = (progress.number + 1, JobState::Running);
                *progress = Progress { number, state, ..Progress::default() };
            }
            is_free
        });
        let progress = self.current();
        if is_taken { Ok(progress) } else { Err(progress) }
    }

    /// How far the newest job is.
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
        self.progress.send_modify(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_hangs_at_a_time_and_its_number_tells_it_from_the_one_before() {
        let (board, mut jobs) = JobBoard::new("https://console.example".to_owned());
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
