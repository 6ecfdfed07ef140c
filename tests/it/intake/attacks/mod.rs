//! Attacks: on the proof of a delivery, on what stands between sender and service, on its time and
//! memory, on its log and its metrics. What is merely malformed is in `hostile_posts`.

mod forged_proofs;
mod hostile_texts;
mod traces;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    connections::limit,
    journal::damage::lonely_home,
    support::app::{App, Home, WEBHOOK_SECRET},
};

/// A service that delivers nothing, with these variables on top.
pub(crate) async fn started(changes: &[(&str, &str)]) -> (Home, App, String) {
    let mut home = lonely_home();
    for (name, value) in changes {
        home.set(name, value);
    }
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    (home, app, url)
}

/// `address:port` of a URL.
pub(crate) fn authority(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

pub(crate) async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(authority(url)).await.unwrap()
}

/// The head of a post with the secret and these header lines.
pub(crate) fn head(lines: &str) -> String {
    format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: service\r\nAuthorization: {WEBHOOK_SECRET}\r\n\
         Content-Type: application/json\r\n{lines}\r\n"
    )
}

/// Sends these bytes from `from`, says no more, and reads until the other side closes; answers the
/// status of every response.
pub(crate) async fn exchanged(from: &str, to: &str, bytes: &[u8]) -> Vec<u16> {
    let mut stream = sent(from, to, bytes).await;
    let _reset = stream.shutdown().await;
    statuses(stream).await
}

pub(crate) async fn sent(from: &str, to: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = limit::connect(from, to).await;
    // Who answers early may close before everything is sent.
    let _reset = stream.write_all(bytes).await;
    stream
}

/// The status of every response until the other side closes.
pub(crate) async fn statuses(mut stream: TcpStream) -> Vec<u16> {
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    let statuses = text.split("HTTP/1.1 ").skip(1);
    statuses.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

pub(crate) fn alert(id: &str) -> Value {
    serde_json::json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": id, "status": "new",
        "level": "high", "rule_name": "Suspicious Thing",
        "agent": { "hostname": "pc-01" },
    })
}
