//! From when on indicators are valid, kept in memory so that the journal is asked only when a date may
//! move. What another replica has moved meanwhile is learned then: OpenCTI keeps the newest date.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::{
    alert::SeenIndicator,
    journal::{Journal, JournalError},
};

/// Indicators kept at most; some 2 MiB.
const MOST: usize = 10_000;

/// Dates of indicators.
#[derive(Debug, Default)]
pub struct ValidFrom(Mutex<HashMap<String, DateTime<Utc>>>);

impl ValidFrom {
    pub(super) async fn of(
        &self,
        seen: &SeenIndicator,
        journal: &Journal,
    ) -> Result<DateTime<Utc>, JournalError> {
        let held = self.0.lock().get(&seen.id).copied();
        if let Some(held) = held.filter(|held| !seen.moves(*held)) {
            return Ok(held);
        }
        let date = journal.valid_from(seen).await?;
        let mut dates = self.0.lock();
        if dates.len() >= MOST {
            dates.clear();
        }
        dates.insert(seen.id.clone(), date);
        Ok(date)
    }
}
