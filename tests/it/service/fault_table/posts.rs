//! Rows of the fault table: what is posted, and when the service stops in the middle of it.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use flate2::{Compression, write::GzEncoder};
use futures_util::future::BoxFuture;
use harfanglab_incidents::clock::Clock;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Row, Seen, left_in};
use crate::support::{
    app::{App, Home, WEBHOOK_SECRET},
    notifications::minimal_alert,
    offline::offline_home,
    stage::http,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = webhook_rows();
    rows.extend(shutdown_rows());
    rows
}

fn row(
    name: &'static str,
    done: &'static str,
    answered: &'static str,
    left: &'static str,
    seen: BoxFuture<'static, Seen>,
) -> Row {
    Row { part: "webhook", name, done, answered, left, seen }
}

fn shutdown(
    name: &'static str,
    done: &'static str,
    answered: &'static str,
    left: &'static str,
    seen: BoxFuture<'static, Seen>,
) -> Row {
    Row { part: "shutdown", name, done, answered, left, seen }
}

fn webhook_rows() -> Vec<Row> {
    vec![
        row("forged secret", "posted an alert with a guess", "401", "nothing", Box::pin(forged())),
        row(
            "secret beside a guess",
            "sent the header twice, once with the secret",
            "401",
            "nothing",
            Box::pin(sent_twice()),
        ),
        row(
            "too large",
            "posted 2 KiB where 1 KiB is allowed",
            "413",
            "nothing",
            Box::pin(too_large()),
        ),
        row("gzip that stops", "cut the stream", "400", "nothing", Box::pin(cut_gzip())),
        row(
            "sender that stops",
            "announced 1,000 bytes, sent 20 and closed",
            "400",
            "nothing",
            Box::pin(cut_body()),
        ),
        row(
            "one odd element",
            "posted an alert and something unknown in one array",
            r#"202 {"accepted":1,"duplicates":0,"ignored":0,"dead_letters":1}"#,
            "1 pending, 1 dead",
            Box::pin(half_readable()),
        ),
        row(
            "the same again",
            "posted an alert twice",
            r#"202 {"accepted":0,"duplicates":1,"ignored":0}"#,
            "1 pending",
            Box::pin(again()),
        ),
        Row {
            part: "clock",
            ..row(
                "replay of an hour ago",
                "posted what was rightly signed an hour ago",
                "401",
                "nothing",
                Box::pin(replayed()),
            )
        },
    ]
}

fn shutdown_rows() -> Vec<Row> {
    vec![
        shutdown(
            "SIGTERM in an outage",
            "stored an alert that cannot leave, then SIGTERM",
            "exit 0",
            "1 pending",
            Box::pin(terminated()),
        ),
        shutdown(
            "second SIGTERM",
            "began a post, then SIGTERM twice",
            "exit 130",
            "nothing",
            Box::pin(terminated_twice()),
        ),
        shutdown(
            "kill in mid post",
            "began a post, then kill -9",
            "connection closed",
            "nothing",
            Box::pin(killed_in_mid_post()),
        ),
        shutdown(
            "kill after the answer",
            "posted an alert, then kill -9",
            "202",
            "1 pending",
            Box::pin(killed_after_the_answer()),
        ),
    ]
}

pub(super) fn alert(number: u64) -> Value {
    minimal_alert(&format!("alert-{number}"))
}

/// Status and body of the last of `requests`, which go to a service of `home`.
pub(super) async fn posted<const COUNT: usize>(
    home: &Home,
    requests: impl FnOnce(String) -> [RequestBuilder; COUNT],
) -> (u16, String) {
    let mut app = home.start(&["serve"]);
    let mut last = (0, String::new());
    for request in requests(app.webhook().await) {
        let response = request.send().await.unwrap();
        last = (response.status().as_u16(), response.text().await.unwrap());
    }
    app.kill().await;
    last
}

pub(super) fn verified(url: &str, element: &Value) -> RequestBuilder {
    http().post(url).header("Authorization", WEBHOOK_SECRET).json(element)
}

async fn status_and_left(home: Home, request: impl FnOnce(String) -> RequestBuilder) -> Seen {
    let (status, _text) = posted(&home, |url| [request(url)]).await;
    Seen { answered: status.to_string(), left: left_in(&home).await }
}

async fn forged() -> Seen {
    let forge = |url| http().post(url).header("Authorization", "a-guess").json(&alert(1));
    status_and_left(offline_home(), forge).await
}

async fn sent_twice() -> Seen {
    let twice = |url: String| verified(&url, &alert(1)).header("Authorization", "a-guess");
    status_and_left(offline_home(), twice).await
}

async fn too_large() -> Seen {
    let mut home = offline_home();
    home.set("HARFANGLAB_INCIDENTS_WEBHOOK_MAX_BODY", "1KiB");
    let mut large = alert(1);
    large["padding"] = json!("x".repeat(2048));
    status_and_left(home, move |url| verified(&url, &large)).await
}

async fn cut_gzip() -> Seen {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(alert(1).to_string().as_bytes()).unwrap();
    let mut bytes = encoder.finish().unwrap();
    bytes.truncate(40);
    status_and_left(offline_home(), |url| {
        verified(&url, &json!({})).header("Content-Encoding", "gzip").body(bytes)
    })
    .await
}

async fn half_readable() -> Seen {
    let home = offline_home();
    let array = json!([alert(1), { "something": "new" }]);
    let (status, text) = posted(&home, |url| [verified(&url, &array)]).await;
    Seen { answered: format!("{status} {text}"), left: left_in(&home).await }
}

async fn again() -> Seen {
    let home = offline_home();
    let twice = |url: String| [(); 2].map(|()| verified(&url, &alert(1)));
    let (status, text) = posted(&home, twice).await;
    Seen { answered: format!("{status} {text}"), left: left_in(&home).await }
}

async fn replayed() -> Seen {
    let mut home = offline_home();
    home.set("HARFANGLAB_INCIDENTS_WEBHOOK_AUTH", "standard-webhooks");
    home.set("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed_at = (Clock::system().now() - TimeDelta::hours(1)).timestamp().to_string();
    let body = alert(1).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("msg_1.{signed_at}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    status_and_left(home, |url| {
        http()
            .post(url)
            .header("Content-Type", "application/json")
            .header("webhook-id", "msg_1")
            .header("webhook-timestamp", signed_at)
            .header("webhook-signature", signature)
            .body(body)
    })
    .await
}

/// A post whose head was taken and whose body the service waits for.
async fn began_a_post(app: &mut App) -> TcpStream {
    let url = app.webhook().await;
    let address = url.split('/').nth(2).unwrap().to_owned();
    let mut socket = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1000\r\n\
         Authorization: {WEBHOOK_SECRET}\r\nExpect: 100-continue\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).await.unwrap();
    socket
}

async fn cut_body() -> Seen {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let mut socket = began_a_post(&mut app).await;
    socket.write_all(br#"{"log_type":"alert",x"#).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    let _reset = socket.read_to_string(&mut answer).await;
    app.kill().await;
    let status = answer.split(' ').nth(1).unwrap_or("no answer").to_owned();
    Seen { answered: status, left: left_in(&home).await }
}

async fn terminated() -> Seen {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    assert_eq!(verified(&url, &alert(1)).send().await.unwrap().status().as_u16(), 202);
    let code = app.terminate().await.code().unwrap();
    Seen { answered: format!("exit {code}"), left: left_in(&home).await }
}

async fn terminated_twice() -> Seen {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let socket = began_a_post(&mut app).await;
    app.ask_to_stop();
    app.wait_for_log("it is stopping", |line| {
        line["message"].as_str()?.starts_with("stopping:").then_some(())
    })
    .await;
    app.ask_to_stop();
    let code = app.exit().await.code().unwrap();
    drop(socket);
    Seen { answered: format!("exit {code}"), left: left_in(&home).await }
}

async fn killed_in_mid_post() -> Seen {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let mut socket = began_a_post(&mut app).await;
    socket.write_all(br#"{"log_type":"alert","#).await.unwrap();
    app.kill().await;
    let mut answer = Vec::new();
    let _reset = socket.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "nothing is acknowledged");
    Seen { answered: "connection closed".to_owned(), left: left_in(&home).await }
}

async fn killed_after_the_answer() -> Seen {
    status_and_left(offline_home(), |url| verified(&url, &alert(1))).await
}
