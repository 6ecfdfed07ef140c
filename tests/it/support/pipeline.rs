//! The pipeline of a test in this process, with everything around it, under a clock that only the test moves.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    clock::Clock,
    config::{IncidentNaming, Settings},
    convert::{ConvertSettings, NetworkTraffic, RuleChecker},
    demo::{DemoConsole, DemoConsoleConfig},
    harfanglab::Console,
    intake::{
        MemoryBudget, Notification,
        dialect::Dialect,
        verification::{Proof, Verifier},
    },
    journal::{Counts, Journal},
    opencti::{Delivery, DeliveryError, OpenCti, Sink},
    pipeline::{
        Enricher, NameWaits, NegativeSightings, Pipeline, Preparer, ValidFrom, first_look_ups_max,
    },
    stix::Bundle,
};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{
    app::{PATIENCE, WEBHOOK_SECRET},
    health,
    recorder::recorder,
};

use crate::support::stores::open_sqlite;

/// Returns the time at which every test begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Prepares events as these settings say, with only this console to ask.
pub(crate) fn preparer(
    settings: &Settings,
    journal: Journal,
    console: Console,
    clock: &Clock,
) -> Preparer {
    Preparer {
        journal,
        enricher: Enricher::new(Arc::new(console)),
        enrichment: settings.consoles[0].enrichment.clone(),
        first_look_ups_max: first_look_ups_max(
            &settings.consoles[0].harfanglab,
            settings.pipeline.concurrency,
        ),
        filter: settings.consoles[0].import.filter.clone(),
        threats: settings.consoles[0].import.threats,
        platform: None,
        convert: ConvertSettings {
            author: "HarfangLab".to_owned(),
            marking: settings.consoles[0].import.marking,
            score: None,
            incident_score: None,
            custom_properties: settings.consoles[0].import.custom_properties,
            naming: IncidentNaming::Title,
            accounts: settings.consoles[0].import.accounts,
            raw: settings.consoles[0].import.raw,
            network_traffic: NetworkTraffic::Sent,
            rule_checker: RuleChecker::Strict,
            workflow: BTreeMap::new(),
            console_url: "https://console.example".parse().unwrap(),
        },
        valid_from: ValidFrom::default(),
        name_waits: NameWaits::default(),
        refused_rules: Arc::default(),
        memory: MemoryBudget::default(),
        clock: clock.clone(),
    }
}

/// Less than a lease, more than any wait of these tests.
const LEASE_LEAST: TimeDelta = TimeDelta::minutes(4);

/// A sink that is unavailable as often as it is told to be, and keeps nothing.
struct Failing(Arc<AtomicI64>);

#[async_trait]
impl Sink for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        let is_down = self.0.fetch_sub(1, Ordering::SeqCst) > 0;
        let down = || Err(DeliveryError::Unavailable("down for a while".to_owned()));
        vec![if is_down { down() } else { Ok(()) }; delivery.bundles.len()]
    }
}

/// A running pipeline.
pub(crate) struct TestPipeline {
    pub(crate) journal: Journal,
    pub(crate) console: DemoConsole,
    /// Number of times that the second sink is still unavailable.
    pub(crate) second_sink_fails: Arc<AtomicI64>,
    passed_ms: Arc<AtomicI64>,
    arrived: Arc<Notify>,
    delivered: watch::Receiver<Vec<Bundle>>,
    stop: CancellationToken,
    verifier: Verifier,
    _folder: TempDir,
}

impl Drop for TestPipeline {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl TestPipeline {
    /// A pipeline in front of an empty console; `change` its settings.
    pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(Vec::new(), change).await
    }

    /// The same with what is known of this platform.
    pub(crate) async fn start_on(platform: OpenCti) -> Self {
        Self::build(Vec::new(), Some(platform), |settings| {
            settings.consoles[0].import.threats = true;
        })
        .await
    }

    /// The same with more sinks behind its own two.
    pub(crate) async fn start_with(
        more_sinks: Vec<Arc<dyn Sink>>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::build(more_sinks, None, change).await
    }

    async fn build(
        more_sinks: Vec<Arc<dyn Sink>>,
        platform: Option<OpenCti>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let mut settings =
            Settings::embedded(url.clone(), folder.path().to_owned(), console.settings());
        settings.consoles[0].webhook.secrets = vec![SecretString::from(WEBHOOK_SECRET)];
        // More than a busy machine takes.
        settings.consoles[0].harfanglab.request_timeout = PATIENCE;
        change(&mut settings);
        let verifier = Verifier::new(&settings.consoles[0].webhook).unwrap().unwrap();
        let journal = open_sqlite(&url, "https://console.example").await;
        let client =
            Console::with_denied_pause(&settings.consoles[0].harfanglab, Duration::ZERO).unwrap();
        let passed_ms = Arc::new(AtomicI64::new(0));
        let passed = Arc::clone(&passed_ms);
        let clock = Clock::from_fn(move || {
            start() + TimeDelta::milliseconds(passed.load(Ordering::SeqCst))
        });
        let arrived = Arc::new(Notify::new());
        let (recorder, delivered) = recorder();
        let second_sink_fails = Arc::new(AtomicI64::new(0));
        let own_sinks: [Arc<dyn Sink>; 2] =
            [recorder, Arc::new(Failing(Arc::clone(&second_sink_fails)))];
        let pipeline = Pipeline {
            journal: journal.clone(),
            preparer: Arc::new(Preparer {
                platform,
                ..preparer(&settings, journal.clone(), client, &clock)
            }),
            sinks: own_sinks.into_iter().chain(more_sinks).collect(),
            pressure: None,
            arrived: Arc::clone(&arrived),
            clock,
            settings: settings.pipeline.clone(),
            connector_name: "HarfangLab".to_owned(),
            health: health(),
            negative_sightings: NegativeSightings::ByBundle,
        };
        let stop = CancellationToken::new();
        tokio::spawn(pipeline.run(stop.clone()));
        Self {
            journal,
            console,
            second_sink_fails,
            passed_ms,
            arrived,
            delivered,
            stop,
            verifier,
            _folder: folder,
        }
    }

    /// Stores what is posted; answers how many the journal did not have.
    pub(crate) async fn push(&self, dialect: Dialect, element: &Value) -> usize {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static(WEBHOOK_SECRET));
        let proof = self.verifier.verify(&headers, b"", start()).unwrap();
        self.append(dialect, element, &proof).await
    }

    /// Stores several that came in one delivery.
    pub(crate) async fn push_together(&self, dialect: Dialect, elements: &[Value]) {
        let proof = Proof::answered_by_console(start());
        let of = |it: &Value| Notification::of_dialect(&proof, dialect, it, it.to_string());
        self.journal.append(&[elements.iter().map(of).collect()]).await.unwrap();
        self.arrived.notify_one();
    }

    /// Stores what the sweep finds.
    pub(crate) async fn sweep(&self, item: &Value) -> usize {
        self.append(Dialect::NativeAlert, item, &Proof::answered_by_console(self.now())).await
    }

    async fn append(&self, dialect: Dialect, element: &Value, proof: &Proof) -> usize {
        let notification = Notification::of_dialect(proof, dialect, element, element.to_string());
        let receipts = self.journal.append(&[vec![notification]]).await.unwrap();
        self.arrived.notify_one();
        receipts[0].accepted
    }

    fn now(&self) -> DateTime<Utc> {
        start() + TimeDelta::milliseconds(self.passed_ms.load(Ordering::SeqCst))
    }

    /// Lets time pass, once nothing is due or under way.
    pub(crate) async fn pass(&self, time: TimeDelta) {
        self.rest().await;
        self.passed_ms.fetch_add(time.num_milliseconds(), Ordering::SeqCst);
        self.arrived.notify_one();
    }

    /// Lets time pass whatever is under way.
    pub(crate) fn jump(&self, time: TimeDelta) {
        self.passed_ms.fetch_add(time.num_milliseconds(), Ordering::SeqCst);
        self.arrived.notify_one();
    }

    /// Lets time pass until `count` bundles were delivered; answers them all. For what is put back
    /// at the end of a delivery while follow-ups wait, too.
    pub(crate) async fn passed_until(&mut self, count: usize) -> Vec<Bundle> {
        let passing = async {
            while self.delivered.borrow().len() < count {
                self.pass(TimeDelta::seconds(10)).await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, passing).await.unwrap();
        self.delivered(count).await
    }

    /// Waits until nothing is due or under way. What is under way is due when its lease ends, which
    /// is later than anything waits.
    pub(crate) async fn rest(&self) {
        let resting = async {
            loop {
                match self.journal.next_due().await.unwrap() {
                    Some(due) if due <= self.now() || due > self.now() + LEASE_LEAST => {}
                    _ => return,
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, resting).await.unwrap();
    }

    /// Waits until `count` bundles were delivered; answers them all.
    pub(crate) async fn delivered(&mut self, count: usize) -> Vec<Bundle> {
        let waited = self.delivered.wait_for(|bundles| bundles.len() >= count);
        let bundles = tokio::time::timeout(PATIENCE, waited).await.unwrap().unwrap().clone();
        assert_eq!(bundles.len(), count, "no more than that was delivered");
        bundles
    }

    /// Waits until the journal counts what is wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
        let looking = async {
            loop {
                let counts = self.journal.counts().await.unwrap();
                if wanted(&counts) {
                    return counts;
                }
                tokio::task::yield_now().await;
            }
        };
        if let Ok(counts) = tokio::time::timeout(PATIENCE, looking).await {
            return counts;
        }
        panic!("{what}: {:?}", self.journal.counts().await.unwrap())
    }
}

/// The incident of a bundle.
pub(crate) fn incident(bundle: &Bundle) -> &Map<String, Value> {
    bundle.objects.iter().find(|object| object["type"] == "incident").unwrap()
}

/// Returns whether a bundle has an object of this type.
pub(crate) fn has(bundle: &Bundle, kind: &str) -> bool {
    bundle.objects.iter().any(|object| object["type"] == kind)
}

/// Returns whether the incident links to the alert's page.
pub(crate) fn has_page(bundle: &Bundle) -> bool {
    Value::from(incident(bundle).clone()).to_string().contains("/security-event/")
}
