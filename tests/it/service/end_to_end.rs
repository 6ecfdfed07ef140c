//! The road, end to end: a pushed alert becomes an incident on OpenCTI's queue.

use std::collections::BTreeSet;

use harfanglab_incidents::{clock::Clock, demo::Generator};
use serde_json::Value;

use crate::support::{
    opencti::Personality,
    shared::shared,
    stage::{Stage, incident_names, post},
};

#[tokio::test]
async fn a_native_and_an_ecs_alert_become_incidents_on_the_queue_with_works_opened_and_closed() {
    let stage = Stage::with_webhook().await;
    let mut generator = Generator::new(1);
    let now = Clock::system().now();
    stage.console.seed(now);
    let native = generator.next_alert(now);
    let ecs = generator.next_alert(now);
    stage.console.add_alert(native.api_item());
    stage.console.add_alert(ecs.api_item());
    let mut app = {
        // Only pushes bring alerts in this test.
        let mut home = stage.home;
        home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
        let app = home.start(&["serve"]);
        (home, app)
    };
    let stage = Stage { home: app.0, ..stage };
    let url = app.1.webhook().await;

    let (status, answer) = post(&url, &native.native()).await;
    assert_eq!((status.as_u16(), &answer["accepted"]), (202, &Value::from(1)), "{answer}");
    let first = stage.closed_works(1).await;
    let (status, answer) = post(&url, &ecs.ecs()).await;
    assert_eq!((status.as_u16(), &answer["accepted"]), (202, &Value::from(1)), "{answer}");
    let works = stage.closed_works(2).await;
    assert_eq!(works.len(), 2);
    assert!(works.iter().all(|work| matches!(&work.closed, Some((_, false))) && work.expected > 5));
    assert_eq!(works[0].id, first[0].id);
    assert!(works[0].name.contains(native.host()), "{}", works[0].name);

    let messages = stage.messages_of(&works).await;
    let names = incident_names(&messages);
    assert_eq!(names.len(), 2, "{names:?}");
    for alert in [&native, &ecs] {
        assert!(
            names.iter().any(|name| name.ends_with(&format!(" on {}", alert.host()))),
            "{names:?} has none of {}",
            alert.host()
        );
    }
    has_the_captured_shape(&messages[0].body);
    let pairs: BTreeSet<_> = messages
        .iter()
        .map(|message| message.body["work_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pairs, works.iter().map(|work| work.id.clone()).collect());
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0, "nothing beyond what was announced");
    assert!(app.1.terminate().await.success(), "{}", app.1.log());
}

/// The keys of a message are those that the Python library publishes.
fn has_the_captured_shape(body: &Value) {
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let expected = [
        "action_sequence",
        "applicant_id",
        "bundle_type",
        "content",
        "draft_id",
        "entities_types",
        "no_split",
        "update",
        "work_id",
    ];
    assert_eq!(keys(body), expected.map(str::to_owned).into());
    let capture = "wire/wire_7.260817.0.json";
    let Some(path) = shared(capture, "the shape of messages against the capture") else {
        return;
    };
    let captured: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut publishes = Vec::new();
    collect_bodies(&captured["samples"]["amqp"], &mut publishes);
    assert!(!publishes.is_empty(), "{capture} holds publishes");
    for published in publishes {
        assert_eq!(keys(body), keys(&published));
    }
}

/// Every message body of a capture, wherever it stands in it.
fn collect_bodies(captured: &Value, found: &mut Vec<Value>) {
    match captured {
        Value::Object(fields) if fields.contains_key("bundle_type") => found.push(captured.clone()),
        Value::Object(fields) => fields.values().for_each(|value| collect_bodies(value, found)),
        Value::Array(items) => items.iter().for_each(|value| collect_bodies(value, found)),
        Value::String(text) if text.contains("\"bundle_type\"") => {
            found.extend(serde_json::from_str::<Value>(text));
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_platform_version_gets_a_registration_and_a_delivery_that_it_understands() {
    for personality in Personality::ALL {
        let mut stage = Stage::new(personality).await;
        stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
        let now = Clock::system().now();
        stage.console.seed(now);
        let mut alert = Generator::new(2).next_alert(now).api_item();
        alert["details_connection"] = serde_json::json!({
            "SourceIp": "192.0.2.17", "SourcePort": 50112,
            "DestinationIp": "203.0.113.66", "DestinationPort": 443, "Protocol": "tcp",
        });
        stage.console.add_alert(alert);
        let mut app = stage.home.start(&[]);
        assert!(app.exit().await.success(), "{personality:?}: {}", app.log());
        let works = stage.closed_works(1).await;
        let messages = stage.messages_of(&works).await;
        assert_eq!(incident_names(&messages).len(), 1, "{personality:?}");
        let mut objects =
            messages.iter().filter_map(|it| it.bundle["objects"].as_array()).flatten();
        let connected = objects.any(|object| object["type"] == "network-traffic");
        assert_eq!(connected, personality == Personality::V7_260817_0, "{personality:?}");
        assert_eq!(stage.opencti.state().refused, 0, "{personality:?} refused a request");
    }
}

#[tokio::test]
async fn deliveries_are_accepted_while_opencti_is_down_and_leave_when_it_is_back() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.opencti.go_down();
    let now = Clock::system().now();
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let management = app.management().await;
    let alert = Generator::new(3).next_alert(now);
    assert_eq!(post(&url, &alert.native()).await.0.as_u16(), 202);
    stage.opencti.wait_for("a request is turned away", |state| state.turned_away > 0).await;
    let reason = app
        .wait_for_log("OpenCTI cannot be reached", |line| {
            line["message"].as_str()?.starts_with("OpenCTI cannot be reached").then_some(())
        })
        .await;
    let () = reason;
    let ready: Value = crate::support::stage::http()
        .get(format!("{management}/readyz"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(ready["status"], "degraded", "{ready}");
    assert_eq!(ready["journal"]["pending"], 1, "{ready}");
    stage.opencti.come_back();
    let works = stage.closed_works(1).await;
    assert_eq!(incident_names(&stage.messages_of(&works).await).len(), 1);
}
