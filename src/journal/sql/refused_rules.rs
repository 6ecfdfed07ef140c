//! Rules whose text OpenCTI refused.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    SqlJournal, date,
    statement::{Columns, query},
    store::{Change as _, Order, Session, Store},
};
use crate::journal::{
    EventId, JournalError, MOST_REFUSED_RULES, RefusedRule, RefusedRuleJournal,
    refused_rules::LEFT_OUT_FOR,
};

/// One that is left out already stays as it is.
const REFUSE: &str = "INSERT INTO refused_rules (indicator, name, reason, platform, refused_at) \
     VALUES ($1, COALESCE(NULLIF($2, ''), (SELECT title FROM events WHERE id = $3), $1), $4, $5, $6) \
     ON CONFLICT (indicator) DO UPDATE SET name = excluded.name, reason = excluded.reason, \
     platform = excluded.platform, refused_at = excluded.refused_at \
     WHERE refused_rules.platform <> excluded.platform OR refused_rules.refused_at <= $7 RETURNING name";

/// The oldest of too many.
const BOUND: &str = "DELETE FROM refused_rules WHERE indicator IN (SELECT indicator \
     FROM refused_rules ORDER BY refused_at DESC, indicator LIMIT 1000 OFFSET $1)";

#[async_trait]
impl<S: Store> RefusedRuleJournal for SqlJournal<S> {
    async fn refuse_rule(
        &self,
        rule: &RefusedRule,
        event: Option<EventId>,
    ) -> Result<Option<String>, JournalError> {
        let mut transaction = self.begin(Order::None).await?;
        let refused = query(REFUSE)
            .bind(&rule.indicator)
            .bind(&rule.name)
            .bind(event)
            .bind(&rule.reason)
            .bind(&rule.platform)
            .bind(rule.refused_at.timestamp_millis())
            .bind((rule.refused_at - LEFT_OUT_FOR).timestamp_millis())
            .fetch_optional(&mut transaction)
            .await?;
        query(BOUND).bind(MOST_REFUSED_RULES).execute(&mut transaction).await?;
        transaction.commit().await?;
        refused.map(|row| row.try_get(0)).transpose()
    }

    async fn refused_rules(&self) -> Result<Vec<RefusedRule>, JournalError> {
        let rows = query(
            "SELECT indicator, name, reason, platform, refused_at FROM refused_rules \
             ORDER BY refused_at DESC, indicator",
        )
        .fetch_all(&mut self.store.readers())
        .await?;
        rows.iter().map(rule).collect()
    }

    async fn forget_refused_rules(&self, indicator: Option<&str>) -> Result<u64, JournalError> {
        let statement = match indicator {
            Some(indicator) => {
                query("DELETE FROM refused_rules WHERE indicator = $1").bind(indicator)
            }
            None => query("DELETE FROM refused_rules"),
        };
        statement.execute(&mut self.store.writer()).await
    }

    async fn works_with(
        &self,
        object: &str,
        work: &str,
        limit: usize,
    ) -> Result<Vec<String>, JournalError> {
        let rows = query(
            "SELECT DISTINCT work FROM work_parts \
             WHERE objects LIKE '%\"' || $1 || '\"%' AND work <> $2 LIMIT $3",
        )
        .bind(object)
        .bind(work)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut self.store.readers())
        .await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

/// Forgets refusals of before `time`.
pub(super) async fn prune(
    transaction: &mut impl Session,
    time: DateTime<Utc>,
) -> Result<(), JournalError> {
    query("DELETE FROM refused_rules WHERE refused_at < $1")
        .bind(time.timestamp_millis())
        .execute(transaction)
        .await?;
    Ok(())
}

fn rule(row: &impl Columns) -> Result<RefusedRule, JournalError> {
    Ok(RefusedRule {
        indicator: row.try_get(0)?,
        name: row.try_get(1)?,
        reason: row.try_get(2)?,
        platform: row.try_get(3)?,
        refused_at: date(row.try_get(4)?)?,
    })
}
