//! Deliveries to the real RabbitMQ, with a fake platform beside it.

use std::{path::Path, sync::Arc};

use harfanglab_incidents::{
    config::MqOverrides,
    opencti::{
        Connector, DEFAULT_MAX_MESSAGE_BYTES, Delivery, DeliveryError, OpenCti, QueueSink, Sink,
        probe,
    },
    stix::Bundle,
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::{
    broker::{Broker, fresh_connector_id, push_queue, push_routing},
    opencti::{FakeOpenCti, Personality, connector_settings},
    skipped::skipped,
};

/// A platform, its broker, and a sink for a connector that nobody registered yet.
struct Road {
    broker: Arc<Broker>,
    platform: FakeOpenCti,
    connector_id: String,
    sink: QueueSink,
}

impl Road {
    async fn build(personality: Personality) -> Self {
        let broker = Arc::new(Broker::connect().await);
        let platform = FakeOpenCti::start(personality, broker.clone());
        let connector_id = fresh_connector_id();
        let sink = sink(&platform, &connector_id, MqOverrides::default());
        Self { broker, platform, connector_id, sink }
    }

    fn queue(&self) -> String {
        push_queue(&self.connector_id)
    }
}

fn sink(platform: &FakeOpenCti, connector_id: &str, overrides: MqOverrides) -> QueueSink {
    let client = OpenCti::new(&platform.settings()).unwrap();
    let connector = Connector::new(client, connector_settings(connector_id));
    QueueSink::new(Arc::new(connector), overrides, DEFAULT_MAX_MESSAGE_BYTES)
}

/// A bundle of three objects that depend on each other.
pub(crate) fn bundle(name: &str) -> Bundle {
    let bundle = json!({
        "id": "bundle--11111111-1111-4111-8111-111111111111",
        "objects": [
            {"type": "incident", "id": "incident--3", "name": name, "created_by_ref": "identity--1",
             "object_marking_refs": ["marking-definition--2"]},
            {"type": "identity", "id": "identity--1", "name": "HarfangLab"},
            {"type": "marking-definition", "id": "marking-definition--2", "name": "TLP:AMBER"},
        ],
    });
    serde_json::from_value(bundle).unwrap()
}

pub(crate) fn delivery(bundles: Vec<Bundle>) -> Delivery {
    let (title, summary) = ("2 alerts".to_owned(), "2 alerts, done".to_owned());
    let bundles = bundles.into_iter().map(Arc::new).collect();
    Delivery { title, summary, bundles, ..Delivery::default() }
}

fn is_unavailable(results: &[Result<(), DeliveryError>], part: &str) -> bool {
    results.iter().all(
        |result| matches!(result, Err(DeliveryError::Unavailable(text)) if text.contains(part)),
    )
}

#[tokio::test]
async fn a_delivery_is_one_work_and_its_objects_are_on_the_queue_in_order() {
    for personality in Personality::ALL {
        let road = Road::build(personality).await;
        let results = road.sink.deliver(&delivery(vec![bundle("first é"), bundle("second")])).await;
        assert_eq!(results, [Ok(()), Ok(())]);

        let works = road.platform.works();
        assert_eq!(works.len(), 1);
        assert_eq!((works[0].name.as_str(), works[0].expected), ("2 alerts", 6));
        assert_eq!(works[0].closed, Some(("2 alerts, done".to_owned(), false)));

        let messages = road.broker.messages(&road.queue(), 6).await;
        let sent: Vec<_> = messages
            .iter()
            .map(|message| {
                assert_eq!(message.routing_key, push_routing(&road.connector_id));
                assert_eq!(message.body["work_id"], json!(works[0].id));
                let object = &message.bundle["objects"][0];
                (message.body["action_sequence"].as_u64().unwrap(), object["id"].clone())
            })
            .collect();
        let one = [
            (1, json!("identity--1")),
            (2, json!("marking-definition--2")),
            (3, json!("incident--3")),
        ];
        assert_eq!(sent, [one.clone(), one].concat());
        assert_eq!(messages[2].bundle["objects"][0]["name"], "first é");
        assert_eq!(road.broker.depth(&road.queue()).await, 0, "and nothing else");
    }
}

#[tokio::test]
async fn a_message_has_the_shape_that_other_connectors_send() {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    if !shared.exists() {
        skipped("../shared is not here: captured messages");
        return;
    }
    let text = std::fs::read_to_string(shared.join("wire/wire_7.260817.0.json")).unwrap();
    let wire: Value = serde_json::from_str(&text).unwrap();
    let published = wire["samples"]["amqp"]["amqp"].as_array().unwrap();
    let captured = published.iter().find(|event| event.get("body").is_some()).unwrap();

    let road = Road::build(Personality::V7_260817_0).await;
    assert_eq!(road.sink.deliver(&delivery(vec![bundle("x")])).await, [Ok(())]);
    let messages = road.broker.messages(&road.queue(), 3).await;
    let mut body = messages[0].body.clone();
    assert!(body["applicant_id"].is_string());
    for key in ["applicant_id", "content", "work_id"] {
        body[key] = captured["body"][key].clone();
    }
    assert_eq!(body, captured["body"]);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&body), keys(&captured["body"]), "in the same order");
    assert_eq!(
        keys(&messages[0].bundle),
        ["type", "id", "spec_version", "x_opencti_seq", "objects"]
    );

    let properties = &messages[0].properties;
    assert_eq!(json!(properties.delivery_mode()), captured["properties"]["delivery_mode"]);
    assert_eq!(
        json!(properties.content_encoding().as_ref().map(ToString::to_string)),
        captured["properties"]["content_encoding"]
    );
    assert!(properties.content_type().is_none() && properties.headers().is_none());
}

#[tokio::test]
async fn a_deleted_queue_is_noticed_and_made_again_by_registering() {
    let road = Road::build(Personality::V7_260817_0).await;
    assert_eq!(road.sink.deliver(&delivery(vec![bundle("one")])).await, [Ok(())]);
    road.broker.delete_queue(&road.queue()).await;

    let lost = road.sink.deliver(&delivery(vec![bundle("two"), bundle("three")])).await;
    assert!(is_unavailable(&lost, "queue is gone"), "{lost:?}");
    assert!(road.platform.works()[1].is_deleted, "nothing of it can have arrived");

    let again = road.sink.deliver(&delivery(vec![bundle("two"), bundle("three")])).await;
    assert_eq!(again, [Ok(()), Ok(())]);
    assert_eq!(road.platform.connector(&road.connector_id).registrations, 2);
    road.broker.messages(&road.queue(), 6).await;
}

#[tokio::test]
async fn a_connector_deleted_in_opencti_is_registered_again_within_the_delivery() {
    let road = Road::build(Personality::V6_9_28).await;
    assert_eq!(road.sink.deliver(&delivery(vec![bundle("one")])).await, [Ok(())]);
    road.platform.delete_connector(&road.connector_id).await;
    assert_eq!(road.sink.deliver(&delivery(vec![bundle("two")])).await, [Ok(())]);
    road.broker.messages(&road.queue(), 3).await;
}

#[tokio::test]
async fn opencti_may_be_down_at_the_start() {
    let road = Road::build(Personality::V7_260817_0).await;
    road.platform.go_down();
    let down = road.sink.deliver(&delivery(vec![bundle("one")])).await;
    assert!(is_unavailable(&down, "maintenance"), "{down:?}");
    road.platform.come_back();
    assert_eq!(road.sink.deliver(&delivery(vec![bundle("one")])).await, [Ok(())]);
}

#[tokio::test]
async fn without_a_broker_no_work_is_opened_and_the_operator_can_point_to_another() {
    let broker = Broker::connect().await;
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let id = fresh_connector_id();
    let unreachable = sink(&platform, &id, MqOverrides::default());
    let results = unreachable.deliver(&delivery(vec![bundle("one")])).await;
    assert!(is_unavailable(&results, "127.0.0.1:1"), "{results:?}");
    assert!(platform.works().is_empty());

    broker.declare_push_queue(&id).await;
    let authority = &broker.uri.authority;
    let overrides = MqOverrides {
        host: Some(authority.host.clone()),
        port: Some(authority.port),
        vhost: Some(broker.uri.vhost.clone()),
        user: Some(authority.userinfo.username.clone()),
        pass: Some(SecretString::from(authority.userinfo.password.clone())),
        ..MqOverrides::default()
    };
    let pointed = sink(&platform, &id, overrides);
    assert_eq!(pointed.deliver(&delivery(vec![bundle("one")])).await, [Ok(())]);
    broker.messages(&push_queue(&id), 3).await;
}

#[tokio::test]
async fn a_bundle_that_can_never_be_sent_does_not_hold_up_the_others() {
    let road = Road::build(Personality::V7_260817_0).await;
    let huge = bundle(&"x".repeat(DEFAULT_MAX_MESSAGE_BYTES));
    let mut unsupported = bundle("x");
    unsupported.objects.retain(|object| object["type"] == "nothing");
    let results = road.sink.deliver(&delivery(vec![huge, unsupported, bundle("small")])).await;
    assert!(matches!(&results[0], Err(DeliveryError::Refused(why)) if why.contains("incident--3")));
    assert!(matches!(&results[1], Err(DeliveryError::Refused(_))));
    assert_eq!(results[2], Ok(()));
    assert_eq!(road.platform.works()[0].expected, 3);

    let refused = road.sink.deliver(&delivery(Vec::new())).await;
    assert!(refused.is_empty());
    assert_eq!(road.platform.works().len(), 1, "no work for nothing");
}

#[tokio::test]
async fn trouble_with_a_work_neither_loses_nor_repeats_what_was_confirmed() {
    let road = Road::build(Personality::V7_260817_0).await;
    road.platform.fail_next("WorkAddExpectations", "DATABASE_ERROR", "search engine");
    let results = road.sink.deliver(&delivery(vec![bundle("one")])).await;
    assert!(is_unavailable(&results, "DATABASE_ERROR"), "{results:?}");
    assert!(road.platform.works()[0].is_deleted);
    assert_eq!(road.broker.depth(&road.queue()).await, 0);

    road.platform.fail_next("WorkToProcessed", "DATABASE_ERROR", "search engine");
    assert_eq!(road.sink.deliver(&delivery(vec![bundle("one")])).await, [Ok(())]);
    assert!(road.platform.works()[1].closed.is_some(), "closed at the second try");

    road.platform.fail_next("WorkToProcessed", "FORBIDDEN_ACCESS", "no");
    assert_eq!(road.sink.deliver(&delivery(vec![bundle("two")])).await, [Ok(())]);
    road.broker.messages(&road.queue(), 6).await;
}

#[tokio::test]
async fn deliveries_at_the_same_time_share_a_connection_and_keep_apart() {
    let road = Road::build(Personality::V7_260817_0).await;
    let deliveries: Vec<_> = (0..8).map(|n| delivery(vec![bundle(&format!("{n}"))])).collect();
    let sent = deliveries.iter().map(|delivery| road.sink.deliver(delivery));
    for results in futures_util::future::join_all(sent).await {
        assert_eq!(results, [Ok(())]);
    }
    assert_eq!(road.platform.connector(&road.connector_id).registrations, 1);
    let works = road.platform.works();
    assert!(works.len() == 8 && works.iter().all(|work| work.closed.is_some()));
    road.broker.messages(&road.queue(), 24).await;
}

#[tokio::test]
async fn the_probe_tells_a_good_broker_from_a_wrong_password_and_keeps_it_secret() {
    let road = Road::build(Personality::V7_260817_0).await;
    let client = OpenCti::new(&road.platform.settings()).unwrap();
    let registration = client.register(&connector_settings(&road.connector_id)).await.unwrap();
    probe(&registration.connection, &MqOverrides::default()).await.unwrap();

    let wrong = MqOverrides { pass: Some(SecretString::from("hunter2")), ..MqOverrides::default() };
    let error = probe(&registration.connection, &wrong).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("ACCESS_REFUSED") && !text.contains("hunter2"), "{text}");
}
