//! Forged, unsigned, replayed, oversized and malformed posts: the right status, nothing stored.

use harfanglab_incidents::{clock::Clock, demo::Generator};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    app::{App, WEBHOOK_SECRET},
    stage::{Stage, http, post},
};

const MAX_BODY_BYTES: usize = 64 * 1024;

async fn started() -> (Stage, App, String) {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_WEBHOOK_MAX_BODY", "64KiB");
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    (stage, app, url)
}

/// A post and the status it must get; everything else about it is as it should be.
struct Case {
    what: &'static str,
    method: Method,
    secret: Option<&'static str>,
    media_type: &'static str,
    body: String,
    status: u16,
}

fn hostile_cases() -> Vec<Case> {
    let alert = Generator::new(8).next_alert(Clock::system().now()).native().to_string();
    let large = json!({ "log_type": "alert", "msg": "x".repeat(MAX_BODY_BYTES) }).to_string();
    let case = |what, status, body: &str| Case {
        what,
        method: Method::POST,
        secret: Some(WEBHOOK_SECRET),
        media_type: "application/json",
        body: body.to_owned(),
        status,
    };
    let forged = Some("a-guess");
    vec![
        Case { secret: None, ..case("unsigned", 401, &alert) },
        Case { secret: forged, ..case("forged", 401, &alert) },
        Case { secret: forged, media_type: "text/plain", ..case("forged and odd", 401, "x") },
        case("oversized and announced", 413, &large),
        case("cut off", 400, "{\"log_type\": \"alert"),
        case("not JSON", 400, "hello there"),
        case("empty", 400, ""),
        Case { media_type: "text/xml", ..case("of another type", 415, &alert) },
        Case {
            media_type: "application/json+xml",
            ..case("of a type that only begins so", 415, "{}")
        },
        Case {
            media_type: "application/vnd.kafka.json.v2+json",
            ..case("a kind of JSON", 400, "x")
        },
        Case { method: Method::PUT, ..case("not a POST", 405, &alert) },
        Case { method: Method::GET, secret: None, ..case("a GET", 405, "") },
    ]
}

#[tokio::test]
async fn each_hostile_post_gets_its_status_and_leaves_nothing_in_the_journal() {
    let (_stage, mut app, url) = started().await;
    for Case { what, method, secret, media_type, body, status } in hostile_cases() {
        let mut request = http().request(method, &url).header("Content-Type", media_type);
        if let Some(secret) = secret {
            request = request.header("Authorization", secret);
        }
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{what}");
        let text = response.text().await.unwrap();
        assert!(!text.contains(WEBHOOK_SECRET), "{what}: {text}");
    }
    assert_eq!(app.events_stored().await, 0);
    assert!(!app.log().contains(WEBHOOK_SECRET), "a secret is in the log");
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_at_the_bound_though_no_length_was_announced() {
    let (_stage, mut app, url) = started().await;
    let address = url.split('/').nth(2).unwrap().to_owned();
    let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: {address}\r\nAuthorization: {WEBHOOK_SECRET}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 4096, "x".repeat(4096));
    for _ in 0..=(MAX_BODY_BYTES / 4096) {
        // The service may close the connection as soon as the bound is passed.
        if socket.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 64];
    let length = socket.read(&mut answer).await.unwrap();
    let line = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(line.starts_with("HTTP/1.1 413"), "{line}");
    assert_eq!(app.events_stored().await, 0);
}

#[tokio::test]
async fn a_replayed_delivery_is_a_duplicate_and_a_stale_signed_one_is_refused() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_WEBHOOK_AUTH", "standard-webhooks");
    stage.home.set("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    // The published vector: rightly signed, but in 2021.
    let response = http()
        .post(&url)
        .header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
        .header("webhook-timestamp", "1614265330")
        .header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        .header("Content-Type", "application/json")
        .body(r#"{"test": 2432232314}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(app.events_stored().await, 0);
}

#[tokio::test]
async fn the_connection_test_telemetry_and_what_is_of_no_dialect_get_their_answers() {
    let (_stage, mut app, url) = started().await;
    let now = Clock::system().now();
    let mut generator = Generator::new(9);
    let (status, answer) = post(&url, &json!({})).await;
    assert_eq!(status.as_u16(), 200, "{answer}");
    assert_eq!(app.events_stored().await, 0);
    let telemetry = json!([generator.ecs_telemetry(now), generator.native_telemetry(now)]);
    let (status, answer) = post(&url, &telemetry).await;
    assert_eq!((status.as_u16(), &answer["ignored"]), (202, &json!(2)), "{answer}");
    assert_eq!(app.events_stored().await, 0);
    let (status, answer) = post(&url, &json!({ "something": "new" })).await;
    assert_eq!((status.as_u16(), &answer["dead_letters"]), (202, &json!(1)), "{answer}");
    assert_eq!(app.events_stored().await, 1, "kept, so that nothing is lost");
}

#[tokio::test]
async fn at_the_bound_of_requests_the_next_one_gets_429_and_is_asked_to_come_back() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    stage.home.set("HARFANGLAB_INCIDENTS_WEBHOOK_MAX_IN_FLIGHT", "1");
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    let address = url.split('/').nth(2).unwrap().to_owned();
    let mut slow = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: {address}\r\nContent-Length: 10\r\n\
         Authorization: {WEBHOOK_SECRET}\r\nExpect: 100-continue\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // The service asks for the body: from here on the slow request holds the only place.
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut received = [0; 25];
    slow.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, interim);
    let alert = Generator::new(10).next_alert(Clock::system().now()).native();
    let request = || http().post(&url).header("Authorization", WEBHOOK_SECRET).json(&alert);
    let response = request().send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("Retry-After"));
    slow.write_all(b"0123456789").await.unwrap();
    let mut answer = [0; 32];
    let length = slow.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..length]).contains("400"), "the slow one is answered");
    assert_eq!(request().send().await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_cannot_be_stored_gets_503_and_is_taken_when_it_comes_back() {
    let (stage, _app, url) = started().await;
    let options = SqliteConnectOptions::new().filename(stage.home.journal());
    let mut other_process = options.connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other_process).await.unwrap();
    let alert = Generator::new(11).next_alert(Clock::system().now()).native();
    let request = || http().post(&url).header("Authorization", WEBHOOK_SECRET).json(&alert);
    let response = request().send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("Retry-After"));
    sqlx::query("ROLLBACK").execute(&mut other_process).await.unwrap();
    assert_eq!(request().send().await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_stranger_is_refused_before_its_body_is_waited_for_and_its_connection_is_closed() {
    let (_stage, _app, url) = started().await;
    let address = url.split('/').nth(2).unwrap().to_owned();
    let mut stranger = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000\r\n\
         Authorization: a-guess\r\n\r\nx"
    );
    stranger.write_all(head.as_bytes()).await.unwrap();
    // Nothing more is sent: without an answer this would wait for the time limit of the body.
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}
