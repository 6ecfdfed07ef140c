//! `Content-Encoding`: gzip within the bound, signed as it is sent, and nothing else.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::started;
use crate::support::{app::WEBHOOK_SECRET, notifications::generated_alert, stage::http};

const MAX_BODY_BYTES: usize = 64 * 1024;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_is_taken_up_to_the_bound_of_a_plain_body_and_no_other_encoding_is() {
    let (_stage, mut app, url) = started(&[("MAX_BODY", "64KiB")]).await;
    let post = async |encoding: &str, secret: &str, body: Vec<u8>| {
        let request = http().post(&url).header("Authorization", secret);
        let request = request.header("Content-Type", "application/json");
        let response = request.header("Content-Encoding", encoding).body(body).send().await;
        response.unwrap().status().as_u16()
    };
    let plain = generated_alert(21).to_string().into_bytes();
    // A thousand times as large as it looks.
    let large = json!({ "log_type": "alert", "msg": "x".repeat(32 * MAX_BODY_BYTES) }).to_string();
    let bomb = gzip(large.as_bytes());
    assert!(bomb.len() < MAX_BODY_BYTES / 8);
    assert_eq!(post("gzip", WEBHOOK_SECRET, bomb.clone()).await, 413);
    assert_eq!(post("gzip", "a-guess", bomb).await, 401, "nothing is unpacked for strangers");
    assert_eq!(post("gzip", WEBHOOK_SECRET, plain.clone()).await, 400);
    let cut = gzip(&plain)[..40].to_vec();
    assert_eq!(post("gzip", WEBHOOK_SECRET, cut).await, 400);
    for encoding in ["br", "deflate", "zstd", "gzip, gzip", "gzip, br"] {
        assert_eq!(post(encoding, WEBHOOK_SECRET, gzip(&plain)).await, 415, "{encoding}");
    }
    assert_eq!(app.events_stored().await, 0);
    assert_eq!(post("gzip", WEBHOOK_SECRET, gzip(&plain)).await, 202);
    assert_eq!(
        post("X-GZIP", WEBHOOK_SECRET, gzip(generated_alert(22).to_string().as_bytes())).await,
        202
    );
    assert_eq!(post("identity", WEBHOOK_SECRET, plain).await, 202);
    assert_eq!(app.events_stored().await, 2, "the last one was the first one again");
}

#[tokio::test]
async fn a_signature_is_over_the_bytes_as_they_are_sent() {
    let (_stage, _app, url) = started(&[("AUTH", "hmac")]).await;
    let plain = generated_alert(23).to_string().into_bytes();
    let sent = gzip(&plain);
    let signature = |bytes: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
        mac.update(bytes);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    };
    for (signed, status) in [(&plain, 401), (&sent, 202)] {
        let request = http().post(&url).header("Authorization", signature(signed));
        let request = request.header("Content-Type", "application/json");
        let request = request.header("Content-Encoding", "gzip").body(sent.clone());
        assert_eq!(request.send().await.unwrap().status().as_u16(), status);
    }
}
