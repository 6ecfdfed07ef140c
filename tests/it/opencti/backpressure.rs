//! Deliveries wait while OpenCTI's queue is too long, and nothing else does.

use std::{sync::Arc, time::Duration};

use harfanglab_incidents::{
    clock::Clock,
    demo::Generator,
    opencti::{Backpressure, Connector, OpenCti, QueueLoad},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{
    journal_file::connect,
    opencti::{FakeOpenCti, Personality, connector_settings},
    stage::{Stage, alerts_in, http, incident_names, post},
};

async fn readiness(management: &str) -> Value {
    let answer = http().get(format!("{management}/readyz")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "a full queue is no reason to send nobody here");
    answer.json().await.unwrap()
}

async fn metrics(management: &str) -> String {
    http().get(format!("{management}/metrics")).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn while_the_queue_is_full_alerts_are_accepted_and_wait_and_go_on_when_it_has_room() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("CONNECTOR_QUEUE_THRESHOLD", "2");
    stage.opencti.fill_queue(&stage.connector_id, 2e6);
    let mut app = stage.home.start(&["serve"]);
    let (url, management) = (app.webhook().await, app.management().await);

    let mut generator = Generator::new(7);
    for _ in 0..3 {
        let alert = generator.next_alert(Clock::system().now());
        assert_eq!(post(&url, &alert.native()).await.0.as_u16(), 202);
    }
    let id = stage.connector_id.clone();
    let beaten = stage
        .opencti
        .wait_for("a heartbeat, and a second look at the queue", |state| {
            let looks = state.requests.iter().filter(|r| r.operation == "ConnectorQueue").count();
            state.connectors[&id].pings > 0 && looks > 1
        })
        .await;
    let info = &beaten.connectors[&id].info;
    assert_eq!(info["buffering"], json!(true), "{info}");
    assert_eq!(
        (&info["queue_messages_size"], &info["queue_threshold"]),
        (&json!(2.0), &json!(2.0))
    );
    assert!(beaten.works.is_empty(), "nothing was sent: {:#?}", beaten.works);
    let ready = readiness(&management).await;
    assert_eq!(ready["status"], "degraded", "{ready}");
    let reason = ready["degraded"]["opencti_queue"].as_str().unwrap();
    assert!(reason.contains("2.0 MB") && reason.contains("CONNECTOR_QUEUE_THRESHOLD"), "{reason}");
    assert_eq!(ready["journal"]["pending"], 3, "{ready}");
    assert!(metrics(&management).await.contains("\nopencti_queue_buffering 1\n"));

    stage.opencti.fill_queue(&stage.connector_id, 1_999_999.0);
    app.wait_for_log("going on", |line| {
        line["message"].as_str()?.contains("queue has room").then_some(())
    })
    .await;
    let delivered = stage
        .opencti
        .wait_for("all three are delivered", |state| alerts_in(&state.works) == 3)
        .await;
    let messages = stage.messages_of(&delivered.works).await;
    assert_eq!(incident_names(&messages).len(), 3);
    let ready = readiness(&management).await;
    assert!(ready["degraded"].get("opencti_queue").is_none(), "{ready}");
    assert!(metrics(&management).await.contains("\nopencti_queue_buffering 0\n"));
    assert!(app.terminate().await.success(), "{}", app.log());
}

#[tokio::test]
async fn a_stop_while_the_queue_is_full_adds_nothing_to_it() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("CONNECTOR_QUEUE_THRESHOLD", "2");
    stage.opencti.fill_queue(&stage.connector_id, 2e6);
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let id = stage.connector_id.clone();
    stage.opencti.wait_for("a heartbeat", |state| state.connectors[&id].pings > 0).await;
    let alert = Generator::new(8).next_alert(Clock::system().now());
    assert_eq!(post(&url, &alert.native()).await.0.as_u16(), 202);
    assert!(app.terminate().await.success(), "{}", app.log());
    assert!(stage.opencti.works().is_empty(), "{:#?}", stage.opencti.works());
    let mut journal = connect(&stage.home.journal()).await;
    let tries: i64 = sqlx::query_scalar("SELECT SUM(attempts) FROM events")
        .fetch_one(&mut journal)
        .await
        .unwrap();
    assert_eq!(tries, 0, "what cannot leave stays where the next start finds it");
}

#[tokio::test]
async fn a_platform_that_does_not_tell_the_size_of_the_queue_holds_nothing_up() {
    for personality in Personality::ALL {
        let platform = FakeOpenCti::start_without_broker(personality);
        let client = OpenCti::new(&platform.settings()).unwrap();
        let connector = Arc::new(Connector::new(client, connector_settings("some-connector")));
        let pressure = Backpressure::new(connector);
        platform.fill_queue("some-connector", 500e6);
        let full = pressure.look().await.unwrap();
        assert_eq!(full, QueueLoad { size_mb: 500.0, buffering: true });
        let stop = CancellationToken::new();
        let waiting = tokio::time::timeout(Duration::ZERO, pressure.relieved(&stop));
        assert!(waiting.await.is_err(), "at the threshold deliveries wait");

        platform.fail_next("ConnectorQueue", "FORBIDDEN_ACCESS", "You are not allowed to do this.");
        let refused = pressure.look().await.unwrap_err().to_string();
        assert!(refused.contains("Connector"), "{refused}");
        assert_eq!(*pressure.load().borrow(), QueueLoad::default());
        pressure.relieved(&stop).await;
    }
}
