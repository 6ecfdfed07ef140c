//! The push contract of HarfangLab's Elastic connector, as its own test tool uses it: one header
//! `Authorization: abc123` without any scheme before it, `{}` to test the connection, one object a
//! post; and the answers that it knows from Elastic's own receiver.

use harfanglab_incidents::{clock::Clock, demo::Generator};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::started;
use crate::support::{shared::shared, stage::http};

/// The tool's own secret.
const SECRET: &str = "abc123";

async fn send(url: &str, method: Method, secret: &str, media_type: &str, body: &str) -> Response {
    let request = http().request(method, url).header("Authorization", secret);
    request.header("Content-Type", media_type).body(body.to_owned()).send().await.unwrap()
}

async fn post(url: &str, body: &Value) -> (u16, Value) {
    let response = send(url, Method::POST, SECRET, "application/json", &body.to_string()).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn the_connection_test_an_object_and_an_array_are_answered_as_the_connector_expects() {
    let (_stage, mut app, url) = started(&[("SECRET", SECRET)]).await;
    let now = Clock::system().now();
    let mut generator = Generator::new(31);
    let nothing = json!({ "accepted": 0, "duplicates": 0, "ignored": 0 });
    assert_eq!(post(&url, &json!({})).await, (200, nothing), "{{}}");
    assert_eq!(app.events_stored().await, 0);

    let (status, answer) = post(&url, &generator.next_alert(now).ecs()).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
    let array = json!([
        generator.next_alert(now).ecs(),
        generator.ecs_telemetry(now),
        generator.next_alert(now).ecs(),
        {},
    ]);
    let (status, answer) = post(&url, &array).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(2)), "{answer}");
    assert_eq!(answer.get("dead_letters"), None, "{answer}");
    assert_eq!(app.events_stored().await, 3);
}

#[tokio::test]
async fn what_is_not_of_the_contract_gets_the_status_that_the_connector_knows() {
    let (_stage, mut app, url) = started(&[("SECRET", SECRET)]).await;
    let json = "application/json";
    let rows = [
        (Method::POST, "abc1234", json, "{}", 401),
        (Method::POST, "Bearer abc1234", json, "{}", 401),
        (Method::POST, "Bearer abc123", json, "{}", 200),
        (Method::GET, SECRET, json, "", 405),
        (Method::PUT, SECRET, json, "{}", 405),
        (Method::POST, SECRET, "text/plain", "{}", 415),
        (Method::POST, SECRET, json, "{\"log_type\"", 400),
        (Method::POST, SECRET, json, "", 400),
        (Method::POST, SECRET, "application/json; charset=utf-8", "{}", 200),
    ];
    for (method, secret, media_type, body, status) in rows {
        let response = send(&url, method.clone(), secret, media_type, body).await;
        let what = format!("{method} {secret} {media_type} {body}");
        assert_eq!(response.status().as_u16(), status, "{what}");
        let allow = response.headers().get("Allow").map(|allow| allow.to_str().unwrap());
        assert_eq!(allow, (status == 405).then_some("POST"), "{what}");
    }
    assert_eq!(app.events_stored().await, 0);
}

#[tokio::test]
async fn the_events_that_the_tool_itself_sends_are_acknowledged_one_a_post() {
    let file = "samples/elastic-integrations__push-http__telemetry__harfanglab-ndjson.log";
    let Some(path) = shared(file, "the events of the Elastic connector's test tool") else {
        return;
    };
    let (_stage, mut app, url) = started(&[("SECRET", SECRET)]).await;
    let text = std::fs::read_to_string(path).unwrap();
    let mut acknowledged = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let response = send(&url, Method::POST, SECRET, "application/json", line).await;
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        assert!(status == 202 || (status == 200 && line.trim() == "{}"), "{status} {answer}");
        assert_eq!(answer.get("dead_letters"), None, "{line}");
        acknowledged += 1;
    }
    assert!(acknowledged > 0, "the file has lines");
    assert_eq!(app.events_stored().await, 0, "telemetry is not kept");
}
