//! Floods beside alerts, at a small size; at the sizes of the issue with `scripts/test.sh --long`.

use std::{fs, time::Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::telemetry;
use crate::support::{
    app::{Home, is_long},
    command::run,
    journal_file::beside,
    offline::offline_home,
    stage::{Stage, alerts_in, http, post, post_by},
    stores::open_sqlite_beside,
};

const ALERTS: usize = 100;
const SHAPES: usize = 60;
/// Elements of one body.
const AT_ONCE: usize = 1_000;

/// The amount of junk.
struct Sizes {
    telemetry: usize,
    unknown: usize,
    letters: usize,
}

fn sizes() -> Sizes {
    if is_long() {
        Sizes { telemetry: 1_000_000, unknown: 100_000, letters: 35_000 }
    } else {
        Sizes { telemetry: 4_000, unknown: 9_000, letters: 700 }
    }
}

fn alert(number: usize) -> Value {
    json!({
        "log_type": "alert", "alert_type": "sigma", "status": "new", "level": "high",
        "alert_unique_id": format!("alert-{number}"), "rule_name": format!("Rule {}", number % 7),
        "alert_time": "2026-05-26T07:39:58.447687Z", "agent": {"hostname": "pc-01"},
    })
}

/// Of one of so many shapes, none of which carries a mark.
fn unknown(number: usize) -> Value {
    let mut event = json!({ "number": number, "padding": "x".repeat(1_500) });
    event[format!("shape-{}", number % SHAPES)] = true.into();
    event
}

/// Bytes of the journal on the disk.
fn on_disk(home: &Home) -> u64 {
    let length = |path| fs::metadata(path).map_or(0, |file| file.len());
    length(home.journal()) + length(beside(&home.journal(), "-wal"))
}

/// The sum of the answers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    accepted: u64,
    ignored: u64,
    dead_letters: u64,
}

impl Sum {
    async fn post(&mut self, client: &reqwest::Client, url: &str, body: &Value) {
        let (status, answer) = post_by(client, url, body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        self.accepted += count("accepted");
        self.ignored += count("ignored");
        self.dead_letters += count("dead_letters");
    }
}

/// Posts all of it, an alert now and then; everything must be taken.
async fn flood(url: &str, sizes: &Sizes) -> Sum {
    let client = http();
    let mut sum = Sum::default();
    let bodies = (sizes.telemetry + sizes.unknown).div_ceil(AT_ONCE);
    let mut alerts = 0;
    for body in 0..bodies {
        let events: Vec<Value> = (body * AT_ONCE..(body + 1) * AT_ONCE)
            .take_while(|number| *number < sizes.telemetry + sizes.unknown)
            .map(|number| {
                // Both come all the time.
                let earlier = number * sizes.unknown / (sizes.telemetry + sizes.unknown);
                let later = (number + 1) * sizes.unknown / (sizes.telemetry + sizes.unknown);
                if later > earlier { unknown(earlier) } else { telemetry(number) }
            })
            .collect();
        sum.post(&client, url, &json!(events)).await;
        while alerts < ALERTS * (body + 1) / bodies {
            sum.post(&client, url, &alert(alerts)).await;
            alerts += 1;
        }
    }
    sum
}

/// Sends the flood to a service and waits until every alert is delivered; answers what was kept.
async fn flooded(stage: &mut Stage, sizes: &Sizes) -> Sum {
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let (before, began) = (on_disk(&stage.home), Instant::now());
    let sum = flood(&url, sizes).await;
    let took = began.elapsed();
    stage
        .opencti
        .wait_for("every alert is delivered", |state| alerts_in(&state.works) >= ALERTS)
        .await;
    let ready = app.readiness().await;
    assert_eq!(ready["status"], "ready", "{ready}");
    // What is under way has its end by then.
    assert!(app.terminate().await.success());
    let url = format!("sqlite:{}", stage.home.journal().display());
    let journal = open_sqlite_beside(&url, stage.console.url().as_str()).await;
    let counts = journal.counts().await.unwrap();
    println!(
        "{} telemetry, {} unknown of {SHAPES} shapes, {ALERTS} alerts in {took:?}: journal {before} \
         bytes before, {} after; {sum:?}; {counts:?}",
        sizes.telemetry,
        sizes.unknown,
        on_disk(&stage.home)
    );
    assert_eq!(counts.delivered, ALERTS as u64, "{counts:?}");
    assert_eq!(sum.accepted, ALERTS as u64);
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_junk_leaves_a_sample_in_the_journal_and_every_alert_is_delivered() {
    let mut stage = Stage::with_webhook().await;
    let sizes = sizes();
    let sum = flooded(&mut stage, &sizes).await;
    assert_eq!(sum.dead_letters, 5_000, "100 of each of 50 shapes");
    let all = sizes.telemetry + sizes.unknown;
    assert_eq!(sum.ignored + sum.dead_letters, u64::try_from(all).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_junk_at_the_bound_of_the_journal_refuses_no_alert() {
    let mut stage = Stage::with_webhook().await;
    // Less than the sample takes, which goes first.
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE", "6MiB");
    let sizes = sizes();
    flooded(&mut stage, &sizes).await;
    assert!(on_disk(&stage.home) < 12 << 20, "{}", on_disk(&stage.home));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_equal_letters_at_the_bound_shrinks_the_file_and_lets_alerts_in() {
    let letters = sizes().letters;
    let mut home = offline_home();
    let mut app = home.start(&["serve"]);
    let (url, client) = (app.webhook().await, http());
    let mut sum = Sum::default();
    let marked =
        |number: usize| json!({"level": "high", "number": number, "padding": "x".repeat(3_000)});
    for body in 0..letters.div_ceil(100) {
        let events: Vec<Value> = (body * 100..(body + 1) * 100).map(marked).collect();
        sum.post(&client, &url, &json!(events)).await;
    }
    assert_eq!(sum.dead_letters, letters as u64);
    assert!(app.terminate().await.success());

    let before = on_disk(&home);
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE", &(letters * 2_000).to_string());
    let mut app = home.start(&["serve"]);
    let (url, management) = (app.webhook().await, app.management().await);
    let (status, _answer) = post(&url, &alert(0)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nothing may go by itself");
    let reason = app.readiness().await["reason"].to_string();
    for part in
        ["of dead letters", "dead-letters drop", "HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD"]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let page = http().get(format!("{management}/")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("of dead letters") && page.contains("RETENTION_DEAD"), "{page}");
    let listed = run(&home, &["dead-letters", "list"]).await;
    let line = listed.stdout.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!((listed.stdout.lines().count(), line), (3, letters.to_string()));

    let began = Instant::now();
    let dropped = run(&home, &["dead-letters", "drop", "--all", "--yes"]).await;
    assert_eq!(dropped.code, Some(0), "{}", dropped.stderr);
    let drop_took = began.elapsed();
    app.wait_for_log("there is room again", |line| {
        line["message"].as_str()?.starts_with("the journal has room again").then_some(())
    })
    .await;
    assert_eq!(post(&url, &alert(0)).await.0, StatusCode::ACCEPTED);
    let (accepted, after) = (began.elapsed(), on_disk(&home));
    println!(
        "{letters} letters: {before} bytes before, {after} after; dropped in {drop_took:?}, an alert \
         is accepted {accepted:?} after the command began"
    );
    assert!(after * 2 < before, "{after} of {before}");
    if is_long() {
        assert!(accepted.as_secs() < 60, "{accepted:?}");
    }
}
