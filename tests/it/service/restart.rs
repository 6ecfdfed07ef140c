//! The plug is pulled between the answer and the delivery.

use harfanglab_incidents::{clock::Clock, demo::Generator};
use serde_json::Value;

use crate::support::stage::{Stage, alerts_in, incident_names, post};

#[tokio::test]
async fn what_was_answered_202_arrives_after_a_kill_and_a_restart_and_a_second_post_sends_nothing()
{
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut generator = Generator::new(4);
    let now = Clock::system().now();
    let alerts: Vec<_> = (0..5).map(|_| generator.next_alert(now)).collect();

    // OpenCTI is away, so nothing can leave before the plug is pulled.
    stage.opencti.go_down();
    let mut first = stage.home.start(&["serve"]);
    let url = first.webhook().await;
    for alert in &alerts {
        assert_eq!(post(&url, &alert.native()).await.0.as_u16(), 202);
    }
    first.kill().await;
    assert!(stage.opencti.works().is_empty());

    stage.opencti.come_back();
    let mut second = stage.home.start(&["serve"]);
    let url = second.webhook().await;
    let delivered = stage
        .opencti
        .wait_for("all five are delivered", |state| alerts_in(&state.works) == 5)
        .await;
    let messages = stage.messages_of(&delivered.works).await;
    assert_eq!(incident_names(&messages).len(), 5);

    let (status, answer) = post(&url, &alerts[0].native()).await;
    assert_eq!(status.as_u16(), 202);
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&Value::from(0), &Value::from(1)));
    // The service ends only after everything under way has left: then nothing more was sent.
    assert!(second.terminate().await.success());
    assert_eq!(stage.opencti.works().len(), delivered.works.len(), "no work for a duplicate");
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0);
}
