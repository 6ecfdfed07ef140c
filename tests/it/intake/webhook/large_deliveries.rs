//! Large deliveries beside strangers who announce large bodies.

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use serde_json::json;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::started;
use crate::support::{app::WEBHOOK_SECRET, stage::http};

#[tokio::test]
async fn strangers_who_announce_large_bodies_and_send_none_keep_no_large_delivery_waiting() {
    let (_stage, _app, url) = started(&[("AUTH", "hmac")]).await;
    let address = url.split('/').nth(2).unwrap().to_owned();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut stranger = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /webhooks/harfanglab HTTP/1.1\r\nHost: {address}\r\nAuthorization: {}\r\n\
             Content-Type: application/json\r\nContent-Length: 300000\r\n\
             Expect: 100-continue\r\n\r\n",
            "0".repeat(64)
        );
        stranger.write_all(head.as_bytes()).await.unwrap();
        // The service asks for a body that never comes.
        stranger.read_exact(&mut [0; 25]).await.unwrap();
        strangers.push(stranger);
    }
    let body = json!({ "log_type": "alert", "alert_type": "sigma", "alert_unique_id": "large",
        "rule_name": "Suspicious Thing", "agent": { "hostname": "pc-01" }, "unheard_of": "x".repeat(300_000) })
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = http().post(&url).header("Authorization", signature);
    let request = request.header("Content-Type", "application/json").body(body);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
    drop(strangers);
}
