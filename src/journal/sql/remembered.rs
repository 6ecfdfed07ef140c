//! Values that are remembered by name: cursors, the choice of names, the import generation.

use crate::journal::{
    database::{dialect::SqlByDialect, locks::EventLocks, session::Change, statement::query},
    error::JournalError,
    handle::Journal,
};

macro_rules! remember {
    ($name:literal) => {
        concat!(
            "INSERT INTO remembered (name, value) VALUES ($1, $2) ON CONFLICT (",
            $name,
            ") DO UPDATE SET value = excluded.value"
        )
    };
}

/// Keeps a value in place of an earlier one.
pub(super) const REMEMBER: SqlByDialect =
    SqlByDialect { sqlite: remember!("name"), postgres: remember!("md5(name)") };

impl Journal {
    /// A remembered value: cursors, the choice of names.
    pub async fn remembered(&self, name: &str) -> Result<Option<String>, JournalError> {
        let row = query("SELECT value FROM remembered WHERE name = $1")
            .bind(self.remembered_name(name))
            .fetch_optional(&mut self.reader().await?)
            .await?;
        row.map(|row| row.text("value")).transpose()
    }

    /// Remembers a value.
    pub async fn remember(&self, name: &str, value: &str) -> Result<(), JournalError> {
        query(self.sql(REMEMBER))
            .bind(self.remembered_name(name))
            .bind(value)
            .execute(&mut self.writer().await?)
            .await?;
        Ok(())
    }

    /// Forgets a value: it was never remembered.
    pub async fn forget(&self, name: &str) -> Result<(), JournalError> {
        query("DELETE FROM remembered WHERE name = $1")
            .bind(self.remembered_name(name))
            .execute(&mut self.writer().await?)
            .await?;
        Ok(())
    }

    /// Starts another import generation, in which everything is new again, forgets these remembered
    /// values and all refused rules, and has every closed work looked at, all in one commit.
    pub async fn start_over(&self, forgotten: &[&str]) -> Result<(), JournalError> {
        let mut transaction = self.begin(EventLocks::Both).await?;
        let next = self.generation(&mut transaction).await? + 1;
        query(self.sql(REMEMBER))
            .bind(self.remembered_name("generation"))
            .bind(next.to_string())
            .execute(&mut transaction)
            .await?;
        for name in forgotten {
            query("DELETE FROM remembered WHERE name = $1")
                .bind(self.remembered_name(name))
                .execute(&mut transaction)
                .await?;
        }
        query("DELETE FROM refused_rules").execute(&mut transaction).await?;
        // The queue was purged or deleted: what was lost with it shows in the works, which are looked
        // at now.
        query(
            "UPDATE works SET was_reset = 1, \
             look_at = CASE WHEN closed_at IS NULL THEN look_at ELSE opened_at END \
             WHERE console = $1",
        )
        .bind(&self.console)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Remembered values belong to a console.
    pub(in crate::journal) fn remembered_name(&self, name: &str) -> String {
        format!("{}#{name}", self.console)
    }

    /// The import generation: 1 until a reset starts another.
    pub(super) async fn generation(&self, transaction: &mut Change) -> Result<i64, JournalError> {
        let row =
            query("SELECT CAST(value AS BIGINT) AS generation FROM remembered WHERE name = $1")
                .bind(self.remembered_name("generation"))
                .fetch_optional(transaction)
                .await?;
        Ok(row.map(|row| row.number("generation")).transpose()?.unwrap_or(1))
    }
}
