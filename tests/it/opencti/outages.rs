//! Life with OpenCTI: outages of every kind, resets, deletions, restarts. Each ends with a look into
//! the journal, where everything that was accepted must have found its end.

use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoAlert, Generator},
    journal::Counts,
};
use serde_json::{Value, json};

use crate::support::{
    app::App,
    broker::push_queue,
    opencti::{Outage, Personality, State},
    stage::{Stage, http, incident_names, incidents_on_the_queue, post},
    stores::open_sqlite,
    waiting::until,
};

/// Tries that an outage of ten minutes sees: waits double from two seconds on.
const TRIES_IN_TEN_MINUTES: usize = 9;

/// Returns what the journal holds in the end; nothing may have it open.
async fn end_state(stage: &Stage) -> Counts {
    let url = format!("sqlite:{}", stage.home.journal().display());
    let journal = open_sqlite(&url, stage.console.url().as_str()).await;
    journal.counts().await.unwrap()
}

/// All was delivered, and nothing is left over.
async fn all_delivered(stage: &Stage, expected: u64, row: &str) {
    let counts = end_state(stage).await;
    let open = (counts.pending, counts.dead);
    assert_eq!((counts.delivered, open), (expected, (0, 0)), "{row}: {counts:?}");
}

/// Returns what the service says of itself, which must be 200.
async fn readiness(management: &str) -> Value {
    let answer = http().get(format!("{management}/readyz")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.json().await.unwrap()
}

fn alerts(seed: u64, count: i64) -> Vec<DemoAlert> {
    let now = Clock::system().now();
    let mut generator = Generator::new(seed);
    (0..count)
        .map(|number| generator.next_alert(now - chrono::TimeDelta::seconds(number)))
        .collect()
}

/// An outage, and the words that tell an operator what it is.
struct Row {
    name: &'static str,
    outage: Outage,
    words: &'static str,
    tries: usize,
}

const fn page(status: u16, body: &'static str) -> Outage {
    Outage { status, content_type: "text/html", body }
}

const fn graphql(body: &'static str) -> Outage {
    Outage { status: 200, content_type: "application/json", body }
}

const ROWS: [Row; 8] = [
    Row {
        name: "maintenance for ten minutes",
        outage: Outage::MAINTENANCE,
        words: "maintenance",
        tries: TRIES_IN_TEN_MINUTES,
    },
    Row {
        name: "a start-up page that says 200",
        outage: page(200, "<html>OpenCTI is starting</html>"),
        words: "start-up",
        tries: 2,
    },
    Row {
        name: "bad gateway",
        outage: page(502, "<html>502</html>"),
        words: "page in front of it answers (502",
        tries: 2,
    },
    Row {
        name: "rate limit",
        outage: page(429, "Too many requests, please try again later."),
        words: "too many requests",
        tries: 2,
    },
    Row {
        name: "body too large",
        outage: page(413, "<html>413</html>"),
        words: "too large",
        tries: 2,
    },
    Row {
        name: "expired token",
        outage: graphql(
            r#"{"data":null,"errors":[{"name":"AUTH_REQUIRED","message":"You must be logged in to do this.","extensions":{"code":"AUTH_REQUIRED"}}]}"#,
        ),
        words: "OPENCTI_TOKEN",
        tries: 2,
    },
    Row {
        name: "missing capability",
        outage: graphql(
            r#"{"data":null,"errors":[{"name":"FORBIDDEN_ACCESS","message":"You are not allowed to do this.","extensions":{"code":"FORBIDDEN_ACCESS"}}]}"#,
        ),
        words: "role \"Connector\"",
        tries: 2,
    },
    Row {
        name: "failing database",
        outage: graphql(
            r#"{"data":null,"errors":[{"name":"DATABASE_ERROR","message":"search engine","extensions":{"code":"DATABASE_ERROR"}}]}"#,
        ),
        words: "DATABASE_ERROR",
        tries: 2,
    },
];

#[tokio::test]
async fn no_outage_of_opencti_loses_an_alert_or_makes_the_service_unready_or_needs_a_restart() {
    futures_util::future::join_all(ROWS.map(outlive)).await;
}

/// The outage is there at the start, and comes again later.
async fn outlive(row: Row) {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT1S");
    stage.opencti.go_down_as(row.outage);
    let mut app = stage.home.start(&["serve"]);
    let (url, management) = (app.webhook().await, app.management().await);
    let alerts = alerts(21, 2);

    assert_eq!(post(&url, &alerts[0].native()).await.0.as_u16(), 202, "{}", row.name);
    app.wait_for_log("OpenCTI cannot be reached", |line| {
        line["message"].as_str()?.starts_with("OpenCTI cannot be reached").then_some(())
    })
    .await;
    says(&readiness(&management).await, "opencti", &row);
    stage.opencti.come_back();
    stage.closed_works(1).await;

    stage.opencti.go_down_as(row.outage);
    let before = stage.opencti.state().turned_away;
    assert_eq!(post(&url, &alerts[1].native()).await.0.as_u16(), 202, "{}", row.name);
    let wanted = |state: &State| state.turned_away > before + row.tries;
    stage.opencti.wait_for("the next tries", wanted).await;
    says(&readiness(&management).await, "delivery", &row);
    stage.opencti.come_back();
    let works = stage.closed_works(2).await;
    assert_eq!(incident_names(&stage.messages_of(&works).await).len(), 2, "{}", row.name);
    assert!(app.terminate().await.success(), "{}: {}", row.name, app.log());
    all_delivered(&stage, 2, row.name).await;
}

#[tokio::test]
async fn an_opencti_that_takes_connections_and_never_answers_is_degraded_and_alerts_wait_for_it() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT1S");
    let mut app = stage.home.start(&["serve"]);
    let (url, management) = (app.webhook().await, app.management().await);
    let alerts = alerts(27, 2);
    assert_eq!(post(&url, &alerts[0].native()).await.0.as_u16(), 202);
    stage.closed_works(1).await;

    stage.opencti.fall_silent();
    let degraded = async || {
        let ready = readiness(&management).await;
        ready["degraded"]["opencti"].as_str().map(str::to_owned)
    };
    let reason = until("OpenCTI is degraded", degraded).await;
    assert!(reason.contains("no answer within 6 s") && !reason.contains("role"), "{reason}");
    let page = async |path: &str| {
        http().get(format!("{management}{path}")).send().await.unwrap().text().await.unwrap()
    };
    assert!(page("/metrics").await.contains("part_degraded{part=\"opencti\"} 1"));
    assert!(page("/").await.contains("no answer within 6 s"));
    assert_eq!(post(&url, &alerts[1].native()).await.0.as_u16(), 202);
    let delivery = async || {
        let ready = readiness(&management).await;
        ready["degraded"]["delivery"].as_str().map(str::to_owned)
    };
    let reason = until("the delivery that hangs is degraded", delivery).await;
    assert!(reason.contains("takes longer than 5 seconds"), "{reason}");

    stage.opencti.come_back();
    stage.closed_works(2).await;
    let is_well = async || {
        let ready = readiness(&management).await;
        (ready["status"] == "ready").then_some(())
    };
    until("everything works again", is_well).await;
    assert!(app.terminate().await.success(), "{}", app.log());
    let log = app.log();
    assert!(log.contains("OpenCTI cannot be used") && log.contains("can be used again"), "{log}");
    assert!(!log.contains("role \\\"Connector\\\""), "nobody refused anything: {log}");
    all_delivered(&stage, 2, "a silent OpenCTI").await;
}

fn says(ready: &Value, part: &str, row: &Row) {
    let Row { name, words, .. } = row;
    assert_eq!(ready["status"], "degraded", "{name}: {ready}");
    assert_eq!(ready["journal"]["pending"], 1, "{name}: {ready}");
    let reason = ready["degraded"][part].as_str().unwrap_or_default();
    assert!(reason.contains(words), "{name}: {ready}");
}

async fn serve(stage: &mut Stage, alerts: &[DemoAlert]) -> App {
    stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    stage.console.seed(Clock::system().now());
    for alert in alerts {
        stage.console.add_alert(alert.api_item());
    }
    let app = stage.home.start(&["serve"]);
    let id = stage.connector_id.clone();
    let registered = |state: &State| state.connectors.contains_key(&id);
    stage.opencti.wait_for("the registration", registered).await;
    app
}

/// The connector's state as OpenCTI has it.
async fn kept_state(stage: &Stage) -> Value {
    let id = stage.connector_id.clone();
    let has = |state: &State| {
        state.connectors[&id].state.as_ref().is_some_and(|it| it.contains("last_incident"))
    };
    let known = stage.opencti.wait_for("the cursors", has).await;
    serde_json::from_str(known.connectors[&id].state.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn after_a_reset_in_opencti_all_300_alerts_of_a_run_are_published_again() {
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    let mut app = serve(&mut stage, &alerts(22, 300)).await;
    let first = incidents_on_the_queue(&stage, 300).await;
    stage.opencti.reset_state(&stage.connector_id).await;
    let second = incidents_on_the_queue(&stage, 300).await;
    assert_eq!(second, first, "under the incidents that they have");
    assert!(app.terminate().await.success(), "{}", app.log());
    all_delivered(&stage, 600, "both generations").await;
}

#[tokio::test]
async fn a_connector_deleted_in_opencti_comes_back_and_everything_with_it_whoever_notices_it_first()
{
    let by_heartbeat = deleted_and_noticed_by("the heartbeat");
    tokio::join!(by_heartbeat, deleted_and_noticed_by("a delivery"));
}

async fn deleted_and_noticed_by(notices: &str) {
    let mut stage = Stage::with_webhook().await;
    let mut alerts = alerts(23, 11);
    let pushed = alerts.pop().unwrap();
    let mut app = serve(&mut stage, &alerts).await;
    let url = app.webhook().await;
    let first = incidents_on_the_queue(&stage, 10).await;
    kept_state(&stage).await;
    stage.opencti.delete_connector(&stage.connector_id).await;
    let mut expected = 10;
    if notices == "a delivery" {
        stage.console.add_alert(pushed.api_item());
        assert_eq!(post(&url, &pushed.native()).await.0.as_u16(), 202);
        expected += 1;
    }
    let id = stage.connector_id.clone();
    let back = |state: &State| state.connectors.contains_key(&id);
    stage.opencti.wait_for("the connector is back", back).await;
    let second = incidents_on_the_queue(&stage, expected).await;
    assert!(second.is_superset(&first), "noticed by {notices}");
    assert!(app.terminate().await.success(), "{}", app.log());
    let counts = end_state(&stage).await;
    assert_eq!((counts.pending, counts.dead), (0, 0), "noticed by {notices}: {counts:?}");
}

/// A change that somebody makes in OpenCTI between two runs.
enum Between {
    Nothing,
    State(Value),
    Reset,
    Deletion,
}

#[tokio::test]
async fn the_journals_cursor_stands_unless_the_state_in_opencti_was_cleared() {
    let old = json!({"last_incident_datetime": "2001-01-01T00:00:00Z", "other": 1});
    let future = json!({"last_incident_datetime": "2999-01-01T00:00:00Z"});
    for (name, between, expected) in [
        ("nothing", Between::Nothing, 1),
        ("an older state", Between::State(old), 1),
        ("a state ahead", Between::State(future), 1),
        ("a reset", Between::Reset, 4),
        ("a deletion", Between::Deletion, 4),
    ] {
        let mut stage = Stage::new(Personality::V7_260817_0).await;
        stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
        stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_THREATS", "true");
        let alerts = alerts(24, 4);
        stage.console.seed(Clock::system().now());
        let mut app = serve_once(&stage, &alerts[1..]);
        assert!(app.exit().await.success(), "{name}: {}", app.log());
        let before = kept_state(&stage).await;
        for key in ["last_incident_datetime", "last_case_incident_datetime"] {
            let text = before[key].as_str().unwrap();
            assert!(chrono::DateTime::parse_from_rfc3339(text).is_ok(), "{name}: {before}");
        }
        let works = stage.opencti.works().len();
        let id = stage.connector_id.clone();
        match between {
            Between::Nothing => {}
            Between::State(other) => stage.opencti.keep_state(&id, &other.to_string()),
            Between::Reset => stage.opencti.reset_state(&id).await,
            Between::Deletion => stage.opencti.delete_connector(&id).await,
        }
        // The newest of all: found behind the cursor, wherever OpenCTI puts that.
        let mut app = serve_once(&stage, &alerts[..1]);
        assert!(app.exit().await.success(), "{name}: {}", app.log());
        let later: Vec<_> = stage.opencti.works().split_off(works);
        let messages = match name {
            "a reset" | "a deletion" => stage.messages_of(&later).await,
            _ => stage.messages_of(&stage.opencti.works()).await,
        };
        let names = incident_names(&messages);
        let earlier = if matches!(name, "a reset" | "a deletion") { 0 } else { 3 };
        assert_eq!(names.len(), earlier + expected, "{name}: {names:?}");
        let position = |state: &Value| state["last_incident_datetime"].as_str().map(str::to_owned);
        assert!(position(&kept_state(&stage).await) >= position(&before), "{name}: never back");

        // And once more: what was cleared is not cleared for ever.
        let works = stage.opencti.works().len();
        let mut app = serve_once(&stage, &[]);
        assert!(app.exit().await.success(), "{name}: {}", app.log());
        assert_eq!(stage.opencti.works().len(), works, "{name}: nothing is new");
        let counts = end_state(&stage).await;
        assert_eq!((counts.pending, counts.dead), (0, 0), "{name}: {counts:?}");
    }
}

/// Starts a single run with these alerts more on the console.
fn serve_once(stage: &Stage, alerts: &[DemoAlert]) -> App {
    for alert in alerts {
        stage.console.add_alert(alert.api_item());
    }
    stage.home.start(&[])
}

#[tokio::test]
async fn a_token_that_was_renewed_is_taken_and_nothing_waits_for_longer() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT1S");
    let file = stage.home.path().join("opencti-token");
    std::fs::write(&file, stage.opencti.token()).unwrap();
    stage.home.unset("OPENCTI_TOKEN");
    stage.home.set("OPENCTI_TOKEN_FILE", file.to_str().unwrap());
    let mut app = stage.home.start(&["serve"]);
    let (url, management) = (app.webhook().await, app.management().await);
    let alerts = alerts(25, 2);
    assert_eq!(post(&url, &alerts[0].native()).await.0.as_u16(), 202);
    stage.closed_works(1).await;

    stage.opencti.change_token("renewed");
    assert_eq!(post(&url, &alerts[1].native()).await.0.as_u16(), 202);
    app.wait_for_log("the refused token", |line| {
        // Others meet it, too, and degrade nothing.
        let is_delivery = line["message"].as_str()?.starts_with("bundles could not be delivered");
        let reason = line["attributes"]["reason"].as_str().filter(|_| is_delivery)?;
        reason.contains("OPENCTI_TOKEN").then_some(())
    })
    .await;
    assert_eq!(readiness(&management).await["status"], "degraded");
    std::fs::write(&file, "renewed\n").unwrap();
    app.hang_up();
    stage.closed_works(2).await;
    assert!(app.terminate().await.success(), "{}", app.log());
    assert!(!app.log().contains("renewed\\n") && !app.log().contains("fake-opencti-token"));
    all_delivered(&stage, 2, "a renewed token").await;
}

#[tokio::test]
async fn stopping_never_unregisters_the_connector_or_touches_what_waits_on_its_queue() {
    for once in ["false", "true"] {
        let mut stage = Stage::new(Personality::V7_260817_0).await;
        stage.home.set("CONNECTOR_RUN_AND_TERMINATE", once);
        let mut app = serve(&mut stage, &alerts(26, 1)).await;
        let works = stage.closed_works(1).await;
        let status = if once == "true" { app.exit().await } else { app.terminate().await };
        assert!(status.success(), "{}", app.log());
        let known = stage.opencti.state();
        assert!(known.connectors.contains_key(&stage.connector_id));
        let deletes = |name: &str| name.to_lowercase().contains("deleteconnector");
        assert!(!known.requests.iter().any(|request| deletes(&request.operation)));
        let waiting = stage.broker.depth(&push_queue(&stage.connector_id)).await;
        assert_eq!(i64::from(waiting), works.iter().map(|work| work.expected).sum::<i64>());
    }
}
