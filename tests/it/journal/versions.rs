//! The latest version of an alert: by its own date, whatever comes late or goes back.

use harfanglab_incidents::{
    intake::{Notification, dialect::Dialect},
    journal::{Adoption, AlertName},
};
use serde_json::json;

use super::events::Store;
use crate::support::{
    notifications::{alert, delivered, ecs, notification, start},
    stores::on_both_databases,
};

/// The alert `a` as the console's API shows it.
fn shown(status: &str, last_update: &str) -> Notification {
    let mut item = alert("a", status);
    item["last_update"] = json!(format!("2026-05-26T{last_update}Z"));
    notification(Dialect::NativeAlert, &item)
}

/// The alert `a` as it was posted, with no date of the change.
fn posted(status: &str) -> Notification {
    let element = alert("a", status);
    let proof = crate::support::verification::proof_of_a_push(start());
    Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
}

async fn a_status_that_goes_back_is_there_again_and_only_the_latest_makes_a_repetition(
    store: Store,
) {
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

async fn a_page_or_a_push_that_comes_late_undoes_nothing(store: Store) {
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

async fn a_copy_that_lost_its_status_takes_the_place_of_no_whole_one(store: Store) {
    let cut = json!({"alert_unique_id": "a", "rule_name": "x", "alert_time": "2026-05-26"});
    let cut = || {
        let proof = crate::support::verification::proof_of_a_push(start());
        Notification::of_dialect(&proof, Dialect::NativeAlert, &cut, cut.to_string())
    };
    assert_eq!(store.append(vec![cut()]).await, (1, 0), "it is all there is");
    assert_eq!(store.append(vec![posted("new")]).await, (1, 0), "what is whole completes it");
    assert_eq!(store.append(vec![cut()]).await, (0, 1));
    assert_eq!(store.append(vec![posted("closed"), cut()]).await, (1, 1), "also in one batch");
}

async fn a_status_history_dates_a_push_and_a_date_far_ahead_is_not_believed(store: Store) {
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

async fn an_event_that_turns_out_to_be_an_alert_waits_for_its_older_version_and_undoes_no_newer_one(
    store: Store,
) {
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

on_both_databases! {
    an_event_that_turns_out_to_be_an_alert_waits_for_its_older_version_and_undoes_no_newer_one,
    a_status_that_goes_back_is_there_again_and_only_the_latest_makes_a_repetition,
    a_copy_that_lost_its_status_takes_the_place_of_no_whole_one,
    a_page_or_a_push_that_comes_late_undoes_nothing,
    a_status_history_dates_a_push_and_a_date_far_ahead_is_not_believed,
}
