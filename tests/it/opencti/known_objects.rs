//! Objects that the queue has confirmed recently are not sent again, and are when they may be lost.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use harfanglab_incidents::{
    clock::Clock,
    config::MqOverrides,
    demo::Generator,
    opencti::{
        ConfirmedObjects, Connector, DEFAULT_MAX_MESSAGE_BYTES, Delivery, OpenCti, QueueSink, Sink,
    },
    pipeline::{Afterwards, era_of_confirmed},
    stix::Bundle,
};
use serde_json::{Value, json};

use crate::support::{
    broker::{Broker, Message, fresh_connector_id, push_queue},
    opencti::{FakeOpenCti, Personality, connector_settings},
    stage::{Stage, incident_names},
    stores::open_sqlite,
};

struct Road {
    broker: Arc<Broker>,
    platform: FakeOpenCti,
    connector_id: String,
    sink: QueueSink,
    confirmed: Arc<ConfirmedObjects>,
}

impl Road {
    async fn new() -> Self {
        let broker = Arc::new(Broker::connect().await);
        let platform = FakeOpenCti::start(Personality::V7_260817_0, Arc::clone(&broker));
        let connector_id = fresh_connector_id();
        let client = OpenCti::new(&platform.settings()).unwrap();
        let connector = Arc::new(Connector::new(client, connector_settings(&connector_id)));
        let confirmed = Arc::new(ConfirmedObjects::new(Duration::from_hours(1)));
        let sink = QueueSink::new(connector, MqOverrides::default(), DEFAULT_MAX_MESSAGE_BYTES)
            .leaving_out(Arc::clone(&confirmed));
        Self { broker, platform, connector_id, sink, confirmed }
    }

    /// Delivers and answers the ids of what went out, a list a delivery.
    async fn send(&self, bundles: Vec<Bundle>) -> Vec<String> {
        self.send_as(delivery(bundles)).await
    }

    async fn send_as(&self, delivery: Delivery) -> Vec<String> {
        let results = self.sink.deliver(&delivery).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let expected = self.platform.works().last().unwrap().expected;
        let count = u16::try_from(expected).unwrap();
        ids(&self.broker.messages(&push_queue(&self.connector_id), count).await)
    }
}

fn delivery(bundles: Vec<Bundle>) -> Delivery {
    let bundles = bundles.into_iter().map(Arc::new).collect();
    Delivery { title: "alerts".to_owned(), bundles, ..Delivery::default() }
}

fn ids(messages: &[Message]) -> Vec<String> {
    let id = |message: &Message| message.bundle["objects"][0]["id"].as_str().unwrap().to_owned();
    messages.iter().map(id).collect()
}

/// The bundle of incident `number` on one system, by one rule that is described so.
fn bundle(number: u32, rule: &str) -> Bundle {
    let with = |mut object: Value| {
        object["created_by_ref"] = json!("identity--author");
        object["object_marking_refs"] = json!(["marking-definition--1"]);
        object
    };
    let incident = format!("incident--{number}");
    let linked = |name: &str, source: &str, target: &str| {
        with(json!({"type": "relationship", "id": format!("relationship--{name}"),
            "relationship_type": "related-to", "source_ref": source, "target_ref": target}))
    };
    let bundle = json!({
        "id": "bundle--1",
        "objects": [
            {"type": "identity", "id": "identity--author", "identity_class": "organization"},
            {"type": "marking-definition", "id": "marking-definition--1"},
            with(json!({"type": "identity", "id": "identity--pc", "identity_class": "system"})),
            with(json!({"type": "indicator", "id": "indicator--1", "description": rule})),
            with(json!({"type": "incident", "id": incident})),
            linked("rule-pc", "indicator--1", "identity--pc"),
            linked(&format!("{number}-pc"), &incident, "identity--pc"),
        ],
    });
    serde_json::from_value(bundle).unwrap()
}

const ALWAYS: [&str; 2] = ["identity--author", "marking-definition--1"];

fn is_all(sent: &[String]) -> bool {
    sent.len() == 7
}

#[tokio::test]
async fn what_is_confirmed_with_the_same_content_is_left_out_and_everything_else_is_sent() {
    let road = Road::new().await;
    assert!(is_all(&road.send(vec![bundle(1, "as it was")]).await));
    let second = road.send(vec![bundle(2, "as it was")]).await;
    assert_eq!(second, [&ALWAYS[..], &["incident--2", "relationship--2-pc"]].concat());
    let changed = road.send(vec![bundle(3, "as it is now"), bundle(4, "as it is now")]).await;
    assert_eq!(changed.iter().filter(|id| *id == "indicator--1").count(), 1, "{changed:?}");
    assert_eq!(changed.iter().filter(|id| *id == ALWAYS[1]).count(), 2, "always: {changed:?}");
    let once_more = delivery(vec![bundle(3, "as it is now"), bundle(6, "as it is now")]);
    let once_more = Delivery { senders: vec![3, 6], whole: HashSet::from([3]), ..once_more };
    let sent = road.send_as(once_more).await;
    assert!(is_all(&sent[..7]) && sent.len() == 11, "the one whole, the other not: {sent:?}");
    road.confirmed.forget();
    assert!(is_all(&road.send(vec![bundle(5, "as it is now")]).await), "as after a reset");
}

#[tokio::test]
async fn a_lost_queue_and_a_deleted_connector_make_everything_unknown() {
    let road = Road::new().await;
    road.send(vec![bundle(1, "a")]).await;
    road.platform.delete_connector(&road.connector_id).await;
    assert!(is_all(&road.send(vec![bundle(2, "a")]).await), "found within the delivery");

    road.broker.delete_queue(&push_queue(&road.connector_id)).await;
    let lost = road.sink.deliver(&delivery(vec![bundle(3, "a"), bundle(4, "a")])).await;
    assert!(lost.iter().all(Result::is_err), "{lost:?}");
    assert!(is_all(&road.send(vec![bundle(3, "a")]).await));
}

#[tokio::test]
async fn a_refused_object_is_sent_again_and_after_a_missing_reference_or_a_deleted_work_everything()
{
    let road = Road::new().await;
    let folder = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = open_sqlite(&url, "https://console.example").await;
    let road = Road { sink: road.sink.noting_works(journal.clone(), Clock::system()), ..road };
    let (confirmed, client) =
        (Arc::clone(&road.confirmed), OpenCti::new(&road.platform.settings()).unwrap());
    let later = Clock::from_fn(|| Clock::system().now() + chrono::TimeDelta::hours(1));
    let afterwards = Afterwards::new(
        journal.clone(),
        (client, road.connector_id.clone()),
        Some(confirmed),
        later,
    );
    // What the other replicas learn of it by.
    let era = async || era_of_confirmed(&journal).await.unwrap();
    let at_first = era().await;
    let newest = || road.platform.works().last().unwrap().id.clone();

    assert!(is_all(&road.send(vec![bundle(1, "a")]).await));
    road.platform.refuse_object(&newest(), &json!({"id": "incident--1"}), "FUNCTIONAL_ERROR");
    road.platform.complete_work(&newest());
    afterwards.round().await;
    assert!(!is_all(&road.send(vec![bundle(2, "a")]).await), "another error says nothing of it");
    assert_ne!(era().await, at_first);

    road.platform.refuse_object(&newest(), &json!({"id": "indicator--1"}), "LOCK_ERROR");
    road.platform.complete_work(&newest());
    afterwards.round().await;
    let again = road.send(vec![bundle(9, "a")]).await;
    let expected = ["indicator--1", "incident--9", "relationship--9-pc"];
    assert_eq!(again, [&ALWAYS[..], &expected].concat(), "what was refused itself");

    let missing = "{'name': 'MISSING_REFERENCE_ERROR', 'message': 'Element(s) not found'}";
    road.platform.refuse_object(&newest(), &json!({"id": "relationship--9-pc"}), missing);
    road.platform.complete_work(&newest());
    afterwards.round().await;
    assert!(is_all(&road.send(vec![bundle(3, "a")]).await));

    let before_the_deletion = era().await;
    road.platform.delete_work(&newest());
    afterwards.round().await;
    assert_ne!(era().await, before_the_deletion);
    assert!(is_all(&road.send(vec![bundle(4, "a")]).await));
}

#[tokio::test]
async fn of_300_alerts_less_is_sent_and_every_object_at_least_once() {
    let mut sent = Vec::new();
    for resend_after in ["PT0S", "PT1H"] {
        let mut stage = Stage::new(Personality::V7_260817_0).await;
        stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
        stage.home.set("HARFANGLAB_INCIDENTS_RESEND_AFTER", resend_after);
        let now = Clock::system().now();
        stage.console.seed(now);
        let mut generator = Generator::new(5);
        let start = "2026-05-26T07:40:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        for number in 0..300 {
            let raised_at = start - chrono::TimeDelta::seconds(number * 7);
            stage.console.add_alert(generator.next_alert(raised_at).api_item());
        }
        let mut app = stage.home.start(&[]);
        assert!(app.exit().await.success(), "{}", app.log());
        let messages = stage.messages_of(&stage.opencti.works()).await;
        assert_eq!(incident_names(&messages).len(), 300);
        let bundles: BTreeSet<_> =
            messages.iter().map(|message| message.bundle["id"].to_string()).collect();
        let count = |kind: &str| {
            let is_one = |message: &&Message| message.bundle["objects"][0]["type"] == kind;
            messages.iter().filter(is_one).count()
        };
        assert_eq!(count("marking-definition"), bundles.len(), "in every bundle");
        let indicators: BTreeSet<_> =
            ids(&messages).into_iter().filter(|id| id.starts_with("indicator--")).collect();
        if resend_after == "PT1H" {
            assert_eq!(
                count("indicator"),
                indicators.len(),
                "the same with every alert of its rule"
            );
        }
        println!(
            "{resend_after}: {} works, {} messages for 300 alerts, {} systems, {} indicators, \
             {} hostnames, {} techniques, {} relationships",
            stage.opencti.works().len(),
            messages.len(),
            count("identity") - bundles.len(),
            count("indicator"),
            count("hostname"),
            count("attack-pattern"),
            count("relationship"),
        );
        sent.push(ids(&messages));
    }
    let distinct = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(distinct(&sent[0]), distinct(&sent[1]), "nothing is missing altogether");
    assert!(sent[1].len() < sent[0].len(), "{} of {}", sent[1].len(), sent[0].len());
}
