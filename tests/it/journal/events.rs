//! The journal: what is stored is there once, leaves in order, and survives.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    intake::{Door, Notification, dialect::Dialect, verification::Proof},
    journal::{
        Adoption, AlertName, CLAIM_BYTES, CaseObjects, CaseStanding, Claim, Event, FollowUp,
        Journal, MissingEnrichment, Outcome, PostgresDatabase, SqliteDatabase, write_what_comes_in,
    },
};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{
    notifications::{LEASE, alert, delivered, ecs, identity, native, notification, start},
    stores::{Database, Fresh, on_both_databases},
};

pub(crate) struct Store {
    pub(crate) place: Fresh,
    pub(crate) journal: Journal,
}

impl Store {
    pub(crate) async fn on(database: Database) -> Self {
        let place = database.fresh().await;
        let journal = place.open().await;
        Self { place, journal }
    }

    pub(crate) async fn append(&self, notifications: Vec<Notification>) -> (usize, usize) {
        let receipts = self.journal.append(&[notifications]).await.unwrap();
        (receipts[0].accepted, receipts[0].duplicates)
    }

    pub(crate) async fn claim_at(&self, now: DateTime<Utc>) -> Vec<Event> {
        self.journal.claim(100, LEASE, now).await.unwrap()
    }

    pub(crate) async fn finish(&self, claim: Claim, outcome: Outcome) {
        self.journal.finish(&[(claim, outcome)], start()).await.unwrap();
    }
}

async fn the_same_version_is_stored_once_whether_in_one_batch_in_another_or_by_another_road(
    store: Store,
) {
    assert_eq!(store.append(vec![native("a", "new"), native("a", "new")]).await, (1, 1));
    assert_eq!(store.append(vec![native("a", "new"), native("b", "new")]).await, (1, 1));
    let api_item = {
        let mut item = alert("a", "new");
        item["id"] = json!("lujfl4kBCWge90iwCywS");
        item["last_update"] = json!("2026-05-26T08:00:00Z");
        notification(Dialect::NativeAlert, &item)
    };
    assert_eq!(store.append(vec![api_item]).await, (0, 1));
    assert_eq!(store.append(vec![native("a", "closed")]).await, (1, 0), "another version");
}

async fn versions_of_one_alert_leave_one_after_the_other(store: Store) {
    store.append(vec![native("a", "new"), native("a", "closed"), native("b", "new")]).await;
    let first = store.claim_at(start()).await;
    let versions: Vec<_> = first.iter().map(|event| event.version.clone()).collect();
    assert_eq!(first.len(), 2, "{versions:?}");
    assert_eq!(store.claim_at(start()).await.len(), 0, "the second version waits for the first");
    let later = Outcome::Later { at: start() + TimeDelta::minutes(1), reason: "down".to_owned() };
    store.finish(first[0].claim, later).await;
    assert_eq!(store.claim_at(start()).await.len(), 0, "also while the first waits for a retry");
    let again = store.claim_at(start() + TimeDelta::minutes(1)).await;
    assert_eq!(again[0].version, first[0].version);
    store.finish(again[0].claim, delivered()).await;
    let second = store.claim_at(start() + TimeDelta::minutes(1)).await;
    assert_eq!(second.len(), 1);
    assert_ne!(second[0].version, first[0].version);
}

async fn a_follow_up_holds_up_no_version_unless_it_is_just_leaving_and_never_leaves_after_a_newer_one(
    store: Store,
) {
    let minute = TimeDelta::minutes(1);
    store.append(vec![native("a", "new")]).await;
    let first = store.claim_at(start()).await.remove(0);
    let follow_up = FollowUp {
        missing: MissingEnrichment { page: true, ..MissingEnrichment::default() },
        due_at: start() + minute,
        deadline: start() + minute * 10,
    };
    let root_id = "incident--00000000-0000-5000-8000-000000000001".to_owned();
    store.finish(first.claim, Outcome::DeliveredInPart { root_id, remark: None, follow_up }).await;
    assert_eq!(store.journal.next_due().await.unwrap(), Some(start() + minute));
    assert!(store.journal.is_drained().await.unwrap());

    // While it is leased, a newer version waits for it.
    let leaving = store.claim_at(start() + minute).await.remove(0);
    assert_eq!((leaving.body == first.body, leaving.follow_up), (true, Some(follow_up)));
    assert!(!store.journal.is_drained().await.unwrap());
    store.append(vec![native("a", "closed")]).await;
    assert!(store.claim_at(start() + minute).await.is_empty());
    let later = Outcome::Later { at: start() + minute * 2, reason: "nothing new".to_owned() };
    store.finish(leaving.claim, later).await;

    // While it waits, even when it is due, the newer version goes first and ends it.
    let newer = store.claim_at(start() + minute * 3).await;
    assert_eq!(newer.len(), 1);
    assert!(newer[0].follow_up.is_none() && newer[0].version.starts_with("closed"));
    assert!(store.claim_at(start() + minute * 3).await.is_empty(), "not beside it");
    store.finish(newer[0].claim, delivered()).await;
    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.superseded, counts.following_up), (2, 1, 0));
    assert_eq!(store.journal.next_due().await.unwrap(), None);
}

async fn a_retry_does_not_wait_behind_a_backlog_that_was_never_tried_nor_the_backlog_behind_retries(
    store: Store,
) {
    store.append((0..60).map(|number| native(&format!("a-{number}"), "new")).collect()).await;
    let claim = async |now| -> Vec<String> {
        let events = store.journal.claim(5, LEASE, now).await.unwrap();
        let later = |event: &Event| {
            let at = start() + TimeDelta::seconds(2);
            (event.claim, Outcome::Later { at, reason: "not shown yet".to_owned() })
        };
        let outcomes: Vec<_> = events.iter().map(later).collect();
        store.journal.finish(&outcomes, start()).await.unwrap();
        events.into_iter().map(|event| event.key).collect()
    };
    let keys = |numbers: &[usize]| numbers.iter().map(|n| format!("a-{n}")).collect::<Vec<_>>();
    assert_eq!(claim(start()).await, keys(&[0, 1, 2, 3, 4]));
    assert_eq!(claim(start()).await, keys(&[5, 6, 7, 8, 9]), "no retry is due");
    let due = start() + TimeDelta::seconds(2);
    for others in [[10, 11], [12, 13], [14, 15]] {
        let claimed = claim(due).await;
        assert_eq!(claimed, keys(&[others[0], others[1], 0, 1, 2]), "half of each, by due time");
    }
}

async fn neither_retries_nor_new_events_take_every_claim_of_one_or_every_byte(store: Store) {
    let due = start() + TimeDelta::seconds(1);
    let large = |number: usize| {
        let mut element = alert(&format!("large-{number}"), "new");
        element["padding"] = json!("x".repeat(CLAIM_BYTES - 1_250));
        notification(Dialect::NativeAlert, &element)
    };
    for number in 0..3 {
        store.append(vec![large(number)]).await;
        let event = store.claim_at(start()).await.remove(0);
        let later = Outcome::Later { at: due, reason: "too busy".to_owned() };
        store.finish(event.claim, later).await;
    }
    store.append((0..9).map(|number| native(&format!("new-{number}"), "new")).collect()).await;
    let claim = async |limit, milliseconds| -> Vec<String> {
        let now = due + TimeDelta::milliseconds(milliseconds);
        let events = store.journal.claim(limit, LEASE, now).await.unwrap();
        events.into_iter().map(|event| event.key).collect()
    };
    assert_eq!(claim(1, 0).await, ["large-0"]);
    assert_eq!(claim(1, 1).await, ["new-0"]);
    let new = |numbers: &[usize]| numbers.iter().map(|n| format!("new-{n}")).collect::<Vec<_>>();
    // As many new ones as fit beside a large one, and the next time all of them.
    let mut mixed = claim(4, 2).await;
    mixed.sort();
    assert_eq!(mixed, ["large-1", "new-1", "new-2"]);
    assert_eq!(claim(100, 3).await, new(&[3, 4, 5, 6, 7, 8]));
    assert_eq!(claim(100, 5).await, ["large-2"], "alone, whoever comes first");
}

async fn who_lost_its_lease_cannot_finish_the_event(store: Store) {
    store.append(vec![native("a", "new")]).await;
    let slow = store.claim_at(start()).await.remove(0);
    assert_eq!(
        store.journal.next_due().await.unwrap(),
        Some(start() + LEASE),
        "a leased event is due when its lease ends"
    );
    let other = store.claim_at(start() + LEASE).await.remove(0);
    store.finish(slow.claim, Outcome::Dead { reason: "too late".to_owned() }).await;
    assert_eq!(store.journal.counts().await.unwrap().dead, 0);
    assert_eq!(store.journal.counts().await.unwrap().pending, 1);
    // Nor as delivered: the other one is still sending it, and a newer version must wait for that.
    store.append(vec![native("a", "closed")]).await;
    store.finish(slow.claim, delivered()).await;
    assert_eq!(store.journal.counts().await.unwrap().delivered, 0);
    assert!(store.claim_at(start() + LEASE).await.is_empty(), "the newer version waits");
    store.finish(other.claim, delivered()).await;
    let newer = store.claim_at(start() + LEASE).await.remove(0);
    store.finish(newer.claim, delivered()).await;
    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.pending), (2, 0));
    assert_eq!(store.journal.next_due().await.unwrap(), None);
}

async fn what_is_stored_claimed_and_remembered_survives_a_reopening(store: Store) {
    store.append(vec![native("a", "new")]).await;
    store.journal.remember("cursor", "2026-05-26").await.unwrap();
    store.journal.fix_identities(&[("a".to_owned(), identity("first"))]).await.unwrap();
    let claimed = store.claim_at(start()).await.remove(0);
    let Store { place, journal } = store;
    drop(journal);
    let reopened = place.open().await;
    let held = reopened.fix_identities(&[("a".to_owned(), identity("second"))]).await.unwrap();
    assert_eq!(held, [identity("first")], "the first name stays");
    assert_eq!(reopened.remembered("cursor").await.unwrap().as_deref(), Some("2026-05-26"));
    let again = reopened.claim(1, LEASE, start() + LEASE).await.unwrap().remove(0);
    assert_eq!(again.body, claimed.body);
    assert_eq!(again.identity, Some(identity("first")));
}

#[tokio::test]
async fn a_file_has_one_service_which_takes_what_a_dead_one_had_at_once() {
    let store = Store::on(Database::Sqlite).await;
    store.append(vec![native("a", "new")]).await;
    let claimed = store.claim_at(start()).await.remove(0);
    let Store { place, journal } = store;
    let refused = SqliteDatabase::open(&place.url).await.unwrap_err();
    assert!(refused.to_string().contains("another process uses this journal"), "{refused}");
    drop(journal);
    let again = place.open().await.claim(1, LEASE, start()).await.unwrap().remove(0);
    assert_eq!(again.body, claimed.body);
}

async fn an_event_without_an_id_that_is_matched_is_the_alert_from_then_on(store: Store) {
    store.append(vec![notification(Dialect::EcsAlert, &ecs())]).await;
    let event = store.claim_at(start()).await.remove(0);
    let name = AlertName {
        key: native("a", "new").key().to_owned(),
        version: native("a", "new").version().to_owned(),
        threat_key: None,
        updated_at: None,
    };
    let adoption = store.journal.identify(event.claim, &name).await.unwrap();
    assert_eq!(adoption, Adoption::Identified(None));
    assert_eq!(store.append(vec![native("a", "new")]).await, (0, 1), "the sweep brings it");
    let again = notification(Dialect::EcsAlert, &ecs());
    assert_eq!(store.append(vec![again]).await, (0, 1), "the console pushes it again");
}

async fn a_name_that_was_fixed_before_the_match_stays_with_the_alert(store: Store) {
    store.append(vec![notification(Dialect::EcsAlert, &ecs())]).await;
    let first_try = store.claim_at(start()).await.remove(0);
    let fixed = [(first_try.key.clone(), identity("Suspicious Thing on pc-01"))];
    store.journal.fix_identities(&fixed).await.unwrap();
    store.finish(first_try.claim, Outcome::Later { at: start(), reason: "down".to_owned() }).await;
    let second_try = store.claim_at(start()).await.remove(0);
    let name = AlertName {
        key: native("a", "new").key().to_owned(),
        version: native("a", "new").version().to_owned(),
        threat_key: None,
        updated_at: None,
    };
    let adoption = store.journal.identify(second_try.claim, &name).await.unwrap();
    assert_eq!(adoption, Adoption::Identified(Some(identity("Suspicious Thing on pc-01"))));
    store.finish(second_try.claim, delivered()).await;
    store.append(vec![native("a", "closed")]).await;
    let newer = store.claim_at(start()).await.remove(0);
    assert_eq!(newer.identity, Some(identity("Suspicious Thing on pc-01")));
}

async fn an_event_whose_alert_came_by_another_road_is_superseded(store: Store) {
    store.append(vec![native("a", "new"), notification(Dialect::EcsAlert, &ecs())]).await;
    let events = store.claim_at(start()).await;
    let pushed = events.iter().find(|event| event.dialect == Dialect::EcsAlert).unwrap();
    let swept = events.iter().find(|event| event.dialect == Dialect::NativeAlert).unwrap();
    let name = AlertName {
        key: swept.key.clone(),
        version: swept.version.clone(),
        threat_key: None,
        updated_at: None,
    };
    let adoption = store.journal.identify(pushed.claim, &name).await.unwrap();
    assert_eq!(adoption, Adoption::AlreadyThere);
}

async fn an_alert_takes_over_the_incident_of_the_event_that_was_delivered_unmatched(store: Store) {
    store.append(vec![notification(Dialect::EcsAlert, &ecs())]).await;
    let pushed = store.claim_at(start()).await.remove(0);
    let name = [(pushed.key.clone(), identity("Suspicious Thing on pc-01"))];
    store.journal.fix_identities(&name).await.unwrap();
    store.finish(pushed.claim, delivered()).await;
    store.append(vec![native("a", "new")]).await;
    let swept = store.claim_at(start()).await.remove(0);
    let tolerance = Duration::from_mins(2);
    let adopted = store.journal.adopt_unmatched(&swept, tolerance).await.unwrap();
    assert_eq!(adopted, Some(identity("Suspicious Thing on pc-01")));
    store.append(vec![native("b", "new")]).await;
    let another = store.claim_at(start()).await.remove(0);
    assert_eq!(store.journal.adopt_unmatched(&another, tolerance).await.unwrap(), None);
}

async fn deliveries_that_wait_together_share_a_commit_and_each_gets_its_own_answer(store: Store) {
    let (door, entries) = Door::new(64);
    let arrived = Arc::new(Notify::new());
    let waiting: Vec<_> = (0..50)
        .map(|number| {
            let door = door.clone();
            tokio::spawn(async move {
                door.append(vec![native(&format!("{}", number % 40), "new")]).await
            })
        })
        .collect();
    let journal = store.journal.clone();
    let writer = tokio::spawn(write_what_comes_in(journal, entries, Arc::clone(&arrived)));
    drop(door);
    let mut accepted = 0;
    let mut duplicates = 0;
    for delivery in waiting {
        let receipt = delivery.await.unwrap().unwrap();
        accepted += receipt.accepted;
        duplicates += receipt.duplicates;
    }
    assert_eq!((accepted, duplicates), (40, 10));
    arrived.notified().await;
    writer.await.unwrap();
}

async fn whatever_a_sender_makes_too_long_or_odd_is_stored_and_keeps_nobody_from_it(store: Store) {
    let long = "x".repeat(20_000);
    let mut element = alert(&long, &long);
    for field in ["rule_name", "threat_key", "level"] {
        element[field] = json!(long);
    }
    let proof = Proof::answered_by_console(start());
    let odd = Notification::dead_letter(&proof, "{a\0b".to_owned(), "not\0JSON".to_owned());
    let batch =
        || vec![notification(Dialect::NativeAlert, &element), odd.clone(), native("a", "new")];
    let receipts = store.journal.append(&[batch()]).await.unwrap();
    assert_eq!((receipts[0].accepted, receipts[0].dead_letters), (2, 1));
    assert_eq!(store.append(batch()).await, (0, 3));
    let events = store.claim_at(start()).await;
    assert_eq!(events.len(), 2);
    let key = events[0].key.clone();
    store.journal.fix_identities(&[(key.clone(), identity(&long))]).await.unwrap();
    let kept = CaseObjects {
        threat_key: long.clone(),
        object_ids: vec!["incident--1".to_owned()],
        standing: CaseStanding::Waiting,
    };
    store.journal.keep_case_objects(&[kept]).await.unwrap();
    store.journal.remember(&long, &long).await.unwrap();
    store.finish(events[0].claim, delivered()).await;
    assert_eq!(store.journal.new_case_objects(&long).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_without_its_password() {
    let url = "postgres://journal:pg-password@127.0.0.1:1/journal";
    let failure = PostgresDatabase::open_beside(url, None).await.unwrap_err();
    let told = format!("{failure} {failure:?}");
    assert!(told.contains("check host, port") && !told.contains("pg-password"), "{told}");
}

async fn what_cannot_be_imported_is_kept_as_a_dead_letter_and_never_claimed(store: Store) {
    let proof = Proof::answered_by_console(start());
    let letter = Notification::dead_letter(&proof, "{broken".to_owned(), "not JSON".to_owned());
    let receipts = store.journal.append(&[vec![letter.clone()]]).await.unwrap();
    assert_eq!((receipts[0].accepted, receipts[0].dead_letters), (0, 1));
    let receipts = store.journal.append(&[vec![letter, native("a", "new")]]).await.unwrap();
    assert_eq!((receipts[0].accepted, receipts[0].duplicates), (1, 1));
    let claimed = store.claim_at(start()).await;
    assert_eq!(claimed.len(), 1);
    store.finish(claimed[0].claim, delivered()).await;
    assert!(store.claim_at(start()).await.is_empty());
    assert_eq!(store.journal.counts().await.unwrap().dead, 1);
}

#[tokio::test]
async fn a_journal_that_cannot_be_opened_says_what_to_do() {
    let failure = SqliteDatabase::open("sqlite:/nowhere/at/all.db").await.unwrap_err();
    let message = failure.to_string();
    assert!(message.contains("/nowhere/at/all.db") && message.contains("writable"), "{message}");
}

async fn after_a_reset_everything_is_new_once_more_under_the_same_incident(store: Store) {
    store.append(vec![native("a", "new")]).await;
    let first = store.claim_at(start()).await.remove(0);
    store.journal.fix_identities(&[(first.key.clone(), identity("first"))]).await.unwrap();
    store.finish(first.claim, delivered()).await;
    store.journal.remember("cursor", "2026-05-26").await.unwrap();
    store.journal.start_over(&["cursor"]).await.unwrap();
    assert_eq!(store.journal.remembered("cursor").await.unwrap(), None);
    assert_eq!(store.append(vec![native("a", "new")]).await, (1, 0));
    assert_eq!(store.append(vec![native("a", "new")]).await, (0, 1), "and then known again");
    let again = store.claim_at(start()).await.remove(0);
    assert_eq!(again.identity, Some(identity("first")));
}

on_both_databases! {
    a_retry_does_not_wait_behind_a_backlog_that_was_never_tried_nor_the_backlog_behind_retries,
    neither_retries_nor_new_events_take_every_claim_of_one_or_every_byte,
    the_same_version_is_stored_once_whether_in_one_batch_in_another_or_by_another_road,
    versions_of_one_alert_leave_one_after_the_other,
    a_follow_up_holds_up_no_version_unless_it_is_just_leaving_and_never_leaves_after_a_newer_one,
    who_lost_its_lease_cannot_finish_the_event,
    an_event_without_an_id_that_is_matched_is_the_alert_from_then_on,
    a_name_that_was_fixed_before_the_match_stays_with_the_alert,
    an_event_whose_alert_came_by_another_road_is_superseded,
    an_alert_takes_over_the_incident_of_the_event_that_was_delivered_unmatched,
    deliveries_that_wait_together_share_a_commit_and_each_gets_its_own_answer,
    whatever_a_sender_makes_too_long_or_odd_is_stored_and_keeps_nobody_from_it,
    what_cannot_be_imported_is_kept_as_a_dead_letter_and_never_claimed,
    after_a_reset_everything_is_new_once_more_under_the_same_incident,
    what_is_stored_claimed_and_remembered_survives_a_reopening,
}
