//! Incidents: names and dates that stay, and events that find their alert.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::versions::{Dated, Standing};
use crate::{
    alert::IncidentIdentity,
    intake::Origin,
    journal::{
        database::{
            dialect::SqlByDialect,
            locks::{EventLocks, NameLocks},
            row::{Row, date_of_microseconds},
            session::Change,
            statement::query,
        },
        error::JournalError,
        event::{Adoption, AlertName, Claim, Event},
        handle::Journal,
    },
    stix::{id, time::timestamp},
};

/// Most milliseconds that one statement asks about.
const MOST_CANDIDATES: i64 = 200;

macro_rules! fix {
    ($condition:literal) => {
        concat!(
            "INSERT INTO incidents (console, key, name, created_at_us, folded_id, wanted_id) \
             SELECT $1, $2, $3, $4, $5, $6 WHERE ",
            $condition,
            " ON CONFLICT DO NOTHING"
        )
    };
}

/// Fixes an incident that is not fixed yet.
const FIX: &str = fix!("1 = 1");
/// Fixes it if no other one has its name and date, which is certain only where all folded ids are filled in.
const FIX_IF_FREE: &str = fix!(
    "NOT EXISTS (SELECT 1 FROM incidents WHERE folded_id = $5) \
     AND NOT EXISTS (SELECT 1 FROM incidents WHERE folded_id IS NULL)"
);

/// Asks whether folded ids are to be filled in, and for the last date given in place of one that is taken.
const LAST_GIVEN: &str = "SELECT EXISTS (SELECT 1 FROM incidents WHERE folded_id IS NULL) \
     AS is_to_fold, (SELECT MAX(created_at_us) FROM incidents WHERE wanted_id = $1) AS last_given";

/// The incidents of an alert at all consoles. SQLite has no index by key alone: each console is asked.
const OF_ALL_CONSOLES: SqlByDialect = SqlByDialect {
    sqlite: "WITH RECURSIVE consoles(console) AS (SELECT MIN(console) FROM incidents UNION ALL \
             SELECT (SELECT MIN(console) FROM incidents WHERE console > consoles.console) \
             FROM consoles WHERE consoles.console IS NOT NULL) \
         SELECT i.console, i.name, i.created_at_us \
         FROM consoles CROSS JOIN incidents i ON i.console = consoles.console AND i.key = $1",
    postgres: "SELECT console, name, created_at_us FROM incidents WHERE key = $1",
};
/// Incidents of a version before this one whose folded ids are filled in by one change.
const FOLDED_AT_ONCE: i64 = 2_000;

/// Fills in folded ids.
const FOLD: SqlByDialect = SqlByDialect {
    sqlite: "UPDATE incidents SET folded_id = f.value ->> 'folded_id' FROM json_each($1) f \
         WHERE incidents.console = f.value ->> 'console' AND incidents.key = f.value ->> 'key'",
    postgres: "UPDATE incidents SET folded_id = f.folded_id \
         FROM json_to_recordset($1::json) AS f(console text, key text, folded_id text) \
         WHERE incidents.console = f.console AND incidents.key = f.key \
         AND incidents.folded_id IS NULL",
};

impl Journal {
    /// Fixes names and dates of incidents before they are first sent; an incident that has them
    /// already keeps them. Where OpenCTI would take two alerts for one incident, over all consoles of
    /// the journal, the later one gets the next free millisecond; of those fixed here the first key
    /// comes first. An alert that another console shows, too, has one incident. Answers what holds, in
    /// the same order.
    ///
    /// # Errors
    /// [`JournalError::Busy`] when another replica takes long to fix incidents of these names.
    pub async fn fix_identities(
        &self,
        wanted: &[(String, IncidentIdentity)],
    ) -> Result<Vec<IncidentIdentity>, JournalError> {
        let scopes = wanted.iter().filter(|(key, _identity)| !is_of_threat(key));
        let scopes: BTreeSet<u8> = scopes.map(|(_key, wanted)| scope_of(&wanted.name)).collect();
        loop {
            let scope = NameLocks::Some(scopes.clone());
            let mut transaction = self.begin_fixing(scope).await?;
            if let Some(fixed) = self.fix_all(&mut transaction, wanted).await? {
                transaction.commit().await?;
                return Ok(fixed);
            }
            transaction.roll_back().await?;
            // A long journal of an older version takes several changes, so that nobody waits long.
            let mut transaction = self.begin_fixing(NameLocks::All).await?;
            self.fold_some(&mut transaction).await?;
            transaction.commit().await?;
        }
    }

    /// Answers `None` when that would not be certain before folded ids are filled in.
    async fn fix_all(
        &self,
        transaction: &mut Change,
        wanted: &[(String, IncidentIdentity)],
    ) -> Result<Option<Vec<IncidentIdentity>>, JournalError> {
        let mut in_order: Vec<_> = wanted.iter().enumerate().collect();
        in_order.sort_by_key(|(_place, (key, _identity))| key);
        let mut fixed: Vec<_> = wanted.iter().map(|(_key, identity)| identity.clone()).collect();
        for (place, (key, wanted)) in in_order {
            let statement = if is_of_threat(key) { FIX } else { FIX_IF_FREE };
            if self.fix_one(transaction, statement, key, wanted, None).await? == 0 {
                let Some(held) = self.fix_twin(transaction, key, wanted).await? else {
                    return Ok(None);
                };
                fixed[place] = held;
            }
        }
        Ok(Some(fixed))
    }

    /// Returns the name and date of an alert that cannot be fixed as wanted: those that it has, here or at
    /// another console, else the first millisecond that no other alert has. `None`: folded ids are to be
    /// filled in.
    async fn fix_twin(
        &self,
        transaction: &mut Change,
        key: &str,
        wanted: &IncidentIdentity,
    ) -> Result<Option<IncidentIdentity>, JournalError> {
        let mut elsewhere: Option<IncidentIdentity> = None;
        let of_all = query(self.sql(OF_ALL_CONSOLES)).bind(key);
        for row in of_all.fetch_all(&mut *transaction).await? {
            let held = identity(&row)?;
            if row.str("console")? == &*self.console {
                return Ok(Some(held));
            }
            let is_alike = is_one_name(&held.name, &wanted.name)
                && held.created.timestamp_millis() >= wanted.created.timestamp_millis();
            if is_alike && elsewhere.as_ref().is_none_or(|other| held.created < other.created) {
                elsewhere = Some(held);
            }
        }
        let wanted_id = folded_id(key, wanted);
        let last = query(LAST_GIVEN).bind(&wanted_id).fetch_one(&mut *transaction).await?;
        if last.holds("is_to_fold")? {
            return Ok(None);
        }
        let (fixed, moved_from) = if let Some(elsewhere) = elsewhere {
            (elsewhere, None)
        } else {
            let last = last.maybe_number("last_given")?.map(date_of_microseconds).transpose()?;
            let last = last.unwrap_or(wanted.created);
            (Self::next_free(transaction, key, wanted, last).await?, Some(&*wanted_id))
        };
        if self.fix_one(transaction, FIX, key, &fixed, moved_from).await? == 0 {
            // A replica of a version before this one came first.
            return self.identity_of(transaction, key).await;
        }
        Ok(Some(fixed))
    }

    /// Says which alert an event is: it is known by that from now on, and an incident that was fixed
    /// for it before is the alert's. Answers what is fixed for the alert.
    pub async fn identify(
        &self,
        claim: Claim,
        alert: &AlertName,
    ) -> Result<Adoption, JournalError> {
        let mut transaction = self.begin(EventLocks::Both).await?;
        let known_as = query("SELECT key FROM events WHERE id = $1")
            .bind(claim.event)
            .fetch_one(&mut transaction)
            .await?;
        let generation = self.generation(&mut transaction).await?;
        let keys = std::iter::once(alert.key.as_str());
        let others =
            self.versions_of(&mut transaction, keys, generation).await?.without(claim.event);
        let updated_at = alert.updated_at.map(|date| date.timestamp_micros());
        let dated = Dated { updated_at, received_at: None };
        let standing = others.standing(&alert.key, &alert.version, dated, Origin::Sweep);
        let Standing::Latest { recurrence, updated_at, .. } = standing else {
            transaction.roll_back().await?;
            return Ok(Adoption::AlreadyThere);
        };
        if is_under_way(&mut transaction, &self.console, &alert.key, claim).await? {
            transaction.roll_back().await?;
            return Ok(Adoption::OlderUnderWay);
        }
        let updated = query(
            "UPDATE events SET key = $1, version = $2, is_version = 1, recurrence = $6, \
             updated_at = $7, threat_key = COALESCE($3, threat_key) \
             WHERE id = $4 AND attempts = $5 AND NOT EXISTS (SELECT 1 FROM events other \
                 WHERE other.console = events.console AND other.key = $1 \
                 AND other.version = $2 AND other.recurrence = $6 \
                 AND other.generation = events.generation AND other.id <> $4)",
        )
        .bind(&alert.key)
        .bind(&alert.version)
        .bind(&alert.threat_key)
        .bind(claim.event)
        .bind(claim.fence)
        .bind(recurrence)
        .bind(updated_at)
        .execute(&mut transaction)
        .await?;
        if updated == 0 {
            transaction.roll_back().await?;
            return Ok(Adoption::AlreadyThere);
        }
        // A try that failed may have fixed the name already, under the event's first key.
        let first_key = known_as.str("key")?;
        if let Some(fixed) = self.identity_of(&mut transaction, first_key).await? {
            self.fix_one(&mut transaction, FIX, &alert.key, &fixed, None).await?;
        }
        if first_key != alert.key {
            self.forget_sighting(&mut transaction, first_key).await?;
        }
        // What a follow-up completes is matched with it, so that no other alert adopts it.
        query(
            "UPDATE events SET key = $1, version = 'pushed:' || key, is_version = 0 \
             WHERE id = (SELECT follows FROM events WHERE id = $2) AND key = received_key",
        )
        .bind(&alert.key)
        .bind(claim.event)
        .execute(&mut transaction)
        .await?;
        let identity = self.identity_of(&mut transaction, &alert.key).await?;
        transaction.commit().await?;
        Ok(Adoption::Identified(identity))
    }

    /// Gives the alert `key` the incident of an event that was delivered without being matched:
    /// same agent, same rule, nearest in time within `tolerance`. Answers what is fixed for it.
    pub async fn adopt_unmatched(
        &self,
        event: &Event,
        tolerance: Duration,
    ) -> Result<Option<IncidentIdentity>, JournalError> {
        let happened_at = event.happened_at.timestamp_millis();
        let tolerance_ms = i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX);
        let mut transaction = self.begin(EventLocks::Both).await?;
        let unmatched = query(
            "SELECT id, key FROM events WHERE console = $1 AND agent_id = $2 AND title = $3 \
             AND dialect = 'ecs-alert' AND key = received_key AND state = 'delivered' \
             AND ABS(happened_at - $4) <= $5 ORDER BY ABS(happened_at - $4), id LIMIT 1",
        )
        .bind(&self.console)
        .bind(&event.agent_id)
        .bind(&event.title)
        .bind(happened_at)
        .bind(tolerance_ms)
        .fetch_optional(&mut transaction)
        .await?;
        let Some(unmatched) = unmatched else {
            transaction.roll_back().await?;
            return Ok(None);
        };
        let (id, key) = (unmatched.number("id")?, unmatched.text("key")?);
        // The event as it was pushed stays distinct from every version of the alert.
        query(
            "UPDATE events SET key = $1, version = 'pushed:' || key, is_version = 0 WHERE id = $2",
        )
        .bind(&event.key)
        .bind(id)
        .execute(&mut transaction)
        .await?;
        // Its follow-up goes with it: the alert's own version completes the incident.
        query(
            "UPDATE events SET key = $1, version = 'follow-up:' || id, is_version = 0 \
             WHERE follows = $2",
        )
        .bind(&event.key)
        .bind(id)
        .execute(&mut transaction)
        .await?;
        self.forget_sighting(&mut transaction, &key).await?;
        let identity = self.identity_of(&mut transaction, &key).await?;
        if let Some(identity) = &identity {
            self.fix_one(&mut transaction, FIX, &event.key, identity, None).await?;
        }
        let held = self.identity_of(&mut transaction, &event.key).await?;
        transaction.commit().await?;
        Ok(held)
    }

    /// Returns the wanted name at the first millisecond after `last` that no incident has.
    async fn next_free(
        transaction: &mut Change,
        key: &str,
        wanted: &IncidentIdentity,
        last: DateTime<Utc>,
    ) -> Result<IncidentIdentity, JournalError> {
        let mut later_by = (last - wanted.created).num_milliseconds() + 1;
        let mut at_once = 1;
        loop {
            let candidates: Vec<_> = (later_by..later_by + at_once)
                .map(|later_by| {
                    let created = wanted.created + TimeDelta::milliseconds(later_by);
                    let candidate = IncidentIdentity { created, ..wanted.clone() };
                    (folded_id(key, &candidate), candidate)
                })
                .collect();
            let mut asked = query("SELECT folded_id FROM incidents WHERE folded_id IN (");
            for (place, (id, _candidate)) in candidates.iter().enumerate() {
                asked.push(if place == 0 { "" } else { ", " }).push_bind(id);
            }
            asked.push(")");
            let rows = asked.fetch_all(transaction).await?;
            let taken = rows.iter().map(|row| row.str("folded_id"));
            let taken: HashSet<&str> = taken.collect::<Result<_, _>>()?;
            let free = candidates.into_iter().find(|(id, _candidate)| !taken.contains(&**id));
            if let Some((_id, free)) = free {
                return Ok(free);
            }
            later_by += at_once;
            at_once = (at_once * 2).min(MOST_CANDIDATES);
        }
    }

    /// Answers how many incidents were fixed: 1 or 0.
    async fn fix_one(
        &self,
        transaction: &mut Change,
        statement: &'static str,
        key: &str,
        identity: &IncidentIdentity,
        moved_from: Option<&str>,
    ) -> Result<u64, JournalError> {
        query(statement)
            .bind(&self.console)
            .bind(key)
            .bind(&identity.name)
            .bind(identity.created.timestamp_micros())
            .bind(folded_id(key, identity))
            .bind(moved_from)
            .execute(transaction)
            .await
    }

    /// Fills in the folded ids of some incidents that a version before this one fixed.
    async fn fold_some(&self, transaction: &mut Change) -> Result<(), JournalError> {
        let rows = query(
            "SELECT console, key, name, created_at_us FROM incidents WHERE folded_id IS NULL LIMIT $1",
        )
        .bind(FOLDED_AT_ONCE)
        .fetch_all(transaction)
        .await?;
        let folded = rows.iter().map(|row| {
            let (console, key) = (row.str("console")?, row.str("key")?);
            let folded_id = folded_id(key, &identity(row)?);
            Ok(json!({ "console": console, "key": key, "folded_id": folded_id }))
        });
        let folded: Vec<_> = folded.collect::<Result<_, JournalError>>()?;
        if !folded.is_empty() {
            query(self.sql(FOLD)).bind(json!(folded).to_string()).execute(transaction).await?;
        }
        Ok(())
    }

    async fn identity_of(
        &self,
        transaction: &mut Change,
        key: &str,
    ) -> Result<Option<IncidentIdentity>, JournalError> {
        let row =
            query("SELECT name, created_at_us FROM incidents WHERE console = $1 AND key = $2")
                .bind(&self.console)
                .bind(key)
                .fetch_optional(transaction)
                .await?;
        row.map(|row| identity(&row)).transpose()
    }
}

/// Reads name and date.
pub(super) fn identity(row: &Row) -> Result<IncidentIdentity, JournalError> {
    let created = date_of_microseconds(row.number("created_at_us")?)?;
    Ok(IncidentIdentity { name: row.text("name")?, created })
}

fn is_of_threat(key: &str) -> bool {
    key.starts_with("threat:")
}

/// Returns an id that is equal where OpenCTI takes two names and dates for one: it folds the case of the
/// name, and of the date it looks at the milliseconds.
fn folded_id(key: &str, identity: &IncidentIdentity) -> String {
    let kind = if is_of_threat(key) { "case-incident" } else { "incident" };
    id::dated(kind, &identity.name, Some(&timestamp(identity.created)))
}

/// Returns whether OpenCTI takes two names for one.
fn is_one_name(one: &str, other: &str) -> bool {
    id::dated("incident", one, None) == id::dated("incident", other, None)
}

/// Returns the number of the lock of a name, in all versions alike.
fn scope_of(name: &str) -> u8 {
    Sha256::digest(id::dated("incident", name, None))[0]
}

/// Returns whether a received version of `key` other than `claim` is not finished yet.
async fn is_under_way(
    transaction: &mut Change,
    console: &str,
    key: &str,
    claim: Claim,
) -> Result<bool, JournalError> {
    let row = query(
        "SELECT EXISTS (SELECT 1 FROM events WHERE console = $1 AND key = $2 AND id <> $3 \
         AND state = 'pending' AND follows IS NULL) AS is_under_way",
    )
    .bind(console)
    .bind(key)
    .bind(claim.event)
    .fetch_one(transaction)
    .await?;
    row.holds("is_under_way")
}
