//! Events that are discarded when disk space runs short, and those that never are.

use std::{path::PathBuf, sync::Arc};

use chrono::TimeDelta;
use harfanglab_incidents::{
    health::Health,
    intake::{
        Notification,
        dialect::{Dialect, UnknownKind, recognise_unknown},
        verification::Proof,
    },
    journal::{FollowUp, MissingEnrichment, Outcome, PruneBefore, Removable, WorkPart},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    journal::dead_letters::Store,
    support::{
        notifications::{alert, delivered, native, notification, start},
        offline::offline_home,
        small_disk::SmallDisk,
        stage::{Stage, http, post, post_by},
        stores::{on_both_databases, open_sqlite},
    },
};

fn sample(text: &str) -> Notification {
    let UnknownKind::Shaped(shape) = recognise_unknown(text) else { panic!("{text}") };
    Notification::sample(&Proof::answered_by_console(start()), text.to_owned(), &shape)
}

async fn texts_of_samples_and_finished_events_can_go_and_nothing_else_does(store: Store) {
    let dead = store.dead("dead", "new", "a defect").await;
    let finished = store.ended(native("finished", "new"), delivered()).await;
    store.append(native("waiting", "new")).await;
    store
        .journal
        .append(&[(0..3).map(|n| sample(&format!("{{\"n\": {n}}}"))).collect()])
        .await
        .unwrap();
    let known = store.journal.samples(start()).await.unwrap();
    assert_eq!((known.len(), known[0].1.starts_with("text:")), (3, true));
    let before = store.journal.counts().await.unwrap();
    assert_eq!((before.dead, before.dropped), (4, 0));
    assert!(before.bytes.dead > 24 && before.bytes.finished > 0 && before.bytes.pending > 0);

    let remove = async |what, rows| store.journal.remove(what, rows, start()).await.unwrap();
    assert_eq!(remove(Removable::DroppedTexts, 9).await, 0);
    assert_eq!((remove(Removable::Samples, 2).await, remove(Removable::Samples, 9).await), (2, 1));
    assert_eq!(remove(Removable::Samples, 9).await, 0, "a letter that may be an alert stays");
    assert_eq!(remove(Removable::FinishedTexts, 9).await, 1);
    assert_eq!(remove(Removable::FinishedTexts, 9).await, 0, "so does what waits");

    let after = store.journal.counts().await.unwrap();
    assert_eq!((after.dead, after.dropped, after.delivered, after.pending), (1, 0, 1, 1));
    assert_eq!((after.bytes.finished, after.bytes.dropped), (0, 0));
    assert_eq!(after.bytes.dead, u64::try_from(dead.body.len()).unwrap());
    assert_eq!(after.bytes.pending, before.bytes.pending);
    assert_eq!(store.journal.text(dead.claim.event).await.unwrap(), Some(dead.body));
    assert_eq!(store.journal.text(finished.claim.event).await.unwrap(), None);
    assert!(store.journal.samples(start()).await.unwrap().is_empty());
    assert_eq!(store.append(native("finished", "new")).await, (0, 1), "it is known all the same");
}

async fn the_text_of_an_event_stays_until_opencti_has_told_all_of_its_work(store: Store) {
    let event = store.ended(native("finished", "new"), delivered()).await.claim.event;
    let parts = [WorkPart { event, objects: vec!["incident--1".to_owned()] }];
    store.journal.work_opened("work", &parts, start()).await.unwrap();
    let remove = async || store.journal.remove(Removable::FinishedTexts, 9, start()).await.unwrap();
    let later = start() + TimeDelta::days(1);
    let old = PruneBefore { finished: Some(later), ..PruneBefore::default() };
    let prune = async || store.journal.prune(old, 9, later).await.unwrap().bodies;
    assert_eq!((remove().await, prune().await), (0, 0));
    assert!(store.journal.text(event).await.unwrap().is_some());
    store.journal.remove_work("work", &[]).await.unwrap();
    assert_eq!(remove().await, 1);
    let event = store.ended(native("other", "new"), delivered()).await.claim.event;
    let parts = [WorkPart { event, objects: vec!["incident--2".to_owned()] }];
    store.journal.work_opened("other", &parts, start()).await.unwrap();
    assert_eq!(prune().await, 0);
    store.journal.remove_work("other", &[]).await.unwrap();
    assert_eq!(prune().await, 1);
}

async fn follow_ups_that_wait_can_end_for_their_space_and_the_sweep_completes_their_alert(
    store: Store,
) {
    let follow_up = FollowUp {
        missing: MissingEnrichment { page: true, rule: false, host: false },
        due_at: start() + TimeDelta::minutes(1),
        deadline: start() + TimeDelta::minutes(10),
    };
    let root_id = "incident--00000000-0000-5000-8000-000000000001".to_owned();
    store
        .ended(native("a", "new"), Outcome::DeliveredInPart { root_id, remark: None, follow_up })
        .await;
    store.append(native("waiting", "new")).await;
    let before = store.journal.counts().await.unwrap();
    assert!(before.bytes.following_up > 0 && before.bytes.pending > 0, "{before:?}");
    let remove = async || store.journal.remove(Removable::FollowUps, 9, start()).await.unwrap();
    assert_eq!((remove().await, remove().await), (1, 0));
    let after = store.journal.counts().await.unwrap();
    assert_eq!((after.following_up, after.superseded, after.delivered), (0, 1, 1));
    assert_eq!((after.bytes.following_up, after.bytes.pending), (0, before.bytes.pending));

    let mut item = alert("a", "new");
    item["id"] = json!("lujfl4kBCWge90iwCywS");
    let swept = notification(Dialect::NativeAlert, &item);
    assert_eq!(store.append(swept).await, (0, 1), "the same version");
    let bodies: Vec<_> = store.claim().await.into_iter().map(|event| event.body).collect();
    assert!(bodies.contains(&item.to_string()), "{bodies:?}");
    assert_eq!(remove().await, 0, "it is under way");
}

/// Of a shape of its own, and large.
fn odd(number: usize) -> Value {
    json!({ "odd": number, "padding": "x".repeat(10_000) })
}

#[tokio::test]
async fn on_a_disk_that_runs_full_samples_go_before_an_alert_is_refused() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let mut home = offline_home();
    let file = disk.path().join("journal.db");
    home.keep_journal_in(&file);
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE", "8MiB");
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_SAMPLES", "1000");
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    let client = http();
    for number in 0..900 {
        let (status, answer) = post_by(&client, &url, &odd(number)).await;
        assert_eq!((status, &answer["dead_letters"]), (StatusCode::ACCEPTED, &json!(1)));
    }
    // Somebody else takes nearly all that is left: as much as the samples take goes, if need be.
    let ballast: PathBuf = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 14 << 20]).unwrap();
    app.wait_for_log("samples went", |line| {
        line["message"].as_str()?.starts_with("the journal ran short of space").then_some(())
    })
    .await;
    let alert = json!({"log_type": "alert", "alert_type": "sigma", "alert_unique_id": "a",
        "rule_name": "Suspicious Thing", "agent": {"hostname": "pc-01"}});
    assert_eq!(post(&url, &alert).await.0, StatusCode::ACCEPTED);
    let ready = app.readiness().await;
    assert_ne!(ready["status"], "unready", "{ready}");
    assert!(
        ready["journal"]["text_bytes"]["dead_letters"].as_u64().unwrap() < 9_000_000,
        "{ready}"
    );
    assert!(app.metric("journal_texts_removed_total{kind=\"sample\"}").await > 0);
    assert!(!app.log().contains("the journal has no room"), "the door was never shut");
}

/// All that is free on the disk but `left`.
fn fill_but(disk: &SmallDisk, left: u64) {
    let now = rustix::fs::statvfs(disk.path()).unwrap();
    let free = now.f_bavail * now.f_frsize;
    let ballast = vec![1; usize::try_from(free - left).unwrap()];
    std::fs::write(disk.path().join("ballast"), ballast).unwrap();
}

#[tokio::test]
async fn a_disk_with_less_space_than_the_log_of_a_whole_step_is_given_back_in_smaller_ones() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let file = disk.path().join("journal.db");
    let url = format!("sqlite:{}", file.display());
    let journal = open_sqlite(&url, "https://console.example").await;
    for hundred in 0..9 {
        let samples = (0..100).map(|number| sample(&odd(hundred * 100 + number).to_string()));
        journal.append(&[samples.collect()]).await.unwrap();
    }
    // They stay at the end of the file, so that giving back moves them.
    let letter = |number: usize| {
        let (proof, text) = (Proof::answered_by_console(start()), odd(number).to_string());
        Notification::dead_letter(&proof, text, "a defect".to_owned())
    };
    journal.append(&[(1_000..1_300).map(letter).collect()]).await.unwrap();
    journal.shrink().await.unwrap();
    let removed = journal.remove(Removable::Samples, 900, start()).await.unwrap();
    assert_eq!(removed, 900);
    let health = Arc::new(Health::default());
    journal.storage().report_to(&health);
    let length = || std::fs::metadata(&file).unwrap().len();
    let before = length();
    fill_but(&disk, 1 << 20);
    while journal.shrink().await.unwrap().is_more {}
    assert!(before > 12_000_000 && length() < 6_000_000, "{before} bytes, {} now", length());
    assert!(health.reasons().is_empty(), "{:?}", health.reasons());
}

#[tokio::test]
async fn upkeep_for_which_the_disk_has_no_space_says_so_and_makes_nothing_unready() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let url = format!("sqlite:{}", disk.path().join("journal.db").display());
    let journal = open_sqlite(&url, "https://console.example").await;
    let samples = (0..100).map(|number| sample(&odd(number).to_string()));
    journal.append(&[samples.collect()]).await.unwrap();
    journal.shrink().await.unwrap();
    let health = Arc::new(Health::default());
    journal.storage().report_to(&health);
    fill_but(&disk, 0);
    let failure = journal.remove(Removable::Samples, 100, start()).await.unwrap_err();
    assert!(failure.lacks_space(), "{failure}");
    assert!(health.reasons().is_empty(), "{:?}", health.reasons());
}

/// Of which the console shows nothing.
fn large(number: usize) -> Value {
    let mut element = alert(&format!("alert-{number}"), "new");
    element["padding"] = json!("x".repeat(100_000));
    element
}

#[tokio::test]
async fn at_the_bound_of_the_journal_follow_ups_end_and_no_alert_is_refused() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE", "8MiB");
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    // Five megabytes, and as much again once they are delivered and followed up.
    for number in 0..50 {
        assert_eq!(post(&url, &large(number)).await.0, StatusCode::ACCEPTED);
    }
    let given_up = app
        .wait_for_log("space ran short", |line| {
            let is_short = line["message"].as_str()?.starts_with("the journal ran short of space");
            is_short.then(|| line["attributes"]["follow_ups"].as_u64().unwrap())
        })
        .await;
    assert!(given_up > 0);
    assert_eq!(post(&url, &large(50)).await.0, StatusCode::ACCEPTED);
    let ready = app.readiness().await;
    assert_eq!((&ready["status"], &ready["journal"]["dead_letters"]), (&json!("ready"), &json!(0)));
    assert!(!app.log().contains("the journal has no room"), "{}", app.log());
}

on_both_databases! {
    texts_of_samples_and_finished_events_can_go_and_nothing_else_does,
    the_text_of_an_event_stays_until_opencti_has_told_all_of_its_work,
    follow_ups_that_wait_can_end_for_their_space_and_the_sweep_completes_their_alert,
}
