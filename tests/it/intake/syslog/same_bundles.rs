//! Every body that is at hand, by syslog and by POST: the same bundles come out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use harfanglab_incidents::{
    clock::Clock,
    demo::{DemoConsole, DemoConsoleConfig},
};
use serde_json::Value;

use crate::support::{
    app::App,
    shared::shared,
    stage::{Stage, http, post},
    syslog::{address, listening, message_with, send},
    waiting::until,
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
async fn with_folder(console: &Console) -> (Stage, App, PathBuf) {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_URL", console.0.url().as_str());
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
        let journal = app.readiness().await["journal"].clone();
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

/// The one console of both roads: its address stands in the bundles.
struct Console(DemoConsole);

/// Every object of every bundle, by id. What has no date of its own has that of its arrival, and an
/// id made of it: such objects are told apart by the rest.
fn objects(folder: &Path, began: DateTime<Utc>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        for mut object in find_objects(&file) {
            let mut id = object["id"].as_str().unwrap().to_owned();
            let created = object["created"].as_str().and_then(|date| date.parse().ok());
            if created.is_some_and(|created: DateTime<Utc>| created >= began) {
                "undated".clone_into(&mut id);
                let fields = object.as_object_mut().unwrap();
                for name in ["id", "created", "modified"] {
                    fields.remove(name);
                }
            }
            if object["type"] == "indicator" {
                // That of whichever of its alerts left first.
                object.as_object_mut().unwrap().remove("valid_from");
            }
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

/// The outcome of the bodies that came one way, as the journal and the bundles tell.
struct Outcome {
    journal: Value,
    objects: BTreeMap<String, BTreeSet<String>>,
    telemetry: u64,
}

/// Threats last, each when everything before it has left: a case names what has been imported.
fn waves(bodies: Vec<(String, Value)>) -> Vec<Vec<(String, Value)>> {
    let (threats, alerts): (Vec<_>, Vec<_>) =
        bodies.into_iter().partition(|(name, _body)| name.contains("threat"));
    std::iter::once(alerts).chain(threats.into_iter().map(|threat| vec![threat])).collect()
}

/// Posts everything; answers also how many events there were after each wave.
async fn by_post(console: &Console, waves: &[Vec<(String, Value)>]) -> (Outcome, Vec<u64>) {
    let began = Clock::system().now();
    let (_stage, mut app, folder) = with_folder(console).await;
    let url = app.webhook().await;
    let (mut events, mut telemetry, mut after_each) = (0, 0, Vec::new());
    let mut journal = Value::Null;
    for wave in waves {
        for (name, body) in wave {
            let (status, answer) = post(&url, body).await;
            let count = |field: &str| answer[field].as_u64().unwrap_or(0);
            assert!(status.is_success(), "{name}: {status} {answer}");
            events += count("accepted") + count("dead_letters");
            telemetry += count("ignored");
        }
        journal = ended(&mut app, events).await;
        after_each.push(events);
    }
    (Outcome { journal, objects: objects(&folder, began), telemetry }, after_each)
}

async fn by_syslog(
    console: &Console,
    waves: &[Vec<(String, Value)>],
    after_each: &[u64],
) -> Outcome {
    let began = Clock::system().now();
    let (_stage, mut app, folder) = with_folder(console).await;
    let at = address(&mut app).await;
    let mut journal = Value::Null;
    for (wave, events) in waves.iter().zip(after_each) {
        let frames = wave.iter().flat_map(|(_name, body)| {
            let message = message_with(crate::support::syslog::TOKEN, &body.to_string());
            format!("{} {message}", message.len()).into_bytes()
        });
        send("127.0.0.1", at, &frames.collect::<Vec<u8>>()).await;
        journal = ended(&mut app, *events).await;
    }
    let page = http().get(format!("{}/metrics", app.management().await)).send().await.unwrap();
    let page = page.text().await.unwrap();
    let ignored = page.lines().filter(|line| line.starts_with("syslog_ignored_total{"));
    let telemetry = ignored.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    Outcome { journal, objects: objects(&folder, began), telemetry }
}

#[tokio::test]
async fn every_body_by_syslog_gives_the_same_bundle_as_by_post() {
    let bodies = bodies();
    assert!(bodies.len() >= 40, "the fixtures are there");
    let waves = waves(bodies);
    let console = Console(DemoConsole::start(DemoConsoleConfig::default()).unwrap());
    let (posted, after_each) = by_post(&console, &waves).await;
    let sent = by_syslog(&console, &waves, &after_each).await;
    assert_eq!(posted.journal, sent.journal);
    assert_eq!(posted.telemetry, sent.telemetry, "telemetry is counted alike");
    assert!(posted.objects.len() > 200, "{}", posted.objects.len());
    let nothing = BTreeSet::new();
    let ids: BTreeSet<&String> = posted.objects.keys().chain(sent.objects.keys()).collect();
    let mut different = Vec::new();
    for id in ids {
        let one = posted.objects.get(id).unwrap_or(&nothing);
        let other = sent.objects.get(id).unwrap_or(&nothing);
        if one != other {
            let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
                these.difference(those).cloned().collect::<Vec<_>>().join("\n    ")
            };
            different.push(format!(
                "{id}\n  by POST alone:\n    {}\n  by syslog alone:\n    {}",
                only(one, other),
                only(other, one)
            ));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
