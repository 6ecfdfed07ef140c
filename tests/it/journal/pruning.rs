//! Pruning of what ended long ago: first the texts, much later the rows, in small steps, and the disk is
//! given back.

use chrono::TimeDelta;
use harfanglab_incidents::{
    intake::{Notification, dialect::Dialect, verification::Proof},
    journal::Outcome,
};
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};

use super::dead_letters::Store;
use crate::support::{
    notifications::{alert, delivered, native, start},
    stores::{Database, on_both_databases},
};

#[tokio::test]
async fn pruning_takes_texts_then_rows_in_small_steps_and_gives_the_disk_back() {
    use harfanglab_incidents::journal::PruneBefore;

    let store = Store::on(Database::Sqlite).await;
    let day = TimeDelta::days(1);
    let big = |id: i32| {
        let mut element = alert(&format!("alert-{id}"), "new");
        element["padding"] = json!("x".repeat(20_000));
        let proof = Proof::answered_by_console(start());
        Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
    };
    store.journal.append(&[(0..50).map(big).collect()]).await.unwrap();
    for event in store.claim().await {
        store.journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
    }
    store.dead("dead", "new", "a defect").await;
    store.append(native("waiting", "new")).await;
    let before = store.journal.used_bytes().await.unwrap();
    let prune = async |finished, letters, rows, now| {
        let before = PruneBefore { finished, letters, rows };
        let mut steps = Vec::new();
        loop {
            let step = store.journal.prune(before, 20, now).await.unwrap();
            if step.is_nothing() {
                break steps;
            }
            steps.push(step);
        }
    };
    let steps = prune(Some(start()), Some(start()), Some(start()), start()).await;
    assert!(steps.iter().all(|step| step.bodies + step.letters + step.rows == 0), "{steps:?}");
    let now = start() + day;
    let steps = prune(Some(now), None, None, now).await;
    assert_eq!(steps.iter().map(|step| step.bodies).collect::<Vec<_>>()[..3], [20, 20, 10]);
    assert!(steps.iter().map(|step| step.pages).sum::<u64>() > 200, "{steps:?}");
    let size = std::fs::metadata(file(&store)).unwrap().len();
    let used = store.journal.used_bytes().await.unwrap();
    assert!(used < before, "{used} of {before}; the file has {size}");
    assert_eq!(store.append(big(7)).await, (0, 1), "it is known all the same");
    assert_eq!(store.journal.counts().await.unwrap().delivered, 50);

    let steps = prune(None, Some(now), None, now).await;
    assert_eq!(steps[0].letters, 1);
    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.dead, counts.dropped, counts.pending), (0, 1, 1));
    let letter = store.journal.event_history("dead").await.unwrap().unwrap().entries.remove(0);
    assert!(letter.reason.unwrap().contains("dropped unseen"));

    prune(None, None, Some(now + day), now).await;
    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.dropped, counts.pending), (0, 0, 1));
}

async fn what_is_kept_of_sightings_and_cases_goes_with_the_last_event_of_its_alert_or_threat(
    store: Store,
) {
    use harfanglab_incidents::{
        alert::{MergedSightings, Sighted},
        journal::{CaseObjects, CaseStanding, PruneBefore},
    };

    let sighted = |is_false_positive| Sighted {
        indicator_id: "indicator--1".to_owned(),
        place_id: "identity--1".to_owned(),
        first_seen: start(),
        last_seen: start(),
        is_false_positive,
    };
    let threat = json!({ "log_type": "threat", "id": "7", "status": "new" });
    let proof = Proof::answered_by_console(start());
    let threat =
        Notification::of_dialect(&proof, Dialect::NativeThreat, &threat, threat.to_string());
    let real = store.ended(native("real", "new"), delivered()).await;
    let filtered = Outcome::Filtered { reason: "the level is not imported".to_owned() };
    let threat = store.ended(threat, filtered).await;
    assert_eq!(threat.key, "threat:7");
    store.journal.note_sighting(&real.key, &sighted(false)).await.unwrap();
    let object_ids = vec!["incident--1".to_owned()];
    let standing = CaseStanding::Waiting;
    let kept = CaseObjects { threat_key: "7".to_owned(), object_ids, standing };
    store.journal.keep_case_objects(&[kept]).await.unwrap();
    let seen = async || {
        let others = store.journal.note_sighting("other", &sighted(true)).await.unwrap();
        (others, store.journal.new_case_objects("7").await.unwrap().len())
    };
    let day = TimeDelta::days(1);
    let emptied = PruneBefore { finished: Some(start() + day), ..PruneBefore::default() };
    store.journal.prune(emptied, 20, start() + day).await.unwrap();
    assert_eq!(seen().await, (MergedSightings::Real, 1), "known as long as the rows are");
    let removed = PruneBefore { rows: Some(start() + day * 2), ..PruneBefore::default() };
    assert_eq!(store.journal.prune(removed, 20, start() + day * 2).await.unwrap().rows, 2);
    assert_eq!(seen().await, (MergedSightings::Harmless, 0));
}

/// The journal's file.
fn file(store: &Store) -> &str {
    store.place.url.strip_prefix("sqlite:").unwrap()
}

/// Returns how many pages the journal's file has, without the log beside it.
async fn pages(store: &Store) -> i64 {
    let url = format!("sqlite:{}?mode=ro", file(store));
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn pruned_texts_smaller_than_a_page_give_their_disk_back_too() {
    let store = Store::on(Database::Sqlite).await;
    let small = |id: i32| {
        let mut element = alert(&format!("alert-{id}"), "new");
        element["padding"] = json!("x".repeat(2_500));
        let proof = Proof::answered_by_console(start());
        Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
    };
    for batch in 0..10 {
        let batch = (batch * 40..(batch + 1) * 40).map(small).collect();
        store.journal.append(&[batch]).await.unwrap();
        for event in store.claim().await {
            store.journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
        }
    }
    let before = pages(&store).await;
    let now = start() + TimeDelta::days(1);
    let finished = harfanglab_incidents::journal::PruneBefore {
        finished: Some(now),
        letters: None,
        rows: None,
    };
    while !store.journal.prune(finished, 50, now).await.unwrap().is_nothing() {}
    let left = pages(&store).await;
    assert!(left * 3 < before, "{left} of {before} pages are left of 400 alerts");
    assert_eq!(store.append(small(7)).await, (0, 1), "they are known all the same");
    let told = store.journal.event_history("alert-399").await.unwrap().unwrap();
    assert_eq!((told.entries[0].state.as_str(), told.entries[0].id), ("delivered", 400));
}

async fn the_rows_of_a_threats_alerts_go_when_all_of_the_threat_is_old(store: Store) {
    use harfanglab_incidents::journal::{CaseObjects, CaseStanding, PruneBefore};

    let day = TimeDelta::days(1);
    let of_threat = |unique_id: &str| {
        let mut element = alert(unique_id, "new");
        element["threat_key"] = json!("7");
        let proof = Proof::answered_by_console(start());
        Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
    };
    assert_eq!(of_threat("a").threat_key(), Some("7"));
    store.ended(of_threat("a"), delivered()).await;
    let object_ids = vec!["indicator--1".to_owned()];
    let kept =
        CaseObjects { threat_key: "7".to_owned(), object_ids, standing: CaseStanding::Waiting };
    store.journal.keep_case_objects(&[kept]).await.unwrap();
    let prune = async |days: i32| {
        let now = start() + day * days;
        let before = PruneBefore { finished: Some(now), letters: None, rows: Some(now - day) };
        store.journal.prune(before, 20, now).await.unwrap().rows
    };
    assert_eq!(prune(1).await, 0, "its text goes first");
    store.append(of_threat("b")).await;
    assert_eq!(prune(9).await, 0, "another alert of the threat is under way");
    assert_eq!(store.journal.new_case_objects("7").await.unwrap().len(), 2);
    let event = store.claim().await.remove(0);
    store.journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
    assert_eq!(prune(9).await, 0, "the other's text goes first, too");
    assert_eq!(prune(19).await, 2);
    assert!(store.journal.new_case_objects("7").await.unwrap().is_empty());
}

async fn the_date_of_an_indicator_goes_when_it_is_500_days_old_and_no_alert_with_it_is_left(
    store: Store,
) {
    use harfanglab_incidents::{
        alert::{SeenIndicator, Sighted},
        journal::PruneBefore,
    };

    let day = TimeDelta::days(1);
    let valid_from = async |id: &str, days: i32| {
        let seen = SeenIndicator {
            id: format!("indicator--{id}"),
            seen_at: start() + day * days,
            moves_after: SeenIndicator::MOVES_AFTER_MAX,
        };
        (store.journal.valid_from(&seen).await.unwrap() - start()).num_days()
    };
    let prune = async |days: i32| {
        let now = start() + day * days;
        let before = PruneBefore { finished: Some(now), letters: None, rows: Some(now) };
        while !store.journal.prune(before, 20, now).await.unwrap().is_nothing() {}
    };
    for (id, days) in [("old", 0), ("kept", 0), ("younger", 1)] {
        assert_eq!(valid_from(id, days).await, i64::from(days));
    }
    store.journal.remember("cursor", "no number").await.unwrap();
    store.append(native("a", "new")).await;
    let sighted = Sighted {
        indicator_id: "indicator--kept".to_owned(),
        place_id: "identity--1".to_owned(),
        first_seen: start(),
        last_seen: start(),
        is_false_positive: false,
    };
    let event = store.claim().await.remove(0);
    store.journal.note_sighting(&event.key, &sighted).await.unwrap();
    prune(500).await;
    assert_eq!(valid_from("old", 2).await, 0, "nothing is older than 500 days yet");
    prune(501).await;
    assert_eq!(valid_from("old", 3).await, 3, "as if never seen");
    assert_eq!(valid_from("kept", 3).await, 0, "its alert may be sent again");
    assert_eq!(valid_from("younger", 3).await, 1);

    store.journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
    prune(502).await;
    prune(503).await;
    assert_eq!(valid_from("kept", 4).await, 4);
    assert_eq!(store.journal.remembered("cursor").await.unwrap().as_deref(), Some("no number"));
}

async fn the_name_of_an_incident_outlives_its_rows_by_two_years_and_a_case_takes_its_note_along(
    store: Store,
) {
    use harfanglab_incidents::{alert::IncidentIdentity, journal::PruneBefore};

    let identity = |name: &str, created| IncidentIdentity { name: name.to_owned(), created };
    store.ended(native("old", "new"), delivered()).await;
    let fixed = [
        ("old".to_owned(), identity("as it was named", start())),
        ("threat:7".to_owned(), identity("a case", start())),
    ];
    store.journal.fix_identities(&fixed).await.unwrap();
    store.journal.remember("note:7", "sent").await.unwrap();
    let named = async |key: &str| {
        let wanted = [(key.to_owned(), identity("another", start()))];
        store.journal.fix_identities(&wanted).await.unwrap().remove(0).name
    };
    let day = TimeDelta::days(1);
    let prune = async |days: i32| {
        let now = start() + day * days;
        let before = PruneBefore { finished: Some(now), letters: None, rows: Some(now - day) };
        while !store.journal.prune(before, 20, now).await.unwrap().is_nothing() {}
    };
    prune(1).await;
    prune(3).await;
    assert_eq!(store.journal.counts().await.unwrap().delivered, 0, "its row is gone");
    assert_eq!(named("old").await, "as it was named");
    assert_eq!(named("threat:7").await, "a case");
    // Something of it that is still here keeps it.
    store.append(native("old", "closed")).await;
    prune(740).await;
    assert_eq!(named("old").await, "as it was named");
    assert_eq!(store.journal.remembered("note:7").await.unwrap(), None);
    assert_eq!(named("threat:7").await, "another", "forgotten");
}

on_both_databases! {
    what_is_kept_of_sightings_and_cases_goes_with_the_last_event_of_its_alert_or_threat,
    the_rows_of_a_threats_alerts_go_when_all_of_the_threat_is_old,
    the_name_of_an_incident_outlives_its_rows_by_two_years_and_a_case_takes_its_note_along,
    the_date_of_an_indicator_goes_when_it_is_500_days_old_and_no_alert_with_it_is_left,
}
