//! Senders that the endpoint does not know, and honest ones that are odd: by
//! scheme, by address, and while others hold what strangers may have.

use harfanglab_incidents::clock::Clock;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    connections::limit::started,
    support::{app::WEBHOOK_SECRET, sockets::connect, verification::mac, waiting::until},
};

/// The address of a proxy that is trusted, and of a client behind it.
const PROXY: &str = "127.0.0.7";
const BEHIND: &str = "198.51.100.9";
/// A key of Standard Webhooks, which is the secret of the other schemes, too.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A post with these header lines.
fn request(lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: service\r\nConnection: close\r\n{lines}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends these bytes on a connection of their own; answers all that comes back.
async fn answered(from: &str, to: &str, bytes: &[u8]) -> String {
    let mut stream = connect(from, to).await;
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok()).unwrap_or(0)
}

/// The header lines that prove `body` by a scheme with `secret`.
fn proof(scheme: &str, secret: &str, body: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    match scheme {
        "header" => format!("Authorization: {secret}\r\n"),
        "hmac" => {
            let signature = hex::encode(mac(secret.as_bytes(), &[body]));
            format!("Authorization: sha256={signature}\r\n")
        }
        _ => {
            let now = Clock::system().now().timestamp().to_string();
            let key = STANDARD.decode(secret.trim_start_matches("whsec_")).unwrap();
            let signature = mac(&key, &[b"msg_1.", now.as_bytes(), b".", body]);
            format!(
                "webhook-id: msg_1\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{}\r\n",
                STANDARD.encode(signature)
            )
        }
    }
}

#[tokio::test]
async fn a_locked_out_address_gets_in_with_what_nobody_guesses_and_else_waits() {
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for scheme in ["header", "hmac", "standard-webhooks"] {
        let (_home, _app, to) = started(&[
            ("SECRET", KEY),
            ("AUTH", scheme),
            ("MAX_FAILURES", "2"),
            ("TRUSTED_PROXIES", PROXY),
        ])
        .await;
        for (from, forwarded) in [("127.0.0.3", String::new()), (PROXY, BEHIND.to_owned())] {
            let forwarded = match forwarded.as_str() {
                "" => String::new(),
                client => format!("X-Forwarded-For: {client}\r\n"),
            };
            let ask = async |secret: &str| {
                let lines = forwarded.clone() + &proof(scheme, secret, b"{}");
                status(&answered(from, &to, &request(&lines, b"{}")).await)
            };
            let seen = [ask(KEY).await, ask(other).await, ask(other).await];
            assert_eq!(seen, [200, 401, 401], "{scheme} {from}");
            // One wrong signature at a time is looked at, and a wrong secret is not.
            let wrong = if scheme == "header" { 429 } else { 401 };
            let seen = [ask(other).await, ask(KEY).await, ask(other).await, ask(KEY).await];
            assert_eq!(seen, [wrong, 200, wrong, 200], "locked out: {scheme} {from}");
        }
    }
}

/// Begins deliveries that never end, each from the next of `addresses`, until there are as many as
/// may be under way: until `asking`, which sends a whole one, is told to wait.
async fn hold_all_attempts(
    mut addresses: impl Iterator<Item = String>,
    asking: &str,
    to: &str,
    forged: &[u8],
) -> Vec<TcpStream> {
    let mut slow = Vec::new();
    until("as many as may be are under way", async || {
        // One that arrives while `asking` has its turn is refused: then the next one holds it.
        let mut begun = connect(&addresses.next()?, to).await;
        begun.write_all(&forged[..forged.len() - 1]).await.unwrap();
        slow.push(begun);
        (status(&answered(asking, to, forged).await) == 429).then_some(())
    })
    .await;
    slow
}

/// Holds the only attempt that a locked-out address has.
async fn hold_the_only_attempt(from: &str, to: &str, forged: &[u8]) -> Vec<TcpStream> {
    hold_all_attempts(std::iter::repeat(from.to_owned()), from, to, forged).await
}

#[tokio::test]
async fn a_locked_out_address_has_one_signed_body_under_way() {
    let (_home, _app, to) =
        started(&[("SECRET", KEY), ("AUTH", "hmac"), ("MAX_FAILURES", "1")]).await;
    let forged = request(&proof("hmac", "another", b"{}"), b"{}");
    let from = "127.0.0.3";
    assert_eq!(status(&answered(from, &to, &forged).await), 401);
    let good = request(&proof("hmac", KEY, b"{}"), b"{}");
    let slow = hold_the_only_attempt(from, &to, &forged).await;
    assert_eq!(status(&answered("127.0.0.4", &to, &good).await), 200, "another address");
    drop(slow);
    until("the slow one has ended", async || {
        (status(&answered(from, &to, &good).await) == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn strangers_have_a_quarter_of_the_requests_and_a_known_sender_has_the_rest() {
    let (_home, mut app, to) =
        started(&[("SECRET", KEY), ("AUTH", "hmac"), ("MAX_IN_FLIGHT", "8")]).await;
    let good = request(&proof("hmac", KEY, b"{}"), b"{}");
    assert_eq!(status(&answered("127.0.0.1", &to, &good).await), 200);
    let forged = request(&proof("hmac", "another", b"{}"), b"{}");
    let strangers = (0..200).map(|number| format!("127.0.4.{number}"));
    let _slow = hold_all_attempts(strangers, "127.0.5.1", &to, &forged).await;
    for _ in 0..20 {
        assert_eq!(status(&answered("127.0.0.1", &to, &good).await), 200);
    }
    let refused = "webhook_refused_total{reason=\"too_many_at_once\"}";
    assert!(app.metric(refused).await >= 1);
}

#[tokio::test]
async fn a_body_that_never_ends_is_a_failed_attempt() {
    let (_home, _app, to) =
        started(&[("SECRET", KEY), ("AUTH", "hmac"), ("MAX_FAILURES", "3")]).await;
    let from = "127.0.0.3";
    let forged = request(&proof("hmac", "another", b"{}"), b"{}");
    for _ in 0..3 {
        let mut stream = connect(from, &to).await;
        stream.write_all(&forged[..forged.len() - 1]).await.unwrap();
        stream.shutdown().await.unwrap();
        let _answer_or_end = stream.read_to_end(&mut Vec::new()).await;
    }
    let _slow = hold_the_only_attempt(from, &to, &forged).await;
}

#[tokio::test]
async fn odd_but_honest_deliveries_are_taken() {
    let (_home, mut app, to) = started(&[]).await;
    let alert = |id: &str| {
        json!({
            "log_type": "alert", "alert_type": "sigma", "alert_unique_id": id, "status": "new",
            "rule_name": "Suspicious Thing", "agent": { "hostname": "pc-01" },
        })
        .to_string()
    };
    let secret = format!("Authorization: {WEBHOOK_SECRET}\r\n");
    let bearer = format!("Authorization: Bearer {WEBHOOK_SECRET}\r\n");
    let websocket = format!("{secret}Connection: upgrade\r\nUpgrade: websocket\r\n");
    let ndjson = format!("{}\n\u{feff}{}\n", alert("one"), alert("two"));
    let rows = [
        ("a byte order mark within", &secret, ndjson),
        ("one before an array", &secret, format!("\u{feff}[{}]", alert("three"))),
        ("a NUL behind", &secret, format!("{}\0", alert("four"))),
        ("a bearer token", &bearer, alert("five")),
        ("an upgrade that a proxy passed on", &websocket, alert("six")),
    ];
    for (what, lines, body) in rows {
        let request = request(lines, body.as_bytes());
        let request = String::from_utf8(request).unwrap();
        let request = match what {
            "an upgrade that a proxy passed on" => request.replacen("Connection: close\r\n", "", 1),
            _ => request,
        };
        let answer = answered("127.0.0.1", &to, request.as_bytes()).await;
        assert_eq!(status(&answer), 202, "{what}: {answer}");
    }
    let slash = request(&secret, alert("seven").as_bytes());
    let slash = String::from_utf8(slash).unwrap().replace("harfanglab HTTP", "harfanglab/ HTTP");
    assert_eq!(status(&answered("127.0.0.1", &to, slash.as_bytes()).await), 202);
    assert_eq!(app.events_stored().await, 7);
}

#[tokio::test]
async fn a_wrong_path_and_what_is_no_http_are_counted_and_told_once() {
    let (_home, mut app, to) = started(&[]).await;
    let wrong = "POST /webhook HTTP/1.1\r\nHost: service\r\nContent-Length: 0\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(status(&answered("127.0.0.1", &to, wrong.as_bytes()).await), 404);
        let said = answered("127.0.0.9", &to, b"\x16\x03\x01\x02\0\x01\0").await;
        assert_eq!(status(&said), 400, "{said}");
    }
    for (reason, words) in [
        ("not_found", "deliveries go to /webhooks/harfanglab"),
        ("not_http", "it sent no request that can be read"),
    ] {
        let counted = format!("webhook_refused_total{{reason=\"{reason}\"}}");
        until(reason, async || (app.metric(&counted).await == 3).then_some(())).await;
        let told = |line: &Value| line["message"].as_str()?.contains(words).then(|| line.clone());
        let line = app.wait_for_log(reason, told).await;
        assert!(line["attributes"]["address"].is_string(), "{line}");
        assert_eq!(app.log().matches(words).count(), 1, "{}", app.log());
    }
    // A library's own word of each is left out.
    assert!(!app.log().contains("stream error"), "{}", app.log());
}
