//! Reads one stretch of a list, page by page, into the journal; its mark follows behind.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::Value;
use tracing::{error, warn};

use super::{CalledOff, Cursor, Found, Pace, Sweep, SweepError, counted::Counted};
use crate::{
    alert::date,
    harfanglab::{ConsoleError, Filter, Item, Listing, PAGE_LIMIT, Page, RESULT_WINDOW},
    intake::{DoorError, Notification, Receipt, dialect::Dialect, verification::Proof},
};

/// The greatest age of an alert whose push may still be on its way.
const PUSH_TAKES_MAX: TimeDelta = TimeDelta::minutes(1);

/// Items that are passed over in a row for their size; with one more it is the console that answers
/// wrongly.
const PASSED_OVER_MAX: u32 = 10;

/// The range that is read.
pub(super) struct Stretch<'a> {
    pub(super) of: Listing,
    pub(super) since: DateTime<Utc>,
    /// `None`: to the end.
    pub(super) until: Option<DateTime<Utc>>,
    /// Only alerts that have these values; needs `until`.
    pub(super) narrowed: &'a [(Filter, String)],
    /// Moves up to what the journal has.
    pub(super) mark: Cursor<'a>,
    /// From when on a push should have brought an alert.
    pub(super) pushed_since: Option<DateTime<Utc>>,
    /// For whom: a job is told how far it is, and may be called off.
    pub(super) pace: Pace<'a>,
    /// Items that this sweep or backfill has counted already.
    pub(super) counted: &'a Counted,
}

impl Sweep {
    /// Reads all of `stretch`.
    pub(super) async fn read(&self, stretch: &Stretch<'_>) -> Result<Found, SweepError> {
        let mut since = stretch.since;
        let (mut offset, mut passed_over) = (0, 0);
        let mut found = Found::default();
        // The latest time in the window of this `since`.
        let mut reached = None;
        loop {
            let page = self.page(stretch, since, offset, &mut passed_over).await?;
            let times = page.items.iter().filter_map(|item| time_of(stretch.of, item.value()));
            let times: Vec<_> = times.collect();
            let last = times.iter().max().copied();
            let next_second = next_second(stretch.of, since, &page.items);
            let count = u32::try_from(page.items.len()).unwrap_or(PAGE_LIMIT);
            found.add(self.append(stretch, page.items).await?);
            reached = last.or(reached);
            // What is dated in the future must not make later alerts be skipped, nor those of a console
            // whose clock is behind.
            let now = self.clock.now();
            if let Some(past) = times.into_iter().filter(|time| *time <= now).max() {
                stretch.mark.advance(past).await?;
            }
            if !page.has_next {
                return Ok(found);
            }
            if let Some(second) = next_second {
                (since, offset, reached) = (second, 0, None);
                continue;
            }
            // An item that was passed over counts, too.
            offset += count.max(1);
            if u64::from(offset + PAGE_LIMIT) > RESULT_WINDOW {
                since = self.after_full_window(stretch, since, reached, &mut found).await?;
                (offset, reached) = (0, None);
            }
        }
    }

    /// The page at `offset`; one without items that says that others follow, when the item that stands
    /// there is too large to be read.
    async fn page(
        &self,
        stretch: &Stretch<'_>,
        since: DateTime<Utc>,
        offset: u32,
        passed_over: &mut u32,
    ) -> Result<Page, SweepError> {
        self.keep_pace(stretch.pace).await?;
        let (console, narrowed) = (&self.console, stretch.narrowed);
        let mut limit = PAGE_LIMIT;
        loop {
            let asked = async {
                match stretch.until {
                    Some(until) if !narrowed.is_empty() => {
                        console.narrowed_alert_page(since, until, narrowed, offset, limit).await
                    }
                    until => console.page(stretch.of, since, until, offset, limit).await,
                }
            };
            match stretch.pace.unless_called_off(asked).await? {
                // A few huge alerts must not keep the others from being found.
                Err(ConsoleError::TooLarge { .. }) if limit > 1 => limit = (limit / 10).max(1),
                Err(ConsoleError::TooLarge { limit_bytes, .. })
                    if *passed_over < PASSED_OVER_MAX =>
                {
                    *passed_over += 1;
                    metrics::counter!("sweep_passed_over_total").increment(1);
                    let listing = stretch.of;
                    error!(
                        ?listing,
                        %since,
                        offset,
                        limit_bytes,
                        "the console lists an item that is too large to be read; it is passed over \
                         and not imported"
                    );
                    return Ok(Page { count: None, items: Vec::new(), has_next: true });
                }
                page => {
                    *passed_over = 0;
                    return Ok(page?);
                }
            }
        }
    }

    /// Before a page: a backfill waits for deliveries.
    pub(super) async fn keep_pace(&self, pace: Pace<'_>) -> Result<(), CalledOff> {
        match pace {
            Pace::Schedule | Pace::Job(_) => Ok(()),
            Pace::Backfill(board) => pace.unless_called_off(self.wait_for_deliveries(board)).await,
        }
    }

    /// Returns the beginning of the next query when the window of the one since `since` is full up to `last`:
    /// at the second in which it ends. If it began there, too, that second is crowded.
    async fn after_full_window(
        &self,
        stretch: &Stretch<'_>,
        since: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
        found: &mut Found,
    ) -> Result<DateTime<Utc>, SweepError> {
        let second = since.trunc_subsecs(0);
        match (last.map(|last| last.trunc_subsecs(0)), stretch.of) {
            (Some(last), _) if last > second => Ok(last),
            (_, Listing::ChangedAlerts | Listing::ChangedThreats) => {
                // Nothing is lost, only shown as it was: every alert came by its own time.
                warn!(%second, "too much changed in one second; the rest of it is not updated");
                Ok(second + TimeDelta::seconds(1))
            }
            (_, Listing::Threats) => Err(SweepError::WindowFull(second)),
            (_, Listing::Alerts) => {
                found.add(self.sweep_crowded(second, stretch).await?);
                Ok(second + TimeDelta::seconds(1))
            }
        }
    }

    /// Stores items of a page; an alert raised since the stretch's `pushed_since` should have been
    /// pushed.
    pub(super) async fn append(
        &self,
        stretch: &Stretch<'_>,
        items: Vec<Item>,
    ) -> Result<Found, DoorError> {
        let (of, pushed_since) = (stretch.of, stretch.pushed_since);
        let now = self.clock.now();
        let proof = Proof::answered_by_console(now);
        let dialect = match of {
            Listing::Alerts | Listing::ChangedAlerts => Dialect::NativeAlert,
            Listing::Threats | Listing::ChangedThreats => Dialect::NativeThreat,
        };
        let should_be_here = |item: &Item| {
            let raised_at = time_of(of, item.value()).filter(|_| of == Listing::Alerts);
            raised_at.zip(pushed_since).is_some_and(|(raised_at, since)| {
                raised_at >= since && raised_at <= now - PUSH_TAKES_MAX
            })
        };
        let changed = items.iter().map(Item::value);
        let changed = changed.filter_map(|item| time_of(of.changes(), item).or(time_of(of, item)));
        let last_change = changed.filter(|change| *change <= now).max();
        let mut found = Found { last_change, ..Found::default() };
        let unreadable = items.iter().filter(|item| !item.value().is_object()).count();
        if unreadable > 0 {
            warn!(
                unreadable,
                "the console answered items that cannot be read; they are dead letters"
            );
        }
        let (again, once): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| stretch.counted.note(of, item));
        let (pushed, others): (Vec<_>, Vec<_>) = once.into_iter().partition(should_be_here);
        for (items, is_expected, is_counted) in [(others, 0, 1), (pushed, 1, 1), (again, 0, 0)] {
            let notifications: Vec<_> =
                items.into_iter().map(|item| notification(&proof, dialect, item)).collect();
            if notifications.is_empty() {
                continue;
            }
            let receipt: Receipt = self.door.append_in_turn(notifications).await?;
            found.new += receipt.accepted + receipt.dead_letters;
            found.known += receipt.duplicates * is_counted;
            found.missed += receipt.first_seen * is_expected;
            found.updated += receipt.accepted.saturating_sub(receipt.first_seen);
        }
        if let Some(board) = stretch.pace.board() {
            board.found(found);
        }
        Ok(found)
    }
}

/// Returns the beginning of the next page of changes, when this one reached another second than that of
/// `since`.
/// An item that is changed while it is listed goes to the end of the list, and every other one moves forward:
/// an offset would pass over some of them, so it only counts within one second.
fn next_second(of: Listing, since: DateTime<Utc>, items: &[Item]) -> Option<DateTime<Utc>> {
    let is_by_change = matches!(of, Listing::ChangedAlerts | Listing::ChangedThreats);
    let times: Vec<_> = items.iter().filter_map(|item| time_of(of, item.value())).collect();
    let last = times.last().filter(|_| is_by_change && times.is_sorted())?.trunc_subsecs(0);
    (last > since).then_some(last)
}

fn notification(proof: &Proof, dialect: Dialect, item: Item) -> Notification {
    let Item { text, read } = item;
    match read {
        Ok(value @ Value::Object(_)) => Notification::of_dialect(proof, dialect, &value, text),
        Ok(_) => {
            let reason = "the console answered an item that is not an object".to_owned();
            Notification::dead_letter(proof, text, reason)
        }
        Err(unread) => Notification::dead_letter(proof, text, unread.to_string()),
    }
}

/// The time by which the console orders this item.
fn time_of(of: Listing, item: &Value) -> Option<DateTime<Utc>> {
    let field = match of {
        Listing::Alerts => "alert_time",
        Listing::Threats => "creation_date",
        Listing::ChangedAlerts | Listing::ChangedThreats => "last_update",
    };
    date::parse(item.get(field)?.as_str()?)
}
