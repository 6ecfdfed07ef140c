//! The backfill: everything of a stretch of time, however long ago, beside a service that goes on
//! receiving and sweeping. Each stretch has a mark of its own in the journal, so that asking for it
//! again after an interruption goes on there; once it is done, or a reset imports everything again, the
//! mark is gone.
//!
//! It is gentle: pages go through the client's rate limit like every request, and while many alerts
//! wait for their delivery no further page is read, so that pushes do not queue behind it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Found, JobBoard, Pace, Range, Sweep, SweepError, counted::Counted, marks, reading::Stretch,
};
use crate::{
    alert::date,
    config::ImportSettings,
    harfanglab::{Console, ConsoleError, Filter, Listing, RESULT_WINDOW},
    journal::JournalError,
};

/// Notifications that may wait for their delivery when a further page is read.
const WAITING_MAX: u64 = 1_000;
/// Time for which it waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A stretch that is not counted more finely: some consoles count no further than their window.
const COUNTED_LEAST: TimeDelta = TimeDelta::minutes(1);
/// Requests that counting may cost.
const COUNTS_MAX: usize = 100;

/// The number of items that a stretch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Items, as the console counts.
    pub items: u64,
    /// True where there may be more than could be counted.
    pub is_least: bool,
}

impl Sweep {
    /// Brings everything of `range` into the journal; `board` is told how far it is.
    ///
    /// # Errors
    /// [`SweepError`]; asked again, it goes on where it ended.
    pub async fn backfill(&self, range: &Range, board: &JobBoard) -> Result<Found, SweepError> {
        let pace = Pace::Backfill(board);
        let _reading = pace.unless_called_off(self.reading.read()).await?;
        marks::note(&self.journal, range).await?;
        let until = self.fixed_until(range).await?;
        let narrowed = narrowed(range);
        let listings = listings(range, &self.settings);
        let counted = &Counted::default();
        let mut stretches = Vec::with_capacity(listings.len());
        for of in listings {
            let mark = marks::mark(&self.journal, range, of);
            let since = marks::start(&self.journal, range, of, self.clock.now()).await?;
            let size = size(&self.console, of, since, until, &narrowed);
            let size = pace.unless_called_off(size).await??;
            board.tell(|progress| progress.expected += size.items);
            let (until, narrowed, pushed_since) = (Some(until), narrowed.as_slice(), None);
            let stretch = Stretch { of, since, until, narrowed, mark, pushed_since, pace, counted };
            stretches.push(stretch);
        }
        let mut all = Found::default();
        for stretch in &stretches {
            all.add(self.read(stretch).await?);
        }
        marks::forget(&self.journal, range).await?;
        Ok(all)
    }

    /// Returns the end of an open range: now, and still the same when it is asked for again.
    async fn fixed_until(&self, range: &Range) -> Result<DateTime<Utc>, JournalError> {
        if let Some(until) = range.until {
            return Ok(until);
        }
        let name = marks::name(range);
        let remembered = self.journal.remembered(&name).await?;
        if let Some(until) = remembered.as_deref().and_then(date::parse) {
            return Ok(until);
        }
        let until = self.clock.now();
        self.journal.remember(&name, &until.to_rfc3339()).await?;
        Ok(until)
    }

    pub(super) async fn wait_for_deliveries(&self, board: &JobBoard) {
        // A journal that cannot be read cannot be written: the page after this one says so.
        while let Ok(pending) = self.journal.pending().await
            && pending > WAITING_MAX
        {
            let words = format!("waits: {pending} alerts are on their way to OpenCTI");
            board.tell(|progress| progress.words = words);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        board.tell(|progress| progress.words.clear());
    }
}

/// Returns the number of items that `range` has in all.
///
/// # Errors
/// [`ConsoleError`] when the console does not count.
pub async fn size_of(
    console: &Console,
    range: &Range,
    settings: &ImportSettings,
    now: DateTime<Utc>,
) -> Result<Size, ConsoleError> {
    let mut all = Size { items: 0, is_least: false };
    for of in listings(range, settings) {
        let until = range.until.unwrap_or(now);
        let one = size(console, of, range.since, until, &narrowed(range)).await?;
        all = Size { items: all.items + one.items, is_least: all.is_least || one.is_least };
    }
    Ok(all)
}

/// Counts a stretch; where the console counts no further than its window, half by half.
async fn size(
    console: &Console,
    of: Listing,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    narrowed: &[(Filter, String)],
) -> Result<Size, ConsoleError> {
    let mut size = Size { items: 0, is_least: false };
    let mut parts = vec![(since, until)];
    let mut asked = 0;
    while let Some((since, until)) = parts.pop() {
        let page = if narrowed.is_empty() {
            console.page(of, since, Some(until), 0, 1).await?
        } else {
            console.narrowed_alert_page(since, until, narrowed, 0, 1).await?
        };
        asked += 1;
        let count = page.count.unwrap_or(page.items.len() as u64);
        // A count beyond the window is a real one.
        let is_cut = count == RESULT_WINDOW || page.count.is_none();
        if is_cut && until - since > COUNTED_LEAST && asked + parts.len() < COUNTS_MAX {
            let middle = since + (until - since) / 2;
            parts.extend([(since, middle), (middle, until)]);
            continue;
        }
        size.items += count;
        size.is_least |= is_cut;
    }
    Ok(size)
}

fn listings(range: &Range, settings: &ImportSettings) -> Vec<Listing> {
    if settings.threats && range.types.is_empty() {
        return vec![Listing::Alerts, Listing::Threats];
    }
    vec![Listing::Alerts]
}

fn narrowed(range: &Range) -> Vec<(Filter, String)> {
    let types = range.types.join(",");
    if types.is_empty() { Vec::new() } else { vec![(Filter::AlertType, types)] }
}
