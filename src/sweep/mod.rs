//! Alerts that no push brings: the sweep, pages of alerts and threats since the cursor; backfills, the same of
//! another stretch of time; and the queue of the Elastic connector (`queue`). All enter by the journal's
//! door.
//!
//! The sweep asks for everything since a little before its cursor, in time order, and then for what has
//! changed since the last sweep: an analyst's status is never pushed by itself. What the journal has in
//! the same version already is recognised there. The cursor moves page by page, only past what the
//! journal has committed, only forward and never past the present. One sweep runs at a time. A reset ends
//! whatever job reads the console, waits until nobody does, and forgets every cursor and mark.
//!
//! Does not live here: the HTTP side (`harfanglab`), the operator's filter (`pipeline`).

mod backfill;
mod counted;
mod crowded;
mod cursor;
mod job;
mod marks;
mod queue;
mod reading;
mod record;
mod reset;
mod state;

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tokio::sync::{Mutex, RwLock};
use tracing::info;

pub use self::{
    backfill::{Size, size_of},
    cursor::{Cursor, NAMING, names_by_title, take_over},
    job::{CalledOff, Job, JobBoard, JobState, Pace, Progress, Range},
    queue::{ElasticQueue, QueueEnded},
    record::SweepRecord,
    state::{ConnectorState, Kept},
};
use self::{counted::Counted, reading::Stretch};
use crate::{
    alert::date,
    clock::Clock,
    config::ImportSettings,
    harfanglab::{Console, ConsoleError, Listing, RESULT_WINDOW},
    intake::{Door, DoorError},
    journal::{Journal, JournalError},
};

/// Longest time by which a console's clock may be behind ours for its changes to be found from the first one
/// on.
const BEHIND_MAX: TimeDelta = TimeDelta::days(1);

/// Under this name the journal keeps since when pushes are taken.
const PUSHES_TAKEN_SINCE: &str = "pushes_taken_since";

/// The reason for which a sweep ended early. What it had found until then is in the journal.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The console did not answer a page.
    #[error("the console did not answer: {0}")]
    Console(#[from] ConsoleError),
    /// The door refused a page.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The cursor could not be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// More results in one second than the console shows of any query.
    #[error(
        "the console holds more than {RESULT_WINDOW} results in the second {0} and shows no more \
         of one query, by whatever it is narrowed; the sweep cannot pass this second without \
         losing some. Remove alerts of that second on the console, or set \
         HARFANGLAB_INCIDENTS_IMPORT_START_DATE behind it"
    )]
    WindowFull(DateTime<Utc>),
    /// The job was called off.
    #[error(transparent)]
    CalledOff(#[from] CalledOff),
}

/// The findings of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Notifications the journal did not have.
    pub new: usize,
    /// Alerts and threats it had already as they are, each counted once however often it is listed.
    pub known: usize,
    /// Of the new ones, alerts that a push should have brought: raised more than a minute ago,
    /// since the endpoint was opened, and never heard of before.
    pub missed: usize,
    /// Of the new ones, versions of what the journal had in another version: what changed.
    pub updated: usize,
    /// The latest change among all that is not in the future, by the console's clock.
    pub last_change: Option<DateTime<Utc>>,
}

impl Found {
    fn add(&mut self, more: Self) {
        self.new += more.new;
        self.known += more.known;
        self.missed += more.missed;
        self.updated += more.updated;
        self.last_change = self.last_change.max(more.last_change);
    }
}

/// The ability of the console to push to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushes {
    /// The endpoint is open.
    Taken,
    /// It is closed, or this run has none: that says nothing of other runs.
    NotTaken,
}

/// Reconciles the journal with the console.
pub struct Sweep {
    /// The console.
    pub console: Arc<Console>,
    /// The one way in.
    door: Door,
    /// Keeps the cursors.
    pub journal: Journal,
    /// The part of the console that is imported.
    settings: ImportSettings,
    /// The time.
    clock: Clock,
    pushes: Pushes,
    /// Held by the one that sweeps.
    turn: Mutex<()>,
    /// Shared by all who read the console's pages; a reset has it alone.
    reading: RwLock<()>,
}

impl Sweep {
    /// Puts a sweep together; asks nothing yet.
    pub fn new(
        console: Arc<Console>,
        door: Door,
        journal: Journal,
        settings: ImportSettings,
        clock: Clock,
        pushes: Pushes,
    ) -> Self {
        let (turn, reading) = (Mutex::default(), RwLock::default());
        Self { console, door, journal, settings, clock, pushes, turn, reading }
    }

    /// Sweeps alerts and, if they are imported, threats. Waits while another sweep runs.
    ///
    /// # Errors
    /// [`SweepError`]; the next sweep goes on from the cursor.
    pub async fn run_once(&self, pace: Pace<'_>) -> Result<Found, SweepError> {
        let _turn = pace.unless_called_off(self.turn.lock()).await?;
        let _reading = pace.unless_called_off(self.reading.read()).await?;
        let began = self.clock.now();
        let counted = &Counted::default();
        let mut found = self.sweep_all(Listing::Alerts, pace, counted).await?;
        found.add(self.sweep_changes(Listing::ChangedAlerts, began, found, pace, counted).await?);
        if self.settings.threats {
            let threats = self.sweep_all(Listing::Threats, pace, counted).await?;
            found.add(threats);
            found.add(
                self.sweep_changes(Listing::ChangedThreats, began, threats, pace, counted).await?,
            );
        }
        metrics::counter!("sweep_found_updated_total").increment(found.updated as u64);
        if found.missed > 0 {
            metrics::counter!("sweep_found_missing_total").increment(found.missed as u64);
            info!(
                missed = found.missed,
                "the sweep found {} that no push had brought", found.missed
            );
        }
        Ok(found)
    }

    /// Starts the import again from the start date, and ends for that the job on `board` at its next
    /// page: a page under way would move a cursor behind what is to be read again.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be written; nothing is forgotten then.
    pub async fn start_over(&self, board: &JobBoard) -> Result<(), JournalError> {
        // First in line for the console's pages, then the job is ended: no other one slips in between.
        let (_alone, ()) = tokio::join!(biased; self.reading.write(), async { board.reset() });
        reset::start_over(&self.journal).await
    }

    /// Sweeps what changed since the last sweep. The first one has just `seen` everything as it is, so only
    /// what changes after it `began` is of interest. The console may tell another time than we do, but
    /// it was no earlier there at the end than the latest change that was seen.
    async fn sweep_changes(
        &self,
        of: Listing,
        began: DateTime<Utc>,
        seen: Found,
        pace: Pace<'_>,
        counted: &Counted,
    ) -> Result<Found, SweepError> {
        let cursor = Cursor::new(&self.journal, of);
        if cursor.position().await?.is_none() {
            let took = self.clock.now() - began;
            let first = seen.last_change.map_or(began, |last_change| last_change - took);
            cursor.advance(first.clamp(began - BEHIND_MAX, began)).await?;
            cursor.keep_position(self.clock.now()).await?;
            return Ok(Found::default());
        }
        self.sweep_all(of, pace, counted).await
    }

    async fn sweep_all(
        &self,
        of: Listing,
        pace: Pace<'_>,
        counted: &Counted,
    ) -> Result<Found, SweepError> {
        let mark = Cursor::new(&self.journal, of);
        let since = mark.start(&self.settings, self.clock.now()).await?;
        let pushed_since = self.pushes_taken_since().await?;
        let (until, narrowed) = (None, &[] as &[_]);
        let stretch = Stretch { of, since, until, narrowed, mark, pushed_since, pace, counted };
        let found = self.read(&stretch).await?;
        stretch.mark.keep_position(self.clock.now()).await?;
        Ok(found)
    }

    /// Since when a push should bring every alert: the first sweep with an open endpoint. What was
    /// raised before is the first import, which no push has missed.
    async fn pushes_taken_since(&self) -> Result<Option<DateTime<Utc>>, JournalError> {
        if self.pushes == Pushes::NotTaken {
            return Ok(None);
        }
        let remembered = self.journal.remembered(PUSHES_TAKEN_SINCE).await?;
        let now = self.clock.now();
        // One in the future is of a clock that ran ahead.
        if let Some(since) = remembered.as_deref().and_then(date::parse).filter(|it| *it <= now) {
            return Ok(Some(since));
        }
        let text = now.to_rfc3339_opts(SecondsFormat::Micros, true);
        self.journal.remember(PUSHES_TAKEN_SINCE, &text).await?;
        Ok(Some(now))
    }
}
