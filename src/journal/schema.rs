//! The meaning of a schema's version to this program.

use super::error::JournalError;

/// Describes a schema of the version `found` to a program that has `ours`; `None`: there is none.
pub(super) fn describe_schema(
    found: Option<i64>,
    ours: Option<i64>,
) -> Result<&'static str, JournalError> {
    match found {
        None => Ok("no journal is there yet; the first start makes it"),
        Some(_) if found == ours => Ok("a journal is there"),
        Some(_) if found < ours => {
            Ok("a journal of an older version is there; the next start brings it up to date")
        }
        Some(_) => Err(JournalError::Address(
            "a newer version of this program wrote the journal; use that version, or put a backup \
             from before the upgrade in its place"
                .to_owned(),
        )),
    }
}
