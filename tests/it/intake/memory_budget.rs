//! Texts that would be a hundred times larger as values: the real binary takes them
//! under a limit of 256 MiB, by POST, by syslog and as a console's answer, while good alerts pass, and
//! so it does after a restart, with all of them in its journal.
//!
//! Bodies are of 2 MiB; of 10 MiB, the bound, with `HARFANGLAB_INCIDENTS_TEST_LONG=1`.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use actix_web::{App as WebApp, HttpResponse, HttpServer, web};
use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::watch;

use crate::support::{
    app::{WEBHOOK_SECRET, is_long, patience},
    memory::{OVER_IDLE_KIB, idle_kib, limited, peak_kib},
    stage::{Stage, http, post},
    syslog,
};

/// Hostile deliveries at once.
const AT_ONCE: usize = 6;

fn body_bytes() -> usize {
    if is_long() { 10 << 20 } else { 2 << 20 }
}

/// As many of `item` as fit.
fn list_of(item: &str, bytes: usize) -> String {
    let count = bytes.saturating_sub(1_000) / (item.len() + 1);
    format!("[{}]", vec![item; count].join(","))
}

/// An alert with this in one of its fields.
fn alert_with(field: &str, list: &str, number: usize) -> String {
    format!(
        r#"{{"log_type":"alert","alert_type":"sigma","rule_name":"x","level":"high","status":"new",
        "agent":{{"hostname":"pc-01"}},"alert_unique_id":"bbbbbbbb-0000-4000-8000-{number:012}","{field}":{list}}}"#
    )
}

const SHAPES: [&str; 3] = ["1", "[[]]", r#"{"":0}"#];

/// Each shape as a body, in a field that is read and in one that is not.
fn hostile_bodies() -> Vec<String> {
    let lists = SHAPES.map(|shape| list_of(shape, body_bytes()));
    let mut bodies = Vec::new();
    for list in &lists {
        for field in ["tags", "unheard_of"] {
            bodies.push(alert_with(field, list, bodies.len()));
        }
        bodies.push(list.clone());
        bodies.push(format!("[{list}]"));
    }
    bodies
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Posts good alerts one after the other until `stop`; returns how many there were, and the longest time
/// that one took to be answered.
async fn good_alerts(url: String, stop: watch::Receiver<bool>) -> (usize, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !*stop.borrow() {
        let id = format!("good-{count}");
        let alert = json!({ "log_type": "alert", "alert_type": "sigma", "alert_unique_id": id,
            "rule_name": "Suspicious Thing", "agent": { "hostname": "pc-01" } });
        let began = Instant::now();
        let (status, answer) = post(&url, &alert).await;
        longest = longest.max(began.elapsed());
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        count += 1;
    }
    (count, longest)
}

/// Posts these bodies, six at once; answers what became of each.
async fn attack(url: &str, bodies: &[Vec<u8>], encoding: &str) -> Vec<StatusCode> {
    let client = http();
    let mut statuses = Vec::new();
    for bodies in bodies.chunks(AT_ONCE) {
        let posts = bodies.iter().map(|body| {
            let request = client.post(url).header("Authorization", WEBHOOK_SECRET);
            let request = request.header("Content-Type", "application/json");
            let request = request.header("Content-Encoding", encoding).body(body.clone());
            // On a busy machine one turn takes seconds.
            let request = request.timeout(patience());
            async { request.send().await.unwrap().status() }
        });
        statuses.extend(join_all(posts).await);
    }
    statuses
}

#[tokio::test]
async fn posts_that_would_become_gigabytes_cost_some_mebibytes_and_stop_nobody() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let Some(mut app) = limited(&stage.home) else { return };
    let url = app.webhook().await;
    let (stop, stopped) = watch::channel(false);
    let alert = json!({ "log_type": "alert", "alert_type": "sigma", "alert_unique_id": "first",
        "rule_name": "Suspicious Thing", "agent": { "hostname": "pc-01" } });
    assert_eq!(post(&url, &alert).await.0, StatusCode::ACCEPTED);
    // Idle is a service that has been at work: it is connected to everything.
    stage.closed_works(1).await;
    let idle = idle_kib(&app);
    let good = tokio::spawn(good_alerts(url.clone(), stopped));

    let bodies = hostile_bodies();
    let plain: Vec<Vec<u8>> = bodies.iter().map(|body| body.clone().into_bytes()).collect();
    let packed: Vec<Vec<u8>> = bodies.iter().map(|body| gzip(body)).collect();
    for (bodies, encoding) in [(plain, "identity"), (packed, "gzip")] {
        let statuses = attack(&url, &bodies, encoding).await;
        // Where a machine is slow, some have to come back for their turn.
        let answered =
            [StatusCode::ACCEPTED, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::SERVICE_UNAVAILABLE];
        assert!(statuses.iter().all(|status| answered.contains(status)), "{statuses:?}");
        assert!(statuses.contains(&StatusCode::ACCEPTED), "{statuses:?}");
    }
    stop.send(true).unwrap();
    let (count, longest) = good.await.unwrap();
    assert!(count > 0);
    println!("posts: {count} good alerts beside them, each answered within {longest:?}");
    let over_idle = peak_kib(&app).saturating_sub(idle);
    println!("posts: {} MiB over idle ({} MiB)", over_idle >> 10, idle >> 10);
    assert!(over_idle <= OVER_IDLE_KIB, "{} MiB over idle", over_idle >> 10);

    // What was accepted is in the journal, and does no harm from there either.
    app.kill().await;
    let mut app = limited(&stage.home).unwrap();
    let url = app.webhook().await;
    stage.closed_works(1).await;
    assert_eq!(post(&url, &json!({})).await.0, StatusCode::OK);
    assert!(peak_kib(&app) <= idle + OVER_IDLE_KIB);
}

#[tokio::test]
async fn syslog_messages_that_would_become_gigabytes_cost_some_mebibytes() {
    let mut home = syslog::listening(crate::support::offline::offline_home());
    home.set("HARFANGLAB_INCIDENTS_SYSLOG_MAX_FRAME", &body_bytes().to_string());
    let Some(mut app) = limited(&home) else { return };
    let (address, url) = (syslog::address(&mut app).await, app.webhook().await);
    assert_eq!(post(&url, &json!({})).await.0, StatusCode::OK);
    let idle = idle_kib(&app);
    let mut alerts = 0;
    for shape in SHAPES {
        let list = list_of(shape, body_bytes());
        let frames = (0..AT_ONCE).map(|number| {
            let field = if number % 2 == 0 { "tags" } else { "unheard_of" };
            let message = alert_with(field, &list, alerts + number).replace('\n', " ");
            let message = syslog::message_with(syslog::TOKEN, &message);
            format!("{} {message}", message.len())
        });
        let frames: Vec<String> = frames.collect();
        alerts += AT_ONCE;
        join_all(frames.iter().map(|frame| syslog::send("127.0.0.1", address, frame.as_bytes())))
            .await;
    }
    syslog::until_stored(&mut app, alerts as u64).await;
    let over_idle = peak_kib(&app).saturating_sub(idle);
    println!("syslog: {} MiB over idle ({} MiB)", over_idle >> 10, idle >> 10);
    assert!(over_idle <= OVER_IDLE_KIB, "{} MiB over idle", over_idle >> 10);
}

/// A console that answers every question with this.
fn console_that_answers(body: String) -> String {
    let body = web::Data::new(body);
    let server = HttpServer::new(move || {
        let answer = |body: web::Data<String>| async move {
            HttpResponse::Ok().content_type("application/json").body(body.as_ref().clone())
        };
        WebApp::new().app_data(body.clone()).default_service(web::to(answer))
    });
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", server.addrs()[0]);
    tokio::spawn(server.run());
    url
}

#[tokio::test]
async fn a_console_that_answers_too_much_costs_some_mebibytes_and_a_few_lines_of_log() {
    // Beyond the bound of an answer in the long run.
    let bytes = if is_long() { 64 << 20 } else { body_bytes() };
    for shape in SHAPES {
        let mut stage = Stage::with_webhook().await;
        let page = format!(r#"{{"count":1000000,"results":{}}}"#, list_of(shape, bytes));
        stage.home.set("HARFANGLAB_INCIDENTS_URL", &console_that_answers(page));
        let Some(mut app) = limited(&stage.home) else { return };
        let url = app.webhook().await;
        assert_eq!(post(&url, &json!({})).await.0, StatusCode::OK);
        let idle = idle_kib(&app);
        app.wait_for_log("the sweep failed", |line| {
            let text = line.to_string();
            let told = text.contains("items asked for") || text.contains("too large to be read");
            told.then_some(())
        })
        .await;
        let over_idle = peak_kib(&app).saturating_sub(idle);
        println!("console, {shape}: {} MiB over idle ({} MiB)", over_idle >> 10, idle >> 10);
        assert!(over_idle <= OVER_IDLE_KIB, "{} MiB over idle", over_idle >> 10);
        assert!(app.log().len() < 64 << 10, "{} bytes of log", app.log().len());
    }
}
