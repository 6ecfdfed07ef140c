//! Events that were put back because a sink was away leave as soon as it is back, however long their wait.

use std::net::{SocketAddr, ToSocketAddrs as _};

use harfanglab_incidents::{clock::Clock, demo::Generator};
use serde_json::Value;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection,
    sqlite::SqliteConnectOptions,
};
use url::Url;

use crate::support::{
    app::Home,
    relay::Relay,
    stage::{Stage, http, post},
    stores::{Database, open_sqlite_beside},
    waiting::until,
};

/// A relay to the broker, which the service uses, with every connection refused until it is opened.
async fn closed_broker(home: &mut Home) -> Relay {
    let url: Url = std::env::var("HARFANGLAB_INCIDENTS_TEST_AMQP_URL").unwrap().parse().unwrap();
    let target = (url.host_str().unwrap(), url.port().unwrap());
    let target: SocketAddr = target.to_socket_addrs().unwrap().next().unwrap();
    let broker = Relay::to(target).await;
    broker.close();
    home.set("MQ_HOST", &broker.address().ip().to_string());
    home.set("MQ_PORT", &broker.address().port().to_string());
    broker
}

async fn rows(home: &Home) -> SqliteConnection {
    SqliteConnectOptions::new().filename(home.journal()).connect().await.unwrap()
}

/// Lets what was put back wait for another hour, as after a long outage.
const PUT_OFF: &str = "UPDATE events SET due_at = due_at + 3600000 WHERE state = 'pending' \
     AND reason LIKE 'the sink `queue` could not take it%' AND leased_until IS NULL";

/// Waits until an event was put back, and lets it wait for another hour.
async fn wait_an_hour(home: &Home) {
    let mut rows = rows(home).await;
    until("it is put back", async || {
        let put_off = sqlx::query(PUT_OFF).execute(&mut rows).await.unwrap();
        (put_off.rows_affected() == 1).then_some(())
    })
    .await;
}

async fn until_delivered(stage: &Stage, alerts: u64) {
    let url = format!("sqlite:{}", stage.home.journal().display());
    let console = stage.console.url().to_string();
    let journal = open_sqlite_beside(&url, &console).await;
    until("everything is delivered", async || {
        (journal.counts().await.unwrap().delivered == alerts).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_single_run_delivers_what_waits_for_its_next_try_once_opencti_is_back() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    let broker = closed_broker(&mut stage.home).await;
    let now = Clock::system().now();
    stage.console.seed(now);
    stage.console.add_alert(Generator::new(31).next_alert(now).api_item());
    let mut app = stage.home.start(&[]);
    let is_away = |line: &Value| {
        line["message"].as_str()?.starts_with("OpenCTI cannot be used").then_some(())
    };
    app.wait_for_log("the sink is away", |line| {
        line["message"].as_str()?.starts_with("bundles could not be delivered").then_some(())
    })
    .await;
    stage.opencti.go_down();
    app.wait_for_log("the outage is noticed", is_away).await;
    wait_an_hour(&stage.home).await;
    broker.open();
    stage.opencti.come_back();
    assert!(app.exit().await.success(), "{}", app.log());
    until_delivered(&stage, 1).await;
}

async fn serving(seed: u64) -> (Stage, Relay, Generator) {
    let mut stage = Stage::with_webhook().await;
    for (name, value) in [
        ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
        ("HARFANGLAB_INCIDENTS_ENRICHMENT_TIME", "PT0S"),
        ("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT3S"),
    ] {
        stage.home.set(name, value);
    }
    let broker = closed_broker(&mut stage.home).await;
    (stage, broker, Generator::new(seed))
}

#[tokio::test]
async fn what_waits_for_a_sink_leaves_with_the_first_delivery_after_an_outage() {
    let (stage, broker, mut generator) = serving(32).await;
    let mut app = stage.home.start(&["serve"]);
    let webhook = app.webhook().await;
    let now = Clock::system().now();
    assert_eq!(post(&webhook, &generator.next_alert(now).native()).await.0.as_u16(), 202);
    wait_an_hour(&stage.home).await;
    assert_eq!(post(&webhook, &generator.next_alert(now).native()).await.0.as_u16(), 202);
    let mut rows = rows(&stage.home).await;
    until("it was tried for longer than a hiccup", async || {
        let tries = "SELECT MAX(attempts) FROM events WHERE leased_until IS NULL";
        let row = sqlx::query(tries).fetch_one(&mut rows).await.unwrap();
        (row.get::<Option<i64>, _>(0) > Some(5)).then_some(())
    })
    .await;
    broker.open();
    until_delivered(&stage, 2).await;
    assert!(app.terminate().await.success(), "{}", app.log());
    // However many tries failed.
    let log = app.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failures = lines.filter(|line| {
        line["message"].as_str().is_some_and(|it| it.starts_with("bundles could not be delivered"))
    });
    let mut reasons: Vec<String> =
        failures.map(|line| line["attributes"]["reason"].to_string()).collect();
    let told = reasons.len();
    reasons.sort();
    reasons.dedup();
    assert!(told > 0 && told == reasons.len(), "told {told} times: {reasons:?}");
    assert_eq!(log.matches("the sink takes deliveries again").count(), 1, "{log}");
}

#[tokio::test]
async fn what_a_process_before_put_back_leaves_at_the_start() {
    let (stage, broker, mut generator) = serving(33).await;
    let mut app = stage.home.start(&["serve"]);
    let webhook = app.webhook().await;
    let alert = generator.next_alert(Clock::system().now());
    assert_eq!(post(&webhook, &alert.native()).await.0.as_u16(), 202);
    wait_an_hour(&stage.home).await;
    assert!(app.terminate().await.success(), "{}", app.log());
    broker.open();
    let mut app = stage.home.start(&["serve"]);
    until_delivered(&stage, 1).await;
    assert!(app.terminate().await.success(), "{}", app.log());
}

async fn degraded(management: &str) -> Value {
    let ready = http().get(format!("{management}/readyz")).send().await.unwrap();
    ready.json::<Value>().await.unwrap()["degraded"].take()
}

#[tokio::test]
async fn a_replica_is_degraded_no_longer_once_another_one_has_delivered_what_failed() {
    let journal = Database::Postgres.fresh().await;
    let (mut stage, _broker, mut generator) = serving(34).await;
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &journal.url);
    let mut app = stage.home.start(&["serve"]);
    let (webhook, management) = (app.webhook().await, app.management().await);
    let alert = generator.next_alert(Clock::system().now());
    assert_eq!(post(&webhook, &alert.native()).await.0.as_u16(), 202);
    let mut rows = PgConnection::connect(&journal.url).await.unwrap();
    until("it is put back", async || {
        let put_off = sqlx::query(PUT_OFF).execute(&mut rows).await.unwrap();
        (put_off.rows_affected() == 1).then_some(())
    })
    .await;
    assert!(degraded(&management).await["delivery"].is_string());
    // The other one reaches the broker; this one, which does not, has nothing to try any more.
    stage.home.unset("MQ_HOST");
    stage.home.unset("MQ_PORT");
    let mut other = stage.home.start(&["serve"]);
    stage.closed_works(1).await;
    until("it is well again", async || {
        degraded(&management).await["delivery"].is_null().then_some(())
    })
    .await;
    for app in [&mut app, &mut other] {
        assert!(app.terminate().await.success(), "{}", app.log());
    }
}
