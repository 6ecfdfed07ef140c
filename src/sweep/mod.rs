//! The sweep: pages of alerts and threats since the cursor, all entering by the journal's door.
//!
//! It asks for everything since a little before its cursor, in time order, and then for what has
//! changed since the last sweep: an analyst's status is never pushed by itself. What the journal has in
//! the same version already is recognised there. The cursor moves page by page, only past what the
//! journal has committed, and only forward.
//!
//! Does not live here: the HTTP side (`harfanglab`), the operator's filter (`pipeline`).

mod crowded;
mod cursor;

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::Value;
use tracing::{info, warn};

pub use self::cursor::{Cursor, can_take_over, start_over, state, take_over};
use crate::{
    alert::date,
    clock::Clock,
    config::ImportSettings,
    harfanglab::{Console, ConsoleError, Listing, PAGE_LIMIT, RESULT_WINDOW},
    intake::{Door, DoorError, Notification, Receipt, dialect::Dialect, verification::Proof},
    journal::{Journal, JournalError},
};

/// Why a sweep ended early. What it had found until then is in the journal.
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
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// Notifications the journal did not have.
    pub new: usize,
    /// Notifications it had already.
    pub known: usize,
}

impl Found {
    fn add(&mut self, more: Self) {
        self.new += more.new;
        self.known += more.known;
    }
}

/// Reconciles the journal with the console.
pub struct Sweep {
    /// The console.
    pub console: Arc<Console>,
    /// The one way in.
    pub door: Door,
    /// Keeps the cursors.
    pub journal: Arc<dyn Journal>,
    /// What is imported.
    pub settings: ImportSettings,
    /// The time.
    pub clock: Clock,
}

impl Sweep {
    /// Sweeps alerts and, if they are imported, threats.
    ///
    /// # Errors
    /// [`SweepError`]; the next sweep goes on from the cursor.
    pub async fn run_once(&self) -> Result<Found, SweepError> {
        let began = self.clock.now();
        let mut found = self.sweep_all(Listing::Alerts).await?;
        found.add(self.sweep_changes(Listing::ChangedAlerts, began).await?);
        if self.settings.threats {
            found.add(self.sweep_all(Listing::Threats).await?);
            found.add(self.sweep_changes(Listing::ChangedThreats, began).await?);
        }
        metrics::counter!("sweep_found_missing_total").increment(found.new as u64);
        if found.new > 0 {
            info!(
                new = found.new,
                known = found.known,
                "the sweep found {} that no push had brought",
                found.new
            );
        }
        Ok(found)
    }

    /// What changed since the last sweep. The first one has just seen everything as it is, so only
    /// what changes after it `began` is of interest.
    async fn sweep_changes(&self, of: Listing, began: DateTime<Utc>) -> Result<Found, SweepError> {
        let cursor = Cursor::new(&*self.journal, of);
        if cursor.position().await?.is_none() {
            cursor.advance(began).await?;
            return Ok(Found::default());
        }
        self.sweep_all(of).await
    }

    async fn sweep_all(&self, of: Listing) -> Result<Found, SweepError> {
        let cursor = Cursor::new(&*self.journal, of);
        let mut since = cursor.start(&self.settings).await?;
        let mut offset = 0;
        let mut found = Found::default();
        loop {
            let page = self.console.page(of, since, None, offset, PAGE_LIMIT).await?;
            let last = page.items.iter().filter_map(|item| time_of(of, item)).max();
            let receipt = self.append(of, &page.items).await?;
            found.new += receipt.accepted + receipt.dead_letters;
            found.known += receipt.duplicates;
            if let Some(last) = last {
                // A console whose clock is ahead must not make later alerts be skipped.
                cursor.advance(last.min(self.clock.now())).await?;
            }
            if !page.has_next || page.items.is_empty() {
                return Ok(found);
            }
            offset += u32::try_from(page.items.len()).unwrap_or(PAGE_LIMIT);
            if u64::from(offset + PAGE_LIMIT) > RESULT_WINDOW {
                since = self.after_full_window(of, since, last, &mut found).await?;
                offset = 0;
            }
        }
    }

    /// Where the next query begins when the window of the one since `since` is full up to `last`:
    /// at the second in which it ends. If it began there, too, that second is crowded.
    async fn after_full_window(
        &self,
        of: Listing,
        since: DateTime<Utc>,
        last: Option<DateTime<Utc>>,
        found: &mut Found,
    ) -> Result<DateTime<Utc>, SweepError> {
        let second = since.trunc_subsecs(0);
        match (last.map(|last| last.trunc_subsecs(0)), of) {
            (Some(last), _) if last > second => Ok(last),
            (_, Listing::ChangedAlerts | Listing::ChangedThreats) => {
                // Nothing is lost, only shown as it was: every alert came by its own time.
                warn!(%second, "too much changed in one second; the rest of it is not updated");
                Ok(second + TimeDelta::seconds(1))
            }
            (_, Listing::Threats) => Err(SweepError::WindowFull(second)),
            (_, Listing::Alerts) => {
                let crowd = self.sweep_crowded(second).await?;
                found.add(crowd);
                Ok(second + TimeDelta::seconds(1))
            }
        }
    }

    async fn append(&self, of: Listing, items: &[Value]) -> Result<Receipt, DoorError> {
        let proof = Proof::answered_by_console(self.clock.now());
        let dialect = match of {
            Listing::Alerts | Listing::ChangedAlerts => Dialect::NativeAlert,
            Listing::Threats | Listing::ChangedThreats => Dialect::NativeThreat,
        };
        let mut notifications = Vec::with_capacity(items.len());
        for item in items {
            let body = item.to_string();
            notifications.push(if item.is_object() {
                Notification::of_dialect(&proof, dialect, item, body)
            } else {
                warn!("the console answered an item that is not an object; it is a dead letter");
                let reason = "the console answered an item that is not an object".to_owned();
                Notification::dead_letter(&proof, body, reason)
            });
        }
        if notifications.is_empty() {
            return Ok(Receipt::default());
        }
        self.door.append_in_turn(notifications).await
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
