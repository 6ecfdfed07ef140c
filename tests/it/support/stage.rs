//! Everything the binary needs around it: a simulated console, a strict OpenCTI, the real RabbitMQ,
//! and the home in which the binary is started.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use harfanglab_incidents::{
    config::TlsVerification,
    demo::{DemoConsole, DemoConsoleConfig},
    outbound::{self, ServerTrust},
};
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    app::{App, Home, WEBHOOK_SECRET, role},
    broker::{Broker, Message, fresh_connector_id, push_queue},
    opencti::{FakeOpenCti, FakeWork, Personality},
    waiting::until,
};

/// The binary's surroundings.
pub(crate) struct Stage {
    pub(crate) broker: Arc<Broker>,
    pub(crate) opencti: FakeOpenCti,
    pub(crate) console: Arc<DemoConsole>,
    pub(crate) connector_id: String,
    pub(crate) home: Home,
}

impl Stage {
    /// Around a platform of this kind.
    pub(crate) async fn new(personality: Personality) -> Self {
        Self::on(Broker::connect().await, personality)
    }

    /// The same with another broker than the shared one.
    pub(crate) fn on(broker: Broker, personality: Personality) -> Self {
        let broker = Arc::new(broker);
        let opencti = FakeOpenCti::start(personality, Arc::clone(&broker));
        let console = Arc::new(DemoConsole::start(DemoConsoleConfig::default()).unwrap());
        let connector_id = fresh_connector_id();
        let token = console.settings().token;
        let home = Home::new(
            &connector_id,
            (console.url().as_str(), token.expose_secret()),
            (opencti.url(), &opencti.token()),
        );
        Self { broker, opencti, console, connector_id, home }
    }

    /// As [`Stage::new`], with the endpoint open.
    pub(crate) async fn with_webhook() -> Self {
        let mut stage = Self::new(Personality::V7_260817_0).await;
        stage.home = stage.home.with_webhook();
        stage
    }

    /// The connector's queue.
    pub(crate) fn queue(&self) -> String {
        push_queue(&self.connector_id)
    }

    /// Waits until `count` works are closed and answers them.
    pub(crate) async fn closed_works(&self, count: usize) -> Vec<FakeWork> {
        let closed = |works: &[FakeWork]| -> Vec<FakeWork> {
            works.iter().filter(|work| work.closed.is_some()).cloned().collect()
        };
        let state = self
            .opencti
            .wait_for("the works are closed", |state| closed(&state.works).len() >= count)
            .await;
        closed(&state.works)
    }

    /// Takes every message that `works` announced off the queue.
    pub(crate) async fn messages_of(&self, works: &[FakeWork]) -> Vec<Message> {
        let expected: i64 = works.iter().map(|work| work.expected).sum();
        self.broker.messages(&self.queue(), u16::try_from(expected).unwrap()).await
    }
}

/// Posts `body` with the webhook's secret; answers status and JSON.
pub(crate) async fn post(url: &str, body: &Value) -> (StatusCode, Value) {
    post_by(&http(), url, body).await
}

/// The same by a client of one's own, for whoever posts thousands: making one reads the system's
/// authorities.
pub(crate) async fn post_by(
    client: &reqwest::Client,
    url: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let request = client.post(url).header("Authorization", WEBHOOK_SECRET).json(body);
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    let answer = serde_json::from_str(&text);
    (status, answer.unwrap_or_else(|error| panic!("{status} {text:?}: {error}")))
}

/// Trusts the system's authorities.
pub(crate) fn system_trust() -> ServerTrust {
    ServerTrust::new(&TlsVerification::System).unwrap()
}

/// A plain client.
pub(crate) fn http() -> reqwest::Client {
    outbound::client(&system_trust(), Duration::from_secs(30)).unwrap()
}

/// Names of the incidents among these messages, sorted.
pub(crate) fn incident_names(messages: &[Message]) -> Vec<String> {
    let mut names: Vec<String> = messages
        .iter()
        .flat_map(|message| message.bundle["objects"].as_array().unwrap())
        .filter(|object| object["type"] == "incident")
        .map(|object| object["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Returns how many alerts the closed works speak of.
pub(crate) fn alerts_in(works: &[FakeWork]) -> usize {
    works.iter().filter(|work| work.closed.is_some()).map(|work| alerts_of(&work.name)).sum()
}

/// Returns how many alerts a work's name speaks of.
fn alerts_of(name: &str) -> usize {
    name.split_whitespace()
        .zip(name.split_whitespace().skip(1))
        .find(|(_, word)| *word == "HarfangLab")
        .and_then(|(count, _)| count.parse().ok())
        .unwrap_or(1)
}

/// Serves until every incident of `count` alerts is on the queue; answers their names.
pub(crate) async fn incidents_on_the_queue(stage: &Stage, count: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let is_last = |message: &crate::support::broker::Message| {
        let objects = message.bundle["objects"].as_array().into_iter().flatten();
        let incidents = objects.filter(|object| object["type"] == "incident");
        seen.extend(incidents.map(|incident| incident["id"].as_str().unwrap().to_owned()));
        seen.len() == count
    };
    stage.broker.messages_until(&stage.queue(), is_last).await;
    seen
}

/// Starts the service and waits until it has this role.
pub(crate) async fn start_in_role(stage: &Stage, role_then: &str) -> App {
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    let is_so = async || (role(&management).await.as_deref() == Some(role_then)).then_some(());
    until(role_then, is_so).await;
    app
}
