//! Faults of RabbitMQ in the middle of a run, on a broker of the test's own: every object is on the
//! queue at least once, every work is closed, nothing is left in the journal.
//!
//! A run is 120 alerts; 5,000 with `HARFANGLAB_INCIDENTS_TEST_LONG=1`.

use std::{collections::BTreeSet, sync::Arc};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    config::MqOverrides,
    demo::{DemoAlert, Generator},
    journal::Counts,
    opencti::{Connector, DEFAULT_MAX_MESSAGE_BYTES, DeliveryError, OpenCti, QueueSink, Sink},
};
use serde_json::{Value, json};

use super::broker::{bundle, delivery};
use crate::support::{
    app::{App, is_long},
    broker::{Broker, fresh_connector_id, push_queue},
    opencti::{FakeOpenCti, Personality, connector_settings},
    private_broker::PrivateBroker,
    stage::{Stage, alerts_in, post},
    stores::open_sqlite,
};

/// A fault of the broker between the two halves of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing: what such a run sends is what every other one must send.
    None,
    /// `rabbitmqctl close_all_connections`.
    ConnectionsClosed,
    /// The queue goes, with what was read of it before.
    QueueDeleted,
    /// `rabbitmqctl stop_app`, and later `start_app`.
    Restarted,
    /// The node is killed, and started again later.
    Crashed,
    /// The memory alarm goes on, and off later.
    MemoryAlarm,
}

impl Fault {
    /// Begins in the middle of deliveries, except that a deleted queue takes along what it holds:
    /// that is read before.
    async fn begin(self, broker: &PrivateBroker, stage: &Stage, half: usize) -> Vec<Value> {
        let settled = if self == Self::QueueDeleted { half } else { 1 };
        let in_the_middle = stage
            .opencti
            .wait_for("the first half is on its way", |state| alerts_in(&state.works) >= settled);
        in_the_middle.await;
        match self {
            Self::None => {}
            Self::ConnectionsClosed => broker.control(&["close_all_connections", "a test"]),
            Self::QueueDeleted => {
                let objects = stage.broker.objects(&stage.queue()).await;
                stage.broker.delete_queue(&stage.queue()).await;
                return objects;
            }
            Self::Restarted => broker.control(&["stop_app"]),
            Self::Crashed => broker.crash(),
            Self::MemoryAlarm => {
                broker.control(&["set_vm_memory_high_watermark", "absolute", "1"]);
            }
        }
        Vec::new()
    }

    /// Returns what the service must say of it before it is over; the others may pass unnoticed.
    fn notice(self) -> Option<&'static str> {
        match self {
            Self::None | Self::ConnectionsClosed => None,
            Self::QueueDeleted => Some("the connector's queue is gone"),
            Self::Restarted | Self::Crashed => Some("RabbitMQ"),
            Self::MemoryAlarm => Some("memory or disk alarm"),
        }
    }

    fn end(self, broker: &PrivateBroker) {
        match self {
            Self::None | Self::ConnectionsClosed | Self::QueueDeleted => {}
            Self::Restarted => broker.control(&["start_app"]),
            Self::Crashed => broker.start_again(),
            Self::MemoryAlarm => broker.control(&["set_vm_memory_high_watermark", "0.4"]),
        }
    }
}

fn alerts() -> Vec<DemoAlert> {
    let count = if is_long() { 5_000 } else { 120 };
    let (mut generator, now) = (Generator::new(11), Clock::system().now());
    // No two of one millisecond: of such incidents the one that is fixed first has its date, and that
    // may be another one in each run.
    (0..count).map(|number| generator.next_alert(now - TimeDelta::milliseconds(number))).collect()
}

async fn push(url: &str, alerts: &[DemoAlert]) {
    for some in alerts.chunks(50) {
        let body = Value::Array(some.iter().map(DemoAlert::native).collect());
        assert_eq!(post(url, &body).await.0.as_u16(), 202);
    }
}

/// Pushes the alerts with a fault in the middle; answers the ids of all objects on the queue.
async fn run(broker: &PrivateBroker, alerts: &[DemoAlert], fault: Fault) -> BTreeSet<String> {
    let shared = Broker::connect_to(broker.url()).await;
    let mut stage = Stage::on(shared, Personality::V7_260817_0);
    stage.home = stage.home.with_webhook();
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_API_RATE", "10000");
    stage.console.seed(Clock::system().now());
    for alert in alerts {
        stage.console.add_alert(alert.api_item());
    }
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;

    let (first, second) = alerts.split_at(alerts.len() / 2);
    push(&url, first).await;
    let mut objects = fault.begin(broker, &stage, first.len()).await;
    push(&url, second).await;
    if let Some(words) = fault.notice() {
        app.wait_for_log(&format!("{fault:?} is noticed"), |line| {
            let reason = line["attributes"]["reason"].as_str()?;
            reason.contains(words).then_some(())
        })
        .await;
    }
    fault.end(broker);
    app.wait_for_sum(alerts.len() as u64, |line| {
        let is_delivered = line["message"].as_str()?.ends_with("to every sink");
        is_delivered.then(|| line["attributes"]["alerts"].as_u64()).flatten()
    })
    .await;
    check_the_end(&stage, app, alerts.len() as u64).await;
    objects.extend(stage.broker.objects(&stage.queue()).await);
    objects.iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

async fn check_the_end(stage: &Stage, mut app: App, alerts: u64) {
    assert!(app.terminate().await.success(), "{}", app.log());
    let open: Vec<_> = stage
        .opencti
        .works()
        .into_iter()
        .filter(|work| work.closed.is_none() && !work.is_deleted)
        .collect();
    assert!(open.is_empty(), "open for ever: {open:#?}");
    let url = format!("sqlite:{}", stage.home.journal().display());
    let journal = open_sqlite(&url, stage.console.settings().url.as_str()).await;
    let Counts { pending, delivered, dead, .. } = journal.counts().await.unwrap();
    assert_eq!((pending, delivered, dead), (0, alerts, 0));
}

#[tokio::test]
async fn every_object_of_a_run_is_on_the_queue_whatever_happens_to_rabbitmq_in_its_middle() {
    let (broker, alerts) = (PrivateBroker::start(), alerts());
    let expected = run(&broker, &alerts, Fault::None).await;
    assert!(expected.len() > alerts.len(), "{} objects", expected.len());
    for fault in [
        Fault::ConnectionsClosed,
        Fault::QueueDeleted,
        Fault::Restarted,
        Fault::Crashed,
        Fault::MemoryAlarm,
    ] {
        let sent = run(&broker, &alerts, fault).await;
        let lost: Vec<_> = expected.difference(&sent).collect();
        assert!(lost.is_empty(), "{fault:?}: {} objects never came: {lost:#?}", lost.len());
        println!("{fault:?}: {} objects of {} alerts", sent.len(), alerts.len());
    }
}

#[tokio::test]
async fn what_the_broker_finds_too_large_is_refused_by_name_and_the_others_leave() {
    let private = PrivateBroker::start();
    // Read by RabbitMQ 3 from the one place, by RabbitMQ 4 from the other.
    let limit = "application:set_env(rabbit, max_message_size, 100000), \
                 persistent_term:put(max_message_size, 100000).";
    private.control(&["eval", limit]);
    let broker = Arc::new(Broker::connect_to(private.url()).await);
    let platform = FakeOpenCti::start(Personality::V7_260817_0, Arc::clone(&broker));
    let id = fresh_connector_id();
    let client = OpenCti::new(&platform.settings()).unwrap();
    let connector = Arc::new(Connector::new(client, connector_settings(&id)));
    let sink = QueueSink::new(connector, MqOverrides::default(), DEFAULT_MAX_MESSAGE_BYTES);
    let both = delivery(vec![bundle(&"x".repeat(200_000)), bundle("small")]);

    // The broker ends the channel at the first one: which others it took is not known.
    let first = sink.deliver(&both).await;
    let told = |result: &Result<(), DeliveryError>| matches!(result, Err(DeliveryError::Unavailable(why)) if why.contains("more than 100000 bytes"));
    assert!(first.iter().all(told), "{first:?}");
    let announced = platform.requests("WorkAddExpectations")[0]["expectations"].as_i64().unwrap();
    let interrupted = &platform.works()[0];
    assert!(interrupted.expected < announced, "what never comes is taken back: {interrupted:?}");
    let second = sink.deliver(&both).await;
    assert!(
        matches!(&second[0], Err(DeliveryError::Refused(why))
            if why.contains("incident--3") && why.contains("100000")),
        "{second:?}"
    );
    assert_eq!(second[1], Ok(()));
    let objects = broker.objects(&push_queue(&id)).await;
    assert!(objects.iter().any(|object| object["name"] == json!("small")));
    assert!(platform.works().iter().all(|work| work.closed.is_some() || work.is_deleted));
    assert_eq!(platform.connector(&id).registrations, 1, "the connection was kept");
}
