//! Rules whose text OpenCTI refused, and its version.

use chrono::{DateTime, Utc};

use crate::journal::{
    database::{
        dialect::SqlByDialect, locks::EventLocks, row::Row, session::Change, statement::query,
    },
    error::JournalError,
    handle::Journal,
    refused_rules::{LEFT_OUT_FOR, MOST_REFUSED_RULES, RefusedRule, RuleRefusal},
};

macro_rules! note_version {
    ($name:literal) => {
        concat!(
            "INSERT INTO remembered (name, value) VALUES ('#opencti_version', $1) ON CONFLICT (",
            $name,
            ") DO UPDATE SET value = excluded.value WHERE remembered.value <> excluded.value"
        )
    };
}

/// OpenCTI's version is that of all consoles.
const NOTE_VERSION: SqlByDialect =
    SqlByDialect { sqlite: note_version!("name"), postgres: note_version!("md5(name)") };

/// The version that OpenCTI answered last.
macro_rules! version {
    () => {
        "COALESCE((SELECT value FROM remembered WHERE name = '#opencti_version'), 'unknown')"
    };
}

/// Says that a rule is left out of what goes to a version of OpenCTI, with the time seven days before.
macro_rules! is_left_out {
    ({$($version:tt)+}, $since:literal) => {
        concat!(
            "(refused_rules.platform = ",
            $($version)+,
            " AND refused_rules.refused_at > ",
            $since,
            ")"
        )
    };
}

/// One that is left out already stays as it is.
const REFUSE: &str = concat!(
    "INSERT INTO refused_rules (indicator, name, reason, platform, refused_at) \
     SELECT $1, COALESCE(NULLIF($2, ''), (SELECT title FROM events WHERE id = $3), $1), $4, ",
    version!(),
    ", CASE WHEN opened_at > $5 THEN opened_at ELSE $5 END FROM works \
     WHERE id = $6 AND COALESCE(platform, ",
    version!(),
    ") = ",
    version!(),
    " ON CONFLICT (indicator) DO UPDATE SET name = excluded.name, reason = excluded.reason, \
     platform = excluded.platform, refused_at = excluded.refused_at WHERE NOT ",
    is_left_out!({ "excluded.platform" }, "excluded.refused_at - $7"),
    " RETURNING indicator, name, reason, platform, refused_at"
);

const LEFT_OUT: &str = concat!(
    "SELECT indicator, name, reason, platform, refused_at FROM refused_rules WHERE ",
    is_left_out!({ version!() }, "$1"),
    " ORDER BY refused_at DESC, indicator"
);

/// The oldest of too many. What is not left out any more is forgotten otherwise.
const BOUND: &str = "DELETE FROM refused_rules WHERE refused_at < (SELECT refused_at \
     FROM refused_rules WHERE refused_at > $1 ORDER BY refused_at DESC LIMIT 1 OFFSET $2)";

impl Journal {
    /// Notes the version that OpenCTI answers now. It holds until it answers another one, also for a
    /// process that has not reached OpenCTI.
    pub async fn note_platform_version(&self, version: &str) -> Result<(), JournalError> {
        query(self.sql(NOTE_VERSION)).bind(version).execute(&mut self.writer().await?).await?;
        Ok(())
    }

    /// Keeps a rule that was refused. Returns it; `None` when it was left out before, and when OpenCTI has
    /// another version than when the work was opened.
    pub async fn refuse_rule(
        &self,
        refusal: &RuleRefusal,
    ) -> Result<Option<RefusedRule>, JournalError> {
        let mut transaction = self.begin(EventLocks::None).await?;
        let refused = query(REFUSE)
            .bind(&refusal.indicator)
            .bind(&refusal.name)
            .bind(refusal.event)
            .bind(&refusal.reason)
            .bind(refusal.refused_at.timestamp_millis())
            .bind(&refusal.work)
            .bind(LEFT_OUT_FOR.num_milliseconds())
            .fetch_optional(&mut transaction)
            .await?;
        query(BOUND)
            .bind((refusal.refused_at - LEFT_OUT_FOR).timestamp_millis())
            .bind(MOST_REFUSED_RULES - 1)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        refused.as_ref().map(rule).transpose()
    }

    /// Returns the rules that are left out at `now`: those that the present version of OpenCTI refused
    /// within seven days. The newest refusal comes first.
    pub async fn left_out_rules(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<RefusedRule>, JournalError> {
        let rows = query(LEFT_OUT)
            .bind((now - LEFT_OUT_FOR).timestamp_millis())
            .fetch_all(&mut self.reader().await?)
            .await?;
        rows.iter().map(rule).collect()
    }

    /// Forgets the rule of an indicator, or all with `None`, so that it is sent again; returns how
    /// many there were.
    pub async fn forget_refused_rules(&self, indicator: Option<&str>) -> Result<u64, JournalError> {
        let statement = match indicator {
            Some(indicator) => {
                query("DELETE FROM refused_rules WHERE indicator = $1").bind(indicator)
            }
            None => query("DELETE FROM refused_rules"),
        };
        statement.execute(&mut self.writer().await?).await
    }

    /// Returns the works, other than `work`, in which an indicator left and of which OpenCTI has not
    /// told all yet; at most `limit`, whatever their console.
    pub async fn works_with(
        &self,
        indicator: &str,
        work: &str,
        limit: usize,
    ) -> Result<Vec<String>, JournalError> {
        let rows =
            query("SELECT work FROM work_indicators WHERE indicator = $1 AND work <> $2 LIMIT $3")
                .bind(indicator)
                .bind(work)
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&mut self.reader().await?)
                .await?;
        rows.iter().map(|row| row.text("work")).collect()
    }
}

/// Forgets refusals of before `time`.
pub(super) async fn prune(
    transaction: &mut Change,
    time: DateTime<Utc>,
) -> Result<(), JournalError> {
    query("DELETE FROM refused_rules WHERE refused_at < $1")
        .bind(time.timestamp_millis())
        .execute(transaction)
        .await?;
    Ok(())
}

fn rule(row: &Row) -> Result<RefusedRule, JournalError> {
    Ok(RefusedRule {
        indicator: row.text("indicator")?,
        name: row.text("name")?,
        reason: row.text("reason")?,
        platform: row.text("platform")?,
        refused_at: row.date("refused_at")?,
    })
}
