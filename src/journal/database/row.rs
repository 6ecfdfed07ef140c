//! A row of an answer, read by the names of its columns.

use chrono::{DateTime, Utc};
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type, postgres::PgRow, sqlite::SqliteRow};

use crate::journal::error::JournalError;

/// A row of an answer.
pub(in crate::journal) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// Reads a number.
    pub(in crate::journal) fn number(&self, column: &str) -> Result<i64, JournalError> {
        self.get(column)
    }

    /// Reads a number that may be missing.
    pub(in crate::journal) fn maybe_number(
        &self,
        column: &str,
    ) -> Result<Option<i64>, JournalError> {
        self.get(column)
    }

    /// Reads a number that counts something.
    pub(in crate::journal) fn count(&self, column: &str) -> Result<u64, JournalError> {
        Ok(u64::try_from(self.number(column)?).unwrap_or_default())
    }

    /// Reads a number of attempts.
    pub(in crate::journal) fn attempts(&self, column: &str) -> Result<u32, JournalError> {
        Ok(u32::try_from(self.number(column)?).unwrap_or_default())
    }

    /// Reads a stored flag, which is 0 or 1.
    pub(in crate::journal) fn flag(&self, column: &str) -> Result<bool, JournalError> {
        Ok(self.number(column)? != 0)
    }

    /// Reads the answer to a condition, such as `EXISTS`.
    pub(in crate::journal) fn holds(&self, column: &str) -> Result<bool, JournalError> {
        self.get(column)
    }

    /// Reads a text.
    pub(in crate::journal) fn text(&self, column: &str) -> Result<String, JournalError> {
        self.get(column)
    }

    /// Reads a text without a copy of it.
    pub(in crate::journal) fn str(&self, column: &str) -> Result<&str, JournalError> {
        self.get(column)
    }

    /// Reads a text that may be missing.
    pub(in crate::journal) fn maybe_text(
        &self,
        column: &str,
    ) -> Result<Option<String>, JournalError> {
        self.get(column)
    }

    /// Reads a date that is stored in milliseconds since 1970.
    pub(in crate::journal) fn date(&self, column: &str) -> Result<DateTime<Utc>, JournalError> {
        date(self.number(column)?)
    }

    /// Reads a date that may be missing, stored in milliseconds since 1970.
    pub(in crate::journal) fn maybe_date(
        &self,
        column: &str,
    ) -> Result<Option<DateTime<Utc>>, JournalError> {
        self.maybe_number(column)?.map(date).transpose()
    }

    fn get<'r, T>(&'r self, column: &str) -> Result<T, JournalError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// Returns the date of a number of milliseconds since 1970.
pub(in crate::journal) fn date(milliseconds: i64) -> Result<DateTime<Utc>, JournalError> {
    DateTime::from_timestamp_millis(milliseconds)
        .ok_or_else(|| JournalError::Corrupt(format!("date {milliseconds}")))
}

/// Returns the date of a number of microseconds since 1970.
pub(in crate::journal) fn date_of_microseconds(
    microseconds: i64,
) -> Result<DateTime<Utc>, JournalError> {
    DateTime::from_timestamp_micros(microseconds)
        .ok_or_else(|| JournalError::Corrupt(format!("date {microseconds}")))
}
