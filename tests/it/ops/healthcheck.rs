//! Readiness and the `healthcheck` command, against the real binary.

use serde_json::Value;
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use tokio::io::AsyncReadExt;

use crate::support::{
    app::App,
    stage::{Stage, http, post},
    waiting::until,
};

/// Runs `healthcheck` against a management address: exit code and both streams.
async fn healthcheck(stage: &mut Stage, address: &str) -> (Option<i32>, String) {
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address);
    // A proxy of the environment has no say in what is on this machine.
    stage.home.set("HTTP_PROXY", "http://192.0.2.1:3128");
    let mut app: App = stage.home.start(&["healthcheck"]);
    let mut stdout = app.stdout();
    let code = app.exit().await.code();
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    if text.is_empty() {
        text =
            until("words on stderr", async || Some(app.log()).filter(|log| !log.is_empty())).await;
    }
    (code, text)
}

#[tokio::test]
async fn healthcheck_is_content_while_the_service_accepts_and_not_when_it_is_gone() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    let address = management.strip_prefix("http://").unwrap().to_owned();
    let (code, words) = healthcheck(&mut stage, &address).await;
    assert_eq!(code, Some(0), "{words}");
    assert!(words.starts_with("ready") || words.starts_with("degraded"), "{words}");
    assert_eq!(words.lines().count(), 1, "{words}");
    assert!(app.terminate().await.success());
    let (code, words) = healthcheck(&mut stage, &address).await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("is the service running?"), "{words}");
    let (code, words) = healthcheck(&mut stage, "127.0.0.1:0").await;
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("fixed one"), "{words}");
}

#[tokio::test]
async fn an_opencti_that_is_away_degrades_the_service_which_stays_ready_and_accepts() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("OPENCTI_URL", "http://127.0.0.1:1");
    let mut app = stage.home.start(&["serve"]);
    let (management, url) = (app.management().await, app.webhook().await);
    app.wait_for_log("OpenCTI is away", |line| {
        line["message"].as_str()?.starts_with("OpenCTI cannot be reached").then_some(())
    })
    .await;
    let response = http().get(format!("{management}/readyz")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["status"], "degraded", "{answer}");
    assert!(answer["degraded"]["opencti"].as_str().unwrap().contains("127.0.0.1:1"), "{answer}");
    let (status, _answer) = post(&url, &crate::support::notifications::generated_alert(41)).await;
    assert_eq!(status.as_u16(), 202);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_makes_the_service_unready_until_it_can() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = stage.home.start(&["serve"]);
    let management = app.management().await;
    let asked = async || {
        let response = http().get(format!("{management}/readyz")).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(asked().await.0, 200);
    let options = SqliteConnectOptions::new().filename(stage.home.journal());
    let mut other = options.connect().await.unwrap();
    // Nobody else can write from here on, as on a full disk.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let (status, answer) = asked().await;
    assert_eq!((status, &answer["status"]), (503, &Value::from("unready")), "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains("journal"), "{answer}");
    assert_eq!(answer["degraded"]["journal"], answer["reason"]);
    let page = http().get(format!("{management}/metrics")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("part_degraded{part=\"journal\"} 1\n"));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    // Nobody posts meanwhile: the probe itself notices.
    until("ready again", async || (asked().await.0 == 200).then_some(())).await;
}
