//! Every body that is at hand, by syslog and by POST: the same bundles come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{address, listening, message_with, send};
use crate::{
    deployment::prometheus::until,
    limits::counts,
    support::{
        app::App,
        shared::shared,
        stage::{Stage, http, post},
    },
};

/// Bodies as HarfangLab pushes them: our fixtures, and the real samples where they are.
fn bodies() -> Vec<(String, Value)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/alerts");
    let samples = shared("samples", "the real samples by syslog and by POST");
    let mut bodies = Vec::new();
    for folder in [Some(fixtures), samples].into_iter().flatten() {
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "json")) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let Ok(body) = serde_json::from_slice(&fs::read(file).unwrap()) else { continue };
            bodies.push((name, body));
        }
    }
    bodies
}

/// The service with a folder for its bundles, at once and with what a push alone says.
async fn with_folder() -> (Stage, App, PathBuf) {
    let mut stage = Stage::with_webhook().await;
    stage.home = listening(stage.home);
    let folder = stage.home.path().join("bundles");
    fs::create_dir(&folder).unwrap();
    for (name, value) in [
        ("CONNECTOR_SEND_TO_QUEUE", "false"),
        ("CONNECTOR_SEND_TO_DIRECTORY", "true"),
        ("CONNECTOR_SEND_TO_DIRECTORY_PATH", folder.to_str().unwrap()),
        ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
        ("HARFANGLAB_INCIDENTS_IMPORT_THREATS", "true"),
        ("HARFANGLAB_INCIDENTS_ALERT_STATUSES", "all"),
        ("HARFANGLAB_INCIDENTS_ALERT_MATURITIES", "all"),
        ("HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT", "PT0S"),
        ("HARFANGLAB_INCIDENTS_ENRICHMENT_TIME", "PT0S"),
        ("HARFANGLAB_INCIDENTS_RESEND_AFTER", "PT0S"),
    ] {
        stage.home.set(name, value);
    }
    let app = stage.home.start(&["serve"]);
    (stage, app, folder)
}

/// Waits until nothing is left to do, and answers the counts of the journal.
async fn ended(app: &mut App, events: u64) -> Value {
    let mut seen = Value::Null;
    until("everything has found its end", async || {
        let journal = counts(app).await["journal"].clone();
        let all: u64 = journal.as_object().unwrap().values().filter_map(Value::as_u64).sum();
        if journal != seen {
            println!("of {events}: {journal}");
            seen.clone_from(&journal);
        }
        let is_idle = journal["pending"] == 0 && journal["following_up"] == 0;
        (all >= events && is_idle).then_some(journal)
    })
    .await
}

/// Every object of every bundle, by id, without the dates of an alert that has none of its own.
fn objects(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        for object in find_objects(&file) {
            let id = object["id"].as_str().unwrap().to_owned();
            found.entry(id).or_default().insert(object.to_string());
        }
    }
    found
}

fn find_objects(file: &Value) -> Vec<Value> {
    match file {
        Value::Object(fields) => match fields.get("objects").and_then(Value::as_array) {
            Some(objects) => objects.clone(),
            None => fields.values().flat_map(find_objects).collect(),
        },
        Value::Array(items) => items.iter().flat_map(find_objects).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_body_by_syslog_gives_the_same_bundle_as_by_post() {
    let bodies = bodies();
    assert!(bodies.len() >= 40, "the fixtures are there");
    let (_posting, mut by_post, posted) = with_folder().await;
    let url = by_post.webhook().await;
    let (mut events, mut telemetry) = (0, 0);
    for (name, body) in &bodies {
        let (status, answer) = post(&url, body).await;
        let count = |field: &str| answer[field].as_u64().unwrap_or(0);
        assert!(status.is_success(), "{name}: {status} {answer}");
        events += count("accepted") + count("dead_letters");
        telemetry += count("ignored");
    }
    let (_sending, mut by_syslog, sent) = with_folder().await;
    let at = address(&mut by_syslog).await;
    let stream: Vec<u8> = bodies
        .iter()
        .flat_map(|(_name, body)| {
            let message = message_with(super::TOKEN, &body.to_string());
            format!("{} {message}", message.len()).into_bytes()
        })
        .collect();
    send("127.0.0.1", at, &stream).await;
    let (one, other) = (ended(&mut by_post, events).await, ended(&mut by_syslog, events).await);
    assert_eq!(one, other);
    let (one, other) = (objects(&posted), objects(&sent));
    assert!(one.len() > 200, "{}", one.len());
    for (id, texts) in &one {
        assert_eq!(Some(texts), other.get(id), "{id}");
    }
    assert_eq!(one.len(), other.len());
    let page = http().get(format!("{}/metrics", by_syslog.management().await)).send().await;
    let page = page.unwrap().text().await.unwrap();
    let ignored = page.lines().filter(|line| line.starts_with("syslog_ignored_total{"));
    let ignored: u64 = ignored.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(ignored, telemetry, "telemetry is counted alike");
}
