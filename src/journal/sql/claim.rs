//! Claims: who works on what, until when, and how it ended.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::{DateTime, Utc};
use tracing::error;

use crate::{
    alert::IncidentIdentity,
    journal::{
        database::{
            dialect::{Dialect, SqlByDialect},
            locks::EventLocks,
            row::{Row, date, date_of_microseconds},
            session::Change,
            statement::query,
        },
        error::JournalError,
        event::{CLAIM_BYTES, Claim, Event, FollowUp, Outcome, SMALL_BYTES},
        handle::Journal,
        missing_enrichment::MissingEnrichment,
    },
};

/// Selects the rows `e` that nothing else holds up at the time `$1`, and by leases at
/// `$lease_time`.
macro_rules! is_free {
    ($lease_time:literal) => {
        concat!(
            "(e.leased_until IS NULL OR e.leased_until <= ",
            $lease_time,
            ") AND NOT EXISTS (SELECT 1 FROM events other WHERE other.console = e.console \
             AND other.key = e.key AND other.id <> e.id AND other.state = 'pending' AND ( \
             other.leased_until > ",
            $lease_time,
            " OR CASE WHEN other.follows IS NULL THEN e.follows IS NOT NULL \
                 OR (other.id < e.id AND NOT (other.root_id IS NOT NULL AND other.due_at > $1)) \
             ELSE e.follows IS NOT NULL AND other.id < e.id AND other.due_at <= $1 END))"
        )
    };
}

macro_rules! due {
    ($events:literal, $which:literal, $alone:literal) => {
        concat!(
            "(SELECT e.id, e.due_at, COALESCE(OCTET_LENGTH(e.body), 0) AS bytes FROM ",
            $events,
            " WHERE e.state = 'pending' AND e.due_at <= $1 AND e.console = $2 AND ",
            $which,
            " AND ",
            is_free!("$5"),
            " ORDER BY e.due_at, e.id LIMIT $3",
            $alone,
            ")"
        )
    };
}

macro_rules! claim {
    ($put_back:literal, $others:literal, $alone:literal) => {
        concat!(
            "WITH put_back AS ",
            due!($put_back, "e.reason IS NOT NULL AND e.follows IS NULL", $alone),
            ", others AS ",
            due!($others, "(e.reason IS NULL OR e.follows IS NOT NULL)", $alone),
            ", in_turn AS (\
                 SELECT id, bytes, 2 * ROW_NUMBER() OVER (ORDER BY due_at, id) + $6 AS turn \
                 FROM put_back \
                 UNION ALL \
                 SELECT id, bytes, 2 * ROW_NUMBER() OVER (ORDER BY due_at, id) + 1 - $6 \
                 FROM others ORDER BY turn LIMIT $3), \
             of_kind AS (SELECT id, bytes, turn % 2 AS comes_second, \
                 SUM(bytes) OVER (PARTITION BY turn % 2 ORDER BY turn) AS total FROM in_turn), \
             first_kind AS (SELECT id, total FROM of_kind WHERE comes_second = 0 \
                 AND (total = bytes OR total <= $4 - (SELECT COALESCE(SUM(bytes), 0) \
                     FROM of_kind WHERE comes_second = 1 AND total <= $4 / 2))), \
             fitting AS (SELECT id FROM first_kind UNION ALL \
                 SELECT id FROM of_kind WHERE comes_second = 1 \
                 AND (total <= $4 - (SELECT COALESCE(MAX(total), 0) FROM first_kind) \
                     OR total = bytes AND NOT EXISTS (SELECT 1 FROM first_kind))) \
             SELECT e.id, e.attempts + 1 AS fence, e.key, e.version, e.dialect, \
             CASE WHEN OCTET_LENGTH(e.body) <= $7 THEN e.body END AS body, e.received_at, \
             e.happened_at, e.agent_id, e.title, i.name, i.created_at_us, e.origin, e.lacking, \
             e.due_at, e.deadline_at, e.attempts_before, \
             CAST(COALESCE(OCTET_LENGTH(e.body), 0) AS BIGINT) AS bytes \
             FROM fitting f JOIN events e ON e.id = f.id \
             LEFT JOIN incidents i ON i.console = e.console AND i.key = e.key"
        )
    };
}

/// Takes what is due. Only the earliest unfinished version of a key may be taken: versions leave in
/// order, and an older one that a person asked for again waits while a newer one is just leaving. One
/// that some sink has, or that was delivered and is to leave once more, holds up no newer one while it waits
/// for its time. A
/// follow-up gives way to every received version, and is waited for only while leased. Lengths are
/// known without reading the texts: what does not fit is not read at all, and a text of more than `$7`
/// bytes is read by itself, once there is memory for it. The rows are in no order: a database that sorts
/// them holds each text several times.
///
/// Events that were put back and all others take turns within the claim, each kind by due time: either
/// gets half of its events and bytes, and all that the other leaves. By due time alone a retry would wait
/// for a whole backlog that was due before it, or new events for a whole pile of retries. The first event
/// of the kind that comes first is taken whatever its size, and in a claim of one there is no other: `$6`
/// says which kind that is, so that it is not always the same.
///
/// Here and below SQLite is told the index: by itself it may choose one that holds all that waits, and
/// read and sort it. The index ends at the first row that fits, and holds each console and kind apart, so
/// that what waits of one is not in the way of another; of leases, all consoles together have few.
/// PostgreSQL passes over what somebody else holds at the moment: another replica, or a person who looks
/// into the table.
pub(in crate::journal) const CLAIM: SqlByDialect = SqlByDialect {
    sqlite: claim!(
        "events e INDEXED BY events_put_back",
        "events e INDEXED BY events_not_put_back",
        ""
    ),
    postgres: claim!("events e", "events e", " FOR UPDATE OF e SKIP LOCKED"),
};

macro_rules! lease {
    ($events:literal) => {
        concat!(
            "UPDATE events SET attempts = attempts + 1, leased_until = $1 WHERE id IN ",
            $events
        )
    };
}

const LEASE: SqlByDialect = SqlByDialect {
    sqlite: lease!("(SELECT value FROM json_each($2))"),
    postgres: lease!("(SELECT value::bigint FROM json_array_elements_text($2::json))"),
};

/// Most events that one change makes due: deliveries are stored between two of them.
const MADE_DUE_MAX: i64 = 1_000;

macro_rules! make_due {
    ($events:literal) => {
        concat!(
            "UPDATE events SET due_at = $1 WHERE id IN (SELECT e.id FROM ",
            $events,
            " WHERE e.state = 'pending' AND e.reason IS NOT NULL AND e.follows IS NULL \
             AND e.console = $2 AND e.due_at > $1 AND SUBSTR(e.reason, 1, LENGTH($3)) = $3 \
             ORDER BY e.due_at, e.id LIMIT $4)"
        )
    };
}

/// Brings forward what was put back for a reason. Follow-ups keep the time that they have for the console.
const MAKE_DUE: SqlByDialect = SqlByDialect {
    sqlite: make_due!("events e INDEXED BY events_put_back"),
    postgres: make_due!("events e"),
};

macro_rules! next_free {
    ($events:literal) => {
        concat!(
            "SELECT e.due_at FROM ",
            $events,
            " WHERE e.state = 'pending' AND e.console = $2 AND ",
            is_free!("$3"),
            " ORDER BY e.due_at, e.id LIMIT 1"
        )
    };
}

/// Asks when the next event that nothing holds up is due: by the same rule as in a claim, or whoever waits
/// for what no claim takes would ask without a pause.
pub(in crate::journal) const NEXT_FREE: SqlByDialect = SqlByDialect {
    sqlite: next_free!("events e INDEXED BY events_due"),
    postgres: next_free!("events e"),
};

/// Asks when the next lease ends that has not ended.
pub(in crate::journal) const NEXT_LEASE_END: SqlByDialect = SqlByDialect {
    sqlite: "SELECT MIN(leased_until) AS ends_at FROM events \
         WHERE leased_until > $1 AND +console = $2",
    postgres: "SELECT MIN(leased_until) AS ends_at FROM events \
         WHERE leased_until > $1 AND console = $2",
};

impl Journal {
    /// Takes up to `limit` events that are due, oldest first, for `lease`: as many as have
    /// [`CLAIM_BYTES`] of text together, or a single larger one. Half of either bound is for events that
    /// were put back, the rest for all others; one kind takes what the other leaves. What cannot be halved
    /// is for those that were put back when `now` is an even millisecond, else for the others.
    pub async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Event>, JournalError> {
        let mut transaction = self.begin(EventLocks::Departures).await?;
        let lease_time = self.follow_clock(&mut transaction, now).await?;
        let mut rows = query(self.sql(CLAIM))
            .bind(now.timestamp_millis())
            .bind(&self.console)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(i64::try_from(CLAIM_BYTES).unwrap_or(i64::MAX))
            .bind(lease_time)
            // As good as a coin, and the same for the same time.
            .bind(now.timestamp_millis().rem_euclid(2))
            .bind(i64::try_from(SMALL_BYTES).unwrap_or(i64::MAX))
            .fetch_all(&mut transaction)
            .await?;
        rows.sort_by_cached_key(|row| (row.number("due_at").ok(), row.number("id").ok()));
        let mut events = Vec::with_capacity(rows.len());
        // Each row goes with its text as soon as the text is taken from it.
        for row in rows {
            match event(&row) {
                Ok(event) => events.push(event),
                // One row that no version of ours wrote must not keep the others.
                Err(failure) => bury(&mut transaction, row.number("id")?, &failure, now).await?,
            }
        }
        let ids: Vec<i64> = events.iter().map(|event| event.claim.event).collect();
        query(self.sql(LEASE))
            .bind(end_of(lease, lease_time))
            .bind(serde_json::json!(ids).to_string())
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(events)
    }

    /// Reads the text of a claimed event if its claim left it out.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when the text is no text.
    pub async fn read_text(&self, event: &mut Event) -> Result<(), JournalError> {
        if event.is_unread() {
            let row = query("SELECT body FROM events WHERE id = $1")
                .bind(event.claim.event)
                .fetch_one(&mut self.reader().await?)
                .await?;
            let text = row.text("body");
            event.body = text.map_err(|failure| JournalError::Corrupt(failure.to_string()))?;
        }
        Ok(())
    }

    /// Lets claims last for `lease` from `now` on, and answers those that do. Those that were lost or
    /// have ended are left alone.
    pub async fn renew(
        &self,
        claims: &[Claim],
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claim>, JournalError> {
        // One after the other with those that end many: both go through the rows in their own order.
        let mut transaction = self.begin(EventLocks::Departures).await?;
        // Before: the next claim would move these, too, and take what is under way.
        let lease_time = self.follow_clock(&mut transaction, now).await?;
        // Once a lease has ended another replica may have claimed a newer version, with which this one
        // must not be under way. A journal with one service has no other: its leases end with their
        // claims, also when the clock is set ahead.
        let ends_after = match self.dialect() {
            Dialect::Sqlite => i64::MIN,
            Dialect::Postgres => lease_time,
        };
        let mut renewed = Vec::with_capacity(claims.len());
        for claim in claims {
            let rows = query(
                "UPDATE events SET leased_until = $1 WHERE id = $2 AND attempts = $3 \
                 AND state = 'pending' AND leased_until > $4",
            )
            .bind(end_of(lease, lease_time))
            .bind(claim.event)
            .bind(claim.fence)
            .bind(ends_after)
            .execute(&mut transaction)
            .await?;
            if rows > 0 {
                renewed.push(*claim);
            }
        }
        transaction.commit().await?;
        Ok(renewed)
    }

    /// Ends claims, or puts them back for later. Claims whose lease was lost are left alone.
    pub async fn finish(
        &self,
        outcomes: &[(Claim, Outcome)],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        // A single event that does not leave touches its own row only, which its claim fences.
        let order = match outcomes {
            [(_claim, outcome)] if !outcome.ends_older() => EventLocks::None,
            _ => EventLocks::Departures,
        };
        let mut transaction = self.begin(order).await?;
        for (claim, outcome) in outcomes {
            if !finish_one(&mut transaction, *claim, outcome, now).await? {
                continue;
            }
            if outcome.ends_older() {
                self.supersede_older(&mut transaction, *claim, now).await?;
            }
            if let Outcome::DeliveredInPart { follow_up, .. } = outcome {
                self.enqueue_follow_up(&mut transaction, *claim, follow_up).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Makes due at `now` what was put back until later with a reason that begins with `reason`, and
    /// returns the number of these events. It leaves in the order of versions all the same.
    pub async fn make_due(&self, reason: &str, now: DateTime<Utc>) -> Result<u64, JournalError> {
        let mut all = 0;
        loop {
            let mut transaction = self.begin(EventLocks::Departures).await?;
            let made_due = query(self.sql(MAKE_DUE))
                .bind(now.timestamp_millis())
                .bind(&self.console)
                .bind(reason)
                .bind(MADE_DUE_MAX)
                .execute(&mut transaction)
                .await?;
            transaction.commit().await?;
            all += made_due;
            if made_due < MADE_DUE_MAX.unsigned_abs() {
                return Ok(all);
            }
        }
    }

    /// Returns when the next pending event is due, if any is.
    pub async fn next_due(&self) -> Result<Option<DateTime<Utc>>, JournalError> {
        let now = self.last_claim.made_at.load(Ordering::Relaxed);
        let leases_ahead = self.last_claim.leases_ahead.load(Ordering::Relaxed);
        let lease_time = now.saturating_add(leases_ahead);
        let free = query(self.sql(NEXT_FREE))
            .bind(now)
            .bind(&self.console)
            .bind(lease_time)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        let leased = query(self.sql(NEXT_LEASE_END))
            .bind(lease_time)
            .bind(&self.console)
            .fetch_one(&mut self.reader().await?)
            .await?;
        let free = free.map(|row| row.number("due_at")).transpose()?;
        // By the caller's clock.
        let leased = leased.maybe_number("ends_at")?;
        let leased = leased.map(|end| end.saturating_sub(leases_ahead));
        free.into_iter().chain(leased).min().map(date).transpose()
    }
}

/// Returns the end of a lease that begins at `lease_time`, in milliseconds since 1970.
fn end_of(lease: Duration, lease_time: i64) -> i64 {
    lease_time.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
}

/// Makes an event that cannot be read a dead letter.
async fn bury(
    transaction: &mut Change,
    id: i64,
    failure: &JournalError,
    now: DateTime<Utc>,
) -> Result<(), JournalError> {
    error!(event = id, %failure, "an event of the journal cannot be read and is a dead letter now");
    query("UPDATE events SET state = 'dead', reason = $1, finished_at = $2 WHERE id = $3")
        .bind(failure.to_string())
        .bind(now.timestamp_millis())
        .bind(id)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Writes one outcome down; `false` when another claim has taken the event meanwhile, whose outcome it
/// is to write.
async fn finish_one(
    transaction: &mut Change,
    claim: Claim,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Result<bool, JournalError> {
    let now = now.timestamp_millis();
    let (state, root_id, reason, due_at, gave_up_at) = match outcome {
        Outcome::Delivered { root_id, remark }
        | Outcome::DeliveredInPart { root_id, remark, .. } => {
            ("delivered", Some(root_id), remark.as_ref(), None, None)
        }
        Outcome::Filtered { reason } => ("filtered", None, Some(reason), None, None),
        Outcome::Superseded => ("superseded", None, None, None, None),
        Outcome::GaveUp { reason } => ("superseded", None, Some(reason), None, Some(now)),
        Outcome::Dead { reason } => ("dead", None, Some(reason), None, None),
        Outcome::DeliveredToSome { root_id, at, reason } => {
            ("pending", Some(root_id), Some(reason), Some(at.timestamp_millis()), None)
        }
        Outcome::Later { at, reason } => {
            ("pending", None, Some(reason), Some(at.timestamp_millis()), None)
        }
    };
    let finished = query(
        "UPDATE events SET state = $1, root_id = COALESCE($2, root_id), reason = $3, \
         due_at = COALESCE($4, due_at), leased_until = NULL, gave_up_at = $8, \
         finished_at = CASE WHEN $4 IS NULL THEN $5 END \
         WHERE id = $6 AND state = 'pending' AND attempts = $7",
    )
    .bind(state)
    .bind(root_id)
    .bind(reason)
    .bind(due_at)
    .bind(now)
    .bind(claim.event)
    .bind(claim.fence)
    .bind(gave_up_at)
    .execute(transaction)
    .await?;
    Ok(finished > 0)
}

fn claim(row: &Row) -> Result<Claim, JournalError> {
    let (fence, before) = (row.attempts("fence")?, row.attempts("attempts_before")?);
    Ok(Claim { event: row.number("id")?, attempt: fence.saturating_sub(before), fence })
}

fn event(row: &Row) -> Result<Event, JournalError> {
    let dialect = row.maybe_text("dialect")?;
    let identity = match (row.maybe_text("name")?, row.maybe_number("created_at_us")?) {
        (Some(name), Some(created)) => {
            Some(IncidentIdentity { name, created: date_of_microseconds(created)? })
        }
        _ => None,
    };
    let origin = row.str("origin")?;
    let follow_up = match (row.maybe_text("lacking")?, row.maybe_date("deadline_at")?) {
        (Some(missing), Some(deadline)) => Some(FollowUp {
            missing: MissingEnrichment::from_text(&missing),
            due_at: row.date("due_at")?,
            deadline,
        }),
        _ => None,
    };
    Ok(Event {
        claim: claim(row)?,
        key: row.text("key")?,
        version: row.text("version")?,
        origin: origin
            .parse()
            .map_err(|_| JournalError::Corrupt(format!("event of origin {origin}")))?,
        dialect: dialect
            .as_deref()
            .and_then(|name| name.parse().ok())
            .ok_or_else(|| JournalError::Corrupt(format!("event of dialect {dialect:?}")))?,
        body: row.maybe_text("body")?.unwrap_or_default(),
        body_bytes: row.count("bytes")?.try_into().unwrap_or(usize::MAX),
        received_at: row.date("received_at")?,
        happened_at: row.date("happened_at")?,
        agent_id: row.maybe_text("agent_id")?,
        title: row.maybe_text("title")?,
        identity,
        follow_up,
    })
}
