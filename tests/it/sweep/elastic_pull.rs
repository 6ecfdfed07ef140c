//! The queue of the console's Elastic connector, read by the real binary from a console that hands out
//! each chunk once.

use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoAlert, Fault, Generator, RequestKind},
};
use serde_json::json;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

use crate::support::{
    app::App,
    configuration::load_with,
    opencti::Personality,
    stage::{Stage, alerts_in, http, incident_names},
    stores::{fresh_schema, server},
    waiting::until,
};

/// A console with rules and hosts, a service that reads its queue and takes no pushes, and alerts.
async fn stage(alerts: usize) -> (Stage, Vec<DemoAlert>) {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home.set("HARFANGLAB_INCIDENTS_ELASTIC_PULL", "true");
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    let now = Clock::system().now();
    stage.console.seed(now);
    let mut generator = Generator::new(12);
    let alerts = (0..alerts).map(|_| generator.next_alert(now)).collect();
    (stage, alerts)
}

/// The value of one series of `/metrics`; zero: it is not there yet.
async fn metric(app: &mut App, series: &str) -> u64 {
    let management = app.management().await;
    let page = http().get(format!("{management}/metrics")).send().await.unwrap();
    let page = page.text().await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

async fn swept(app: &mut App) {
    app.wait_for_log("the sweep is done", |line| {
        (line["message"] == "the sweep is done").then_some(())
    })
    .await;
}

/// Waits until this many alerts were delivered; each has its incident.
async fn all_delivered(stage: &Stage, alerts: &[DemoAlert]) {
    let found = stage
        .opencti
        .wait_for("all alerts were delivered", |state| alerts_in(&state.works) >= alerts.len())
        .await;
    let works: Vec<_> = found.works.into_iter().filter(|work| work.closed.is_some()).collect();
    let names = incident_names(&stage.messages_of(&works).await);
    for alert in alerts {
        let end = format!(" on {}", alert.host());
        assert!(names.iter().any(|name| name.ends_with(&end)), "{names:?} has none{end}");
    }
}

#[tokio::test]
async fn alerts_of_the_queue_become_incidents_each_once_and_telemetry_is_counted() {
    let (mut stage, alerts) = stage(3).await;
    // Only the queue brings alerts in this test.
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let telemetry = Generator::new(13).ecs_telemetry(Clock::system().now());
    for (number, alert) in alerts.iter().enumerate() {
        stage.console.add_alert(alert.api_item());
        stage.console.queue_chunk(vec![telemetry.clone(), alert.ecs(), json!(number)]);
    }
    // Chunk and answer, an empty one, and the same alert in native form.
    stage.console.queue_chunk(vec![telemetry.clone()]);
    stage.console.queue_chunk(vec![alerts[0].native()]);
    let mut app = stage.home.start(&["serve"]);
    until("the queue is drained", async || (stage.console.queued_chunks() == 0).then_some(()))
        .await;
    all_delivered(&stage, &alerts).await;
    let received = |result| format!("events_received_total{{origin=\"pull\",result=\"{result}\"}}");
    until("all that was in the queue is counted", async || {
        (metric(&mut app, &received("accepted")).await >= 3).then_some(())
    })
    .await;
    assert_eq!(metric(&mut app, &received("dead_letter")).await, 3, "what is no event is kept");
    assert_eq!(metric(&mut app, "elastic_pulls_total{outcome=\"chunk\"}").await, 5);
    let kinds = app.management().await;
    let page = http().get(format!("{kinds}/metrics")).send().await.unwrap().text().await.unwrap();
    let ignored = page.lines().filter(|line| line.starts_with("elastic_pull_ignored_total{"));
    let ignored: u64 =
        ignored.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(ignored, 4);
    assert!(app.terminate().await.success(), "{}", app.log());
}

/// The one loss that a destructive read allows: handed out, and not committed when the process dies.
#[tokio::test]
async fn a_chunk_that_was_taken_and_not_committed_before_a_kill_is_found_by_the_sweep() {
    let (stage, alerts) = stage(2).await;
    let mut app = stage.home.start(&["serve"]);
    swept(&mut app).await;
    let options = SqliteConnectOptions::new().filename(stage.home.journal());
    let mut other = options.connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    for alert in &alerts {
        stage.console.add_alert(alert.api_item());
        stage.console.queue_chunk(vec![alert.ecs()]);
    }
    app.wait_for_log("the chunk waits for the journal", |line| {
        line["message"].as_str()?.contains("no further one is taken").then_some(())
    })
    .await;
    assert_eq!(stage.console.queued_chunks(), 1, "the next is not asked for before the commit");
    app.kill().await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    let _app = stage.home.start(&["serve"]);
    all_delivered(&stage, &alerts).await;
}

#[tokio::test]
async fn of_two_replicas_the_one_that_leads_reads_the_queue_and_then_the_one_that_leads_after_it() {
    let (mut stage, alerts) = stage(4).await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &fresh_schema(&server()).await);
    let queue = |alerts: &[DemoAlert]| {
        for alert in alerts {
            stage.console.add_alert(alert.api_item());
            stage.console.queue_chunk(vec![alert.ecs()]);
        }
    };
    let mut first = stage.home.start(&["serve"]);
    until("the first leads", async || (metric(&mut first, "leads").await == 1).then_some(())).await;
    let mut second = stage.home.start(&["serve"]);
    let _serves = second.management().await;
    queue(&alerts[..2]);
    stage.opencti.wait_for("two are delivered", |state| alerts_in(&state.works) >= 2).await;
    let pulls = |outcome| format!("elastic_pulls_total{{outcome=\"{outcome}\"}}");
    for outcome in ["chunk", "empty"] {
        assert_eq!(metric(&mut second, &pulls(outcome)).await, 0, "{outcome}");
    }
    assert!(first.terminate().await.success(), "{}", first.log());
    queue(&alerts[2..]);
    all_delivered(&stage, &alerts).await;
    assert_eq!(metric(&mut second, &pulls("chunk")).await, 2);
    assert!(second.terminate().await.success(), "{}", second.log());
}

#[tokio::test]
async fn without_the_permission_everything_else_goes_on_and_the_queue_is_tried_again() {
    let (stage, alerts) = stage(2).await;
    stage.console.fail_next(RequestKind::ElasticPull, 1, Fault::Status(403));
    stage.console.add_alert(alerts[0].api_item());
    let mut app = stage.home.start(&["serve"]);
    let said = app
        .wait_for_log("what to do is said", |line| {
            let is_it = line["message"]
                == "HarfangLab denies access; it is asked again every few \
                                            seconds";
            is_it.then(|| line["attributes"]["reason"].to_string())
        })
        .await;
    assert!(said.contains("the permission \\\"elastic pull\\\""), "{said}");
    assert!(!said.contains("alerts, threats"), "of what is missing only: {said}");
    let works = stage.closed_works(1).await;
    assert_eq!(crate::support::stage::alerts_in(&works), 1, "the sweep goes on");
    stage.console.add_alert(alerts[1].api_item());
    stage.console.queue_chunk(vec![alerts[1].ecs()]);
    stage.closed_works(2).await;
    assert!(app.log().contains("is read again"), "{}", app.log());
    assert!(app.terminate().await.success());
}

#[test]
fn the_queue_is_read_only_when_it_is_asked_for() {
    assert!(!load_with(&[]).unwrap().settings.consoles[0].elastic_pull);
    let asked = load_with(&[("HARFANGLAB_INCIDENTS_ELASTIC_PULL", "true")]).unwrap();
    assert!(asked.settings.consoles[0].elastic_pull);
}
