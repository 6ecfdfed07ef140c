//! How fast the endpoint accepts: verified, decoded, committed and answered, beside the same route
//! with nothing behind its door. Every acknowledged alert is looked for in the journal afterwards.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{App, HttpServer, dev::ServerHandle};
use arc_swap::ArcSwap;
use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    config::{Settings, WebhookSettings},
    demo::Generator,
    intake::{
        Door, Receipt,
        verification::Verifier,
        webhook::{Webhook, routes},
    },
    journal::{Journal, SqliteJournal, write_what_comes_in},
};
use secrecy::SecretString;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    Plan,
    load::{self, Answered},
    support::{app::WEBHOOK_SECRET, health},
    table::{Bar, Figures, Row},
};

/// Requests of one round.
const REQUESTS: usize = 10_000;
/// Requests that one commit shares at most, in front of the null journal as in front of the real.
const WAITING: usize = 1_024;
const CONNECTIONS: [usize; 3] = [64, 8, 1];
/// One alert in this many requests, where the rest is telemetry.
const TELEMETRY: usize = 100;

/// What stands behind the door.
enum Behind {
    Journal(Arc<SqliteJournal>, TempDir),
    Nothing,
}

struct Endpoint {
    address: SocketAddr,
    path: String,
    server: ServerHandle,
    writer: JoinHandle<()>,
    behind: Behind,
}

fn settings() -> WebhookSettings {
    let folder = std::env::temp_dir();
    let url = "sqlite::memory:".to_owned();
    let mut settings = Settings::embedded(url, folder, crate::settings::console());
    settings.webhook.secrets = vec![SecretString::from(WEBHOOK_SECRET)];
    settings.webhook
}

impl Endpoint {
    async fn with_journal(settings: &WebhookSettings) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let opened = SqliteJournal::open(&url, "https://console.example").await;
        let journal = Arc::new(opened.expect("a new journal opens"));
        let (door, entries) = Door::new(WAITING);
        let writer = write_what_comes_in(journal.clone(), entries, Arc::default(), health());
        let behind = Behind::Journal(journal, folder);
        Self::serve(settings, door, tokio::spawn(writer), behind)
    }

    /// Answers everything as stored, and stores nothing.
    fn with_nothing(settings: &WebhookSettings) -> Self {
        let (door, mut entries) = Door::new(WAITING);
        let writer = tokio::spawn(async move {
            let mut waiting = Vec::new();
            while entries.recv_many(&mut waiting, WAITING).await > 0 {
                for entry in waiting.drain(..) {
                    let accepted = entry.notifications.len();
                    let receipt = Receipt { accepted, first_seen: accepted, ..Receipt::default() };
                    let _gone = entry.reply.send(Ok(receipt));
                }
            }
        });
        Self::serve(settings, door, writer, Behind::Nothing)
    }

    fn serve(
        settings: &WebhookSettings,
        door: Door,
        writer: JoinHandle<()>,
        behind: Behind,
    ) -> Self {
        let verifier = Verifier::new(settings).expect("the settings are valid");
        let verifier = Arc::new(ArcSwap::from_pointee(verifier.expect("there is a secret")));
        let webhook = Webhook::new(verifier, door, Clock::system(), settings);
        let path = settings.path.clone();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let served = path.clone();
        let server =
            HttpServer::new(move || App::new().configure(routes(Arc::clone(&webhook), &served)))
                .workers(2)
                .disable_signals()
                .listen(listener)
                .expect("the port is ours")
                .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { address, path, server: handle, writer, behind }
    }

    /// Ends it; answers the alerts that the journal keeps, when there is one.
    async fn end(self) -> Option<BTreeSet<String>> {
        self.server.stop(false).await;
        self.writer.abort();
        let Behind::Journal(journal, _folder) = self.behind else {
            return None;
        };
        let (lease, now) = (Duration::from_hours(1), Clock::system().now() + TimeDelta::hours(1));
        let mut kept = BTreeSet::new();
        loop {
            let events = journal.claim(1_000, lease, now).await.expect("the journal answers");
            if events.is_empty() {
                return Some(kept);
            }
            kept.extend(events.iter().map(|event| unique_id(&event.body)));
        }
    }
}

fn unique_id(body: &str) -> String {
    let body: Value = serde_json::from_str(body).expect("what was kept is JSON");
    body["alert_unique_id"].as_str().expect("our alerts have ids").to_owned()
}

/// What is pushed.
#[derive(Clone, Copy)]
enum Mix {
    AlertsOnly,
    MostlyTelemetry,
}

/// Bodies, and the id of the alert in each.
fn bodies(mix: Mix, round: usize) -> (Vec<String>, Vec<Option<String>>) {
    let mut generator = Generator::new(round as u64);
    let now = Clock::system().now();
    (0..REQUESTS)
        .map(|number| match mix {
            Mix::MostlyTelemetry if number % TELEMETRY != 0 => {
                (generator.ecs_telemetry(now).to_string(), None)
            }
            _ => {
                let alert = generator.next_alert(now);
                (alert.native().to_string(), Some(alert.unique_id().to_owned()))
            }
        })
        .unzip()
}

/// What a round came to.
struct Round {
    /// Requests a second.
    rate: f64,
    /// Milliseconds that 99 % of the answers did not exceed.
    most: f64,
}

/// Posts everything and looks for what was acknowledged.
async fn round(
    endpoint: Endpoint,
    bodies: &[String],
    ids: &[Option<String>],
    connections: usize,
) -> Round {
    let requests = bodies.iter().map(|body| load::request(&endpoint.path, body)).collect();
    let (took, answered) =
        load::closed_loop(endpoint.address, &Arc::new(requests), connections).await;
    assert_eq!(answered.len(), bodies.len(), "every request is answered");
    let refused = answered.iter().find(|answer| answer.status != 202 && answer.status != 200);
    assert!(refused.is_none(), "the endpoint refused: {refused:?}");
    if let Some(kept) = endpoint.end().await {
        let acknowledged =
            answered.iter().filter_map(|answer: &Answered| ids[answer.position].clone());
        let acknowledged: BTreeSet<String> = acknowledged.collect();
        assert_eq!(kept, acknowledged, "what was acknowledged is kept, and nothing else");
    }
    let mut answers: Vec<Duration> = answered.iter().map(|answer| answer.took).collect();
    let count = f64::from(u32::try_from(bodies.len()).expect("it is a small number"));
    Round {
        rate: count / took.as_secs_f64(),
        most: load::quantile(&mut answers, 0.99).as_secs_f64() * 1_000.0,
    }
}

/// All rows.
pub(crate) async fn measure(plan: &Plan) -> Vec<Row> {
    let settings = settings();
    let mut rows = Vec::new();
    for (mix, what, connections) in CONNECTIONS
        .iter()
        .map(|connections| (Mix::AlertsOnly, "alerts", *connections))
        .chain([(Mix::MostlyTelemetry, "1 % alerts among telemetry", CONNECTIONS[0])])
    {
        let [mut durable, mut nothing, mut most] = [const { Vec::new() }; 3];
        // The first round warms up.
        for number in 0..=plan.rounds {
            let (bodies, ids) = bodies(mix, number);
            let ours = Endpoint::with_journal(&settings).await;
            let ours = round(ours, &bodies, &ids, connections).await;
            let none = Endpoint::with_nothing(&settings);
            let none = round(none, &bodies, &ids, connections).await;
            if number > 0 {
                durable.push(ours.rate);
                nothing.push(none.rate);
                most.push(ours.most);
            }
        }
        let row = Row::alone(
            format!("{what}, {connections} connections"),
            "requests/s",
            Figures::from(durable),
        )
        .beside("nothing behind the door", Figures::from(nothing));
        // With fewer connections fewer deliveries share a commit: told, without a bar.
        rows.push(if connections == CONNECTIONS[0] { row.bar(Bar::AtLeast(0.5)) } else { row });
        let what = format!("{what}, {connections} connections: answered, p99");
        rows.push(Row::alone(what, "ms", Figures::from(most)));
    }
    rows
}
