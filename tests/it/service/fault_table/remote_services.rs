//! Rows of the fault table: the console, OpenCTI and its broker.

use chrono::TimeDelta;
use harfanglab_incidents::demo::{Collection, Fault, RequestKind};

use super::{
    Row, Seen, left_in,
    posts::{alert, verified},
    told,
};
use crate::{
    harfanglab::console_faults::Scene,
    support::{app::App, opencti::State, stage::Stage},
};

const ALERTS: RequestKind = RequestKind::List(Collection::Alerts);
/// More requests than a run makes.
const ALWAYS: usize = 1_000;

pub(super) fn rows() -> Vec<Row> {
    let row =
        |part, name, done, answered, left, seen| Row { part, name, done, answered, left, seen };
    vec![
        row(
            "console",
            "500 in the middle",
            "two pages, the second fails for good",
            "the run ends with an error that names HarfangLab",
            "100 delivered",
            Box::pin(second_page(Fault::Status(500))),
        ),
        row(
            "console",
            "token refused",
            "two pages, 401 for the second",
            "the run ends with an error that names HarfangLab",
            "100 delivered",
            Box::pin(second_page(Fault::Status(401))),
        ),
        row(
            "console",
            "login page with 200",
            "two pages, HTML for the second",
            "the run ends with an error that names HarfangLab",
            "100 delivered",
            Box::pin(second_page(Fault::LOGIN_PAGE)),
        ),
        row(
            "OpenCTI",
            "away",
            "posted an alert while nobody answers",
            "202; degraded: opencti",
            "1 pending",
            Box::pin(without_opencti()),
        ),
        row(
            "OpenCTI",
            "token refused",
            "changed the token there, then posted",
            "202; says to set OPENCTI_TOKEN",
            "1 pending",
            Box::pin(refused_token()),
        ),
        row(
            "broker",
            "away",
            "pointed to a port where nobody listens, then posted",
            "202; says that RabbitMQ cannot be reached",
            "1 pending",
            Box::pin(without_broker()),
        ),
        row(
            "broker",
            "queue deleted",
            "deleted the connector's queue, then posted",
            "202; the queue is there again",
            "1 delivered",
            Box::pin(without_queue()),
        ),
    ]
}

async fn second_page(fault: Fault) -> Seen {
    let scene = Scene::with_alerts(101, TimeDelta::seconds(1));
    scene.console.fail_page_from(ALERTS, 100, ALWAYS, fault);
    let answered = match scene.run().await {
        Err(failure) if failure.to_string().contains("HarfangLab") => {
            "the run ends with an error that names HarfangLab".to_owned()
        }
        other => format!("{other:?}"),
    };
    Seen { answered, left: told(&scene.counts().await) }
}

/// A service that delivers at once what is pushed, and tries again soon.
async fn stage() -> Stage {
    let mut stage = Stage::with_webhook().await;
    for (name, value) in [
        ("IMPORT_START_DATE", "2999-01-01"),
        ("RETRY_MAX", "PT1S"),
        ("ENRICHMENT_WAIT", "PT0S"),
        ("ENRICHMENT_TIME", "PT0S"),
    ] {
        stage.home.set(&format!("HARFANGLAB_INCIDENTS_{name}"), value);
    }
    stage
}

/// Starts, waits until OpenCTI knows the connector, does `harm`, posts an alert.
async fn posted_after(stage: &Stage, harm: impl AsyncFnOnce(&Stage)) -> (App, u16) {
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let id = stage.connector_id.clone();
    let registered = |state: &State| state.connectors.contains_key(&id);
    stage.opencti.wait_for("the registration", registered).await;
    harm(stage).await;
    let status = verified(&url, &alert(1)).send().await.unwrap().status();
    (app, status.as_u16())
}

/// Waits until the log says `words` of a delivery that did not succeed.
async fn says(app: &mut App, words: &str) {
    app.wait_for_log(words, |line| {
        let is_there =
            |text: &serde_json::Value| text.as_str().is_some_and(|it| it.contains(words));
        (is_there(&line["message"]) || is_there(&line["attributes"]["reason"])).then_some(())
    })
    .await;
}

async fn without_opencti() -> Seen {
    let stage = stage().await;
    stage.opencti.go_down();
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let status = verified(&url, &alert(1)).send().await.unwrap().status().as_u16();
    says(&mut app, "OpenCTI cannot be reached").await;
    let ready = app.readiness().await;
    let degraded: Vec<String> = ready["degraded"].as_object().unwrap().keys().cloned().collect();
    let answered = format!("{status}; degraded: {}", degraded.join(", "));
    app.kill().await;
    Seen { answered, left: left_in(&stage.home).await }
}

async fn refused_token() -> Seen {
    let stage = stage().await;
    let change = async |stage: &Stage| stage.opencti.change_token("another");
    let (mut app, status) = posted_after(&stage, change).await;
    says(&mut app, "OPENCTI_TOKEN").await;
    app.kill().await;
    Seen {
        answered: format!("{status}; says to set OPENCTI_TOKEN"),
        left: left_in(&stage.home).await,
    }
}

async fn without_broker() -> Seen {
    let mut stage = stage().await;
    stage.home.set("MQ_PORT", "1");
    let (mut app, status) = posted_after(&stage, async |_stage| {}).await;
    says(&mut app, "RabbitMQ").await;
    app.kill().await;
    Seen {
        answered: format!("{status}; says that RabbitMQ cannot be reached"),
        left: left_in(&stage.home).await,
    }
}

async fn without_queue() -> Seen {
    let stage = stage().await;
    let delete = async |stage: &Stage| stage.broker.delete_queue(&stage.queue()).await;
    let (mut app, status) = posted_after(&stage, delete).await;
    stage.closed_works(1).await;
    let queue = if stage.broker.depth(&stage.queue()).await > 0 { "there again" } else { "empty" };
    assert!(app.terminate().await.success(), "{}", app.log());
    // A follow-up has no time to find more; whether it gave up already is not this row's question.
    let left = left_in(&stage.home).await.replace(", 1 superseded", "");
    Seen { answered: format!("{status}; the queue is {queue}"), left }
}
