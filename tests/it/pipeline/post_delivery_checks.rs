//! After a delivery: works are closed whatever happens, what OpenCTI refused comes back, and verdicts
//! on sightings reach platforms that do not take them by bundle.

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::Kind,
    journal::{ListedRefusal, MOST_REFUSALS, Refusal, SightingFlag},
    opencti::{CONTINUED, OpenCti},
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::support::{
    broker::Message,
    opencti::Personality,
    post_delivery_checks::{PostDeliveryChecks, delivered, run},
    stage::Stage,
    stores::open_sqlite,
};

fn object(messages: &[Message], wanted: impl Fn(&Value) -> bool) -> &Value {
    let mut objects = messages.iter().map(|message| &message.bundle["objects"][0]);
    objects.find(|object| wanted(object)).expect("it was sent")
}

#[tokio::test]
async fn a_work_tells_what_is_new_and_what_is_updated() {
    let (stage, alerts, _) =
        delivered(Personality::V7_260817_0, &[Kind::SigmaProcess, Kind::SigmaProcess]).await;
    let works = stage.opencti.works();
    let messages: Vec<_> = works.iter().map(|work| work.closed.clone().unwrap().0).collect();
    // They arrive together, but nobody promises that both are ready in time.
    let expected = match works.len() {
        1 => vec!["2 HarfangLab alerts: 2 new incidents"],
        _ => vec!["1 HarfangLab alert: 1 new incident"; 2],
    };
    assert_eq!(messages, expected);

    let change = json!({"status": "closed", "last_update": Clock::system().now().to_rfc3339()});
    stage.console.update_alert(alerts[0].unique_id(), &change).unwrap();
    run(&stage).await;
    let closed = ("1 HarfangLab alert: 1 updated incident".to_owned(), false);
    assert_eq!(stage.opencti.works()[works.len()].closed, Some(closed));
}

#[tokio::test]
async fn works_that_a_killed_process_left_open_are_closed_at_the_next_start() {
    let (mut stage, _, _) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
    let client = OpenCti::new(&stage.opencti.settings()).unwrap();
    let work = client.open_work(&stage.connector_id, "in the middle of it").await.unwrap();
    let forgotten = client.open_work(&stage.connector_id, "deleted meanwhile").await.unwrap();
    {
        // As a process that was killed right after it had opened them.
        let after = PostDeliveryChecks::new(&stage).await;
        for work in [&work, &forgotten] {
            after.journal.work_opened(work.as_str(), &[], after.clock.now()).await.unwrap();
        }
    }
    stage.opencti.delete_work(forgotten.as_str());
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "false");
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    let mut app = stage.home.start(&["serve"]);
    let closed =
        stage.opencti.wait_for("it is closed", |state| state.works[1].closed.is_some()).await;
    let (message, in_error) = closed.works[1].closed.clone().unwrap();
    assert!(in_error && message.contains("stopped in mid-delivery"), "{message}");
    assert!(app.terminate().await.success());
}

#[tokio::test]
async fn what_opencti_refused_is_put_on_the_event_that_sent_it_and_what_is_spurious_is_not() {
    for personality in Personality::ALL {
        let kinds = [Kind::SigmaProcess, Kind::SelfProtection];
        let (stage, _, messages) = delivered(personality, &kinds).await;
        let of_kind = |kind: &str| -> Vec<_> {
            let sent = messages.iter().map(|message| (message, &message.bundle["objects"][0]));
            sent.filter(|(_, object)| object["type"] == kind).collect()
        };
        let refuse = |message: &Message, object: &Value, reason: &str| {
            let work = message.body["work_id"].as_str().unwrap();
            stage.opencti.refuse_object(work, object, reason);
        };
        let incidents = of_kind("incident");
        let (indicator, author) = (of_kind("indicator")[0], of_kind("identity")[0].1);
        refuse(incidents[1].0, incidents[1].1, "FUNCTIONAL_ERROR: no");
        refuse(indicator.0, indicator.1, "BAD_USER_INPUT: score");
        // Both alerts sent it, and both were refused.
        for (message, _) in of_kind("identity").into_iter().filter(|(_, one)| *one == author) {
            refuse(message, author, "LOCK_ERROR");
        }
        let traffic = json!({"type": "network-traffic", "id": "network-traffic--1"});
        let spurious = "UNSUPPORTED_ERROR: Cant add another relation on single ref";
        refuse(incidents[0].0, &traffic, spurious);
        let (incidents, indicator) = ([incidents[0].1, incidents[1].1], indicator.1);

        let after = PostDeliveryChecks::new(&stage).await;
        after.round_after(TimeDelta::seconds(30)).await;
        assert_eq!(after.refusals().await, [], "the work is not done yet");
        for work in stage.opencti.works() {
            stage.opencti.complete_work(&work.id);
        }
        after.round_after(TimeDelta::seconds(60)).await;

        let refusals = after.refusals().await;
        let of = |id: &Value| -> Vec<_> {
            refusals.iter().filter(|listed| listed.refusal.object == *id).collect()
        };
        let roots = |listed: Vec<&ListedRefusal>| -> Vec<_> {
            let mut roots: Vec<_> = listed.iter().map(|it| json!(it.root_id)).collect();
            roots.sort_by_key(ToString::to_string);
            roots
        };
        assert_eq!(roots(of(&incidents[1]["id"])), [incidents[1]["id"].clone()]);
        assert!(of(&incidents[1]["id"])[0].refusal.reason.contains("FUNCTIONAL_ERROR"));
        assert_eq!(of(&indicator["id"]).len(), 1);
        assert!(of(&indicator["id"])[0].key.is_some());
        let mut both: Vec<_> = incidents.iter().map(|object| object["id"].clone()).collect();
        both.sort_by_key(ToString::to_string);
        assert_eq!(roots(of(&author["id"])), both);
        let is_real = personality == Personality::V7_260817_0;
        assert_eq!(of(&traffic["id"]).len(), usize::from(is_real), "{personality:?}");

        let asked = stage.opencti.requests("WorkErrors").len();
        after.round_after(TimeDelta::days(1)).await;
        assert_eq!(stage.opencti.requests("WorkErrors").len(), asked, "what is read is let go");
        commands_tell_of_it(&stage, incidents[1]["id"].as_str().unwrap()).await;
    }
}

/// Checks that what was refused is listed beside the dead letters, and stands in the story of its alert.
async fn commands_tell_of_it(stage: &Stage, incident: &str) {
    let printed = async |arguments: &[&str]| {
        let mut command = stage.home.start(arguments);
        let mut text = String::new();
        command.stdout().read_to_string(&mut text).await.unwrap();
        assert!(command.exit().await.success(), "{}", command.log());
        text
    };
    let listed = printed(&["dead-letters", "refused", "--json"]).await;
    let listed: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_incident = listed.iter().find(|refusal| refusal["object"] == incident).unwrap();
    assert_eq!(of_incident["root_id"], incident);
    for arguments in [["dead-letters", "refused"].as_slice(), &["events", "show", incident]] {
        let text = printed(arguments).await;
        assert!(text.contains(incident) && text.contains("FUNCTIONAL_ERROR: no"), "{text}");
    }
}

#[tokio::test]
async fn a_work_or_flag_that_opencti_cannot_answer_for_stops_no_other_and_is_let_go_by_age() {
    let (stage, _, messages) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
    let incident = object(&messages, |object| object["type"] == "incident");
    let healthy = stage.opencti.works()[0].id.clone();
    stage.opencti.refuse_object(&healthy, incident, "no");
    stage.opencti.complete_work(&healthy);
    let after = PostDeliveryChecks::new(&stage).await;
    let now = after.clock.now();
    let client = OpenCti::new(&stage.opencti.settings()).unwrap();
    let stuck = client.open_work(&stage.connector_id, "stuck").await.unwrap();
    after.journal.work_opened(stuck.as_str(), &[], now).await.unwrap();
    after.journal.work_closed(stuck.as_str(), now, now - TimeDelta::minutes(1)).await.unwrap();
    let flag = |number: u32| SightingFlag {
        sighting: format!("sighting--{number}"),
        sighting_of: format!("indicator--{number}"),
        sighted_by: "identity--1".to_owned(),
        seen_at: now,
        negative: true,
    };
    after.journal.note_sightings(&[flag(1), flag(2)], now).await.unwrap();

    stage.opencti.fail_next("WorkErrors", "DATABASE_ERROR", "this one");
    stage.opencti.fail_next("Sighting", "DATABASE_ERROR", "this one");
    after.round_after(TimeDelta::minutes(1)).await;
    assert_eq!(after.refusals().await.len(), 1, "the work behind it was read");
    assert_eq!(stage.opencti.requests("Sighting").len(), 2, "the flag behind it had its turn");

    for _hour in 0..8 * 24 {
        stage.opencti.fail_next("WorkErrors", "DATABASE_ERROR", "this one");
        after.round_after(TimeDelta::hours(1)).await;
    }
    let due = after.clock.now() + TimeDelta::days(1);
    assert_eq!(after.journal.works_due(9, due).await.unwrap(), []);
}

#[tokio::test]
async fn a_work_that_is_closed_late_is_closed_as_what_it_was() {
    let (stage, _, _) = delivered(Personality::V7_260817_0, &[Kind::SigmaProcess]).await;
    let after = PostDeliveryChecks::new(&stage).await;
    let client = OpenCti::new(&stage.opencti.settings()).unwrap();
    let messages = [
        "1 HarfangLab alert: 1 new incident".to_owned(),
        format!("1 of 2 objects were queued, the rest {CONTINUED}: no connection"),
    ];
    let mut works = Vec::new();
    for message in &messages {
        let work = client.open_work(&stage.connector_id, "alerts").await.unwrap();
        let now = after.clock.now();
        after.journal.work_opened(work.as_str(), &[], now).await.unwrap();
        after.journal.work_left_open(work.as_str(), message, now).await.unwrap();
        works.push(work);
    }
    // One that cannot be closed stops no other, and has its turn again.
    stage.opencti.fail_next("WorkToProcessed", "FUNCTIONAL_ERROR", "not this one");
    after.round_after(TimeDelta::zero()).await;
    after.round_after(TimeDelta::seconds(60)).await;
    let closed = stage.opencti.works();
    for ((work, message), in_error) in works.iter().zip(messages).zip([false, true]) {
        let closed = closed.iter().find(|closed| closed.id == work.as_str()).unwrap();
        assert_eq!(closed.closed, Some((message, in_error)));
    }
}

#[tokio::test]
async fn of_more_refusals_than_are_kept_the_ones_that_come_again_stay() {
    let folder = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = open_sqlite(&url, "https://console.example").await;
    let start = Clock::system().now();
    let refusal = |object: &str, second: i64| Refusal {
        event: None,
        object: object.to_owned(),
        reason: "no".to_owned(),
        work: "work_1".to_owned(),
        refused_at: start + TimeDelta::seconds(second),
    };
    let mut refusals = vec![refusal("each minute", 0)];
    refusals.extend((1..MOST_REFUSALS).map(|number| refusal(&number.to_string(), number)));
    refusals.push(refusal("each minute", MOST_REFUSALS));
    refusals.push(refusal("the newest", MOST_REFUSALS + 1));
    journal.remove_work("work_1", &refusals).await.unwrap();
    let kept = journal.refusals(usize::MAX).await.unwrap();
    let newest: Vec<_> = kept.iter().take(2).map(|it| (&*it.refusal.object, it.times)).collect();
    assert_eq!(newest, [("the newest", 1), ("each minute", 2)]);
    assert_eq!(i64::try_from(kept.len()).unwrap(), MOST_REFUSALS);
    assert_eq!(kept.last().unwrap().refusal.object, "2");
}

#[tokio::test]
async fn one_turn_handles_all_works_that_are_due() {
    let (stage, _, _) = delivered(Personality::V7_260817_0, &[Kind::SigmaProcess]).await;
    let after = PostDeliveryChecks::new(&stage).await;
    let now = after.clock.now();
    for number in 0..50 {
        let work = format!("deleted_{number}");
        after.journal.work_opened(&work, &[], now).await.unwrap();
        after.journal.work_closed(&work, now, now).await.unwrap();
    }
    after.round_after(TimeDelta::zero()).await;
    assert_eq!(after.journal.works_due(9, now).await.unwrap(), []);
}

#[tokio::test]
async fn a_verdict_that_waits_for_approval_in_a_draft_edits_no_sighting() {
    for (needs_approval, edits) in [("true", 0), ("false", 1)] {
        let (mut stage, alerts, _) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
        stage.home.set("CONNECTOR_VALIDATE_BEFORE_IMPORT", needs_approval);
        let updated = Clock::system().now().to_rfc3339();
        let change = json!({"status": "false_positive", "last_update": updated});
        stage.console.update_alert(alerts[0].unique_id(), &change).unwrap();
        run(&stage).await;
        let after = PostDeliveryChecks::new(&stage).await;
        let later = after.clock.now() + TimeDelta::hours(1);
        assert_eq!(after.journal.flags_due(9, later).await.unwrap().len(), edits);
    }
}

#[tokio::test]
async fn a_work_that_never_completes_is_asked_for_fewer_and_fewer_times_and_read_at_the_last() {
    let (stage, _, messages) = delivered(Personality::V7_260817_0, &[Kind::SigmaProcess]).await;
    let incident = object(&messages, |object| object["type"] == "incident");
    stage.opencti.refuse_object(&stage.opencti.works()[0].id, incident, "no");
    // Something of it is still queued, as far as anybody knows.
    stage.opencti.fill_queue(&stage.connector_id, 2_000.0);
    let after = PostDeliveryChecks::new(&stage).await;
    for _quarter in 0..24 * 4 {
        after.round_after(TimeDelta::minutes(15)).await;
    }
    let in_a_day = stage.opencti.requests("WorkErrors").len();
    assert!(in_a_day <= 10, "{in_a_day}");
    for _hour in 0..7 * 24 {
        after.round_after(TimeDelta::hours(1)).await;
    }
    let in_a_week = stage.opencti.requests("WorkErrors").len() - in_a_day;
    assert!((10..15).contains(&in_a_week), "{in_a_week}");
    assert_eq!(after.refusals().await.len(), 1);
    assert_eq!(after.journal.pending().await.unwrap(), 0);
}

#[tokio::test]
async fn a_token_without_the_right_to_read_works_is_asked_once() {
    let (stage, alerts, _) = delivered(Personality::V6_4_0, &[Kind::SigmaProcess]).await;
    stage.opencti.take_right_to_read_works();
    let change = json!({"status": "closed", "last_update": Clock::system().now().to_rfc3339()});
    stage.console.update_alert(alerts[0].unique_id(), &change).unwrap();
    run(&stage).await;
    assert_eq!(stage.opencti.works().len(), 2);
    let after = PostDeliveryChecks::new(&stage).await;
    for _hour in 0..30 {
        after.round_after(TimeDelta::hours(1)).await;
    }
    assert_eq!(stage.opencti.requests("WorkErrors").len(), 1);
}

#[tokio::test]
async fn a_verdict_reaches_the_sighting_on_every_platform_and_back_again_after_a_restart() {
    for personality in Personality::ALL {
        let (stage, alerts, messages) = delivered(personality, &[Kind::SigmaProcess]).await;
        let is_sighting = |object: &Value| object["type"] == "sighting";
        // An older one is there already, so that ours is merged and its id forgotten.
        let mut older = object(&messages, is_sighting).clone();
        older["id"] = json!("sighting--00000000-0000-4000-8000-000000000001");
        stage.opencti.import_sighting(&older);
        stage.opencti.import_sighting(object(&messages, is_sighting));

        for (status, negative) in [("false_positive", true), ("investigating", false)] {
            let updated = Clock::system().now().to_rfc3339();
            let change = json!({"status": status, "last_update": updated});
            stage.console.update_alert(alerts[0].unique_id(), &change).unwrap();
            let update = run(&stage).await;
            let after = PostDeliveryChecks::new(&stage).await;
            stage.opencti.import_sighting(object(&update, is_sighting));
            after.round_after(TimeDelta::minutes(1)).await;
            let sightings = stage.opencti.state().knowledge.sightings;
            assert_eq!(sightings.len(), 1);
            assert_eq!(sightings[0].negative, negative, "{personality:?}, {status}");
        }
        let edits = stage.opencti.requests("SightingNegative").len();
        assert_eq!(edits, if personality == Personality::V7_260817_0 { 0 } else { 2 });
        let after = PostDeliveryChecks::new(&stage).await;
        let asked = stage.opencti.requests("Sighting").len();
        after.round_after(TimeDelta::days(1)).await;
        assert_eq!(stage.opencti.requests("Sighting").len(), asked, "nothing is left to do");
    }
}

#[tokio::test]
async fn a_sighting_that_never_shows_is_looked_for_a_bounded_number_of_times() {
    let (stage, _, _) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
    let after = PostDeliveryChecks::new(&stage).await;
    let now = after.clock.now();
    let flag = |negative| SightingFlag {
        sighting: "sighting--1".to_owned(),
        sighting_of: "indicator--1".to_owned(),
        sighted_by: "identity--1".to_owned(),
        seen_at: now,
        negative,
    };
    after.journal.note_sightings(&[flag(false)], now).await.unwrap();
    assert_eq!(after.journal.flags_due(9, now).await.unwrap(), [], "as the bundle made it");
    after.journal.note_sightings(&[flag(true)], now).await.unwrap();
    for _hour in 0..10 * 24 {
        after.round_after(TimeDelta::hours(1)).await;
    }
    assert_eq!(stage.opencti.requests("Sighting").len(), 18);
}
