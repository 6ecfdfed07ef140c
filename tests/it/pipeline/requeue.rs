//! Events that OpenCTI refused because something was missing or busy leave once more, whole and a bounded
//! number of times; what it refused for good does not.

use chrono::TimeDelta;
use harfanglab_incidents::{demo::Kind, journal::EventId};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use crate::support::{
    broker::Message,
    opencti::Personality,
    post_delivery_checks::{PostDeliveryChecks, delivered, objects_of, run, time_passes},
    stage::Stage,
};

const MISSING: &str = "{'name': 'MISSING_REFERENCE_ERROR', 'message': 'Element(s) not found'}";

/// The worker is through with everything and refused an object of this type, of the bundle.
fn refuse(stage: &Stage, messages: &[Message], bundle: &Value, kind: &str, reason: &str) {
    let sent = |message: &&Message| {
        message.bundle["id"] == *bundle && message.bundle["objects"][0]["type"] == kind
    };
    let message = messages.iter().find(sent).expect("it was sent");
    let work = message.body["work_id"].as_str().unwrap();
    stage.opencti.refuse_object(work, &message.bundle["objects"][0], reason);
    stage.opencti.complete_closed_works();
}

/// Reads the works; answers what is pending then, and the story of `incident` as it is shown.
async fn read_works(stage: &Stage, incident: &str) -> (u64, String) {
    let pending = {
        let after = PostDeliveryChecks::new(stage).await;
        after.round_after(TimeDelta::minutes(1)).await;
        after.journal.pending().await.unwrap()
    };
    let mut command = stage.home.start(&["events", "show", incident]);
    let mut text = String::new();
    command.stdout().read_to_string(&mut text).await.unwrap();
    assert!(command.exit().await.success(), "{}", command.log());
    (pending, text)
}

#[tokio::test]
async fn what_was_refused_for_now_leaves_three_times_more_and_what_was_refused_for_good_never() {
    let kinds = [Kind::SigmaProcess, Kind::SelfProtection];
    let (stage, _, first) = delivered(Personality::V7_260817_0, &kinds).await;
    let incidents: Vec<&Message> =
        first.iter().filter(|message| message.bundle["objects"][0]["type"] == "incident").collect();
    let [passing, lasting] = incidents.as_slice() else { panic!("two alerts left") };
    let (passing, lasting) = (passing.bundle.clone(), lasting.bundle.clone());
    let incident = passing["objects"][0]["id"].as_str().unwrap();
    let whole = objects_of(&passing["id"], &first);
    refuse(&stage, &first, &lasting["id"], "incident", "FUNCTIONAL_ERROR: not allowed");

    let mut sent = first;
    for time in 1..=3 {
        refuse(&stage, &sent, &passing["id"], "relationship", MISSING);
        let (pending, story) = read_works(&stage, incident).await;
        assert_eq!(pending, 1, "{story}");
        let told = format!("leaves once more ({time} of 3): OpenCTI refused relationship--");
        assert!(story.contains(&told), "{told}: {story}");
        time_passes(&stage).await;
        sent = run(&stage).await;
        assert_eq!(objects_of(&passing["id"], &sent), whole);
        assert_eq!(sent.len(), whole.len(), "nothing of the other alert");
    }
    refuse(&stage, &sent, &passing["id"], "relationship", MISSING);
    let (pending, story) = read_works(&stage, incident).await;
    assert_eq!(pending, 0, "three times are enough: {story}");
    assert!(story.contains("because of what OpenCTI refused: 3 times"), "{story}");
    assert!(story.contains(", 4 times, last "), "{story}");
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_one_that_would_leave_once_more() {
    let (stage, alerts, first) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
    let bundle = first[0].bundle["id"].clone();
    let incident = first.iter().find(|it| it.bundle["objects"][0]["type"] == "incident").unwrap();
    let incident = incident.bundle["objects"][0]["id"].as_str().unwrap().to_owned();
    let closed = serde_json::json!({
        "status": "closed",
        "last_update": harfanglab_incidents::clock::Clock::system().now().to_rfc3339(),
    });
    stage.console.update_alert(alerts[0].unique_id(), &closed).unwrap();
    run(&stage).await;
    refuse(&stage, &first, &bundle, "relationship", "LOCK_ERROR");
    let (pending, story) = read_works(&stage, &incident).await;
    assert_eq!(pending, 1, "{story}");
    let after = PostDeliveryChecks::new(&stage).await;
    let chapters = after.journal.event_history(&incident).await.unwrap().unwrap().entries;
    let again: Vec<EventId> = chapters
        .iter()
        .filter(|chapter| chapter.times_requeued > 0)
        .map(|chapter| chapter.id)
        .collect();
    let newest = chapters.iter().filter(|chapter| chapter.follows.is_none()).map(|it| it.id).max();
    assert_eq!(again, [newest.unwrap()], "an older one would undo it: {story}");
}
