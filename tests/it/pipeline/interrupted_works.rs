//! No work stays in progress for ever: what was announced and never comes is taken back.

use chrono::TimeDelta;
use harfanglab_incidents::{demo::Kind, opencti::OpenCti, pipeline::Afterwards};

use crate::support::{
    opencti::Personality,
    post_delivery_checks::{PostDeliveryChecks, delivered},
};

#[tokio::test]
async fn a_work_that_a_crash_interrupted_completes_once_nothing_of_it_is_queued_any_more() {
    for personality in Personality::ALL {
        let (stage, _, _) = delivered(personality, &[Kind::SigmaProcess]).await;
        stage.opencti.complete_closed_works();
        let client = OpenCti::new(&stage.opencti.settings()).unwrap();
        client.version().await.unwrap();
        let id = client.open_work(&stage.connector_id, "in the middle of it").await.unwrap();
        client.expect_objects(&id, 5).await.unwrap();
        let work =
            || stage.opencti.works().into_iter().find(|work| work.id == id.as_str()).unwrap();
        let after = PostDeliveryChecks::new(&stage).await;
        after.journal.work_opened(id.as_str(), &[], after.clock.now()).await.unwrap();

        // The next start. Two objects had left before the crash.
        Afterwards::take_over(&after.journal, after.clock.now()).await.unwrap();
        stage.opencti.fill_queue(&stage.connector_id, 2_000.0);
        after.round_after(TimeDelta::zero()).await;
        assert!(matches!(work().closed, Some((_, true))), "{:?}", work());
        after.round_after(TimeDelta::seconds(30)).await;
        assert_eq!((work().expected, work().is_complete), (5, false), "they may still come");
        stage.opencti.process(id.as_str(), 2);
        stage.opencti.fill_queue(&stage.connector_id, 0.0);
        after.round_after(TimeDelta::seconds(60)).await;
        assert_eq!((work().expected, work().is_complete), (2, true), "{personality:?}");

        let last = TimeDelta::days(1);
        after.round_after(last).await;
        let due = after.journal.works_due(9, after.clock.now() + last).await.unwrap();
        assert!(due.iter().all(|due| due.id != id.as_str()), "{due:?}");
        assert_eq!(after.refusals().await, [], "our own notes are no refusals");
        assert_eq!(after.journal.pending().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn where_the_queue_is_not_known_an_interrupted_work_completes_at_the_last_look() {
    let (stage, _, _) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
    let client = OpenCti::new(&stage.opencti.settings()).unwrap();
    let id = client.open_work(&stage.connector_id, "in the middle of it").await.unwrap();
    client.expect_objects(&id, 5).await.unwrap();
    let after = PostDeliveryChecks::new(&stage).await;
    after.journal.work_opened(id.as_str(), &[], after.clock.now()).await.unwrap();
    Afterwards::take_over(&after.journal, after.clock.now()).await.unwrap();
    stage.opencti.fill_queue(&stage.connector_id, 1.0);
    for _hour in 0..48 {
        after.round_after(TimeDelta::hours(1)).await;
    }
    let works = stage.opencti.works();
    let work = works.iter().find(|work| work.id == id.as_str()).unwrap();
    assert_eq!((work.expected, work.is_complete), (0, true));
}

#[tokio::test]
async fn a_work_whose_end_the_journal_could_not_note_is_closed_without_a_restart() {
    let (stage, _, _) = delivered(Personality::V6_9_28, &[Kind::SigmaProcess]).await;
    let client = OpenCti::new(&stage.opencti.settings()).unwrap();
    let id = client.open_work(&stage.connector_id, "its end was not noted").await.unwrap();
    let after = PostDeliveryChecks::new(&stage).await;
    after.journal.work_opened(id.as_str(), &[], after.clock.now()).await.unwrap();
    let closed = || {
        let works = stage.opencti.works();
        works.into_iter().find(|work| work.id == id.as_str()).unwrap().closed
    };
    after.round_after(TimeDelta::minutes(20)).await;
    assert_eq!(closed(), None, "it may be under way");
    after.round_after(TimeDelta::minutes(11)).await;
    let (message, in_error) = closed().expect("it is too old to be under way");
    assert!(in_error && message.contains("was not noted"), "{message}");
    let due = after.clock.now() + TimeDelta::minutes(1);
    let works = after.journal.works_due(9, due).await.unwrap();
    let looked_at = works.iter().find(|work| work.id == id.as_str()).expect("and is looked at");
    assert_eq!(looked_at.closing, None);
}
