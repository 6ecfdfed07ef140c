//! Removes data that the journal may do without when space runs short, and lists its samples.
//!
//! Texts go, rows stay, so that a version is known again; samples go whole. Follow-ups give up, and the
//! sweep completes their alerts. Pending events, and dead letters that are no samples, are never touched.

use chrono::{DateTime, Utc};

use crate::journal::{
    database::{
        dialect::{Dialect, SqlByDialect},
        locks::EventLocks,
        session::Change,
        statement::query,
    },
    error::JournalError,
    handle::Journal,
    pruning::Removable,
};

macro_rules! removing {
    ($away:literal, $which:literal) => {
        concat!(
            "UPDATE events SET ",
            $away,
            "body = '', pruned_at = $1 WHERE id IN (SELECT id FROM events WHERE ",
            $which,
            " AND finished_at > 0 ORDER BY finished_at LIMIT $2) AND ",
            $which
        )
    };
}

macro_rules! removing_in_both {
    ($which:literal) => {
        SqlByDialect { sqlite: removing!("id = -id, ", $which), postgres: removing!("", $which) }
    };
}

/// Each has an index of its own. On PostgreSQL the row is looked at once more when it is changed:
/// somebody may just bring it back.
pub(in crate::journal) const REMOVE_DROPPED: SqlByDialect =
    removing_in_both!("pruned_at IS NULL AND state = 'dropped'");
/// As long as OpenCTI has not taken the whole work of an event, it may have to be sent once more.
pub(in crate::journal) const REMOVE_FINISHED: SqlByDialect = removing_in_both!(
    "pruned_at IS NULL AND state IN ('delivered', 'filtered', 'superseded') \
     AND NOT EXISTS (SELECT 1 FROM work_parts WHERE work_parts.event = events.id)"
);
macro_rules! give_up {
    ($away:literal, $which:literal) => {
        concat!(
            "UPDATE events SET ",
            $away,
            "body = '', pruned_at = $1, state = 'superseded', finished_at = $1, gave_up_at = $1, \
             reason = 'the journal ran short of space; the sweep completes it' \
             WHERE id IN (SELECT id FROM events WHERE ",
            $which,
            " AND due_at > 0 ORDER BY due_at LIMIT $2) AND ",
            $which
        )
    };
}

/// The alert of a follow-up is delivered; only what the console may still show of it is given up. One
/// that is leased is under way.
pub(in crate::journal) const REMOVE_FOLLOW_UPS: SqlByDialect = SqlByDialect {
    sqlite: give_up!("id = -id, ", "state = 'pending' AND follows > 0 AND leased_until IS NULL"),
    postgres: give_up!("", "state = 'pending' AND follows > 0 AND leased_until IS NULL"),
};
/// Nothing knows a sample again or refers to it: it goes with its row, which is nearly as large.
pub(in crate::journal) const REMOVE_SAMPLES: &str = "DELETE FROM events WHERE id IN (\
     SELECT id FROM events WHERE shape IS NOT NULL AND pruned_at IS NULL AND state = 'dead' \
     AND received_at > 0 ORDER BY received_at LIMIT $1) AND state = 'dead'";

macro_rules! samples {
    ($console:literal) => {
        concat!(
            "SELECT shape, received_key FROM events WHERE received_at >= $1 \
             AND shape IS NOT NULL AND pruned_at IS NULL AND ",
            $console,
            " = $2"
        )
    };
}

/// The samples of a console that came since a time: there are few of all consoles.
pub(in crate::journal) const SAMPLES: SqlByDialect =
    SqlByDialect { sqlite: samples!("+console"), postgres: samples!("console") };

impl Journal {
    /// Removes of this kind, the oldest first, of every console, in one short commit of at most
    /// `rows` rows. Answers how many there were. `Storage` is not told of a failure: it says nothing
    /// of whether an alert can be stored.
    pub async fn remove(
        &self,
        what: Removable,
        rows: usize,
        now: DateTime<Utc>,
    ) -> Result<u64, JournalError> {
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let emptying = |words| query(self.sql(words)).bind(now.timestamp_millis()).bind(limit);
        let removing = match what {
            Removable::DroppedTexts => emptying(REMOVE_DROPPED),
            Removable::Samples => query(REMOVE_SAMPLES).bind(limit),
            Removable::FinishedTexts => emptying(REMOVE_FINISHED),
            Removable::FollowUps => emptying(REMOVE_FOLLOW_UPS),
        };
        let mut transaction = self.begin_upkeep(EventLocks::Both).await?;
        let removed = removing.execute(&mut transaction).await?;
        close_gaps(&mut transaction).await?;
        transaction.commit().await?;
        Ok(removed)
    }

    /// Samples of unknown kinds that came since a time and have their text: the digest of the shape
    /// and the key of each.
    pub async fn samples(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<(String, String)>, JournalError> {
        let rows = query(self.sql(SAMPLES))
            .bind(since.timestamp_millis())
            .bind(&self.console)
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter().map(|row| Ok((row.text("shape")?, row.text("received_key")?))).collect()
    }
}

/// Moves rows back whose text was removed.
///
/// SQLite leaves a row that became short where it is, alone on a page that was full of its text.
/// So whoever removes a text moves its row away, to `-id`, and this moves it back: what is taken
/// out of its page and put in anew closes the gaps.
pub(super) async fn close_gaps(change: &mut Change) -> Result<(), JournalError> {
    if change.dialect() == Dialect::Sqlite {
        query("UPDATE events SET id = -id WHERE id < 0").execute(change).await?;
    }
    Ok(())
}
