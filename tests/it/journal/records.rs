//! Records that the journal keeps beside events, on both databases: works and what OpenCTI refused in them,
//! sightings of false positives, and what the status page asks for.

use chrono::TimeDelta;
use harfanglab_incidents::{
    alert::SeenIndicator,
    intake::Origin,
    journal::{DeadLetterFilter, LostWork, Outcome, Refusal, Requeued, SightingFlag, WorkPart},
};

use super::dead_letters::Store;
use crate::support::{
    notifications::{delivered, native, start},
    stores::on_both_databases,
};

async fn a_work_is_kept_from_its_opening_until_it_is_read(store: Store) {
    let (journal, minute) = (&store.journal, TimeDelta::minutes(1));
    let event = store.ended(native("a", "new"), delivered()).await.claim.event;
    let parts = [WorkPart { event, objects: vec!["incident--1".to_owned(), "x--2".to_owned()] }];
    for work in ["closed", "left-open", "orphaned"] {
        journal.work_opened(work, &parts, start()).await.unwrap();
    }
    assert_eq!(journal.parts_of_work("closed").await.unwrap(), parts);
    journal.work_closed("closed", start(), start() + minute).await.unwrap();
    journal.work_left_open("left-open", "not closed", start() + minute * 2).await.unwrap();
    assert!(journal.works_due(9, start()).await.unwrap().is_empty());
    // What another replica may have under way is no orphan until it is old.
    let old = start() + TimeDelta::hours(1);
    journal.close_orphaned_works("stopped", old).await.unwrap();
    let due = journal.works_due(9, old).await.unwrap();
    let closing = |id: &str| due.iter().find(|work| work.id == id).unwrap().closing.clone();
    assert_eq!(due.len(), 3);
    assert_eq!(closing("orphaned").as_deref(), Some("stopped"));
    assert_eq!((closing("left-open").as_deref(), closing("closed")), (Some("not closed"), None));
    journal.look_again("closed", None, old + minute).await.unwrap();
    journal.postpone_work("orphaned", old + minute).await.unwrap();
    journal.remove_work("left-open", &[]).await.unwrap();
    assert!(journal.works_due(9, old).await.unwrap().is_empty());
    let due = journal.works_due(9, old + minute).await.unwrap();
    assert_eq!(due.iter().map(|work| work.looks).sum::<u32>(), 1);

    let refusal = |object: &str| Refusal {
        event: Some(event),
        object: object.to_owned(),
        reason: "OpenCTI refused it".to_owned(),
        work: "closed".to_owned(),
        refused_at: old,
    };
    let refusals = [refusal("incident--1"), refusal("incident--1"), refusal("x--2")];
    journal.remove_work("closed", &refusals).await.unwrap();
    let listed = journal.refusals(9).await.unwrap();
    let mut times: Vec<_> = listed.iter().map(|one| one.times).collect();
    times.sort_unstable();
    assert_eq!((times, listed[0].key.as_deref()), (vec![1, 2], Some("a")));
    assert_eq!(journal.event_history("a").await.unwrap().unwrap().refusals.len(), 2);
    assert!(journal.parts_of_work("closed").await.unwrap().is_empty());
}

async fn what_a_lost_work_brought_is_requeued_once_and_in_the_present_generation(store: Store) {
    let journal = &store.journal;
    let a = store.ended(native("a", "new"), delivered()).await.claim.event;
    let b = store.ended(native("b", "new"), delivered()).await.claim.event;
    let c = store.ended(native("c", "new"), delivered()).await.claim.event;
    let parts = [a, b, c].map(|event| WorkPart { event, objects: vec![format!("x--{event}")] });
    journal.work_opened("work", &parts, start()).await.unwrap();
    journal.work_closed("work", start(), start() + TimeDelta::hours(1)).await.unwrap();
    journal.start_over(&[]).await.unwrap();
    let due = journal.works_due(9, start()).await.unwrap();
    assert!(due[0].was_reset && !due[0].is_lost, "it is due at once: {due:?}");

    // One comes again by the sweep, and is under way.
    assert_eq!(store.append(native("b", "new")).await, (1, 0));
    let swept = store.claim().await.remove(0);
    let waits = [TimeDelta::zero()];
    let lost =
        LostWork { work: "work", reason: "lost", waits: &waits, closing: None, refusals: &[] };
    let requeued = journal.work_lost(&lost, start()).await.unwrap().unwrap();
    let expected = Requeued { pending: 2, came_otherwise: 1, ..Requeued::default() };
    assert_eq!(requeued, expected);
    let again = journal.work_lost(&lost, start()).await.unwrap();
    assert_eq!(again, Some(Requeued::default()), "another replica comes too late");
    assert_eq!(journal.works_due(9, start()).await.unwrap(), []);
    journal.finish(&[(swept.claim, delivered())], start()).await.unwrap();

    assert_eq!(store.append(native("a", "new")).await, (0, 1), "the sweep finds it there");
    let claimed = store.claim().await;
    assert_eq!(claimed.iter().map(|event| event.claim.event).collect::<Vec<_>>(), [a, c]);
    assert_eq!(journal.requeued(&[a, b, c]).await.unwrap(), [a, c].into(), "whole");
    for event in &claimed {
        assert!(event.claim.fence > event.claim.attempt, "{event:?}");
        journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
    }

    // Lost once more in the same generation, and again in the next one.
    let part = |event| [WorkPart { event, objects: Vec::new() }];
    journal.work_opened("second", &part(a), start()).await.unwrap();
    let second = LostWork { work: "second", closing: Some("close it"), ..lost };
    let requeued = journal.work_lost(&second, start()).await.unwrap().unwrap();
    assert_eq!((requeued.pending, requeued.gave_up), (0, vec![a]));
    let due = journal.works_due(9, start()).await.unwrap();
    assert!(due[0].is_lost && due[0].closing.as_deref() == Some("close it"), "{due:?}");
    journal.start_over(&[]).await.unwrap();
    journal.work_opened("third", &part(a), start()).await.unwrap();
    let third = LostWork { work: "third", ..lost };
    assert_eq!(journal.work_lost(&third, start()).await.unwrap().unwrap().pending, 1);
}

async fn a_work_is_not_lost_while_an_event_of_it_is_claimed(store: Store) {
    let journal = &store.journal;
    store.append(native("a", "new")).await;
    let event = store.claim().await.remove(0);
    let parts = [WorkPart { event: event.claim.event, objects: Vec::new() }];
    journal.work_opened("work", &parts, start()).await.unwrap();
    let waits = [TimeDelta::zero()];
    let lost =
        LostWork { work: "work", reason: "lost", waits: &waits, closing: None, refusals: &[] };
    assert_eq!(journal.work_lost(&lost, start()).await.unwrap(), None, "it may end any moment");
    journal.finish(&[(event.claim, delivered())], start()).await.unwrap();
    assert_eq!(journal.work_lost(&lost, start()).await.unwrap().unwrap().pending, 1);
}

async fn an_event_of_two_lost_works_is_requeued_once_and_is_not_told_as_without_text(store: Store) {
    let journal = &store.journal;
    let event = store.ended(native("a", "new"), delivered()).await.claim.event;
    let parts = [WorkPart { event, objects: Vec::new() }];
    let waits = [TimeDelta::zero()];
    let mut requeued = Vec::new();
    for work in ["first", "second"] {
        journal.work_opened(work, &parts, start()).await.unwrap();
        let lost = LostWork { work, reason: "lost", waits: &waits, closing: None, refusals: &[] };
        requeued.push(journal.work_lost(&lost, start()).await.unwrap().unwrap());
    }
    assert_eq!(requeued[0], Requeued { pending: 1, ..Requeued::default() });
    assert_eq!(requeued[1], Requeued { came_otherwise: 1, ..Requeued::default() });
}

async fn it_is_known_what_was_delivered_before(store: Store) {
    let first = store.ended(native("a", "new"), delivered()).await.claim.event;
    let second = store.ended(native("a", "closed"), delivered()).await.claim.event;
    let other = store.ended(native("b", "new"), delivered()).await.claim.event;
    let known = store.journal.delivered_before(&[second, other]).await.unwrap();
    assert_eq!(known, [second].into());
    assert_eq!(store.journal.delivered_before(&[first]).await.unwrap().len(), 1);
}

async fn a_verdict_is_kept_until_opencti_shows_it_and_while_it_is_one(store: Store) {
    let journal = &store.journal;
    let flag = |sighted_by: &str, negative| SightingFlag {
        sighting: format!("sighting--{sighted_by}"),
        sighting_of: "indicator--1".to_owned(),
        sighted_by: sighted_by.to_owned(),
        seen_at: start(),
        negative,
    };
    let due = async || journal.flags_due(9, start()).await.unwrap();
    // What was never one and is none is nobody's business.
    let flags = [flag("one", true), flag("two", false)];
    journal.note_sightings(&flags, start()).await.unwrap();
    assert_eq!(due().await.len(), 1);
    journal.flag_again(&flags[0], Some(start())).await.unwrap();
    assert_eq!(due().await[0].tries, 1);
    journal.postpone_flag(&flags[0], start() + TimeDelta::minutes(1)).await.unwrap();
    assert!(due().await.is_empty());
    journal.flag_shown(&flags[0]).await.unwrap();
    journal.note_sightings(&[flag("one", true)], start()).await.unwrap();
    assert!(due().await.is_empty(), "it shows already");
    journal.note_sightings(&[flag("one", false)], start()).await.unwrap();
    let back = due().await.remove(0);
    assert!(!back.flag.negative && back.tries == 0);
    journal.flag_shown(&back.flag).await.unwrap();
    journal.note_sightings(&[flag("one", false)], start()).await.unwrap();
    assert!(due().await.is_empty(), "it is nobody's business any more");
}

async fn what_the_status_page_asks_for_is_told(store: Store) {
    store.ended(native("a", "new"), delivered()).await;
    store.ended(native("b", "new"), Outcome::Dead { reason: "100 % odd".to_owned() }).await;
    let activity = store.journal.activity(start()).await.unwrap();
    let now = activity.hours.last().unwrap();
    assert_eq!((now.received, now.delivered), (2, 1));
    assert_eq!((activity.last_swept, activity.last_push), (Some(start()), None));
    assert!(store.journal.used_bytes().await.unwrap() > 0);
    let reason = |text: &str| DeadLetterFilter {
        reason: Some(text.to_owned()),
        ..DeadLetterFilter::default()
    };
    assert_eq!(store.ids(&reason("100 % ODD")).await.len(), 1);
    assert_eq!(store.ids(&reason("100_%")).await.len(), 0, "as it stands, no pattern");
    let of_the_sweep =
        DeadLetterFilter { origin: Some(Origin::Sweep), ..DeadLetterFilter::default() };
    assert_eq!(store.ids(&of_the_sweep).await.len(), 1);
    store.journal.forget("nothing").await.unwrap();
}

async fn an_indicator_is_valid_from_its_first_alert_until_one_comes_long_after(store: Store) {
    let journal = &store.journal;
    let other = journal.of_console("https://other.example");
    let seen = |id: &str, day: i64, days: i64| SeenIndicator {
        id: format!("indicator--{id}"),
        seen_at: start() + TimeDelta::days(day),
        moves_after: TimeDelta::days(days),
    };
    for (console, id, day, days, expected) in [
        (journal, "file", 0, 30, 0),
        (journal, "file", 29, 30, 0),
        (&other, "file", -400, 30, 0),
        (&other, "file", 30, 30, 30),
        (journal, "file", 59, 30, 30),
        (journal, "url", 5, 15, 5),
        (&other, "url", 19, 15, 5),
        (&other, "url", 20, 15, 20),
        (journal, "file", 1, 30, 30),
    ] {
        let valid_from = console.valid_from(&seen(id, day, days)).await.unwrap();
        assert_eq!((valid_from - start()).num_days(), expected, "{id} of day {day}");
    }
}

on_both_databases! {
    an_indicator_is_valid_from_its_first_alert_until_one_comes_long_after,
    a_work_is_kept_from_its_opening_until_it_is_read,
    what_a_lost_work_brought_is_requeued_once_and_in_the_present_generation,
    a_work_is_not_lost_while_an_event_of_it_is_claimed,
    an_event_of_two_lost_works_is_requeued_once_and_is_not_told_as_without_text,
    it_is_known_what_was_delivered_before,
    a_verdict_is_kept_until_opencti_shows_it_and_while_it_is_one,
    what_the_status_page_asks_for_is_told,
}
