//! One bad console never slows another: while one is slow, hangs and is forged, in turn, the other's
//! alerts take as long as before, and nothing of either is lost.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use harfanglab_incidents::{
    clock::Clock,
    config::{ConsoleNames, ConsoleSettings, Settings},
    demo::{DemoAlert, DemoConsole, DemoConsoleConfig, Generator},
    journal::Journal,
    service::{Service, ServiceError},
    stix::Bundle,
    sweep::{Job, JobBoard},
};
use reqwest::StatusCode;
use secrecy::SecretString;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::{app::patience, recorder::recorder, stage::http};

/// Alerts whose way is timed in each phase.
const TIMED: usize = 15;
/// Alerts that the bad console pushes in each phase: more than its pipeline takes at once.
const FLOOD: usize = 40;
/// By how much the median may differ. Whoever waits for the bad console waits for its time limit, which
/// is a hundred times the median and more.
const NOISE: u32 = 5;
/// Time that the client of the bad console waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Returns how many incidents of this author were delivered.
fn incidents_of(author: &str, bundles: &[Bundle]) -> usize {
    let is_author = |object: &Map<String, Value>| {
        object["type"] == "identity" && object["identity_class"] == "organization"
    };
    let of_author = bundles.iter().filter(|bundle| {
        bundle.objects.iter().find(|it| is_author(it)).is_some_and(|it| it["name"] == author)
    });
    let is_incident = |object: &&Map<String, Value>| object["type"] == "incident";
    let incidents: BTreeSet<&str> = of_author
        .filter_map(|bundle| bundle.objects.iter().find(is_incident)?["id"].as_str())
        .collect();
    incidents.len()
}

/// A console, and what it has shown and pushed.
struct Side {
    name: &'static str,
    console: DemoConsole,
    journal: Journal,
    board: Arc<JobBoard>,
    endpoint: String,
    secret: String,
    generator: Generator,
    pushed: usize,
}

impl Side {
    /// A new alert that the console shows.
    fn alert(&mut self) -> DemoAlert {
        let alert = self.generator.next_alert(Clock::system().now());
        self.console.add_alert(alert.api_item());
        alert
    }

    /// Pushes a new alert.
    async fn push(&mut self) {
        let alert = self.alert();
        let answer = post(&self.endpoint, &self.secret, &alert).await;
        assert_eq!(answer, StatusCode::ACCEPTED, "{}", self.name);
        self.pushed += 1;
    }

    async fn settle(&self, delivered: &watch::Receiver<Vec<Bundle>>) {
        let mut delivered = delivered.clone();
        let settled = async {
            while !self.journal.is_drained().await.unwrap() {
                let _a_look_is_due =
                    tokio::time::timeout(Duration::from_millis(20), delivered.changed()).await;
            }
        };
        let in_time = tokio::time::timeout(patience(), settled).await.is_ok();
        assert!(in_time, "{}: {:?}", self.name, self.journal.counts().await);
    }
}

async fn post(endpoint: &str, secret: &str, alert: &DemoAlert) -> StatusCode {
    let request = http().post(endpoint).header("Authorization", secret).json(&alert.native());
    request.send().await.unwrap().status()
}

/// Two consoles before one service.
struct Pair {
    good: Side,
    bad: Side,
    delivered: watch::Receiver<Vec<Bundle>>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ServiceError>>,
    _folder: TempDir,
}

fn console(name: &str, service: &Settings, console: &DemoConsole) -> ConsoleSettings {
    let mut settings = service.consoles[0].clone();
    name.clone_into(&mut settings.name);
    name.clone_into(&mut settings.author);
    settings.harfanglab = console.settings();
    settings.harfanglab.request_timeout = TIME_LIMIT;
    settings.webhook.path = format!("/webhooks/{name}");
    settings.webhook.secrets = vec![SecretString::from(secret(name))];
    settings
}

fn secret(name: &str) -> String {
    format!("a-webhook-secret-of-{name}")
}

impl Pair {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let consoles = ["good", "bad"].map(|name| {
            let config =
                DemoConsoleConfig { latency: Duration::from_millis(20), ..Default::default() };
            let console = DemoConsole::start(config).unwrap();
            console.seed(Clock::system().now());
            (name, console)
        });
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let first = consoles[0].1.settings();
        let mut settings = Settings::embedded(url, folder.path().to_owned(), first);
        settings.connector.directory = None;
        settings.connector.duration_period = Duration::from_hours(1);
        settings.console_names = ConsoleNames::Shown;
        settings.consoles =
            consoles.iter().map(|(name, demo)| console(name, &settings, demo)).collect();
        let (recorder, delivered) = recorder();
        let service = Service::start(settings, Clock::system(), vec![recorder]).await.unwrap();
        let address = service.webhook_address().unwrap();
        let side = |(number, (name, console)): (u64, (&'static str, DemoConsole))| Side {
            name,
            console,
            journal: service.journal_of(name).unwrap(),
            board: service.jobs_of(name).unwrap(),
            endpoint: format!("http://{address}/webhooks/{name}"),
            secret: secret(name),
            generator: Generator::new(200 + number),
            pushed: 0,
        };
        let [good, bad] = consoles;
        let (good, bad) = (side((0, good)), side((1, bad)));
        let stop = CancellationToken::new();
        let running = tokio::spawn(service.run(stop.clone()));
        Self { good, bad, delivered, stop, running, _folder: folder }
    }

    /// The median of how long alerts of the good console take from the push to the sink.
    async fn median(&mut self, phase: &str) -> Duration {
        let mut took = Vec::with_capacity(TIMED);
        for _ in 0..TIMED {
            let before = incidents_of("good", &self.delivered.borrow());
            let began = Instant::now();
            self.good.push().await;
            let arrived = self.delivered.wait_for(|bundles| incidents_of("good", bundles) > before);
            let arrived = tokio::time::timeout(patience(), arrived).await;
            assert!(arrived.is_ok_and(|it| it.is_ok()), "{phase}: it was not delivered");
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let median = took[TIMED / 2];
        eprintln!("{phase}: p50 {median:?}, longest {:?}", took[TIMED - 1]);
        median
    }

    async fn flood(&mut self) {
        for _ in 0..FLOOD {
            self.bad.push().await;
        }
        // An alert that no push brings: its sweep has something to do, too.
        self.bad.alert();
        let _another_is_under_way = self.bad.board.submit(Job::Sweep);
    }
}

/// Posts what the bad console never sent, until told to stop; answers how often it was let in.
async fn forge(endpoint: String, foreign: String, stop: CancellationToken) -> (usize, usize) {
    let mut generator = Generator::new(299);
    let (mut let_in, mut tries) = (0, 0);
    while !stop.is_cancelled() {
        let alert = generator.next_alert(Clock::system().now());
        for secret in ["a-secret-of-nobody-at-all", foreign.as_str(), ""] {
            let_in += usize::from(post(&endpoint, secret, &alert).await.is_success());
            tries += 1;
        }
    }
    (let_in, tries)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_console_is_slow_dead_and_forged_the_other_is_as_fast_and_nothing_is_lost() {
    let mut pair = Pair::start().await;
    let _warm_up = pair.median("warm-up").await;
    let usual = pair.median("both well").await;

    pair.bad.console.set_latency(Duration::from_secs(2));
    pair.flood().await;
    let beside_slow = pair.median("one slow").await;

    // Nothing answers any more: whoever asks waits for the time limit.
    pair.bad.console.set_latency(Duration::from_hours(1));
    pair.flood().await;
    let beside_dead = pair.median("one dead").await;

    let enough = CancellationToken::new();
    let (endpoint, foreign) = (pair.bad.endpoint.clone(), pair.good.secret.clone());
    let forging = tokio::spawn(forge(endpoint, foreign, enough.clone()));
    let beside_forging = pair.median("one dead and forged").await;
    enough.cancel();
    let (let_in, tries) = forging.await.unwrap();
    assert_eq!(let_in, 0, "of {tries} forged deliveries");
    assert!(tries > 3);

    for (phase, median) in
        [("slow", beside_slow), ("dead", beside_dead), ("forging", beside_forging)]
    {
        assert!(
            median < usual * NOISE,
            "beside one that is {phase}: {median:?}, usually {usual:?}"
        );
    }

    let troubled = pair.bad.journal.counts().await.unwrap();
    let missing = troubled.pending + troubled.following_up;
    assert!(missing > 0, "the bad one was in trouble meanwhile: {troubled:?}");
    pair.bad.console.set_latency(Duration::ZERO);
    pair.bad.settle(&pair.delivered).await;
    pair.good.settle(&pair.delivered).await;
    for side in [&pair.good, &pair.bad] {
        let counts = side.journal.counts().await.unwrap();
        assert_eq!((counts.dead, counts.pending), (0, 0), "{}: {counts:?}", side.name);
        let of_side = incidents_of(side.name, &pair.delivered.borrow());
        // What only a sweep can bring may or may not be there yet.
        assert!((side.pushed..=side.pushed + 2).contains(&of_side), "{}: {of_side}", side.name);
    }
    pair.stop.cancel();
    pair.running.await.unwrap().unwrap();
}
