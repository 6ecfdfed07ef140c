//! The public consumer reads what we send: OpenCTI's own Python library takes a run off the queue
//! and imports it into a strict stand-in of the platform. `scripts/consume.sh` installs that
//! library and says where; without it the test says that it is skipped.

use std::{path::Path, process::Stdio};

use harfanglab_incidents::{
    clock::Clock,
    demo::{Generator, PushPlan, Pusher},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{process::Command, sync::mpsc};

use crate::support::{
    app::WEBHOOK_SECRET,
    opencti::Personality,
    shared::shared,
    stage::{Stage, post},
};

/// A Python that has the packages of `scripts/consume.sh`.
const PYTHON: &str = "HARFANGLAB_INCIDENTS_TEST_PYCTI";
/// Alerts that a push brings, and those that only the sweep finds.
const PUSHED: u64 = 100;
const SWEPT: usize = 200;
/// Types that must be among the imported for the run to say something.
const KINDS: [&str; 12] = [
    "Case-Incident",
    "Domain-Name",
    "IPv6-Addr",
    "Indicator",
    "Network-Traffic",
    "Note",
    "Process",
    "StixFile",
    "Url",
    "User-Account",
    "Windows-Registry-Key",
    "sighting",
];
/// Imported alerts that an analyst finds to be false positives.
const FALSE_POSITIVES: usize = 5;

#[tokio::test]
async fn the_public_consumer_imports_a_run_of_300_alerts_twice_without_an_error() {
    let Ok(python) = std::env::var(PYTHON) else {
        println!("SKIPPED: {PYTHON} is not set: scripts/consume.sh sets it and runs this");
        return;
    };
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home = stage.home.with_webhook();
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_THREATS", "true");
    stage.home.set("HARFANGLAB_INCIDENTS_ATTACH_RAW", "note");
    // The samples are on no console: nothing more is known of them later.
    stage.home.set("HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT", "PT1S");
    stage.home.set("HARFANGLAB_INCIDENTS_ALERT_STATUSES", "");
    stage.home.set("HARFANGLAB_INCIDENTS_ALERT_MATURITIES", "");
    run_300_alerts(&mut stage).await;

    let works = stage.opencti.works();
    let alive = || works.iter().filter(|work| !work.is_deleted);
    assert!(alive().all(|work| matches!(&work.closed, Some((_, false)))), "{works:?}");
    let announced: i64 = alive().map(|work| work.expected).sum();
    let figures = consume(&python, &stage, announced).await;
    assert_eq!(figures["messages"], announced);
    assert_eq!(figures["failures"], 0);
    let objects = &figures["objects"];
    assert!(objects["Incident"].as_u64() >= Some(PUSHED + SWEPT as u64), "{figures}");
    for kind in KINDS {
        assert!(objects[kind].as_u64() > Some(0), "no {kind} was imported: {figures}");
    }
}

/// Pushes, then a sweep, then a change of what was imported: the real binary three times.
async fn run_300_alerts(stage: &mut Stage) {
    let clock = Clock::system();
    let now = clock.now();
    stage.console.seed(now);
    let mut generator = Generator::new(31);
    let mut unique_ids = Vec::new();
    for number in 0..SWEPT {
        let seconds = i64::try_from(number).unwrap() * 7;
        let alert = generator.next_alert(now - chrono::TimeDelta::seconds(seconds));
        unique_ids.push(alert.unique_id().to_owned());
        stage.console.add_alert(alert.api_item());
    }
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    for sample in samples() {
        let (status, answer) = post(&url, &sample).await;
        assert!(status.is_success(), "{answer}: {sample}");
    }
    let plan = PushPlan {
        target: url.parse().unwrap(),
        header: "Authorization".to_owned(),
        secret: SecretString::from(WEBHOOK_SECRET),
        hmac: None,
        alerts_per_second: 0.0,
        count: Some(PUSHED),
    };
    // Nobody listens: a report that cannot be told is dropped.
    let (reports, _) = mpsc::channel(1);
    let pushed =
        Pusher::run(plan, Generator::new(32), &stage.console, &clock, reports).await.unwrap();
    assert_eq!((pushed.accepted, pushed.refused), (PUSHED, 0));
    assert!(app.terminate().await.success(), "{}", app.log());

    stage.home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
    everything_leaves(stage).await;
    let change = json!({"status": "false_positive", "last_update": clock.now().to_rfc3339()});
    for unique_id in unique_ids.iter().take(FALSE_POSITIVES) {
        stage.console.update_alert(unique_id, &change).unwrap();
    }
    everything_leaves(stage).await;
}

/// The alerts and threats that the conversion is tested with: of every kind and age.
fn samples() -> impl Iterator<Item = Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/alerts");
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap())
}

async fn everything_leaves(stage: &Stage) {
    let mut app = stage.home.start(&[]);
    assert!(app.exit().await.success(), "{}", app.log());
}

/// Runs the consumer on the stage's queue; answers its figures, which it also prints.
async fn consume(python: &str, stage: &Stage, announced: i64) -> Value {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/consume.py"));
    let broker = std::env::var("HARFANGLAB_INCIDENTS_TEST_AMQP_URL").unwrap();
    let matrix = shared("vectors/relationship_matrix.json", "the platform's own relationships");
    let output = Command::new(python)
        .arg(script)
        .args([broker, stage.queue(), announced.to_string()])
        .args(matrix)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap()
}
