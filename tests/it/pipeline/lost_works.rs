//! Works of which objects never reach OpenCTI, without an error there: purged by a reset, deleted,
//! burnt while the search engine was away. Everything in them arrives all the same, once.

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{Generator, Kind},
};

use crate::support::{
    opencti::{FakeWork, Personality},
    post_delivery_checks::{PostDeliveryChecks, delivered, objects_of, run, time_passes},
    stage::{Stage, incident_names},
};

/// Looks at the works after each of these waits, all in one process; answers how many events are
/// pending then.
async fn look(stage: &Stage, waits: &[TimeDelta]) -> u64 {
    let after = PostDeliveryChecks::new(stage).await;
    for wait in waits {
        after.round_after(*wait).await;
    }
    after.journal.pending().await.unwrap()
}

fn last_work(stage: &Stage) -> FakeWork {
    stage.opencti.works().pop().unwrap()
}

/// No work is known to the journal any more, and none is open in OpenCTI.
async fn nothing_is_left_open(stage: &Stage) {
    let after = PostDeliveryChecks::new(stage).await;
    let due = after.journal.works_due(9, after.clock.now() + TimeDelta::days(9)).await.unwrap();
    assert_eq!(due, []);
    let works = stage.opencti.works();
    assert!(works.iter().all(|work| work.is_complete || work.is_deleted), "{works:?}");
}

/// OpenCTI completes what was closed, and nothing leaves again.
async fn the_rest_completes(stage: &Stage) {
    stage.opencti.complete_closed_works();
    assert_eq!(look(stage, &[TimeDelta::minutes(1)]).await, 0);
    nothing_is_left_open(stage).await;
}

#[tokio::test]
async fn what_a_reset_purges_arrives_once_also_what_the_console_no_longer_shows() {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    // Nothing is left out, so that each delivery of an alert has as many messages.
    stage.home.set("HARFANGLAB_INCIDENTS_RESEND_AFTER", "PT0S");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(31);
    for age in [TimeDelta::days(3), TimeDelta::hours(1)] {
        for _alert in 0..3 {
            let alert = generator.alert(Kind::SigmaProcess, now - age);
            stage.console.add_alert(alert.api_item());
        }
    }
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());
    let queued = stage.broker.depth(&stage.queue()).await;
    assert!(queued > 100, "{queued} messages");
    // The worker is at the 16th object of the first alert.
    for message in stage.broker.messages(&stage.queue(), 15).await {
        stage.opencti.process(message.body["work_id"].as_str().unwrap(), 1);
    }

    stage.opencti.reset_state(&stage.connector_id).await;
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0);
    // From now on the console shows the newer three.
    let start = (now - TimeDelta::days(1)).to_rfc3339();
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", &start);
    let swept = run(&stage).await;
    assert_eq!(incident_names(&swept).len(), 3, "the sweep brings what it can");
    stage.opencti.complete_closed_works();
    assert_eq!(look(&stage, &[TimeDelta::zero()]).await, 0, "the sweep may still bring them");
    assert_eq!(look(&stage, &[TimeDelta::minutes(1), TimeDelta::minutes(2)]).await, 3);
    time_passes(&stage).await;
    let again = run(&stage).await;
    assert_eq!(incident_names(&again).len(), 3, "from the journal");
    let arrived = swept.len() + again.len();
    assert_eq!(u32::try_from(arrived).unwrap(), queued, "all of it, and nothing twice");

    the_rest_completes(&stage).await;
}

#[tokio::test]
async fn a_work_that_is_processed_and_never_completes_leaves_again_a_few_times_and_then_ends() {
    let (stage, _, first) = delivered(Personality::V7_260817_0, &[Kind::SigmaProcess]).await;
    let bundle = first[0].bundle["id"].clone();
    let minute = TimeDelta::minutes(1);
    stage.opencti.burn_objects(&last_work(&stage).id);
    assert_eq!(look(&stage, &[minute]).await, 0);
    // The service is started anew, and it still counts from the first look.
    assert_eq!(look(&stage, &[minute * 5]).await, 0, "four minutes may be slow");
    assert_eq!(look(&stage, &[minute * 6, TimeDelta::seconds(10)]).await, 1);
    let (message, in_error) = last_work(&stage).closed.unwrap();
    assert!(in_error && message.contains("objects of this work were lost"), "{message}");
    assert!(last_work(&stage).is_complete);

    // Deleted the second time: however a work was lost, the next loss finds the same bound.
    for (is_deleted, requeued) in [(true, 1), (false, 1), (false, 0)] {
        time_passes(&stage).await;
        let again = run(&stage).await;
        assert_eq!(objects_of(&bundle, &again), objects_of(&bundle, &first), "whole");
        let work = last_work(&stage).id;
        if is_deleted {
            stage.opencti.delete_work(&work);
        } else {
            stage.opencti.burn_objects(&work);
        }
        let waits = [minute, minute * 6, TimeDelta::seconds(10)];
        assert_eq!(look(&stage, &waits).await, requeued, "after {work}");
    }
    nothing_is_left_open(&stage).await;
}

#[tokio::test]
async fn what_is_queued_in_a_work_that_somebody_deletes_leaves_once_more() {
    let (stage, _, first) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
    let bundle = first[0].bundle["id"].clone();
    stage.opencti.delete_work(&last_work(&stage).id);
    assert_eq!(look(&stage, &[TimeDelta::minutes(1)]).await, 0, "is it a reset?");
    assert_eq!(look(&stage, &[TimeDelta::minutes(4)]).await, 1);
    time_passes(&stage).await;
    let again = run(&stage).await;
    assert_eq!(objects_of(&bundle, &again), objects_of(&bundle, &first));
    the_rest_completes(&stage).await;
}

#[tokio::test]
async fn a_backlog_of_days_is_waited_for_and_a_queue_that_somebody_emptied_is_not() {
    let (stage, _, first) = delivered(Personality::V7_260817_0, &[Kind::SigmaProcess]).await;
    let bundle = first[0].bundle["id"].clone();
    stage.opencti.fill_queue(&stage.connector_id, 2_000.0);
    let after = PostDeliveryChecks::new(&stage).await;
    for _hour in 0..3 * 24 {
        after.round_after(TimeDelta::hours(1)).await;
    }
    assert_eq!(after.journal.pending().await.unwrap(), 0, "it is still queued");
    stage.opencti.fill_queue(&stage.connector_id, 0.0);
    for _hour in 0..13 {
        after.round_after(TimeDelta::hours(1)).await;
    }
    assert_eq!(after.journal.pending().await.unwrap(), 1);
    drop(after);
    time_passes(&stage).await;
    let again = run(&stage).await;
    assert_eq!(objects_of(&bundle, &again), objects_of(&bundle, &first));
    the_rest_completes(&stage).await;
}
