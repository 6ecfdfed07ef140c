//! Access to the webhook and encodings of bodies, against the real binary: gzip, networks behind
//! proxies, failed attempts; in files beside this one, the Elastic connector's contract, new
//! secrets without a restart, and the endpoint's own TLS.

mod elastic;
mod encodings;
mod large_deliveries;
mod new_secrets;
mod tls;

use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    app::{App, WEBHOOK_SECRET},
    configuration::load_with,
    notifications::generated_alert,
    stage::{Stage, http},
};

/// A secret that somebody might guess.
const WEAK_SECRET: &str = "a-weak-one";

/// The binary with these variables on top and no sweep that finds anything.
async fn started(changes: &[(&str, &str)]) -> (Stage, App, String) {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    for (name, value) in changes {
        stage.home.set(&format!("HARFANGLAB_INCIDENTS_WEBHOOK_{name}"), value);
    }
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    (stage, app, url)
}

/// Posts an empty object by a proxy on this machine that says for whom.
async fn post_for(url: &str, client: &str, secret: &str) -> Response {
    let request = http().post(url).header("Authorization", secret);
    request.header("X-Forwarded-For", client).json(&serde_json::json!({})).send().await.unwrap()
}

#[tokio::test]
async fn only_a_client_in_an_allowed_network_may_post_whatever_it_says_of_itself() {
    let (_stage, mut app, url) = started(&[
        ("ALLOWED_NETWORKS", "192.0.2.0/24, 2001:db8::7"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ])
    .await;
    for (client, status) in [
        ("192.0.2.7", 200),
        ("2001:db8::7", 200),
        ("198.51.100.9", 403),
        ("192.0.2.7, 198.51.100.9", 403),
        ("198.51.100.9, 192.0.2.7", 200),
        ("unknown", 403),
    ] {
        let response = post_for(&url, client, WEBHOOK_SECRET).await;
        assert_eq!(response.status().as_u16(), status, "{client}");
    }
    let direct =
        http().post(&url).header("Authorization", WEBHOOK_SECRET).json(&generated_alert(1));
    let response = direct.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 403, "the proxy itself is in no allowed network");
    assert_eq!(app.events_stored().await, 0);
}

#[tokio::test]
async fn what_no_trusted_proxy_says_of_the_client_is_not_believed() {
    let changes = [("ALLOWED_NETWORKS", "192.0.2.0/24"), ("TRUSTED_PROXIES", "127.0.0.2")];
    let (_stage, _app, url) = started(&changes).await;
    let request = http().post(&url).header("Authorization", WEBHOOK_SECRET);
    let request = request.header("X-Forwarded-For", "192.0.2.7").json(&serde_json::json!({}));
    let closed = request.send().await.unwrap_err();
    assert!(closed.status().is_none(), "closed without an answer: {closed}");
}

#[tokio::test]
async fn who_fails_too_often_waits_unless_the_secret_is_strong_and_nobody_else_does() {
    let secrets = format!("{WEBHOOK_SECRET},{WEAK_SECRET}");
    let (_stage, _app, url) = started(&[
        ("TRUSTED_PROXIES", "127.0.0.0/8"),
        ("MAX_FAILURES", "3"),
        ("SECRET", secrets.as_str()),
    ])
    .await;
    for _ in 0..3 {
        let response = post_for(&url, "198.51.100.9", "a-guess").await;
        assert_eq!(response.status().as_u16(), 401);
    }
    for secret in ["a-guess", WEAK_SECRET] {
        let response = post_for(&url, "198.51.100.9", secret).await;
        assert_eq!(response.status().as_u16(), 429, "even a right guess is not told");
        let wait: u64 = response.headers()["Retry-After"].to_str().unwrap().parse().unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
    }
    for (client, secret) in [
        ("198.51.100.9", WEBHOOK_SECRET),
        ("192.0.2.7", WEBHOOK_SECRET),
        ("192.0.2.7", WEAK_SECRET),
    ] {
        let response = post_for(&url, client, secret).await;
        assert_eq!(response.status().as_u16(), 200, "{client}");
    }
    let said = said_before_the_body(&url, "198.51.100.9", WEAK_SECRET).await;
    assert!(said.starts_with("HTTP/1.1 429"), "{said}");
}

/// The first line of the answer to a request whose body never comes.
async fn said_before_the_body(url: &str, client: &str, secret: &str) -> String {
    let address = url.split('/').nth(2).unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: {address}\r\nAuthorization: {secret}\r\n\
         X-Forwarded-For: {client}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 64];
    let length = socket.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn a_network_that_is_none_is_a_fault() {
    for name in ["ALLOWED_NETWORKS", "TRUSTED_PROXIES"] {
        let name = format!("HARFANGLAB_INCIDENTS_WEBHOOK_{name}");
        let loaded = load_with(&[(&name, "192.0.2.7/24, 2001:db8::1, 10.0.0.0/8")]);
        assert!(loaded.is_ok());
        for wrong in ["console.example", "192.0.2.0/33", "192.0.2", "*"] {
            let faults = load_with(&[(&name, wrong)]).unwrap_err().to_string();
            assert!(faults.contains("neither an address nor a network"), "{wrong}: {faults}");
        }
    }
}
