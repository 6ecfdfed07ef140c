//! Marks of backfills: how far each stretch of time that was asked for has been read, kept in the
//! journal until its backfill is done or a reset imports everything again.
//!
//! `--since P30D` means another moment each time that it is given. So what is asked for goes on at a
//! mark of its own, or at that of an earlier backfill that was to read the same and began no later.
//!
//! Does not live here: moving a mark forward (`cursor`), reading (`backfill`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Cursor, Range};
use crate::{
    harfanglab::Listing,
    journal::{Journal, JournalError},
};

/// Under this name the journal keeps which backfills have marks: a JSON object, by their names.
pub(super) const NOTED: &str = "backfill_marks";

/// The lists that a backfill reads.
const LISTINGS: [Listing; 2] = [Listing::Alerts, Listing::Threats];

/// Under which name the journal remembers where an open `range` ends, and with a listing's behind it
/// how far it has been read.
pub(super) fn name(range: &Range) -> String {
    let until = range.until.map(|until| until.to_rfc3339()).unwrap_or_default();
    let mut types = range.types.clone();
    types.sort();
    format!("backfill {}..{until} {}", range.since.to_rfc3339(), types.join(","))
}

/// Returns the cursor of what has been read of `range`.
pub(super) fn mark<'a>(journal: &'a Journal, range: &Range, of: Listing) -> Cursor<'a> {
    Cursor::named(journal, format!("{} {of:?}", name(range)))
}

/// Notes that `range` is being read, so that its marks are found again.
pub(super) async fn note(journal: &Journal, range: &Range) -> Result<(), JournalError> {
    let mut ranges = noted(journal).await?;
    ranges.insert(name(range), range.clone());
    keep(journal, &ranges).await
}

/// Returns where reading `range` begins. A mark ahead of `now` is of a clock that ran ahead and says
/// nothing.
pub(super) async fn start(
    journal: &Journal,
    range: &Range,
    of: Listing,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, JournalError> {
    let mut start = range.since;
    for earlier in noted(journal).await?.values().filter(|earlier| leads_to(earlier, range)) {
        let reached = mark(journal, earlier, of).position().await?;
        start = start.max(reached.filter(|reached| *reached <= now).unwrap_or(start));
    }
    Ok(start)
}

/// Forgets the marks of `range`, which is done, and of every earlier one that went on in it.
pub(super) async fn forget(journal: &Journal, range: &Range) -> Result<(), JournalError> {
    let mut ranges = noted(journal).await?;
    let mut done = vec![range.clone()];
    for earlier in ranges.values().filter(|earlier| leads_to(earlier, range)) {
        let reached = mark(journal, earlier, Listing::Alerts).position().await?;
        if reached.is_some_and(|reached| reached >= range.since) {
            done.push(earlier.clone());
        }
    }
    for range in done {
        for name in names(&range) {
            journal.forget(&name).await?;
        }
        ranges.remove(&name(&range));
    }
    keep(journal, &ranges).await
}

/// Every name under which the journal keeps something of a backfill.
pub(super) async fn all_names(journal: &Journal) -> Result<Vec<String>, JournalError> {
    let ranges = noted(journal).await?;
    Ok(ranges.values().flat_map(names).chain([NOTED.to_owned()]).collect())
}

fn names(range: &Range) -> Vec<String> {
    let name = name(range);
    let marks = LISTINGS.iter().map(|of| format!("{name} {of:?}"));
    marks.chain([name.clone()]).collect()
}

/// Returns whether what `earlier` has read up to its mark need not be read for `range`.
fn leads_to(earlier: &Range, range: &Range) -> bool {
    let sorted = |range: &Range| {
        let mut types = range.types.clone();
        types.sort();
        types
    };
    earlier.since <= range.since && earlier.until == range.until && sorted(earlier) == sorted(range)
}

async fn noted(journal: &Journal) -> Result<BTreeMap<String, Range>, JournalError> {
    let text = journal.remembered(NOTED).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

async fn keep(journal: &Journal, ranges: &BTreeMap<String, Range>) -> Result<(), JournalError> {
    if ranges.is_empty() {
        return journal.forget(NOTED).await;
    }
    journal.remember(NOTED, &json!(ranges).to_string()).await
}
