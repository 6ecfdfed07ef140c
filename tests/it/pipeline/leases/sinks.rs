//! Every sink by itself: what it sends of a delivery of which some leases have ended.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use harfanglab_incidents::{
    clock::Clock,
    config::{DirectorySettings, MqOverrides},
    opencti::{
        ApiSink, ConfirmedObjects, Connector, DEFAULT_MAX_BODY_BYTES, DEFAULT_MAX_MESSAGE_BYTES,
        Delivery, DeliveryError, DirectorySink, LeaseCheck, OpenCti, QueueSink, S3Sink, Sink,
    },
    stix::Bundle,
};
use serde_json::{Value, json};

use crate::support::{
    broker::{Broker, Message, fresh_connector_id, push_queue},
    opencti::{FakeOpenCti, Personality, connector_settings},
    relay::Relay,
    s3::S3Server,
    stage::system_trust,
    waiting::until,
};

const LOST: Result<(), DeliveryError> = Err(DeliveryError::LeaseLost);

/// An incident and the host that all of them share.
fn bundle(number: usize, text: &str) -> Bundle {
    let bundle = json!({
        "id": format!("bundle--11111111-1111-4111-8111-{number:012}"),
        "objects": [
            {"type": "incident", "id": format!("incident--{number}"), "name": text},
            {"type": "hostname", "id": "hostname--1", "value": "pc-01"},
        ],
    });
    serde_json::from_value(bundle).unwrap()
}

/// A bundle of each sender, 0 to `count`.
fn delivery(count: usize, text: &str, leases: LeaseCheck) -> Delivery {
    let (title, summary) = ("alerts".to_owned(), "alerts, done".to_owned());
    let bundles = (0..count).map(|number| Arc::new(bundle(number, text))).collect();
    let senders = (0..i64::try_from(count).unwrap()).collect();
    Delivery { title, summary, bundles, senders, leases, ..Delivery::default() }
}

/// Holds but for the sender 1.
fn but_for_one() -> LeaseCheck {
    LeaseCheck::new(|sender| sender != 1)
}

/// Holds for the first that asks, whoever that is.
fn for_the_first() -> LeaseCheck {
    let asked = AtomicUsize::new(0);
    LeaseCheck::new(move |_sender| asked.fetch_add(1, Ordering::SeqCst) == 0)
}

struct Road {
    broker: Arc<Broker>,
    platform: FakeOpenCti,
    connector_id: String,
}

impl Road {
    async fn new() -> Self {
        let broker = Arc::new(Broker::connect().await);
        let platform = FakeOpenCti::start(Personality::V7_260817_0, Arc::clone(&broker));
        Self { broker, platform, connector_id: fresh_connector_id() }
    }

    fn sink(&self, overrides: MqOverrides) -> QueueSink {
        let client = OpenCti::new(&self.platform.settings()).unwrap();
        let connector = Connector::new(client, connector_settings(&self.connector_id));
        QueueSink::new(Arc::new(connector), overrides, DEFAULT_MAX_MESSAGE_BYTES)
    }

    async fn sent(&self, count: u16) -> Vec<String> {
        let id = |message: Message| message.bundle["objects"][0]["id"].as_str().unwrap().to_owned();
        let queue = push_queue(&self.connector_id);
        let messages = self.broker.messages(&queue, count).await;
        assert_eq!(self.broker.depth(&queue).await, 0, "nothing else");
        messages.into_iter().map(id).collect()
    }
}

#[tokio::test]
async fn the_queue_gets_nothing_of_an_event_whose_lease_has_ended_and_the_work_expects_no_more() {
    let road = Road::new().await;
    let sink = road.sink(MqOverrides::default());
    let results = sink.deliver(&delivery(3, "x", but_for_one())).await;
    assert_eq!(results, [Ok(()), LOST, Ok(())]);
    let objects = ["incident--0", "hostname--1", "incident--2", "hostname--1"];
    let mut sent = road.sent(4).await;
    sent.sort();
    let mut expected = objects.map(str::to_owned);
    expected.sort();
    assert_eq!(sent, expected);
    let work = road.platform.works().remove(0);
    assert_eq!(work.expected, 4, "what never comes is not waited for");
    let (message, _is_in_error) = work.closed.expect("it is closed");
    assert!(message.contains("4 of 6 objects"), "{message}");

    let results = sink.deliver(&delivery(3, "x", for_the_first())).await;
    assert_eq!(results, [Ok(()), LOST, LOST], "asked of each before its first message");
    assert_eq!(road.sent(2).await.len(), 2);

    let nobody = LeaseCheck::new(|_sender| false);
    assert_eq!(sink.deliver(&delivery(2, "x", nobody)).await, [LOST, LOST]);
    assert!(road.platform.works()[2].is_deleted, "nothing is in it");
}

#[tokio::test]
async fn what_shares_objects_with_an_event_that_did_not_leave_waits_and_then_leaves_whole() {
    let road = Road::new().await;
    let hour = std::time::Duration::from_hours(1);
    let confirmed = Arc::new(ConfirmedObjects::new(hour));
    let sink = road.sink(MqOverrides::default()).leaving_out(Arc::clone(&confirmed));
    let not_the_first = LeaseCheck::new(|sender| sender != 0);
    let results = sink.deliver(&delivery(2, "x", not_the_first)).await;
    let held_back = Err(DeliveryError::HeldBack);
    assert_eq!(results, [LOST, held_back], "its host was to leave with the first one");
    assert!(road.platform.works()[0].is_deleted);

    let results = sink.deliver(&delivery(2, "x", LeaseCheck::default())).await;
    assert_eq!(results, [Ok(()), Ok(())]);
    assert_eq!(road.sent(3).await.len(), 3, "the host is no confirmed one");
}

#[tokio::test]
async fn a_broker_that_confirms_nothing_is_handed_a_bounded_amount() {
    let road = Road::new().await;
    let authority = road.broker.uri.authority.clone();
    let target = tokio::net::lookup_host((authority.host.as_str(), authority.port)).await;
    let relay = Relay::to(target.unwrap().next().unwrap()).await;
    let overrides = MqOverrides {
        host: Some(relay.address().ip().to_string()),
        port: Some(relay.address().port()),
        ..MqOverrides::default()
    };
    let sink = road.sink(overrides);
    assert_eq!(sink.deliver(&delivery(1, "x", LeaseCheck::default())).await, [Ok(())]);

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let leases = LeaseCheck::new(move |_sender| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            relay.hold_answers();
        }
        true
    });
    // 27 KB a message, and 200 of them.
    let many = delivery(200, &"x".repeat(20_000), leases);
    let delivering = tokio::spawn(async move { sink.deliver(&many).await });
    let queue = push_queue(&road.connector_id);
    let enough = async || (road.broker.depth(&queue).await >= 20).then_some(());
    until("a window of messages has arrived", enough).await;
    // Whoever hands over without a bound has handed over everything by now.
    let another = road.sink(MqOverrides::default());
    assert_eq!(another.deliver(&delivery(1, "x", LeaseCheck::default())).await, [Ok(())]);
    let handed_over = asked.load(Ordering::SeqCst);
    assert!((2..=12).contains(&handed_over), "{handed_over} events at 256 KiB");
    delivering.abort();
}

#[tokio::test]
async fn the_api_gets_the_others_of_a_load_and_nothing_of_an_event_whose_lease_has_ended() {
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    let client = OpenCti::new(&platform.settings()).unwrap();
    let connector = Connector::new(client, connector_settings(&fresh_connector_id()));
    let sink = ApiSink::new(Arc::new(connector), DEFAULT_MAX_BODY_BYTES);
    let results = sink.deliver(&delivery(3, "x", but_for_one())).await;
    assert_eq!(results, [Ok(()), LOST, Ok(())]);
    let pushed: String =
        platform.state().pushes.iter().map(|push| push.bundle.to_string()).collect();
    assert!(pushed.contains("incident--0") && pushed.contains("incident--2"), "{pushed}");
    assert!(!pushed.contains("incident--1"), "{pushed}");

    // A platform that turns the first push away is asked again, after the lease has ended.
    platform.fail_next("StixBundlePushWork", "UNSUPPORTED_ERROR", "Invalid bundle");
    let before = platform.state().pushes.len();
    assert_eq!(sink.deliver(&delivery(1, "x", for_the_first())).await, [LOST]);
    assert_eq!(platform.state().pushes.len(), before);
}

#[tokio::test]
async fn a_folder_gets_no_file_of_an_event_whose_lease_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let directory =
        DirectorySettings { path: folder.path().to_owned(), retention_days: 7, mode: 0o640 };
    let settings = connector_settings(&fresh_connector_id());
    let sink = DirectorySink::new(&directory, settings, None, Clock::system());
    let results = sink.deliver(&delivery(3, "x", but_for_one())).await;
    assert_eq!(results, [Ok(()), LOST, Ok(())]);
    let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<Value> = entries
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect();
    assert_eq!(texts.len(), 2, "and no half-written one");
    assert!(!json!(texts).to_string().contains("incident--1"));
}

#[tokio::test]
async fn s3_gets_no_object_of_an_event_whose_lease_has_ended() {
    let server = S3Server::connect();
    let platform = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
    platform.tell_s3(server.told());
    let client = OpenCti::new(&platform.settings()).unwrap();
    let settings = server.settings();
    let mut connector = connector_settings(&fresh_connector_id());
    connector.sending.s3 = Some(settings.clone());
    let connector = Arc::new(Connector::new(client, connector));
    let sink = S3Sink::new(connector, settings, system_trust(), Clock::system());
    let results = sink.deliver(&delivery(3, "x", but_for_one())).await;
    assert_eq!(results, [Ok(()), LOST, Ok(())]);
    let names = server.names().await;
    assert_eq!(names.len(), 2, "{names:?}");
    for name in names {
        assert!(!server.get(&name).await.1.contains("incident--1"));
    }
}
