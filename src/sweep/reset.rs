//! A reset: the journal forgets every cursor and every mark of a backfill.

use super::{
    cursor::{HELD, good_name, state_key},
    marks,
};
use crate::{
    harfanglab::Listing,
    journal::{Journal, JournalError},
};

/// Starts the import again from the start date: every alert is new once more and goes out again,
/// under the incident that it has. A backfill that was cut off begins from its own start, too.
///
/// # Errors
/// [`JournalError`] when the journal cannot be read or written; nothing is changed then.
pub(super) async fn start_over(journal: &Journal) -> Result<(), JournalError> {
    let every =
        [Listing::Alerts, Listing::Threats, Listing::ChangedAlerts, Listing::ChangedThreats];
    let marks = marks::all_names(journal).await?;
    let good = every.map(|of| good_name(state_key(of)));
    let mut forgotten: Vec<&str> = every.into_iter().map(state_key).collect();
    forgotten.extend(good.iter().map(String::as_str));
    forgotten.push(HELD);
    forgotten.extend(marks.iter().map(String::as_str));
    journal.start_over(&forgotten).await
}
