//! The table of failures in `deploy/where-is-my-alert.md`, made true: each failure is brought about, and
//! page, readiness, metrics and log are looked at.

use serde_json::Value;

use crate::support::{
    app::{App, Home},
    notifications::generated_alert,
    shared::read_deployed,
    small_disk::SmallDisk,
    stage::{Stage, http, post},
    waiting::until,
};

/// A row of the table, a list of what stands in quotation marks or backticks for each column.
struct Row {
    failure: String,
    page: Vec<String>,
    readiness: Vec<String>,
    series: Vec<String>,
    log: Vec<String>,
}

/// Returns what stands between pairs of `mark` in `cell`.
fn between(cell: &str, mark: char) -> Vec<String> {
    cell.split(mark).skip(1).step_by(2).map(str::to_owned).collect()
}

fn table() -> Vec<Row> {
    let text = read_deployed("where-is-my-alert.md");
    let (_before, table) = text.split_once("## Four failures").unwrap();
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [failure, page, readiness, series, log] = cells[..] else { panic!("{line}") };
        Row {
            failure: failure.to_owned(),
            page: between(page, '"'),
            readiness: between(readiness, '`'),
            series: between(series, '`'),
            log: between(log, '"'),
        }
    })
    .collect()
}

/// This machine cannot bring the failure about; what lacks was said.
struct Impossible;

/// Brings the failure about, and answers what has to stay for it.
fn bring_about(failure: &str, home: &mut Home) -> Result<Option<SmallDisk>, Impossible> {
    // Nobody listens at port 1.
    match failure {
        "the console is away" => home.set("HARFANGLAB_INCIDENTS_URL", "http://127.0.0.1:1"),
        "its token is refused" => home.set("HARFANGLAB_INCIDENTS_TOKEN", "another-token"),
        "OpenCTI is away" => home.set("OPENCTI_URL", "http://127.0.0.1:1"),
        "the disk is full" => {
            let disk = SmallDisk::mount("16m").ok_or(Impossible)?;
            std::fs::write(disk.path().join("ballast"), vec![0; 10 << 20]).unwrap();
            let url = format!("sqlite:{}", disk.path().join("journal.db").display());
            home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &url);
            home.set("HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE", "8MiB");
            return Ok(Some(disk));
        }
        other => panic!("nobody knows how to bring this about: {other}"),
    }
    Ok(None)
}

async fn get(url: &str) -> (u16, String) {
    let response = http().get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn holds(row: &Row, app: &mut App, management: &str) {
    let failure = &row.failure;
    let [status, standing, part] = &row.readiness[..] else { panic!("{failure}") };
    until(failure, async || {
        let (answered, ready) = get(&format!("{management}/readyz")).await;
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let is_so = answered.to_string() == *status && ready["status"] == **standing;
        (is_so && ready["degraded"][part].is_string()).then_some(())
    })
    .await;
    for series in &row.series {
        until(&format!("{failure}: {series}"), async || {
            let (_status, metrics) = get(&format!("{management}/metrics")).await;
            let line = metrics.lines().find(|line| line.starts_with(series))?;
            let value: f64 = line.rsplit(' ').next()?.parse().unwrap();
            (value > 0.0).then_some(())
        })
        .await;
    }
    let (status, page) = get(&format!("{management}/")).await;
    assert_eq!(status, 200, "{failure}: the page is there whatever happens");
    for words in &row.page {
        assert!(page.contains(words), "{failure}: {words}: {page}");
    }
    for words in &row.log {
        let is_it = |line: &Value| line["message"].as_str()?.contains(words).then_some(());
        app.wait_for_log(words, is_it).await;
    }
}

#[tokio::test]
async fn page_readiness_metrics_and_log_say_of_each_failure_what_the_document_says() {
    let rows = table();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let mut stage = Stage::with_webhook().await;
        let Ok(_disk) = bring_about(&row.failure, &mut stage.home) else { continue };
        let mut app = stage.home.start(&["serve"]);
        let (management, webhook) = (app.management().await, app.webhook().await);
        let (status, _answer) = post(&webhook, &generated_alert(7)).await;
        let is_accepted = row.readiness[0] == "200";
        assert_eq!(status.as_u16(), if is_accepted { 202 } else { 503 }, "{}", row.failure);
        holds(row, &mut app, &management).await;
        app.kill().await;
    }
}
