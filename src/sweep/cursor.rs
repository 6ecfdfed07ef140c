//! Cursors: up to where the journal holds what the console has.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::{
    alert::date,
    config::ImportSettings,
    journal::{Journal, JournalError},
};

/// What a cursor counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorOf {
    /// Alerts, by `alert_time`.
    Alerts,
    /// Threats, by `creation_date`.
    Threats,
}

impl CursorOf {
    /// Key in the connector's state on OpenCTI; the same as the Python connector's, so that
    /// either can take over from the other.
    pub fn state_key(self) -> &'static str {
        match self {
            Self::Alerts => "last_incident_datetime",
            Self::Threats => "last_case_incident_datetime",
        }
    }
}

/// A cursor kept in the journal.
pub struct Cursor<'a> {
    journal: &'a dyn Journal,
    of: CursorOf,
}

impl<'a> Cursor<'a> {
    /// The cursor of alerts or of threats.
    pub fn new(journal: &'a dyn Journal, of: CursorOf) -> Self {
        Self { journal, of }
    }

    /// Where it stands, if it ever moved.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn position(&self) -> Result<Option<DateTime<Utc>>, JournalError> {
        let text = self.journal.remembered(self.of.state_key()).await?;
        Ok(text.as_deref().and_then(date::parse))
    }

    /// Where a sweep begins: an overlap before the cursor, else the start date.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn start(&self, settings: &ImportSettings) -> Result<DateTime<Utc>, JournalError> {
        let position = self.position().await?;
        Ok(position.map_or(settings.start, |position| {
            // A push may be older than the start date; a sweep never begins before it.
            position
                .checked_sub_signed(
                    chrono::TimeDelta::from_std(settings.overlap).unwrap_or_default(),
                )
                .unwrap_or(position)
                .max(settings.start)
        }))
    }

    /// Moves it forward to `to`; it never moves back.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be written.
    pub async fn advance(&self, to: DateTime<Utc>) -> Result<(), JournalError> {
        if self.position().await?.is_some_and(|position| position >= to) {
            return Ok(());
        }
        let text = to.to_rfc3339_opts(SecondsFormat::Micros, true);
        self.journal.remember(self.of.state_key(), &text).await
    }
}

/// The connector's state as OpenCTI keeps it: the cursors under the Python connector's keys.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read.
pub async fn state(journal: &dyn Journal) -> Result<Option<Value>, JournalError> {
    let mut state = Map::new();
    for of in [CursorOf::Alerts, CursorOf::Threats] {
        if let Some(position) = Cursor::new(journal, of).position().await? {
            let text = position.to_rfc3339_opts(SecondsFormat::AutoSi, false);
            state.insert(of.state_key().to_owned(), json!(text));
        }
    }
    Ok((!state.is_empty()).then_some(Value::Object(state)))
}

/// Takes over the state that OpenCTI holds for this connector into a journal that has no cursor
/// yet: an import goes on where the Python connector stopped. Answers whether it took any.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read or written.
pub async fn take_over(journal: &dyn Journal, remote: &Value) -> Result<bool, JournalError> {
    let mut taken = false;
    for of in [CursorOf::Alerts, CursorOf::Threats] {
        let cursor = Cursor::new(journal, of);
        let remote = remote.get(of.state_key()).and_then(Value::as_str).and_then(date::parse);
        if let (Some(remote), None) = (remote, cursor.position().await?) {
            cursor.advance(remote).await?;
            taken = true;
        }
    }
    Ok(taken)
}
