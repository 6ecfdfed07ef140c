//! The order in which events are claimed: what waits for what, until when, and that nobody waits in a circle or
//! for another console.

use chrono::TimeDelta;
use harfanglab_incidents::journal::{
    Claim, Event, FollowUp, MissingEnrichment, Outcome, RequeueOutcome, WaitsFor,
};
use sqlx::{Connection as _, PgConnection};

use super::events::Store;
use crate::support::{
    notifications::{LEASE, delivered, native, start},
    stores::{CONNECTIONS, CONSOLE, Database, on_both_databases},
};

const MINUTE: TimeDelta = TimeDelta::minutes(1);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// A version of this alert was delivered and leaves once more at `start() + wait`; a newer one came.
async fn newer_beside_one_that_leaves_again(store: &Store, unique_id: &str, wait: TimeDelta) {
    store.append(vec![native(unique_id, "new")]).await;
    let first = store.claim_at(start()).await.remove(0);
    store.finish(first.claim, delivered()).await;
    let sent =
        store.journal.requeue_delivered(first.claim.event, "LOCK_ERROR", &[wait], start()).await;
    assert_eq!(sent.unwrap(), RequeueOutcome::Pending);
    assert_eq!(store.journal.next_due().await.unwrap(), Some(start() + wait));
    store.append(vec![native(unique_id, "closed")]).await;
}

async fn a_newer_version_does_not_wait_for_one_that_is_to_leave_once_more(store: Store) {
    newer_beside_one_that_leaves_again(&store, "a", HOUR).await;
    assert_eq!(store.journal.next_due().await.unwrap(), Some(start()));
    let newer = store.claim_at(start()).await;
    assert_eq!(newer.len(), 1);
    assert!(newer[0].version.starts_with("closed"), "{}", newer[0].version);
    let told = store.journal.event_history(&newer[0].key).await.unwrap().unwrap();
    let waits = |chapter: usize, now| told.waits_for(&told.entries[chapter], now);
    assert_eq!(waits(0, start()), Some(WaitsFor::Event(newer[0].claim.event)));
    let lease_over = start() + TimeDelta::from_std(LEASE).unwrap();
    assert_eq!(waits(1, lease_over), Some(WaitsFor::Nothing), "not for the older one");
    assert_eq!(waits(0, lease_over), Some(WaitsFor::Time(start() + HOUR)));
    store.finish(newer[0].claim, delivered()).await;
    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.superseded, counts.pending), (1, 1, 0));
}

async fn one_that_is_to_leave_once_more_leaves_before_a_newer_one_once_its_time_has_come(
    store: Store,
) {
    newer_beside_one_that_leaves_again(&store, "a", MINUTE).await;
    let older = store.claim_at(start() + MINUTE).await;
    assert_eq!(older.len(), 1);
    assert!(older[0].version.starts_with("new"), "{}", older[0].version);
    assert!(store.claim_at(start() + MINUTE).await.is_empty(), "it is just leaving");
    let later = Outcome::Later { at: start() + HOUR, reason: "down".to_owned() };
    store.finish(older[0].claim, later).await;
    let newer = store.claim_at(start() + MINUTE).await;
    assert_eq!(newer.len(), 1, "the older one waits again");
    assert!(newer[0].version.starts_with("closed"), "{}", newer[0].version);
}

async fn a_lease_that_ran_out_and_is_held_up_wakes_nobody_until_what_holds_it_up_is_due(
    store: Store,
) {
    let lease = TimeDelta::from_std(LEASE).unwrap();
    store.append(vec![native("a", "new")]).await;
    let first = store.claim_at(start()).await.remove(0);
    let missing = MissingEnrichment { page: true, ..MissingEnrichment::default() };
    let follow_up = FollowUp { missing, due_at: start() + MINUTE, deadline: start() + HOUR * 3 };
    let root_id = "incident--00000000-0000-5000-8000-000000000001".to_owned();
    store.finish(first.claim, Outcome::DeliveredInPart { root_id, remark: None, follow_up }).await;
    // Whoever takes the follow-up dies with it.
    assert_eq!(store.claim_at(start() + MINUTE).await.len(), 1);
    store.append(vec![native("a", "closed")]).await;
    let over = start() + MINUTE + lease;
    assert_eq!(store.journal.next_due().await.unwrap(), Some(over));
    let newer = store.claim_at(over).await;
    assert_eq!(newer.len(), 1);
    let later = Outcome::Later { at: over + HOUR, reason: "down".to_owned() };
    store.finish(newer[0].claim, later).await;

    assert!(store.claim_at(over + MINUTE).await.is_empty());
    assert_eq!(store.journal.next_due().await.unwrap(), Some(over + HOUR));
    assert_eq!(store.claim_at(over + HOUR).await.len(), 1);
}

#[tokio::test]
async fn renewing_and_finishing_many_at_once_never_wait_for_each_other_in_a_circle() {
    let store = Store::on(Database::Postgres).await;
    store.append((0..300).map(|number| native(&number.to_string(), "new")).collect()).await;
    for _round in 0..3 {
        let events = store.journal.claim(300, LEASE, start()).await.unwrap();
        let claims: Vec<Claim> = events.iter().map(|event| event.claim).collect();
        let later = || Outcome::Later { at: start(), reason: "down".to_owned() };
        // Ready in another order than they were claimed in.
        let outcomes: Vec<_> = claims.iter().rev().map(|claim| (*claim, later())).collect();
        let (renewed, finished) = tokio::join!(
            store.journal.renew(&claims, LEASE, start()),
            store.journal.finish(&outcomes, start()),
        );
        renewed.and(finished).unwrap();
    }
}

/// Takes or gives back the lock by which replicas take turns in claiming for a console.
async fn departures(connection: &mut PgConnection, what: &str, console: &str) {
    let statement = format!(
        "SELECT {what}(hashtextextended(current_schema() || ' harfanglab-incidents departures ' \
         || '{console}', 0))"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await.unwrap();
}

#[tokio::test]
async fn a_console_whose_turn_another_replica_holds_leaves_the_connections_to_the_others() {
    let place = Database::Postgres.fresh().await;
    let journal = place.replica().await;
    let free = journal.of_console("https://other.example");
    let mut another_replica = PgConnection::connect(&place.url).await.unwrap();
    departures(&mut another_replica, "pg_advisory_lock", CONSOLE).await;
    // They stand in line before the other console asks.
    let waiting: Vec<_> = (0..CONNECTIONS * 2)
        .map(|_| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.claim(1, LEASE, start()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(free.claim(1, LEASE, start()).await.unwrap().is_empty());
    departures(&mut another_replica, "pg_advisory_unlock", CONSOLE).await;
    for claim in waiting {
        assert!(claim.await.unwrap().unwrap().is_empty());
    }
}

async fn a_newer_version_does_not_wait_for_one_that_some_sink_lacks_and_ends_it_once_any_has_the_newer(
    store: Store,
) {
    let to_some = |wait| Outcome::DeliveredToSome {
        root_id: "incident--1".to_owned(),
        at: start() + wait,
        reason: "S3 is away".to_owned(),
    };
    store.append(vec![native("a", "new")]).await;
    let older = store.claim_at(start()).await.remove(0);
    store.finish(older.claim, to_some(HOUR)).await;
    store.append(vec![native("a", "closed")]).await;
    let newer = store.claim_at(start()).await.remove(0);
    store.finish(newer.claim, to_some(MINUTE)).await;
    let counts = store.journal.counts().await.unwrap();
    assert_eq!(
        (counts.superseded, counts.pending),
        (1, 1),
        "it must not leave after the newer one"
    );
    let again = store.claim_at(start() + HOUR).await;
    assert_eq!((again.len(), again[0].claim.event), (1, newer.claim.event));
    store.finish(again[0].claim, delivered()).await;
    assert!(store.journal.is_drained().await.unwrap());
}

async fn only_what_was_put_back_for_the_reason_is_made_due_and_the_older_version_leaves_first(
    store: Store,
) {
    let later = |reason: &str| Outcome::Later { at: start() + HOUR, reason: reason.to_owned() };
    store.append(vec![native("a", "new"), native("b", "new"), native("c", "new")]).await;
    let claimed = store.claim_at(start()).await;
    for (event, reason) in claimed.iter().zip(["S3 is away", "a threat's alerts", "S3 is away"]) {
        store.finish(event.claim, later(reason)).await;
    }
    store.append(vec![native("a", "closed")]).await;
    let newer = |events: &[Event]| events.iter().any(|it| it.version.starts_with("closed"));
    assert_eq!(store.journal.make_due("S3 ", start() + MINUTE).await.unwrap(), 2);
    assert_eq!(store.journal.make_due("S3 ", start() + MINUTE).await.unwrap(), 0, "they are due");
    assert_eq!(store.journal.next_due().await.unwrap(), Some(start() + MINUTE));
    assert!(store.claim_at(start()).await.is_empty(), "not before");
    let due = store.claim_at(start() + MINUTE).await;
    assert_eq!(due.len(), 2);
    assert!(!newer(&due), "the older version is just leaving");
    for event in &due {
        store.finish(event.claim, delivered()).await;
    }
    assert!(newer(&store.claim_at(start() + MINUTE).await));
}

on_both_databases! {
    only_what_was_put_back_for_the_reason_is_made_due_and_the_older_version_leaves_first,
    a_newer_version_does_not_wait_for_one_that_some_sink_lacks_and_ends_it_once_any_has_the_newer,
    a_newer_version_does_not_wait_for_one_that_is_to_leave_once_more,
    one_that_is_to_leave_once_more_leaves_before_a_newer_one_once_its_time_has_come,
    a_lease_that_ran_out_and_is_held_up_wakes_nobody_until_what_holds_it_up_is_due,
}
