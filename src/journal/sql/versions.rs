//! The latest version of a key, and the standing of a new arrival beside it: the rules at the head
//! of `journal`.

use std::collections::HashMap;

use crate::{
    intake::{Notification, Origin},
    journal::{
        database::{dialect::SqlByDialect, session::Change, statement::query},
        error::JournalError,
        event::EventId,
        handle::Journal,
    },
};

/// By how much, in microseconds, a date may lie ahead of this machine's clock before its own clock is
/// taken to have been wrong: a minute, more than clocks that are looked after ever differ by.
const AHEAD_MAX_US: i64 = 60_000_000;

/// Standing of an arrival beside the versions that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the latest now.
    Latest {
        /// The number of times that this version was there before.
        recurrence: i64,
        /// The date by which it is the latest, in microseconds.
        updated_at: Option<i64>,
        /// Set when it is the first of its key.
        is_first: bool,
    },
    /// It is older than the latest, and was never there.
    Overtaken {
        /// Its own date.
        updated_at: Option<i64>,
    },
    /// It is there already. `of` is the row, when that is the latest version and is stored.
    Repetition {
        /// The row that it repeats.
        of: Option<EventId>,
        /// Its date, if that is later than the one known.
        later: Option<i64>,
    },
}

/// A version of a key.
#[derive(Debug, Clone)]
struct Version {
    /// `None` until it is inserted, later in the same commit.
    id: Option<EventId>,
    text: String,
    recurrence: i64,
    updated_at: Option<i64>,
    /// By this machine's clock, in microseconds; `None`: just now.
    received_at: Option<i64>,
}

/// Dates of an arrival: when it changed, by the console's clock, and when it came, by ours; in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dated {
    pub(super) updated_at: Option<i64>,
    /// `None`: it is no arrival.
    pub(super) received_at: Option<i64>,
}

/// The versions of each of some keys, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Versions(HashMap<String, Vec<Version>>);

macro_rules! versions {
    ($keys:literal) => {
        concat!(
            "SELECT k.value AS of_key, e.id AS id, e.version AS version, e.recurrence, e.updated_at, e.received_at FROM ",
            $keys,
            " e ON e.console = $2 AND e.key = k.value \
             WHERE e.generation = $3 AND e.is_version = 1 \
             UNION ALL \
             SELECT k.value, e.id AS id, e.received_version, e.recurrence, e.updated_at, e.received_at FROM ",
            $keys,
            " e ON e.console = $2 AND e.received_key = k.value \
             WHERE e.generation = $3 AND e.key <> e.received_key AND e.follows IS NULL \
             ORDER BY id"
        )
    };
}

/// The versions of some keys. The second half knows an event without an id again after it was
/// matched with its alert. SQLite keeps the order of a cross join: the keys first, then the index.
const VERSIONS: SqlByDialect = SqlByDialect {
    sqlite: versions!("json_each($1) k CROSS JOIN events"),
    postgres: versions!("json_array_elements_text($1::json) AS k(value) JOIN events"),
};

impl Journal {
    /// The versions that are there of these keys.
    pub(super) async fn versions_of<'a>(
        &self,
        transaction: &mut Change,
        keys: impl Iterator<Item = &'a str>,
        generation: i64,
    ) -> Result<Versions, JournalError> {
        let mut versions = Versions(keys.map(|key| (key.to_owned(), Vec::new())).collect());
        let keys: Vec<&String> = versions.0.keys().collect();
        let rows = query(self.sql(VERSIONS))
            .bind(serde_json::json!(keys).to_string())
            .bind(&self.console)
            .bind(generation)
            .fetch_all(transaction)
            .await?;
        for row in rows {
            let key = row.text("of_key")?;
            versions.0.entry(key).or_default().push(Version {
                id: Some(row.number("id")?),
                text: row.text("version")?,
                recurrence: row.number("recurrence")?,
                updated_at: row.maybe_number("updated_at")?,
                received_at: Some(row.number("received_at")? * 1_000),
            });
        }
        Ok(versions)
    }

    /// The latest version was seen again: it was still so at `updated_at`.
    pub(super) async fn seen_again(
        &self,
        transaction: &mut Change,
        event: EventId,
        updated_at: i64,
    ) -> Result<(), JournalError> {
        query(
            "UPDATE events SET updated_at = $1 WHERE id = $2 \
             AND (updated_at IS NULL OR updated_at < $1)",
        )
        .bind(updated_at)
        .bind(event)
        .execute(transaction)
        .await?;
        Ok(())
    }
}

impl Versions {
    /// Leaves out the row `event` itself.
    pub(super) fn without(mut self, event: EventId) -> Self {
        self.0.values_mut().for_each(|of_key| of_key.retain(|version| version.id != Some(event)));
        self
    }

    /// Returns the standing of `notification`, which counts for the next one of the same commit.
    pub(super) fn place(&mut self, notification: &Notification) -> Standing {
        let (key, text) = (notification.key(), notification.version());
        let standing = self.standing(key, text, dated(notification), notification.origin());
        let entered = match standing {
            Standing::Latest { recurrence, updated_at, .. } => Some((recurrence, updated_at)),
            Standing::Overtaken { updated_at } => Some((0, updated_at)),
            Standing::Repetition { .. } => None,
        };
        if let Some((recurrence, updated_at)) = entered {
            let (text, received_at) = (text.to_owned(), None);
            let version = Version { id: None, text, recurrence, updated_at, received_at };
            self.0.entry(key.to_owned()).or_default().push(version);
        }
        standing
    }

    /// Returns the standing of a version of `key` with this text and date. Dates are those of the console,
    /// whatever its clock says; only a date that is still to come tells nothing of one that is not
    /// (`Version::date`).
    pub(super) fn standing(&self, key: &str, text: &str, dated: Dated, origin: Origin) -> Standing {
        let updated_at = dated.updated_at;
        let known = self.0.get(key).map(Vec::as_slice).unwrap_or_default();
        // Of equal dates the one that came later; a date is later than none.
        let Some(latest) = known.iter().max_by_key(|version| version.updated_at) else {
            return Standing::Latest { recurrence: 0, updated_at, is_first: true };
        };
        let is_poorer = says_no_status(text) && !says_no_status(&latest.text);
        if latest.text == text || is_poorer {
            let later = updated_at.filter(|date| latest.updated_at < Some(*date));
            return Standing::Repetition { of: latest.id, later };
        }
        let of_this_text = || known.iter().filter(|version| version.text == text);
        let was_there = of_this_text().next().is_some();
        let date_of_latest = latest.date(dated);
        let is_older = match (updated_at, latest.updated_at) {
            (Some(date), Some(latest)) => {
                date < date_of_latest.unwrap_or(latest)
                    || of_this_text().any(|version| version.date(dated) >= Some(date))
            }
            (Some(_), None) => false,
            // What the console shows without a date is how it is now; what was posted may be late.
            (None, latest) => origin.is_told_by_console() && (latest.is_some() || was_there),
        };
        match (is_older, was_there) {
            (true, true) => Standing::Repetition { of: None, later: None },
            (true, false) => Standing::Overtaken { updated_at },
            (false, _) => Standing::Latest {
                recurrence: of_this_text().map(|version| version.recurrence + 1).max().unwrap_or(0),
                updated_at: updated_at.max(latest.updated_at),
                is_first: false,
            },
        }
    }
}

/// Returns whether a version (`status|level|…`) says no status. What a console sends does, so this one was
/// truncated in transit, and is no newer version of an alert that is known with one.
fn says_no_status(version: &str) -> bool {
    version.starts_with('|')
}

impl Version {
    /// The date of this version beside an arrival. One that lies ahead was given by a console whose
    /// clock was ahead; if that of the arrival lies behind us, the clock was set right since, and all
    /// that is sure of this version is when it came: before the arrival, if our clock was ahead, too.
    fn date(&self, arrival: Dated) -> Option<i64> {
        let date = self.updated_at?;
        let Some((changed, now)) = arrival.updated_at.zip(arrival.received_at) else {
            return Some(date);
        };
        if date <= now.saturating_add(AHEAD_MAX_US) || changed > now {
            return Some(date);
        }
        let came_at = self.received_at.unwrap_or(date).min(date);
        Some(if came_at > now { changed.saturating_sub(1) } else { came_at })
    }
}

/// The notification's own date and that of its arrival.
pub(super) fn dated(notification: &Notification) -> Dated {
    Dated {
        updated_at: notification.updated_at().map(|date| date.timestamp_micros()),
        received_at: Some(notification.received_at().timestamp_micros()),
    }
}
