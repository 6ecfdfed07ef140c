//! The journal: what is stored is there once, leaves in order, and survives.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    alert::IncidentIdentity,
    intake::{Door, Notification, dialect::Dialect, verification::Proof},
    journal::{
        Adoption, AlertName, Claim, Event, FollowUp, Journal, Lacking, Outcome, SqliteJournal,
        write_what_comes_in,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::support::health;

const LEASE: Duration = Duration::from_mins(5);

fn start() -> DateTime<Utc> {
    "2026-05-26T07:40:00Z".parse().unwrap()
}

fn alert(unique_id: &str, status: &str) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": unique_id,
        "status": status, "level": "high", "rule_name": "Suspicious Thing",
        "alert_time": "2026-05-26T07:39:58.447687Z",
        "agent": { "agentid": "00000000-0000-4000-8000-0000000000a1", "hostname": "pc-01" },
    })
}

fn ecs() -> Value {
    json!({
        "@timestamp": "2026-05-26T07:39:59.000Z", "ecs": { "version": "9.0.0" },
        "event": { "kind": "alert" },
        "agent": { "id": "00000000-0000-4000-8000-0000000000a1", "type": "hurukai" },
        "host": { "hostname": "pc-01" },
        "hlab": { "detection": { "title": "Suspicious Thing", "level": "high" } },
    })
}

fn notification(dialect: Dialect, element: &Value) -> Notification {
    let proof = Proof::answered_by_console(start());
    Notification::of_dialect(&proof, dialect, element, element.to_string())
}

fn native(unique_id: &str, status: &str) -> Notification {
    notification(Dialect::NativeAlert, &alert(unique_id, status))
}

struct Store {
    folder: TempDir,
    journal: SqliteJournal,
}

impl Store {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let journal = Self::open(&folder).await;
        Self { folder, journal }
    }

    async fn open(folder: &TempDir) -> SqliteJournal {
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        SqliteJournal::open(&url, "https://console.example").await.unwrap()
    }

    async fn append(&self, notifications: Vec<Notification>) -> (usize, usize) {
        let receipts = self.journal.append(&[notifications]).await.unwrap();
        (receipts[0].accepted, receipts[0].duplicates)
    }

    async fn claim_at(&self, now: DateTime<Utc>) -> Vec<Event> {
        self.journal.claim(100, LEASE, now).await.unwrap()
    }

    async fn finish(&self, claim: Claim, outcome: Outcome) {
        self.journal.finish(&[(claim, outcome)], start()).await.unwrap();
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { root_id: "incident--00000000-0000-5000-8000-000000000001".to_owned() }
}

fn identity(name: &str) -> IncidentIdentity {
    IncidentIdentity { name: name.to_owned(), created: start() }
}

#[tokio::test]
async fn the_same_version_is_stored_once_whether_in_one_batch_in_another_or_by_another_road() {
    let store = Store::new().await;
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

#[tokio::test]
async fn versions_of_one_alert_leave_one_after_the_other() {
    let store = Store::new().await;
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

#[tokio::test]
async fn a_follow_up_holds_up_no_version_unless_it_is_just_leaving_and_never_leaves_after_a_newer_one()
 {
    let store = Store::new().await;
    let minute = TimeDelta::minutes(1);
    store.append(vec![native("a", "new")]).await;
    let first = store.claim_at(start()).await.remove(0);
    let follow_up = FollowUp {
        lacking: Lacking { page: true, ..Lacking::default() },
        due_at: start() + minute,
        deadline: start() + minute * 10,
    };
    let root_id = "incident--00000000-0000-5000-8000-000000000001".to_owned();
    store.finish(first.claim, Outcome::DeliveredInPart { root_id, follow_up }).await;
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

#[tokio::test]
async fn who_lost_its_lease_cannot_finish_the_event() {
    let store = Store::new().await;
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
    // What the broker confirmed is delivered, also when the lease was lost on the way.
    store.finish(slow.claim, delivered()).await;
    store.finish(other.claim, delivered()).await;
    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.pending), (1, 0));
    assert_eq!(store.journal.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_stored_claimed_and_remembered_survives_a_reopening() {
    let store = Store::new().await;
    store.append(vec![native("a", "new")]).await;
    store.journal.remember("cursor", "2026-05-26").await.unwrap();
    store.journal.fix_identities(&[("a".to_owned(), identity("first"))]).await.unwrap();
    let claimed = store.claim_at(start()).await.remove(0);
    let Store { folder, journal } = store;
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let refused = SqliteJournal::open(&url, "https://console.example").await.unwrap_err();
    assert!(refused.to_string().contains("another process uses this journal"), "{refused}");
    drop(journal);
    let reopened = Store::open(&folder).await;
    let held = reopened.fix_identities(&[("a".to_owned(), identity("second"))]).await.unwrap();
    assert_eq!(held, [identity("first")], "the first name stays");
    assert_eq!(reopened.remembered("cursor").await.unwrap().as_deref(), Some("2026-05-26"));
    // The lease of a process that is gone is nobody's: the event is taken at once.
    let again = reopened.claim(1, LEASE, start()).await.unwrap().remove(0);
    assert_eq!(again.body, claimed.body);
    assert_eq!(again.identity, Some(identity("first")));
}

#[tokio::test]
async fn an_event_without_an_id_that_is_matched_is_the_alert_from_then_on() {
    let store = Store::new().await;
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

#[tokio::test]
async fn a_name_that_was_fixed_before_the_match_stays_with_the_alert() {
    let store = Store::new().await;
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

#[tokio::test]
async fn an_event_whose_alert_came_by_another_road_is_superseded() {
    let store = Store::new().await;
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

#[tokio::test]
async fn an_alert_takes_over_the_incident_of_the_event_that_was_delivered_unmatched() {
    let store = Store::new().await;
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

#[tokio::test]
async fn deliveries_that_wait_together_share_a_commit_and_each_gets_its_own_answer() {
    let store = Store::new().await;
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
    let journal = Arc::new(store.journal.clone());
    let writer =
        tokio::spawn(write_what_comes_in(journal, entries, Arc::clone(&arrived), health()));
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

#[tokio::test]
async fn what_cannot_be_imported_is_kept_as_a_dead_letter_and_never_claimed() {
    let store = Store::new().await;
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
    let failure = SqliteJournal::open("sqlite:/nowhere/at/all.db", "x").await.unwrap_err();
    let message = failure.to_string();
    assert!(message.contains("/nowhere/at/all.db") && message.contains("writable"), "{message}");
}

#[tokio::test]
async fn after_a_reset_everything_is_new_once_more_under_the_same_incident() {
    let store = Store::new().await;
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

/// The alert `a` as the console's API shows it.
fn shown(status: &str, last_update: &str) -> Notification {
    let mut item = alert("a", status);
    item["last_update"] = json!(format!("2026-05-26T{last_update}Z"));
    notification(Dialect::NativeAlert, &item)
}

/// The alert `a` as it was posted, with no date of the change.
fn posted(status: &str) -> Notification {
    let element = alert("a", status);
    let proof = crate::verification::proof_of_a_push(start());
    Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
}

#[tokio::test]
async fn a_status_that_goes_back_is_there_again_and_only_the_latest_makes_a_repetition() {
    let store = Store::new().await;
    for (status, last_update, is_new) in [
        ("new", "07:40:00", true),
        ("new", "07:40:00", false),
        ("closed", "07:45:00", true),
        ("closed", "07:46:00", false),
        ("new", "07:50:00", true),
        ("new", "07:50:00", false),
        ("closed", "07:55:00", true),
        ("new", "08:00:00", true),
    ] {
        let (accepted, duplicates) = store.append(vec![shown(status, last_update)]).await;
        assert_eq!((accepted, duplicates), (usize::from(is_new), usize::from(!is_new)), "{status}");
    }
    let mut left = Vec::new();
    while let Some(event) = store.claim_at(start()).await.pop() {
        left.push(event.version.split('|').next().unwrap().to_owned());
        store.finish(event.claim, delivered()).await;
    }
    assert_eq!(left, ["new", "closed", "new", "closed", "new"], "in the order of their dates");
    let together = vec![shown("closed", "09:00:00"), shown("new", "09:01:00")];
    assert_eq!(store.append(together).await, (2, 0), "also in one batch");
}

#[tokio::test]
async fn a_page_or_a_push_that_comes_late_undoes_nothing() {
    let store = Store::new().await;
    store.append(vec![shown("new", "07:40:00"), shown("closed", "07:45:00")]).await;
    // A page that was read before the change, also when it was shown with a later date meanwhile.
    assert_eq!(store.append(vec![shown("new", "07:41:00")]).await, (0, 1));
    assert_eq!(store.journal.counts().await.unwrap().superseded, 0, "it was there");
    // What was never there and is older is kept, superseded, and only once.
    for _ in 0..2 {
        assert_eq!(store.append(vec![shown("investigating", "07:42:00")]).await, (0, 1));
        assert_eq!(store.journal.counts().await.unwrap().superseded, 1);
    }
    // A push says no date: it neither repeats what was there nor overtakes what has a date.
    assert_eq!(store.append(vec![posted("new")]).await, (0, 1));
    assert_eq!(store.append(vec![posted("probable_false_positive")]).await, (0, 1));
    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.pending, counts.superseded), (2, 2));
    // The sweep brings the same with its date.
    assert_eq!(store.append(vec![shown("probable_false_positive", "07:50:00")]).await, (1, 0));
}

#[tokio::test]
async fn a_status_history_dates_a_push_and_a_date_far_ahead_is_not_believed() {
    let store = Store::new().await;
    let pushed = |status: &str, time: &str| {
        let mut element = alert("a", status);
        element["status_history"] = json!([{ "action": "created", "timestamp": time }]);
        notification(Dialect::NativeAlert, &element)
    };
    assert_eq!(store.append(vec![pushed("closed", "2999-01-01T00:00:00Z")]).await, (1, 0));
    assert_eq!(store.append(vec![shown("new", "07:45:00")]).await, (1, 0));
    assert_eq!(store.append(vec![pushed("investigating", "2026-05-26T07:44:00Z")]).await, (0, 1));
    assert_eq!(store.append(vec![pushed("investigating", "2026-05-26T07:46:00Z")]).await, (1, 0));
}

#[tokio::test]
async fn an_event_that_turns_out_to_be_an_alert_waits_for_its_older_version_and_undoes_no_newer_one()
 {
    let store = Store::new().await;
    store.append(vec![shown("new", "07:40:00"), notification(Dialect::EcsAlert, &ecs())]).await;
    let events = store.claim_at(start()).await;
    let pushed = events.iter().find(|event| event.dialect == Dialect::EcsAlert).unwrap();
    let older = events.iter().find(|event| event.dialect == Dialect::NativeAlert).unwrap();
    let name = |status: &str, last_update: &str| {
        let shown = shown(status, last_update);
        AlertName {
            key: shown.key().to_owned(),
            version: shown.version().to_owned(),
            threat_key: None,
            updated_at: shown.updated_at(),
        }
    };
    let identify = async |alert: &AlertName| store.journal.identify(pushed.claim, alert).await;
    let closed = name("closed", "07:45:00");
    assert_eq!(identify(&closed).await.unwrap(), Adoption::OlderUnderWay);
    store.finish(older.claim, delivered()).await;
    let outdated = name("investigating", "07:39:00");
    assert_eq!(identify(&outdated).await.unwrap(), Adoption::AlreadyThere);
    assert_eq!(identify(&closed).await.unwrap(), Adoption::Identified(None));
    assert_eq!(identify(&closed).await.unwrap(), Adoption::Identified(None), "also on a retry");
    assert_eq!(store.append(vec![shown("closed", "07:45:00")]).await, (0, 1));
    assert_eq!(store.append(vec![notification(Dialect::EcsAlert, &ecs())]).await, (0, 1));
    assert_eq!(store.append(vec![shown("new", "07:50:00")]).await, (1, 0), "and back again");
}
