//! Requests to OpenCTI over GraphQL, to each kind of platform, and what we make of its answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use harfanglab_incidents::opencti::{
    Connector, Heartbeat, HeartbeatEvent, OpenCti, OpenCtiError, Pulse, QueueLoad, resolve_workflow,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{
    broker::fresh_connector_id,
    opencti::{FakeOpenCti, Personality, connector_settings},
};

const CONNECTOR: &str = "11111111-2222-4333-8444-555555555555";

fn client(platform: &FakeOpenCti) -> OpenCti {
    OpenCti::new(&platform.settings()).unwrap()
}

fn connector(platform: &FakeOpenCti) -> Arc<Connector> {
    Arc::new(Connector::new(client(platform), connector_settings(CONNECTOR)))
}

#[tokio::test]
async fn the_workflow_of_incidents_is_asked_of_every_platform_and_may_not_be_there() {
    for personality in Personality::ALL {
        let platform = FakeOpenCti::start_without_broker(personality);
        let statuses = || async { client(&platform).incident_statuses().await.unwrap() };
        assert!(statuses().await.is_empty(), "{personality:?}: until an administrator adds some");
        platform.set_incident_statuses(&[("11aa", "NEW"), ("22bb", "CLOSED")]);
        let wanted = BTreeMap::from([("closed".to_owned(), "closed".to_owned())]);
        let resolved = resolve_workflow(&wanted, &statuses().await);
        assert_eq!(resolved.ids["closed"], "22bb", "{personality:?}: the status, not its template");
    }
}

#[tokio::test]
async fn each_platform_is_told_what_it_understands_and_no_more() {
    for (personality, resolution, multi_part) in [
        (Personality::V6_4_0, Value::Null, false),
        (Personality::V6_9_28, json!("none"), false),
        (Personality::V7_260817_0, json!("none"), true),
    ] {
        let platform = FakeOpenCti::start_without_broker(personality);
        let client = client(&platform);
        let registration = client.register(&connector_settings(CONNECTOR)).await.unwrap();
        client.open_work(CONNECTOR, "work").await.unwrap();

        assert!(registration.connector_user_id.is_some());
        assert_eq!(registration.push_exchange, "amqp.worker.exchange");
        let input = platform.connector(CONNECTOR).input;
        assert_eq!(input["enrichment_resolution"], resolution, "{personality:?}");
        assert_eq!(input.get("enrichment_resolution").is_some(), !resolution.is_null());
        assert_eq!(platform.works()[0].is_multi_part, multi_part, "{personality:?}");
        let state = platform.state();
        assert!(state.requests.iter().all(|r| r.user_agent.starts_with("harfanglab-incidents/")));
    }
}

#[tokio::test]
async fn a_refused_field_is_left_out_from_then_on() {
    let platform = FakeOpenCti::start_without_broker(Personality::V6_4_0);
    platform.claim_version("7.260817.0");
    let client = client(&platform);
    for _ in 0..2 {
        client.register(&connector_settings(CONNECTOR)).await.unwrap();
        client.open_work(CONNECTOR, "work").await.unwrap();
    }
    // Refused requests never reach the fake's list: what it saw is the baseline only.
    assert_eq!(platform.state().refused, 2, "one refusal of each feature, then remembered");
    assert_eq!(platform.works().len(), 2);
}

#[tokio::test]
async fn a_connector_that_another_library_registered_is_taken_over_where_it_stopped() {
    let platform = FakeOpenCti::start_without_broker(Personality::V6_9_28);
    let client = client(&platform);
    client.register(&connector_settings(CONNECTOR)).await.unwrap();
    platform.keep_state(CONNECTOR, "{\"last_incident_datetime\": \"2024-01-01T00:00:00Z\"}");
    let registration = client.register(&connector_settings(CONNECTOR)).await.unwrap();
    assert_eq!(registration.state, Some(json!({"last_incident_datetime": "2024-01-01T00:00:00Z"})));
    // The reason why the field must be sent as soon as a platform knows it.
    platform.claim_version("6.8.8");
    let error = client.register(&connector_settings(CONNECTOR)).await.unwrap_err();
    assert!(error.to_string().contains("enrichment_resolution"), "{error}");
}

#[tokio::test]
async fn a_failure_says_what_to_do() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let client = client(&platform);
    assert_eq!(client.version().await.unwrap(), "7.260817.0".parse().ok());

    platform.fail_next("RegisterConnector", "FORBIDDEN_ACCESS", "You are not allowed to do this.");
    let error = client.register(&connector_settings(CONNECTOR)).await.unwrap_err();
    assert!(error.to_string().contains("role \"Connector\""), "{error}");

    let error = client.open_work(CONNECTOR, "never registered").await.unwrap_err();
    assert!(matches!(error, OpenCtiError::ConnectorUnknown), "{error}");

    platform.change_token("another");
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, OpenCtiError::BadToken) && !error.is_retryable(), "{error}");

    platform.go_down();
    let error = client.version().await.unwrap_err();
    assert!(error.to_string().contains("maintenance") && error.is_retryable(), "{error}");

    let mut settings = platform.settings();
    settings.url = "http://user:hunter2@127.0.0.1:1/".parse().unwrap();
    let error = OpenCti::new(&settings).unwrap().version().await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(error.to_string().contains("127.0.0.1:1") && error.is_retryable(), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("fake-opencti-token"), "{text}");
}

#[tokio::test]
async fn configured_headers_travel_and_may_replace_the_token() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let mut settings = platform.settings();
    settings.token = SecretString::from("wrong");
    let right = SecretString::from(format!("Bearer {}", platform.token()));
    settings.custom_headers = vec![("authorization".to_owned(), right)];
    OpenCti::new(&settings).unwrap().version().await.unwrap();

    settings.custom_headers = vec![("X-Broken".to_owned(), SecretString::from("sec\nret"))];
    let error = OpenCti::new(&settings).unwrap_err().to_string();
    assert!(error.contains("X-Broken") && !error.contains("ret\""), "{error}");
}

/// A platform on which the connector is registered, and a beat that carries a state.
async fn registered() -> (FakeOpenCti, Arc<Connector>, Heartbeat, Pulse) {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let connector = connector(&platform);
    connector.registration().await.unwrap();
    let heartbeat = Heartbeat::new(Arc::clone(&connector));
    let pulse = Pulse { state: Some(json!({"cursor": 5})), ..Pulse::default() };
    (platform, connector, heartbeat, pulse)
}

#[tokio::test]
async fn a_connector_that_is_deleted_before_its_first_state_was_answered_counts_as_made_anew() {
    let (platform, connector, heartbeat, pulse) = registered().await;
    platform.fail_next("PingConnector", "UNKNOWN_ERROR", "the queue is being deleted");
    heartbeat.beat(&pulse).await.unwrap_err();
    // It was taken before the failure.
    platform.keep_state(CONNECTOR, "{\"cursor\":5}");
    platform.delete_connector(CONNECTOR).await;
    connector.forget(&connector.registration().await.unwrap());
    let recreated = heartbeat.beat(&pulse).await.unwrap();
    assert_eq!(recreated, Some(HeartbeatEvent::Recreated(None)));
    assert_eq!(heartbeat.beat(&pulse).await.unwrap(), Some(HeartbeatEvent::Held));
}

#[tokio::test]
async fn a_deletion_that_cannot_be_mended_at_once_is_told_by_the_beat_that_mends_it() {
    let (platform, _connector, heartbeat, pulse) = registered().await;
    platform.delete_connector(CONNECTOR).await;
    platform.fail_next("RegisterConnector", "DATABASE_ERROR", "search engine");
    heartbeat.beat(&pulse).await.unwrap_err();
    let recreated = heartbeat.beat(&pulse).await.unwrap();
    assert_eq!(recreated, Some(HeartbeatEvent::Recreated(None)));
}

#[tokio::test]
async fn a_beat_that_was_turned_away_leaves_no_state_that_could_be_missed() {
    let (platform, connector, heartbeat, pulse) = registered().await;
    platform.fail_next("PingConnector", "FORBIDDEN_ACCESS", "You are not allowed to do this.");
    heartbeat.beat(&pulse).await.unwrap_err();
    // A delivery registered again, for a reason of its own.
    connector.forget(&connector.registration().await.unwrap());
    assert_eq!(heartbeat.beat(&pulse).await.unwrap(), Some(HeartbeatEvent::Held));
}

#[tokio::test]
async fn a_heartbeat_reports_a_reset_and_a_deleted_connector() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let connector = connector(&platform);
    let heartbeat = Heartbeat::new(Arc::clone(&connector));
    let pulse = Pulse {
        state: Some(json!({"cursor": 5})),
        queue: QueueLoad { size_mb: 1.5, buffering: true },
        last_run: "2024-01-02T03:04:05Z".parse().ok(),
        ..Pulse::default()
    };
    assert_eq!(heartbeat.beat(&pulse).await.unwrap(), Some(HeartbeatEvent::Held));
    assert_eq!(heartbeat.beat(&pulse).await.unwrap(), None, "told once");
    let seen = platform.connector(CONNECTOR);
    assert_eq!(seen.state.as_deref(), Some("{\"cursor\":5}"));
    assert_eq!(seen.info["last_run_datetime"], "2024-01-02T03:04:05Z");
    let queue = (&seen.info["buffering"], &seen.info["queue_messages_size"]);
    assert_eq!(queue, (&json!(true), &json!(1.5)));

    platform.reset_state(CONNECTOR).await;
    let reset = heartbeat.beat(&pulse).await.unwrap();
    assert_eq!(reset, Some(HeartbeatEvent::StateChanged(None)));
    assert_eq!(heartbeat.beat(&Pulse::default()).await.unwrap(), None, "none on both sides");

    platform.delete_connector(CONNECTOR).await;
    let recreated = heartbeat.beat(&pulse).await.unwrap();
    assert_eq!(recreated, Some(HeartbeatEvent::Recreated(None)));
    assert_eq!(heartbeat.beat(&pulse).await.unwrap(), Some(HeartbeatEvent::Held));

    // A delivery was earlier than the heartbeat in registering again; and the same after a reset,
    // which is told once.
    for by_reset in [false, true] {
        if by_reset {
            platform.reset_state(CONNECTOR).await;
        } else {
            platform.delete_connector(CONNECTOR).await;
        }
        connector.forget(&connector.registration().await.unwrap());
        connector.registration().await.unwrap();
        let noticed = heartbeat.beat(&pulse).await.unwrap();
        assert_eq!(noticed, Some(HeartbeatEvent::Recreated(None)), "by reset: {by_reset}");
        heartbeat.beat(&Pulse::default()).await.unwrap();
        assert_eq!(heartbeat.beat(&pulse).await.unwrap(), Some(HeartbeatEvent::Held));
    }
}

#[tokio::test]
async fn the_heart_beats_at_once_through_an_outage_and_until_it_is_stopped() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    platform.go_down();
    let (pulses, pulse) = watch::channel(Pulse::default());
    let (events, mut learnt) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let heartbeat = Heartbeat::new(connector(&platform));
    let interval = Duration::from_millis(5);
    let running = tokio::spawn(heartbeat.run(interval, pulse, events, stop.clone()));

    platform.wait_for("a beat during the outage", |state| state.turned_away > 1).await;
    platform.come_back();
    let beating = |state: &crate::support::opencti::State| {
        state.connectors.get(CONNECTOR).is_some_and(|connector| connector.pings > 1)
    };
    platform.wait_for("two beats", beating).await;
    pulses.send_replace(Pulse { state: Some(json!({"cursor": 1})), ..Pulse::default() });
    platform
        .wait_for("the new state", |state| {
            state.connectors[CONNECTOR].state.as_deref() == Some("{\"cursor\":1}")
        })
        .await;
    assert_eq!(learnt.recv().await, Some(HeartbeatEvent::Held));
    platform.reset_state(CONNECTOR).await;
    assert_eq!(learnt.recv().await, Some(HeartbeatEvent::StateChanged(None)));
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn many_who_need_a_registration_register_once() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let connector =
        Arc::new(Connector::new(client(&platform), connector_settings(&fresh_connector_id())));
    let all = futures_util::future::join_all((0..8).map(|_| connector.registration())).await;
    let first = all[0].as_ref().unwrap();
    let count = || platform.requests("RegisterConnector").len();
    assert_eq!(count(), 1);

    connector.forget(first);
    let second = connector.registration().await.unwrap();
    connector.forget(first);
    assert!(Arc::ptr_eq(&second, &connector.registration().await.unwrap()), "kept");
    assert_eq!(count(), 2);
}
