//! Two replicas for two consoles on one PostgreSQL: both take and deliver for both consoles, one of them
//! sweeps both, and when it dies the other one does.

use std::collections::BTreeSet;

use reqwest::StatusCode;

use super::{PARIS_SECRET, Two, both_swept, post};
use crate::support::{
    app::{App, WEBHOOK_SECRET},
    stage::incident_names,
    stores::{fresh_schema, server},
};

const SECRETS: [(&str, &str); 2] = [("lyon", WEBHOOK_SECRET), ("paris", PARIS_SECRET)];

fn has_swept(app: &App) -> bool {
    app.log().contains("the sweep is done")
}

/// Pushes a new alert of each console to this replica.
async fn push_to(app: &mut App, two: &mut Two) {
    let endpoint = app.webhook().await;
    for (console, secret) in SECRETS {
        let url = endpoint.replace("/harfanglab", &format!("/{console}"));
        let alert = two.alert(console);
        assert_eq!(post(&url, secret, &alert).await, StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn of_two_replicas_one_sweeps_both_consoles_and_the_other_one_takes_both_over() {
    let mut two = Two::new().await;
    let journal = fresh_schema(&server()).await;
    two.stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &journal);
    let mut first = two.stage.home.start(&["serve"]);
    both_swept(&mut first).await;
    two.stage.home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    let mut second = two.stage.home.start(&["serve"]);

    for app in [&mut first, &mut second] {
        push_to(app, &mut two).await;
    }
    let before = two.delivered(6).await;
    // Shown by the consoles, and pushed by nobody.
    two.alert("lyon");
    two.alert("paris");
    assert!(!has_swept(&second), "{}", second.log());
    first.kill().await;
    both_swept(&mut second).await;
    let works = two.delivered(8).await;

    let messages = two.stage.messages_of(&works).await;
    let names = incident_names(&messages);
    assert_eq!(names.len(), 8, "each once: {names:?}");
    let incidents: BTreeSet<&str> = messages
        .iter()
        .flat_map(|message| message.bundle["objects"].as_array().unwrap())
        .filter(|object| object["type"] == "incident")
        .map(|object| object["id"].as_str().unwrap())
        .collect();
    assert_eq!(incidents.len(), 7, "both consoles have shown one of them: {incidents:?}");
    assert!(before.len() < works.len());
    // Back again, the first one follows: what it takes is delivered, and it sweeps nothing.
    let mut first = two.stage.home.start(&["serve"]);
    push_to(&mut first, &mut two).await;
    two.delivered(10).await;
    assert!(!has_swept(&first), "{}", first.log());
    for mut app in [first, second] {
        assert!(app.terminate().await.success(), "{}", app.log());
    }
}
