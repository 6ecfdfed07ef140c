//! Two pipelines on one PostgreSQL journal, each with a machine of its own whose clocks the test sets.
//! One machine stands still with an older version in hand, for longer than its lease, and its clocks
//! tell of that in one way or the other.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::{Clock, Moment},
    config::Settings,
    demo::{DemoConsole, DemoConsoleConfig},
    harfanglab::Console,
    intake::{Notification, dialect::Dialect, verification::Proof},
    journal::Journal,
    opencti::{Delivery, DeliveryError, Sink},
    pipeline::{NegativeSightings, Pipeline},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{
    app::PATIENCE,
    health,
    notifications::start,
    pipeline::preparer,
    stores::{CONNECTIONS, CONSOLE, Database, Fresh, open_postgres},
    waiting::until,
};

const MINUTE: Duration = Duration::from_mins(1);

/// Both clocks of a machine.
#[derive(Clone)]
struct Machine(Arc<Mutex<Moment>>);

impl Machine {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Moment { wall: start(), since_boot: MINUTE })))
    }

    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }

    fn clock(&self) -> Clock {
        let machine = self.clone();
        Clock::of_moments(move || machine.now())
    }

    fn goes_on(&self, wall: TimeDelta, since_boot: Duration) {
        let mut now = self.0.lock().unwrap();
        now.wall += wall;
        now.since_boot += since_boot;
    }
}

/// The deliveries to OpenCTI, by the severity of the incident, from both replicas.
type Sent = Arc<watch::Sender<Vec<String>>>;

/// Asks for each bundle whether it may leave, as every sink does, once the gate is open.
struct Gated {
    sent: Sent,
    gate: Arc<Semaphore>,
    reached: watch::Sender<bool>,
    done: watch::Sender<bool>,
}

#[async_trait]
impl Sink for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        self.reached.send_replace(true);
        let _closed = self.gate.acquire().await;
        let results = delivery.bundles.iter().zip(&delivery.senders).map(|(bundle, sender)| {
            if !delivery.leases.holds(Some(sender)) {
                return Err(DeliveryError::LeaseLost);
            }
            let incident = bundle.objects.iter().find(|object| object["type"] == "incident");
            let severity = incident.unwrap()["severity"].as_str().unwrap().to_owned();
            self.sent.send_modify(|sent| sent.push(severity));
            Ok(())
        });
        let results = results.collect();
        self.done.send_replace(true);
        results
    }
}

/// One replica.
struct Replica {
    machine: Machine,
    journal: Journal,
    arrived: Arc<Notify>,
    gate: Arc<Semaphore>,
    reached: watch::Receiver<bool>,
    done: watch::Receiver<bool>,
    stop: CancellationToken,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Replica {
    async fn start(place: &Fresh, console: &DemoConsole, sent: &Sent, gate: Semaphore) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings =
            Settings::embedded(String::new(), folder.path().to_owned(), console.settings());
        settings.consoles[0].enrichment.first_wait = Duration::ZERO;
        let journal = place.replica().await;
        let machine = Machine::new();
        let (arrived, gate) = (Arc::new(Notify::new()), Arc::new(gate));
        let (reached, done) = (watch::Sender::new(false), watch::Sender::new(false));
        let (has_reached, is_done) = (reached.subscribe(), done.subscribe());
        let sink = Gated { sent: Arc::clone(sent), gate: Arc::clone(&gate), reached, done };
        let pipeline = Pipeline {
            journal: journal.clone(),
            preparer: Arc::new(preparer(
                &settings,
                journal.clone(),
                Console::new(&settings.consoles[0].harfanglab).unwrap(),
                &machine.clock(),
            )),
            sinks: vec![Arc::new(sink)],
            pressure: None,
            arrived: Arc::clone(&arrived),
            clock: machine.clock(),
            settings: settings.pipeline.clone(),
            connector_name: "HarfangLab".to_owned(),
            health: health(),
            negative_sightings: NegativeSightings::ByBundle,
        };
        let stop = CancellationToken::new();
        tokio::spawn(pipeline.run(stop.clone()));
        Self { machine, journal, arrived, gate, reached: has_reached, done: is_done, stop }
    }

    async fn push(&self, level: &str) {
        let element = json!({
            "log_type": "alert", "alert_type": "sigma", "alert_unique_id": "a", "status": "new",
            "level": level, "rule_name": "Ordered", "alert_time": "2026-05-26T07:39:58.447687Z",
            "agent": { "hostname": "pc-01", "ostype": "windows" },
        });
        let proof = Proof::answered_by_console(self.machine.now().wall);
        let alert =
            Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string());
        self.journal.append(&[vec![alert]]).await.unwrap();
        self.arrived.notify_one();
    }
}

async fn happens(what: &str, mut told: watch::Receiver<bool>) {
    let waited = tokio::time::timeout(PATIENCE, told.wait_for(|it| *it)).await;
    assert!(waited.is_ok(), "{what}");
}

async fn sent(sent: &Sent, count: usize) -> Vec<String> {
    let mut told = sent.subscribe();
    let waited = tokio::time::timeout(PATIENCE, told.wait_for(|it| it.len() >= count)).await;
    waited.expect("it is sent").unwrap().clone()
}

/// `wall` and `since_boot` are how the clocks of the machine that stood still go on.
async fn never_after_a_newer_one(wall: TimeDelta, since_boot: Duration) {
    let place = Database::Postgres.fresh().await;
    let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
    let told: Sent = Arc::new(watch::Sender::new(Vec::new()));
    let still = Replica::start(&place, &console, &told, Semaphore::new(0)).await;
    still.push("low").await;
    happens("the older version is in hand", still.reached.clone()).await;

    let other = Replica::start(&place, &console, &told, Semaphore::new(9)).await;
    other.machine.goes_on(TimeDelta::minutes(6), MINUTE * 6);
    other.arrived.notify_one();
    assert_eq!(sent(&told, 1).await, ["low"]);
    other.push("high").await;
    assert_eq!(sent(&told, 2).await, ["low", "high"]);

    still.machine.goes_on(wall, since_boot);
    still.gate.add_permits(9);
    happens("the one that stood still is done", still.done.clone()).await;
    assert_eq!(*told.borrow(), ["low", "high"], "nothing after the newer one");
    let written = async || (still.journal.counts().await.unwrap().delivered == 2).then_some(());
    until("both versions are written down as delivered", written).await;
    let counts = still.journal.counts().await.unwrap();
    assert_eq!((counts.pending, counts.dead), (0, 0));
}

#[tokio::test]
async fn a_suspended_machine_whose_wall_clock_was_not_set_right_sends_no_older_version() {
    never_after_a_newer_one(TimeDelta::zero(), MINUTE * 6).await;
}

#[tokio::test]
async fn a_virtual_machine_that_its_host_stopped_sends_no_older_version() {
    never_after_a_newer_one(TimeDelta::minutes(6), Duration::ZERO).await;
}

#[tokio::test]
async fn a_process_that_stood_still_sends_no_older_version() {
    never_after_a_newer_one(TimeDelta::minutes(6), MINUTE * 6).await;
}

/// A value of its own clock, an hour off, and that of another replica: leases go by the database's.
#[tokio::test]
async fn replicas_whose_clocks_are_an_hour_apart_do_not_take_each_others_leases() {
    let lease = MINUTE * 5;
    let place = Database::Postgres.fresh().await;
    let journal = async || open_postgres(&place.url, CONNECTIONS, CONSOLE).await;
    let (one, other) = (journal().await, journal().await);
    let element: Value = json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": "a", "status": "new",
    });
    let proof = Proof::answered_by_console(start());
    let alert =
        Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string());
    one.append(&[vec![alert]]).await.unwrap();
    let ahead = start() + TimeDelta::hours(1);
    let event = one.claim(1, lease, start()).await.unwrap().remove(0);
    assert!(other.claim(1, lease, ahead).await.unwrap().is_empty(), "its lease has not ended");
    let end = other.next_due().await.unwrap().unwrap();
    let left = end - ahead;
    assert!(left > TimeDelta::minutes(3) && left <= TimeDelta::minutes(5), "{left}");
    // Nor is it renewed any less for the time that its holder believes in.
    assert_eq!(one.renew(&[event.claim], lease, ahead).await.unwrap(), [event.claim]);

    let skewed = Clock::from_fn(|| Clock::system().now() - TimeDelta::hours(1));
    let skew = one.clock_skew(&skewed).await.unwrap().unwrap();
    assert!((skew - TimeDelta::hours(1)).abs() < TimeDelta::seconds(2), "{skew}");
}
