//! Traces of an attacker: lines of the log that stay lines, series of the metrics that stay
//! as many as they were, and no connection to where an answer of the console points.

use std::{io::ErrorKind, net::TcpListener};

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    harfanglab::console_faults::Scene,
    support::{
        app::{App, WEBHOOK_SECRET},
        notifications::minimal_alert,
        offline::started,
        sockets::{authority, exchanged, head},
        stage::{http, post},
    },
};

/// Characters that break out of a line: of text, of JSON, of a terminal.
const BREAKS: [&str; 5] =
    ["\r\nforged", "\u{1b}[2J", "\u{9b}31m", "\"}\n{\"level\":\"INFO\",\"x\":\"", "\u{2028}\u{0}"];

#[tokio::test]
async fn whatever_is_sent_each_line_of_the_log_stays_one_json_object_without_control_characters() {
    let (_home, mut app, url) = started(&[
        ("CONNECTOR_LOG_LEVEL", "trace"),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES", "127.0.0.1"),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_MAX_FAILURES", "1000000"),
    ])
    .await;
    let service = authority(&url).to_owned();
    let body = |element: &Value| element.to_string();
    for (number, text) in BREAKS.iter().enumerate() {
        // In headers and the path, as they are and percent-encoded.
        let encoded =
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        for lines in [
            format!("X-Forwarded-For: {text}\r\nContent-Length: 2\r\n"),
            format!("X-Forwarded-For: 192.0.2.1, {encoded}\r\nContent-Length: 2\r\n"),
            format!("User-Agent: {text}\r\nContent-Length: 2\r\n"),
            format!("Content-Encoding: {encoded}\r\nContent-Length: 2\r\n"),
            format!("Content-Type: application/{encoded}\r\nContent-Length: 2\r\n"),
        ] {
            exchanged("127.0.0.1", &service, (head(&lines) + "{}").as_bytes()).await;
            let path = format!("/webhooks/harfanglab/{encoded}?{encoded}");
            let elsewhere = head(&lines).replace("/webhooks/harfanglab", &path) + "{}";
            exchanged("127.0.0.1", &service, elsewhere.as_bytes()).await;
            let forged = head(&lines).replace(WEBHOOK_SECRET, "a-guess") + "{}";
            exchanged("127.0.0.1", &service, forged.as_bytes()).await;
        }
        // In what is verified.
        let mut odd = minimal_alert(&format!("alert-{number}-{text}"));
        for name in ["rule_name", "alert_type", "status", "level", "log_type"] {
            odd[name] = json!(text);
        }
        for element in [
            odd,
            json!({ "log_type": text }),
            json!({ "log_type": "alert", text.to_string(): text }),
        ] {
            post(&url, &serde_json::from_str(&body(&element)).unwrap()).await;
        }
        let unreadable = http().post(&url).header("Authorization", WEBHOOK_SECRET);
        unreadable.body(text.to_string()).send().await.unwrap();
    }
    assert!(app.terminate().await.success());
    let log = app.whole_log().await;
    assert!(log.lines().count() > 10, "{log}");
    for line in log.split('\n') {
        let object: Result<Value, _> = serde_json::from_str(line);
        let whole = object.is_ok_and(|object| object["timestamp"].is_string());
        assert!(whole && !line.contains(char::is_control), "{line:?}");
    }
}

async fn series(app: &mut App) -> usize {
    let management = app.management().await;
    let page = http().get(format!("{management}/metrics")).send().await.unwrap();
    let page = page.text().await.unwrap();
    let value = |line: &&str| !line.is_empty() && !line.starts_with('#');
    page.lines().filter(value).count()
}

#[tokio::test]
async fn a_thousand_invented_kinds_paths_and_addresses_make_no_new_series() {
    let (_home, mut app, url) = started(&[
        ("HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES", "127.0.0.1"),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_MAX_FAILURES", "1"),
    ])
    .await;
    let client = http();
    let sent = async |path: &str, from: &str, secret: &str, body: &Value| {
        let request = client.post(format!("{url}{path}")).header("Authorization", secret);
        let request = request.header("X-Forwarded-For", from).header("User-Agent", from);
        request.json(body).send().await.unwrap().status().as_u16()
    };
    let kinds = |from: usize, to: usize| -> Value {
        let kind = |number| json!({ "log_type": format!("invented-{number}") });
        (from..to).map(kind).collect()
    };
    let dead = json!({ "invented": true });
    // One of each, so that every series that there can be is there.
    assert_eq!(sent("", "192.0.2.1", WEBHOOK_SECRET, &kinds(0, 1)).await, 202);
    assert_eq!(sent("", "192.0.2.1", WEBHOOK_SECRET, &dead).await, 202);
    assert_eq!(sent("/x", "192.0.2.1", WEBHOOK_SECRET, &dead).await, 404);
    assert_eq!(sent("", "192.0.2.2", "a-guess", &dead).await, 401);
    assert_eq!(sent("", "192.0.2.2", "a-guess", &dead).await, 429);
    let before = series(&mut app).await;
    assert_eq!(sent("", "192.0.2.1", WEBHOOK_SECRET, &kinds(1, 1001)).await, 202);
    for number in 0..1_000 {
        let address = format!("10.1.{}.{}", number / 250, number % 250);
        assert_eq!(sent(&format!("/{number}"), &address, "a-guess", &dead).await, 404);
        assert_eq!(sent("", &address, "a-guess", &dead).await, 401);
    }
    assert_eq!(series(&mut app).await, before);
}

#[tokio::test]
async fn the_client_asks_its_own_console_only_wherever_answers_point() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}", trap.local_addr().unwrap());
    let scene = Scene::with_alerts(101, TimeDelta::seconds(1));
    scene.console.link_next_to(&elsewhere);
    let references = json!({
        "id": "id-ssrf", "alert_unique_id": "ssrf", "alert_type": "sigma", "status": "new",
        "level": "high", "alert_time": "2026-03-01T12:30:00Z", "rule_name": "Points elsewhere",
        "rule_id": format!("{elsewhere}/rule?"), "details_url": elsewhere,
        "agent": { "hostname": "PC-1", "agentid": format!("../../{elsewhere}") },
        "rule_content": format!("title: x\nreferences:\n  - {elsewhere}/reference\n"),
    });
    scene.console.add_alert(references);
    scene.run().await.unwrap();
    assert_eq!(scene.counts().await.delivered, 102);
    trap.set_nonblocking(true).unwrap();
    assert!(trap.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
}
