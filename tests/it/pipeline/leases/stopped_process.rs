//! Two real binaries on one PostgreSQL journal. One is stopped past its lease with an older version in
//! hand, whose work it has just opened; the other delivers that version and a newer one; then the first
//! goes on.

use serde_json::{Value, json};

use crate::support::{
    app::App,
    opencti::{FakeWork, State},
    stage::{Stage, post},
    stores::Database,
};

fn alert(level: &str) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": "stopped", "status": "new",
        "level": level, "rule_name": "Ordered", "alert_time": "2026-05-26T07:39:58.447687Z",
        "agent": {
            "agentid": "00000000-0000-4000-8000-0000000000a1", "hostname": "pc-01",
            "ostype": "windows",
        },
    })
}

/// Starts a replica; answers where to push to it.
async fn start(stage: &Stage) -> (App, String) {
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    (app, url)
}

fn closed(state: &State) -> usize {
    state.works.iter().filter(|work| work.closed.is_some()).count()
}

fn has_ended(work: &FakeWork) -> bool {
    work.closed.is_some() || work.is_deleted
}

#[tokio::test]
async fn a_replica_that_was_stopped_past_its_lease_never_sends_an_older_version_after_a_newer_one()
{
    let journal = Database::Postgres.fresh().await;
    let mut stage = Stage::with_webhook().await;
    for (name, value) in [
        ("JOURNAL_URL", journal.url.as_str()),
        ("LEASE", "PT2S"),
        // Nothing but these pushes; and the console, which knows nothing of them, is not waited for.
        ("IMPORT_START_DATE", "2999-01-01"),
        ("ENRICHMENT_WAIT", "PT0S"),
        ("ENRICHMENT_TIME", "PT0S"),
    ] {
        stage.home.set(&format!("HARFANGLAB_INCIDENTS_{name}"), value);
    }
    stage.console.seed(harfanglab_incidents::clock::Clock::system().now());
    let (mut stopped, url) = start(&stage).await;
    stage.opencti.hold("WorkAddExpectations");
    assert_eq!(post(&url, &alert("low")).await.0.as_u16(), 202);
    let is_about_to_publish = |state: &State| {
        state.requests.iter().any(|request| request.operation == "WorkAddExpectations")
    };
    stage.opencti.wait_for("the older version is about to leave", is_about_to_publish).await;
    stopped.freeze();
    stage.opencti.let_go();

    let (mut other, url) = start(&stage).await;
    stage.opencti.wait_for("the older version is delivered", |state| closed(state) == 1).await;
    assert_eq!(post(&url, &alert("high")).await.0.as_u16(), 202);
    stage.opencti.wait_for("the newer version is delivered", |state| closed(state) == 2).await;

    stopped.thaw();
    let first_work = |state: &State| state.works.first().is_some_and(has_ended);
    stage.opencti.wait_for("the first one is done with it", first_work).await;
    let works = stage.opencti.works();
    assert!(works[0].is_deleted, "nothing left in it: {:?}; {}", works[0], stopped.log());
    let lost = |line: &Value| {
        let message = line["message"].as_str()?;
        message.starts_with("events were not sent: their leases had ended").then_some(())
    };
    stopped.wait_for_log("what became of it", lost).await;
    for app in [&mut stopped, &mut other] {
        assert!(app.terminate().await.success(), "{}", app.log());
    }

    let messages = stage.messages_of(&works[1..]).await;
    assert_eq!(stage.broker.depth(&stage.queue()).await, 0, "and nothing else");
    let objects = messages.iter().map(|message| &message.bundle["objects"][0]);
    let incidents = objects.filter(|object| object["type"] == "incident");
    let severities: Vec<&str> =
        incidents.map(|incident| incident["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, ["low", "high"]);
}
