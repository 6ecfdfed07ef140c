//! The time of an alert from its push until it stands on the queue, with a console that takes its
//! time and rules that are known: at half of the rate at which alerts can get through, in an open
//! loop. Every pushed alert must come out.
//!
//! The moment that counts is when a consumer reads the incident, which is after the broker's
//! confirmation was sent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoAlert, Generator},
};

use crate::{
    Plan,
    load::{self, Answered, quantile},
    support::{
        app::App,
        broker::{Broker, Message},
        opencti::Personality,
        stage::Stage,
    },
    table::{Bar, Figures, Row},
};

/// The time that the console takes for every answer.
const CONSOLE: Duration = Duration::from_millis(20);
/// Alerts of a round.
const ALERTS: usize = 300;
/// Connections of the closed loop that finds the top rate.
const CONNECTIONS: usize = 8;

struct Road {
    stage: Stage,
    app: App,
    address: SocketAddr,
    path: String,
    generator: Generator,
    /// Alerts are a millisecond apart, which tells their incidents apart.
    moment: DateTime<Utc>,
}

impl Road {
    /// `api_rate`: requests a second that the console may be asked.
    async fn start(api_rate: u32) -> Self {
        let mut stage = Stage::on(Broker::connect().await, Personality::V7_260817_0);
        stage.home = stage.home.with_webhook();
        stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
        stage.home.set("HARFANGLAB_INCIDENTS_API_RATE", &api_rate.to_string());
        let now = Clock::system().now();
        stage.console.seed(now);
        stage.console.set_latency(CONSOLE);
        let mut app = stage.home.start(&["serve"]);
        let url: url::Url = app.webhook().await.parse().expect("it is a URL");
        stage.opencti.wait_for("it is registered", |state| !state.connectors.is_empty()).await;
        let address = url.socket_addrs(|| None).expect("it is an address")[0];
        let moment = now - TimeDelta::minutes(10);
        let path = url.path().to_owned();
        Self { stage, app, address, path, generator: Generator::new(5), moment }
    }

    /// Alerts that the console shows, and their requests.
    fn alerts(&mut self) -> (Vec<DemoAlert>, Arc<Vec<Vec<u8>>>) {
        let mut alerts = Vec::with_capacity(ALERTS);
        for _ in 0..ALERTS {
            self.moment += TimeDelta::milliseconds(1);
            alerts.push(self.generator.next_alert(self.moment));
        }
        for alert in &alerts {
            self.stage.console.add_alert(alert.api_item());
        }
        let request = |alert: &DemoAlert| load::request(&self.path, &alert.native().to_string());
        let requests = Arc::new(alerts.iter().map(request).collect());
        (alerts, requests)
    }

    /// Returns when the incident of each of these was first read from the queue.
    async fn arrivals(&self, alerts: &[DemoAlert]) -> BTreeMap<i64, Instant> {
        let wanted: Vec<i64> =
            alerts.iter().map(|alert| alert.raised_at().timestamp_millis()).collect();
        let mut arrived = BTreeMap::new();
        let note = |message: &Message| {
            for object in message.bundle["objects"].as_array().into_iter().flatten() {
                if object["type"] == "incident" {
                    let created = object["created"].as_str().expect("incidents have a date");
                    let created: DateTime<Utc> = created.parse().expect("it is a date");
                    arrived.entry(created.timestamp_millis()).or_insert_with(Instant::now);
                }
            }
            wanted.iter().all(|moment| arrived.contains_key(moment))
        };
        self.stage.broker.messages_until(&self.stage.queue(), note).await;
        arrived
    }

    /// Alerts a second from the first push to the last incident on the queue.
    async fn top_rate(&mut self) -> f64 {
        let (alerts, requests) = self.alerts();
        let begin = Instant::now();
        let pushing = load::closed_loop(self.address, &requests, CONNECTIONS);
        let ((_took, answered), arrived) = tokio::join!(pushing, self.arrivals(&alerts));
        assert!(answered.iter().all(|answer| answer.status == 202), "every alert is accepted");
        let last = arrived.values().max().expect("alerts arrived");
        f64::from(u32::try_from(ALERTS).expect("a small number"))
            / last.duration_since(begin).as_secs_f64()
    }

    /// Returns how long each took at this rate.
    async fn latencies(&mut self, rate: f64) -> Vec<Duration> {
        let (alerts, requests) = self.alerts();
        let pushing = load::open_loop(self.address, &requests, rate);
        let (answered, arrived) = tokio::join!(pushing, self.arrivals(&alerts));
        answered
            .iter()
            .map(|Answered { position, status, due_at, .. }| {
                assert_eq!(*status, 202, "every alert is accepted");
                let moment = alerts[*position].raised_at().timestamp_millis();
                arrived[&moment].duration_since(*due_at)
            })
            .collect()
    }
}

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let mut rows = Vec::new();
    for (api_rate, what) in
        [(10_000, "console not throttled"), (20, "20 requests/s to the console")]
    {
        let mut road = Road::start(api_rate).await;
        // Every rule is asked for once.
        road.top_rate().await;
        let [mut top, mut middle, mut most] = [const { Vec::new() }; 3];
        for _ in 0..plan.rounds.min(3) {
            let rate = road.top_rate().await;
            let mut latencies = road.latencies(rate / 2.0).await;
            top.push(rate);
            middle.push(quantile(&mut latencies, 0.5).as_secs_f64() * 1_000.0);
            most.push(quantile(&mut latencies, 0.99).as_secs_f64() * 1_000.0);
        }
        assert!(road.app.terminate().await.success(), "{}", road.app.log());
        road.stage.broker.delete_queue(&road.stage.queue()).await;
        let bar = 2.0 * CONSOLE.as_secs_f64() * 1_000.0 + 20.0;
        rows.push(Row::alone(format!("{what}: top rate"), "alerts/s", Figures::from(top)));
        rows.push(
            Row::alone(
                format!("{what}: push to queue at half of it, p50"),
                "ms",
                Figures::from(middle),
            )
            .bar(Bar::AtMost(bar)),
        );
        rows.push(
            Row::alone(
                format!("{what}: push to queue at half of it, p99"),
                "ms",
                Figures::from(most),
            )
            .bar(Bar::AtMost(1_000.0)),
        );
    }
    rows
}
