//! Cursors: up to where the journal holds what the console has. A cursor is never past the present: an
//! alert dated in the future does not move it, and one that is found ahead of the clock, which ran ahead
//! then, falls back to the last position that it had before.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::{
    alert::date,
    config::{ImportSettings, StartDate},
    harfanglab::Listing,
    journal::{Journal, JournalError},
};

/// The cursors that OpenCTI keeps for us.
pub(super) const ALL: [Listing; 2] = [Listing::Alerts, Listing::Threats];

/// Name in the journal; those of [`ALL`] are also the keys of the connector's state on OpenCTI, the
/// same as the Python connector's, so that either can take over from the other.
pub(super) fn state_key(of: Listing) -> &'static str {
    match of {
        Listing::Alerts => "last_incident_datetime",
        Listing::Threats => "last_case_incident_datetime",
        Listing::ChangedAlerts => "last_changed_alert_datetime",
        Listing::ChangedThreats => "last_changed_threat_datetime",
    }
}

/// Under this name the journal keeps how incidents are named, when that was taken over; and the state
/// that OpenCTI keeps tells it, so that our own state is not taken for the Python connector's.
pub const NAMING: &str = "incident_name";
/// The naming of incidents where nothing was taken over.
const BY_TITLE: &str = "title";

/// Under this name the journal keeps that OpenCTI has held a state of ours.
pub(super) const HELD: &str = "state_held_by_opencti";

/// Time between two positions that are kept to fall back to, and the most that are kept.
const KEEP_EVERY: TimeDelta = TimeDelta::days(1);
const KEPT_MAX: usize = 30;

/// A position that a sweep had reached, and the time by our clock: one that was kept after the present
/// is of a clock that ran ahead.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct GoodPosition {
    position: DateTime<Utc>,
    kept_at: DateTime<Utc>,
}

/// A cursor kept in the journal.
pub struct Cursor<'a> {
    journal: &'a Journal,
    name: String,
}

impl<'a> Cursor<'a> {
    /// The cursor of alerts or of threats.
    pub fn new(journal: &'a Journal, of: Listing) -> Self {
        Self::named(journal, state_key(of).to_owned())
    }

    /// A cursor of this name.
    pub(super) fn named(journal: &'a Journal, name: String) -> Self {
        Self { journal, name }
    }

    /// Returns its position, if it ever moved.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn position(&self) -> Result<Option<DateTime<Utc>>, JournalError> {
        let text = self.journal.remembered(&self.name).await?;
        Ok(text.as_deref().and_then(date::parse))
    }

    /// Returns where a sweep begins: an overlap before the cursor, else the start date. A cursor ahead
    /// of `now` falls back first.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read or written.
    pub async fn start(
        &self,
        settings: &ImportSettings,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, JournalError> {
        let position = match self.position().await? {
            None => return Ok(settings.start.at(now)),
            Some(ahead) if ahead > now => self.fall_back(ahead, settings, now).await?,
            Some(position) => position,
        };
        let overlap = TimeDelta::from_std(settings.overlap).unwrap_or_default();
        let begin = position.checked_sub_signed(overlap).unwrap_or(position);
        Ok(match settings.start {
            // A push may be older than the start date; a sweep never begins before it.
            StartDate::At(start) => begin.max(start),
            StartDate::Ago(_) => begin,
        })
    }

    /// Moves a cursor that is ahead of `now` back to the last good position, else to the start date, and
    /// returns it. Where it stood, the sweep would find nothing until then.
    async fn fall_back(
        &self,
        ahead: DateTime<Utc>,
        settings: &ImportSettings,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, JournalError> {
        let mut good = self.good_positions().await?;
        good.retain(|it| it.position <= now && it.kept_at <= now);
        let position = match good.last() {
            Some(last) => last.position,
            None => settings.start.at(now),
        };
        warn!(
            cursor = self.name,
            %ahead,
            %now,
            goes_on_from = %position,
            "the sweep's cursor is ahead of this machine's clock, which was set back or ran ahead; the \
             sweep goes on from the last good position, and what is known already is not sent again"
        );
        self.journal.remember(&self.good_name(), &json!(good).to_string()).await?;
        self.place(position).await?;
        Ok(position)
    }

    /// Keeps the position after a sweep, once a day, to fall back to.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read or written.
    pub(super) async fn keep_position(&self, now: DateTime<Utc>) -> Result<(), JournalError> {
        let mut good = self.good_positions().await?;
        if good.last().is_some_and(|last| (now - last.kept_at).abs() < KEEP_EVERY) {
            return Ok(());
        }
        let Some(position) = self.position().await? else { return Ok(()) };
        good.push(GoodPosition { position, kept_at: now });
        good.drain(..good.len().saturating_sub(KEPT_MAX));
        self.journal.remember(&self.good_name(), &json!(good).to_string()).await
    }

    async fn good_positions(&self) -> Result<Vec<GoodPosition>, JournalError> {
        let text = self.journal.remembered(&self.good_name()).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    fn good_name(&self) -> String {
        good_name(&self.name)
    }

    /// Moves it forward to `to`; it never moves back.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be written.
    pub async fn advance(&self, to: DateTime<Utc>) -> Result<(), JournalError> {
        if self.position().await?.is_some_and(|position| position >= to) {
            return Ok(());
        }
        self.place(to).await
    }

    async fn place(&self, at: DateTime<Utc>) -> Result<(), JournalError> {
        let text = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        self.journal.remember(&self.name, &text).await
    }
}

/// Under this name the journal keeps the good positions of a cursor.
pub(super) fn good_name(cursor: &str) -> String {
    format!("{cursor}_good")
}

/// Remembers that OpenCTI holds the state that it was told: none there means from now on that
/// somebody cleared it.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read or written.
pub(super) async fn remember_held(journal: &Journal) -> Result<(), JournalError> {
    if journal.remembered(HELD).await?.is_none() {
        journal.remember(HELD, "yes").await?;
    }
    Ok(())
}

/// Returns whether the state that OpenCTI held of us is gone: the connector was reset or deleted there while
/// nobody listened.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub(super) async fn was_cleared(
    journal: &Journal,
    remote: Option<&Value>,
) -> Result<bool, JournalError> {
    Ok(remote.is_none() && journal.remembered(HELD).await?.is_some())
}

/// The connector's state as OpenCTI keeps it: the cursors under the Python connector's keys, and how
/// incidents are named.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub(super) async fn state(journal: &Journal) -> Result<Option<Value>, JournalError> {
    let mut state = Map::new();
    for of in ALL {
        if let Some(position) = Cursor::new(journal, of).position().await? {
            let text = position.to_rfc3339_opts(SecondsFormat::AutoSi, false);
            state.insert(state_key(of).to_owned(), json!(text));
        }
    }
    if state.is_empty() {
        return Ok(None);
    }
    let naming = journal.remembered(NAMING).await?;
    state.insert(NAMING.to_owned(), naming.unwrap_or_else(|| BY_TITLE.to_owned()).into());
    Ok(Some(Value::Object(state)))
}

/// Returns whether the journal has no cursor yet and the state that OpenCTI holds has one.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub(super) async fn can_take_over(journal: &Journal, remote: &Value) -> Result<bool, JournalError> {
    let is_empty = state(journal).await?.is_none();
    Ok(is_empty && ALL.into_iter().any(|of| remote_position(of, remote).is_some()))
}

/// Returns whether a state is one of ours, under which incidents were named as this connector does by itself.
pub fn names_by_title(remote: &Value) -> bool {
    remote.get(NAMING).is_some_and(|naming| naming == BY_TITLE)
}

/// Takes over the state that OpenCTI holds for this connector: an import goes on where the Python
/// connector stopped, and no later than `now`. Cursors only move forward.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read or written.
pub async fn take_over(
    journal: &Journal,
    remote: &Value,
    now: DateTime<Utc>,
) -> Result<(), JournalError> {
    for of in ALL {
        let Some(position) = remote_position(of, remote) else { continue };
        if position > now {
            warn!(
                cursor = state_key(of),
                ahead = %position,
                %now,
                "the connector's state in OpenCTI is ahead of this machine's clock; the import goes \
                 on from the present. A backfill brings in what may lie between"
            );
        }
        Cursor::new(journal, of).advance(position.min(now)).await?;
    }
    Ok(())
}

fn remote_position(of: Listing, remote: &Value) -> Option<DateTime<Utc>> {
    remote.get(state_key(of)).and_then(Value::as_str).and_then(date::parse)
}
