//! Post-delivery checks, on the journal of a service that has ended.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoAlert, Generator, Kind},
    journal::{Journal, ListedRefusal},
    opencti::OpenCti,
    pipeline::Afterwards,
};
use serde_json::Value;
use url::Url;

use super::{broker::Message, journal_file::connect, opencti::Personality, stage::Stage};

use crate::support::stores::open_sqlite;

/// Post-delivery checks, on the journal of a service that has ended, under a clock that
/// only the test moves.
pub(crate) struct PostDeliveryChecks {
    pub(crate) journal: Journal,
    afterwards: Afterwards,
    passed_seconds: Arc<AtomicI64>,
    pub(crate) clock: Clock,
    pub(crate) client: OpenCti,
}

impl PostDeliveryChecks {
    /// Opens the journal of a service that has ended.
    pub(crate) async fn new(stage: &Stage) -> Self {
        let url = format!("sqlite:{}", stage.home.journal().display());
        let console: Url = stage.home.get("HARFANGLAB_INCIDENTS_URL").parse().unwrap();
        let journal = open_sqlite(&url, console.as_str()).await;
        let client = OpenCti::new(&stage.opencti.settings()).unwrap();
        client.version().await.unwrap();
        let passed_seconds = Arc::new(AtomicI64::new(0));
        let (passed, start) = (Arc::clone(&passed_seconds), Clock::system().now());
        let clock =
            Clock::from_fn(move || start + TimeDelta::seconds(passed.load(Ordering::SeqCst)));
        let afterwards = Afterwards::new(
            journal.clone(),
            (client.clone(), stage.connector_id.clone()),
            None,
            clock.clone(),
        );
        Self { journal, afterwards, passed_seconds, clock, client }
    }

    /// A round after this long.
    pub(crate) async fn round_after(&self, wait: TimeDelta) {
        self.passed_seconds.fetch_add(wait.num_seconds(), Ordering::SeqCst);
        self.afterwards.round().await;
    }

    /// Returns what OpenCTI was seen to refuse.
    pub(crate) async fn refusals(&self) -> Vec<ListedRefusal> {
        self.journal.refusals(100).await.unwrap()
    }
}

/// A stage on which a single run delivered these alerts of hosts of their own, and what it sent.
pub(crate) async fn delivered(
    personality: Personality,
    kinds: &[Kind],
) -> (Stage, Vec<DemoAlert>, Vec<Message>) {
    let mut stage = Stage::new(personality).await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(21);
    let raised_at = now - TimeDelta::days(2);
    let alerts: Vec<_> = kinds.iter().map(|kind| generator.alert(*kind, raised_at)).collect();
    for alert in &alerts {
        stage.console.add_alert(alert.api_item());
    }
    let messages = run(&stage).await;
    (stage, alerts, messages)
}

/// A single run; what it sent.
pub(crate) async fn run(stage: &Stage) -> Vec<Message> {
    let before = stage.opencti.works().len();
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());
    stage.messages_of(&stage.opencti.works()[before..]).await
}

/// The ids of all objects that left in one bundle.
pub(crate) fn objects_of(bundle: &Value, messages: &[Message]) -> BTreeSet<String> {
    let of_bundle = messages.iter().filter(|message| message.bundle["id"] == *bundle);
    of_bundle
        .map(|message| message.bundle["objects"][0]["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Makes everything that waits in the journal due now.
pub(crate) async fn time_passes(stage: &Stage) {
    let mut journal = connect(&stage.home.journal()).await;
    let due = "UPDATE events SET due_at = 0 WHERE state = 'pending'";
    sqlx::query(due).execute(&mut journal).await.unwrap();
}
