//! `sweep` and `backfill`, beside a running service and without one.

use std::net::TcpListener;

use chrono::TimeDelta;
use harfanglab_incidents::{
    clock::Clock,
    demo::{Collection, Fault, Generator, RequestKind},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::support::{
    app::{App, Home},
    opencti::Personality,
    stage::{Stage, alerts_in, http, incident_names},
};

const ALERTS: RequestKind = RequestKind::List(Collection::Alerts);

/// Runs a command to its end; answers whether it succeeded, its output and its log.
async fn command(home: &Home, arguments: &[&str]) -> (bool, String, String) {
    let mut app = home.start(arguments);
    let mut stdout = app.stdout();
    let mut output = String::new();
    stdout.read_to_string(&mut output).await.unwrap();
    (app.exit().await.success(), output, app.whole_log().await)
}

/// A stage with `count` alerts of the last month that no sweep looks for.
async fn stage(count: i64) -> Stage {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", &format!("127.0.0.1:{port}"));
    stage.home.set("HARFANGLAB_INCIDENTS_API_RATE", "1000");
    let now = Clock::system().now();
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", &now.to_rfc3339());
    stage.console.seed(now);
    let mut generator = Generator::new(30);
    for number in 0..count {
        let raised_at = now - TimeDelta::days(20) + TimeDelta::minutes(number);
        stage.console.add_alert(generator.next_alert(raised_at).api_item());
    }
    stage
}

#[tokio::test]
async fn beside_a_running_service_the_commands_ask_it_and_without_one_they_do_it_themselves() {
    let stage = stage(250).await;
    let backfill = ["backfill", "--since", "P30D"];
    let (ok, said, log) = command(&stage.home, &[&backfill[..], &["--dry-run"]].concat()).await;
    assert!(ok && said.contains("250 items") && said.contains("3 pages"), "{said}{log}");
    assert!(stage.opencti.works().is_empty(), "a dry run imports nothing");

    let mut app = stage.home.start(&["serve"]);
    app.wait_for_log("the first sweep", |line| {
        (line["message"] == "the sweep is done").then_some(())
    })
    .await;
    let alert = Generator::new(31).next_alert(Clock::system().now() + TimeDelta::seconds(1));
    stage.console.add_alert(alert.api_item());
    let (ok, said, log) = command(&stage.home, &["sweep"]).await;
    assert!(ok && said.starts_with("swept: 1 new, "), "{said}{log}");
    let (ok, said, log) = command(&stage.home, &backfill).await;
    // The alert of the sweep is a second ahead and may be seen again.
    assert!(ok && said.starts_with("backfilled: 250 new, "), "{said}{log}");
    assert!(
        log.contains("250 of 25") || log.contains("of 25"),
        "progress without a terminal: {log}"
    );
    assert!(app.terminate().await.success());

    // Nobody answers at the address now.
    let (ok, said, log) = command(&stage.home, &backfill).await;
    assert!(ok && said.starts_with("backfilled: 0 new, 25"), "{said}{log}");
    let works = stage.opencti.works();
    assert_eq!(incident_names(&stage.messages_of(&works).await).len(), 251, "each once");
}

#[tokio::test]
async fn a_backfill_that_was_cut_off_goes_on_where_it_stopped_and_takes_only_the_types_asked_for() {
    let stage = stage(500).await;
    let backfill = ["backfill", "--since", "2026-01-01", "--until", "2999-01-01"];
    stage.console.fail_page_from(ALERTS, 100, 1_000, Fault::Status(500));
    let (ok, said, log) = command(&stage.home, &backfill).await;
    assert!(!ok && log.contains("the sweep did not finish"), "{said}{log}");
    stage.console.heal();
    let before = stage.console.requests().of(ALERTS);
    let (ok, said, log) = command(&stage.home, &backfill).await;
    // Three tries of the first run have brought a page each, with the last one of the page before.
    assert!(ok && said.starts_with("backfilled: 202 new, 1 known"), "{said}{log}");
    let pages = stage.console.requests().of(ALERTS) - before;
    assert!(pages <= 5, "{pages} requests: two or three pages, a count, no page read again");
    let works = stage.opencti.works();
    assert_eq!(incident_names(&stage.messages_of(&works).await).len(), 500, "each once");

    let (ok, said, _) =
        command(&stage.home, &["backfill", "--since", "P30D", "--types", "Yara", "--dry-run"])
            .await;
    let items: u64 = said.split(' ').next().unwrap().parse().unwrap();
    assert!(ok && items > 0 && items < 500, "{said}");
    let (ok, _, log) = command(&stage.home, &["backfill", "--since", "yesterday"]).await;
    assert!(!ok && log.contains("--since") && log.contains("P30D"), "{log}");
}

/// Starts the service and a backfill that gets its first page and waits for ever for its second one.
async fn backfill_that_hangs(stage: &Stage) -> (App, App) {
    let mut service = stage.home.start(&["serve"]);
    service
        .wait_for_log("the first sweep", |line| {
            (line["message"] == "the sweep is done").then_some(())
        })
        .await;
    stage.console.fail_page_from(ALERTS, 100, 1_000, Fault::Hang);
    let backfill = stage.home.start(&["backfill", "--since", "P30D"]);
    stage.opencti.wait_for("the first page", |state| alerts_in(&state.works) >= 100).await;
    (service, backfill)
}

/// Asks for `/jobs…` as a script does; answers status and progress.
async fn jobs(stage: &Stage, method: Method, path: &str) -> (StatusCode, Value) {
    let address = stage.home.get("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN");
    let url = format!("http://{address}/jobs{path}");
    let answer = http().request(method, url).send().await.unwrap();
    let status = answer.status();
    (status, answer.json::<Value>().await.unwrap_or_default()["progress"].clone())
}

async fn the_job_is_over(service: &mut App) {
    service
        .wait_for_log("the job is over", |line| {
            (line["message"] == "the job is over").then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_reset_ends_a_backfill_at_once_and_the_same_command_begins_from_its_start_again() {
    let mut stage = stage(250).await;
    // Longer than two heartbeats.
    stage.home.set("HARFANGLAB_INCIDENTS_API_TIMEOUT", "PT10M");
    let id = stage.connector_id.clone();
    // OpenCTI holds a state only once a sweep has seen something.
    stage.console.add_alert(Generator::new(32).next_alert(Clock::system().now()).api_item());
    let (mut service, mut backfill) = backfill_that_hangs(&stage).await;
    stage.opencti.wait_for("a heartbeat", |state| state.connectors[&id].pings > 0).await;
    stage.opencti.reset_state(&id).await;
    assert!(!backfill.exit().await.success());
    let log = backfill.whole_log().await;
    assert!(log.contains("interrupted by a reset"), "{log}");
    the_job_is_over(&mut service).await;
    let (_, progress) = jobs(&stage, Method::GET, "").await;
    assert_eq!((&progress["state"], &progress["new"]), (&"interrupted".into(), &100.into()));

    stage.console.heal();
    let (ok, said, log) = command(&stage.home, &["backfill", "--since", "P30D"]).await;
    // The one that the sweep is for is whose turn comes first.
    let is_all = ["backfilled: 250 new, 1 ", "backfilled: 251 new, 0 "];
    assert!(ok && is_all.iter().any(|all| said.starts_with(all)), "{said}{log}");
    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn a_job_that_nobody_watches_goes_on_until_it_is_cancelled_and_then_goes_on_where_it_was() {
    let stage = stage(250).await;
    let (mut service, mut backfill) = backfill_that_hangs(&stage).await;
    backfill.interrupt();
    assert!(!backfill.exit().await.success());
    let log = backfill.whole_log().await;
    assert!(log.contains("the service goes on with it") && log.contains("/jobs/1"), "{log}");

    let (_, progress) = jobs(&stage, Method::GET, "").await;
    assert_eq!(progress["state"], "running");
    let (status, _) = jobs(&stage, Method::DELETE, "/2").await;
    assert_eq!(status, StatusCode::CONFLICT, "another one is under way");
    let (status, _) = jobs(&stage, Method::DELETE, "/1").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    the_job_is_over(&mut service).await;
    let (status, progress) = jobs(&stage, Method::DELETE, "/1").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it is over");
    assert_eq!((&progress["state"], &progress["new"]), (&"interrupted".into(), &100.into()));

    stage.console.heal();
    let (ok, said, log) = command(&stage.home, &["backfill", "--since", "P30D"]).await;
    assert!(ok && said.starts_with("backfilled: 150 new, 1 known"), "{said}{log}");
    let address = stage.home.get("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN");
    let metrics = http().get(format!("http://{address}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for (outcome, times) in [("interrupted", 1), ("done", 1), ("failed", 0)] {
        let line = format!("sweeps_total{{trigger=\"backfill\",outcome=\"{outcome}\"}} {times}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    assert!(service.terminate().await.success());
}
