//! The state that OpenCTI keeps for the connector, which may sweep several consoles.
//!
//! One console's is the Python connector's: its two cursors under its two names, and how incidents are
//! named, which that one does not read. Of several, the two names have the least of the cursors, and none
//! until every console has one, so that who goes back to a connector for one console skips nothing; below
//! `consoles` each console has its own.
//!
//! Does not live here: the cursors themselves (`cursor`), telling OpenCTI (`service`).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{cursor, reset};
use crate::{
    alert::date,
    harfanglab::Listing,
    journal::{Journal, JournalError},
    label::ConsoleLabel,
};

/// Under this key the state of several consoles has each by its name.
const CONSOLES: &str = "consoles";
/// Under this name the first console's journal keeps that a reset was asked for, until every console
/// has started over.
const RESET: &str = "reset_asked_for";

/// The rows that the journal keeps for one console.
#[derive(Clone)]
pub struct Kept {
    /// The console.
    pub console: ConsoleLabel,
    /// Its rows.
    pub journal: Journal,
}

/// The connector's state, as the journal has it.
#[derive(Clone)]
pub struct ConnectorState(Arc<[Kept]>);

impl ConnectorState {
    /// Of these consoles, in their order.
    pub fn new(consoles: Vec<Kept>) -> Self {
        Self(consoles.into())
    }

    /// As OpenCTI is told it.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn told(&self) -> Result<Option<Value>, JournalError> {
        if let [only] = &*self.0 {
            return cursor::state(&only.journal).await;
        }
        let mut each = Map::new();
        for kept in &*self.0 {
            let state = cursor::state(&kept.journal).await?.unwrap_or_else(|| json!({}));
            each.insert(name(kept).to_owned(), state);
        }
        if each.values().all(|state| state.as_object().is_none_or(Map::is_empty)) {
            return Ok(None);
        }
        let mut all = Map::new();
        for of in cursor::ALL {
            if let Some(least) = least(of, &each) {
                all.insert(cursor::state_key(of).to_owned(), least);
            }
        }
        all.insert(CONSOLES.to_owned(), Value::Object(each));
        Ok(Some(Value::Object(all)))
    }

    /// Remembers that OpenCTI holds the state that it was told.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read or written.
    pub async fn remember_held(&self) -> Result<(), JournalError> {
        for kept in &*self.0 {
            cursor::remember_held(&kept.journal).await?;
        }
        Ok(())
    }

    /// Returns whether the state that OpenCTI held of us is gone.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn was_cleared(&self, remote: Option<&Value>) -> Result<bool, JournalError> {
        for kept in &*self.0 {
            if cursor::was_cleared(&kept.journal, remote).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Consoles of which the journal knows nothing yet while `remote` does, with what it knows. What
    /// stands there of one console without a name is the first one's.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn to_take_over<'a>(
        &'a self,
        remote: &'a Value,
    ) -> Result<Vec<(&'a Kept, &'a Value)>, JournalError> {
        let mut found = Vec::new();
        for (position, kept) in self.0.iter().enumerate() {
            let own = match (kept.console.name(), remote.get(CONSOLES)) {
                (Some(name), Some(consoles)) => consoles.get(name),
                (None, _) => Some(remote),
                (Some(_), None) => (position == 0).then_some(remote),
            };
            let Some(own) = own else { continue };
            if cursor::can_take_over(&kept.journal, own).await? {
                found.push((kept, own));
            }
        }
        Ok(found)
    }

    /// Writes down that a reset was asked for: should the service end before every console has started
    /// over, they do so at the next start.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be written; then it may be lost by a crash.
    pub async fn reset_asked_for(&self) -> Result<(), JournalError> {
        match self.0.first() {
            Some(first) => first.journal.remember(RESET, "yes").await,
            None => Ok(()),
        }
    }

    /// Returns whether a reset was asked for that not every console has heeded.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be read.
    pub async fn is_reset_asked_for(&self) -> Result<bool, JournalError> {
        match self.0.first() {
            Some(first) => Ok(first.journal.remembered(RESET).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Every console has started over.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be written.
    pub async fn reset_heeded(&self) -> Result<(), JournalError> {
        match self.0.first() {
            Some(first) => first.journal.forget(RESET).await,
            None => Ok(()),
        }
    }

    /// Starts the import of every console again from its start date, while none sweeps.
    ///
    /// # Errors
    /// [`JournalError`] when the journal cannot be written; asked again, it goes on.
    pub async fn start_over(&self) -> Result<(), JournalError> {
        self.reset_asked_for().await?;
        for kept in &*self.0 {
            reset::start_over(&kept.journal).await?;
        }
        self.reset_heeded().await
    }
}

fn name(kept: &Kept) -> &str {
    kept.console.name().unwrap_or_default()
}

/// The least cursor of all consoles. Alerts are swept of each, so that one without a cursor has
/// everything before it; threats only of those that import them.
fn least(of: Listing, each: &Map<String, Value>) -> Option<Value> {
    let position = |state: &Value| {
        let text = state.get(cursor::state_key(of))?.as_str()?.to_owned();
        Some((date::parse(&text)?, text))
    };
    let positions: Vec<_> = each.values().filter_map(position).collect();
    if of == Listing::Alerts && positions.len() < each.len() {
        return None;
    }
    positions.into_iter().min().map(|(_date, text)| json!(text))
}
