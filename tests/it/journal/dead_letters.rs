//! Dead letters and the event history of an alert: in the journal, and by the commands beside a running
//! service.

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    intake::{Notification, Origin, dialect::Dialect, verification::Proof},
    journal::{
        DeadLetterFilter, DeadLetterGroup, DeadLetterKind, Event, Journal, Outcome, Retried,
        WaitsFor,
    },
};
use serde_json::{Value, json};

use crate::support::{
    command::run,
    notifications::{LEASE, alert, delivered, native, start},
    stage::{Stage, alerts_in, post},
    stores::{Database, Fresh, on_both_databases, open_sqlite},
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

    pub(crate) async fn append(&self, notification: Notification) -> (usize, usize) {
        let receipts = self.journal.append(&[vec![notification]]).await.unwrap();
        (receipts[0].accepted, receipts[0].duplicates)
    }

    pub(crate) async fn claim(&self) -> Vec<Event> {
        self.journal.claim(100, LEASE, start()).await.unwrap()
    }

    /// Stores a version and ends it.
    pub(crate) async fn ended(&self, notification: Notification, outcome: Outcome) -> Event {
        self.append(notification).await;
        let event = self.claim().await.remove(0);
        self.journal.finish(&[(event.claim, outcome)], start()).await.unwrap();
        event
    }

    pub(crate) async fn dead(&self, unique_id: &str, status: &str, reason: &str) -> Event {
        self.ended(native(unique_id, status), Outcome::Dead { reason: reason.to_owned() }).await
    }

    pub(crate) async fn ids(&self, filter: &DeadLetterFilter) -> Vec<i64> {
        let letters = self.journal.dead_letters(filter, 0, 100).await.unwrap();
        letters.into_iter().map(|letter| letter.id).collect()
    }

    pub(crate) async fn retry(&self, event: &Event) -> Retried {
        self.journal.retry(&[event.claim.event], start()).await.unwrap().remove(0)
    }
}

async fn letters_are_found_by_id_reason_age_and_source_with_their_text_as_received(store: Store) {
    let large = store.dead("a", "new", "Too LARGE for the broker").await;
    let odd = store.dead("b", "new", "a defect").await;
    let all = DeadLetterFilter::default();
    assert_eq!(store.ids(&all).await, [large.claim.event, odd.claim.event]);
    let by_reason = DeadLetterFilter { reason: Some("too large".to_owned()), ..all.clone() };
    assert_eq!(store.ids(&by_reason).await, [large.claim.event]);
    let by_id = DeadLetterFilter { ids: vec![odd.claim.event, 99], ..all.clone() };
    assert_eq!(store.ids(&by_id).await, [odd.claim.event]);
    let old = DeadLetterFilter { ended_before: Some(start()), ..all.clone() };
    assert_eq!(store.ids(&old).await, [] as [i64; 0]);
    let younger =
        DeadLetterFilter { ended_before: Some(start() + TimeDelta::seconds(1)), ..all.clone() };
    assert_eq!(store.ids(&younger).await.len(), 2);
    let pushed = DeadLetterFilter { origin: Some(Origin::Push), ..all.clone() };
    assert_eq!(store.ids(&pushed).await, [] as [i64; 0]);
    let text = store.journal.text(large.claim.event).await.unwrap();
    assert_eq!(text, Some(alert("a", "new").to_string()));
}

async fn a_letter_that_is_asked_for_again_starts_over_and_its_old_claim_stays_fenced(store: Store) {
    let dead = store.dead("a", "new", "a defect").await;
    assert_eq!(store.retry(&dead).await, Retried::Pending);
    assert_eq!(store.retry(&dead).await, Retried::NotThere, "it is no letter any more");
    let late = Outcome::Dead { reason: "its answer was lost".to_owned() };
    store.journal.finish(&[(dead.claim, late)], start()).await.unwrap();
    assert_eq!(store.journal.counts().await.unwrap().pending, 1, "nor before the next claim");
    let again = store.claim().await.remove(0);
    assert_eq!((again.claim.attempt, &again.body), (1, &dead.body), "tries count from one again");
    let stale = Outcome::Dead { reason: "from before".to_owned() };
    store.journal.finish(&[(dead.claim, stale)], start()).await.unwrap();
    assert_eq!(store.journal.counts().await.unwrap().pending, 1, "the old claim ends nothing");
    store.journal.finish(&[(again.claim, delivered())], start()).await.unwrap();
    assert_eq!(store.journal.counts().await.unwrap().delivered, 1);
}

async fn a_letter_that_a_newer_version_has_overtaken_ends_as_superseded(store: Store) {
    // Delivered before it was asked for again.
    let dead = store.dead("a", "new", "a defect").await;
    store.ended(native("a", "closed"), delivered()).await;
    assert_eq!(store.retry(&dead).await, Retried::Superseded);

    // Just leaving when it is asked for again: it waits, and is then superseded.
    let dead = store.dead("b", "new", "a defect").await;
    store.append(native("b", "closed")).await;
    let newer = store.claim().await.remove(0);
    assert_eq!(store.retry(&dead).await, Retried::Pending);
    assert!(store.claim().await.is_empty(), "not beside the newer one");
    store.journal.finish(&[(newer.claim, delivered())], start()).await.unwrap();
    assert!(store.claim().await.is_empty());

    // Not begun yet: the older one leaves first, in the order in which they happened.
    let dead = store.dead("c", "new", "a defect").await;
    store.append(native("c", "closed")).await;
    assert_eq!(store.retry(&dead).await, Retried::Pending);
    assert_eq!(store.claim().await.remove(0).claim.event, dead.claim.event);

    let counts = store.journal.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.superseded, counts.dead), (2, 2, 0));
}

async fn what_a_person_dropped_is_gone_at_once_and_never_comes_back_by_itself(store: Store) {
    let dead = store.dead("a", "new", "a defect").await;
    assert_eq!(store.journal.discard(&[dead.claim.event], start()).await.unwrap(), 1);
    assert_eq!(store.append(native("a", "new")).await, (0, 1), "the sweep brings it again");
    assert!(store.journal.claim(9, LEASE, start() + TimeDelta::days(9)).await.unwrap().is_empty());
    assert_eq!(store.journal.discard(&[dead.claim.event], start()).await.unwrap(), 0);
    assert_eq!(store.journal.counts().await.unwrap().dropped, 1);
    let dropped = DeadLetterFilter { kind: DeadLetterKind::Dropped, ..DeadLetterFilter::default() };
    assert_eq!(store.ids(&dropped).await, [dead.claim.event]);
    let listed = store.journal.dead_letters(&dropped, 0, 9).await.unwrap();
    assert_eq!(listed[0].size_bytes, 0, "its text went at once");
    assert_eq!(store.journal.text(dead.claim.event).await.unwrap(), None);
    assert_eq!(store.retry(&dead).await, Retried::NotThere);
}

async fn a_text_that_could_not_be_read_stays_a_letter_until_a_version_can_read_it(store: Store) {
    let proof = Proof::answered_by_console(start());
    let letter = |text: &str| Notification::dead_letter(&proof, text.to_owned(), "odd".to_owned());
    store.append(letter("{\"something\":\"new\"}")).await;
    // As an older version kept what this one can read.
    store.append(letter(&alert("a", "new").to_string())).await;
    store.append(letter(&alert("b", "new").to_string())).await;
    store.append(native("b", "new")).await;
    let ids = store.ids(&DeadLetterFilter::default()).await;
    let became = store.journal.retry(&ids, start()).await.unwrap();
    assert_eq!(became, [Retried::StillUnreadable, Retried::Pending, Retried::Superseded]);
    let claimed = store.claim().await;
    let keys: Vec<_> = claimed.iter().map(|event| event.key.as_str()).collect();
    assert_eq!(keys, ["a", "b"]);
}

async fn a_letter_that_can_be_read_by_now_undoes_nothing_that_is_newer_by_its_own_date(
    store: Store,
) {
    let proof = Proof::answered_by_console(start());
    let shown = |status: &str, minute: u8| {
        let mut element = alert("a", status);
        element["last_update"] = json!(format!("2026-05-26T07:{minute}:00Z"));
        element
    };
    let native = |element: &Value| {
        Notification::of_dialect(&proof, Dialect::NativeAlert, element, element.to_string())
    };
    let letter =
        |element: &Value| Notification::dead_letter(&proof, element.to_string(), "odd".to_owned());
    for (status, minute) in [("new", 40), ("closed", 50)] {
        store.ended(native(&shown(status, minute)), delivered()).await;
    }
    // The letters came later than both; only the last one is newer, and it goes back to "new".
    for (status, minute) in [("investigating", 45), ("closed", 50), ("new", 55)] {
        store.append(letter(&shown(status, minute))).await;
    }
    let ids = store.ids(&DeadLetterFilter::default()).await;
    let became = store.journal.retry(&ids, start()).await.unwrap();
    assert_eq!(became, [Retried::Superseded, Retried::Superseded, Retried::Pending]);
    store.append(native(&shown("new", 55))).await;
    let claimed = store.claim().await;
    assert_eq!(claimed.len(), 1, "the same version by another road is a repetition of it");
    assert_eq!(claimed[0].claim.event, ids[2]);
}

async fn the_story_tells_what_waits_for_what(store: Store) {
    store.ended(native("a", "new"), delivered()).await;
    store.append(native("a", "investigating")).await;
    let second = store.claim().await.remove(0);
    store.append(native("a", "closed")).await;
    let told = store.journal.event_history("A").await.unwrap().unwrap();
    let waits: Vec<_> = told.entries.iter().map(|one| told.waits_for(one, start())).collect();
    let worker = WaitsFor::Worker(start() + TimeDelta::minutes(5));
    let waits_expected = [None, Some(worker), Some(WaitsFor::Event(second.claim.event))];
    assert_eq!(waits, waits_expected);
    let at = start() + TimeDelta::hours(1);
    let later = Outcome::Later { at, reason: "the broker is away".to_owned() };
    store.journal.finish(&[(second.claim, later)], start()).await.unwrap();
    let name = second.claim.event.to_string();
    let told = store.journal.event_history(&name).await.unwrap().unwrap();
    assert_eq!(told.waits_for(&told.entries[1], start()), Some(WaitsFor::Time(at)));
    assert_eq!(told.waits_for(&told.entries[1], at), Some(WaitsFor::Nothing));
    assert_eq!(told.entries[1].reason.as_deref(), Some("the broker is away"));
    let root_id = told.entries[0].root_id.clone().unwrap();
    assert_eq!(store.journal.event_history(&root_id).await.unwrap(), Some(told));
    assert_eq!(store.journal.event_history("nobody").await.unwrap(), None);
}

async fn letters_with_equal_reasons_are_one_group_the_largest_first(store: Store) {
    let mut alike = Vec::new();
    for number in 0..5 {
        alike.push(store.dead(&format!("a{number}"), "new", "too large").await.claim.event);
    }
    let odd = store.dead("b", "new", "a defect").await.claim.event;
    let all = DeadLetterFilter::default();
    let groups = store.journal.dead_letter_groups(&all, 9).await.unwrap();
    let told = |group: &DeadLetterGroup| (group.reason.clone(), group.letters, group.example);
    let expected = [("too large".to_owned(), 5, alike[4]), ("a defect".to_owned(), 1, odd)];
    assert_eq!(groups.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(groups[0].newest_at, start());
    assert_eq!(store.journal.dead_letter_groups(&all, 1).await.unwrap().len(), 1);
    let like = DeadLetterFilter { like: Some(alike[2]), ..all };
    assert_eq!(store.ids(&like).await, alike);
    let by_reason =
        DeadLetterFilter { reason: Some("DEFECT".to_owned()), ..DeadLetterFilter::default() };
    assert_eq!(store.journal.dead_letter_groups(&by_reason, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_commands_work_beside_the_running_service_which_delivers_what_is_retried() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let url = format!("sqlite:{}", stage.home.journal().display());
    let journal = open_sqlite(&url, stage.console.url().as_str()).await;
    journal.append(&[vec![native("aaaa", "new")]]).await.unwrap();
    let now = Clock::system().now();
    let event = journal.claim(1, LEASE, now).await.unwrap().remove(0);
    let outcome = Outcome::Dead { reason: "it was\ntoo large".to_owned() };
    journal.finish(&[(event.claim, outcome)], now).await.unwrap();
    drop(journal);
    let mut app = stage.home.start(&["serve"]);
    let webhook = app.webhook().await;
    let odd = json!({ "something": "new" });
    assert_eq!(post(&webhook, &odd).await.1["dead_letters"], 1);

    let listed = run(&stage.home, &["dead-letters", "list"]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert_eq!(listed.stdout.lines().count(), 4, "{}", listed.stdout);
    assert!(listed.stdout.contains("it was too large") && listed.stdout.contains("LETTERS"));
    let listed = run(&stage.home, &["dead-letters", "list", "--each"]).await;
    assert_eq!(listed.stdout.lines().count(), 3, "{}", listed.stdout);
    assert!(listed.stdout.contains("it was too large") && listed.stdout.contains("push"));
    let pushed = run(&stage.home, &["dead-letters", "list", "--source", "push", "--json"]).await;
    let letter: Value = serde_json::from_str(&pushed.stdout).unwrap();
    let id = letter["id"].to_string();
    let body = run(&stage.home, &["dead-letters", "show", &id, "--body"]).await;
    assert_eq!(body.stdout, odd.to_string());

    // Dropping asks first, and there is nobody to ask.
    let asked = run(&stage.home, &["dead-letters", "drop", &id]).await;
    assert_eq!(asked.code, Some(64), "{}", asked.stderr);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    let nothing_chosen = run(&stage.home, &["dead-letters", "drop", "--yes"]).await;
    assert_eq!(nothing_chosen.code, Some(64));
    let dry = run(&stage.home, &["dead-letters", "drop", &id, "--dry-run"]).await;
    assert!(dry.stdout.contains("would be dropped"), "{}", dry.stdout);
    let dropped = run(&stage.home, &["dead-letters", "drop", &id, "--yes"]).await;
    assert_eq!(dropped.code, Some(0), "{}", dropped.stderr);
    let (_status, answer) = post(&webhook, &odd).await;
    assert_eq!((&answer["dead_letters"], &answer["duplicates"]), (&Value::Null, &json!(1)));

    let file = stage.home.path().join("letters.jsonl");
    let export = ["dead-letters", "export", "--output", file.to_str().unwrap()];
    let exported = run(&stage.home, &export).await;
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    let line: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(line["body"], json!(alert("aaaa", "new").to_string()));

    let retry = ["dead-letters", "retry", "--reason", "TOO LARGE"];
    let retried = run(&stage.home, &retry).await;
    assert_eq!(retried.code, Some(0), "{}", retried.stderr);
    // What arrives next wakes the pipeline before its half a minute is over.
    let fresh = harfanglab_incidents::demo::Generator::new(3).next_alert(Clock::system().now());
    post(&webhook, &fresh.native()).await;
    stage
        .opencti
        .wait_for("the letter and the alert are delivered", |state| alerts_in(&state.works) >= 2)
        .await;
    assert!(app.terminate().await.success());
    let told = run(&stage.home, &["events", "show", "AAAA"]).await;
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stdout.contains("delivered") && told.stdout.contains("incident--"),
        "{}",
        told.stdout
    );
    let told =
        run(&stage.home, &["events", "show", &event.claim.event.to_string(), "--json"]).await;
    let story: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&story["key"], &story["events"][0]["state"]),
        (&json!("aaaa"), &json!("delivered"))
    );
    let unknown = run(&stage.home, &["events", "show", "nobody"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("knows nothing of nobody"), "{}", unknown.stderr);
}

on_both_databases! {
    letters_are_found_by_id_reason_age_and_source_with_their_text_as_received,
    a_letter_that_is_asked_for_again_starts_over_and_its_old_claim_stays_fenced,
    a_letter_that_a_newer_version_has_overtaken_ends_as_superseded,
    what_a_person_dropped_is_gone_at_once_and_never_comes_back_by_itself,
    a_text_that_could_not_be_read_stays_a_letter_until_a_version_can_read_it,
    a_letter_that_can_be_read_by_now_undoes_nothing_that_is_newer_by_its_own_date,
    the_story_tells_what_waits_for_what,
    letters_with_equal_reasons_are_one_group_the_largest_first,
}
