//! The connection limit of the real binary: senders beside floods of strangers that hold connections.
//! Floods of TLS handshakes are in `handshakes`.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::support::{
    app::{App, Home, PATIENCE},
    offline::offline_home,
    sockets::{authority, connect, head},
    stage::http,
    waiting::until,
};

pub(super) const SENDER: &str = "127.0.0.1";

/// A service that delivers nothing, with these options of the endpoint.
pub(crate) async fn started(changes: &[(&str, &str)]) -> (Home, App, String) {
    let mut home = offline_home();
    for (name, value) in changes {
        home.set(&format!("HARFANGLAB_INCIDENTS_WEBHOOK_{name}"), value);
    }
    let mut app = home.start(&["serve"]);
    let address = authority(&app.webhook().await).to_owned();
    (home, app, address)
}

/// A connection test with the right secret.
pub(super) fn good() -> String {
    head("Content-Length: 2\r\n") + "{}"
}

/// The status of one answer; `None` when the connection ends without one.
async fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = vec![0; 1024];
    let length = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().ok()?;
    String::from_utf8_lossy(&answer[..length]).strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Sends as much of `bytes` as goes without waiting for the other side.
pub(super) async fn send_what_fits(stream: &TcpStream, mut bytes: &[u8]) {
    stream.writable().await.unwrap();
    while let Ok(size @ 1..) = stream.try_write(bytes) {
        bytes = &bytes[size..];
    }
}

/// A new sender and an operator are answered.
pub(super) async fn is_alive(app: &mut App, management: &str, to: &str) {
    let mut sender = connect(SENDER, to).await;
    assert_eq!(asked(&mut sender, &good()).await, Some(200), "{}", app.log());
    let answered = http().get(format!("http://{management}/healthz")).send().await.unwrap();
    assert!(answered.status().is_success());
}

pub(super) async fn asked(stream: &mut TcpStream, request: &str) -> Option<u16> {
    stream.write_all(request.as_bytes()).await.ok()?;
    status(stream).await
}

/// Waits until the other side closes; answers what it said.
pub(super) async fn closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it is closed");
    String::from_utf8_lossy(&said).into_owned()
}

fn is_open(stream: &TcpStream) -> bool {
    stream.try_read(&mut [0; 1]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
}

pub(super) async fn refused(app: &mut App, reason: &str) -> u64 {
    app.metric(&format!("webhook_refused_total{{reason=\"{reason}\"}}")).await
}

/// Waits until so many connections of strangers are open.
async fn until_open(app: &mut App, count: u64) {
    let open = "connections_open{listener=\"webhook\",state=\"unverified\"}";
    until("they are admitted", async || (app.metric(open).await == count).then_some(())).await;
}

#[tokio::test]
async fn idle_strangers_hold_no_connection_that_a_sender_needs() {
    let (_home, mut app, address) = started(&[("MAX_CONNECTIONS", "8")]).await;
    let mut kept = connect(SENDER, &address).await;
    assert_eq!(asked(&mut kept, &good()).await, Some(200));
    let mut strangers = Vec::new();
    for number in 0..40 {
        let mut stranger = connect(&format!("127.0.1.{number}"), &address).await;
        if number % 2 == 0 {
            stranger.write_all(b"POST /webhooks/harfanglab HTTP/1.1\r\nX: ").await.unwrap();
        }
        strangers.push(stranger);
    }
    // The first of them have been unverified longest.
    for stranger in &mut strangers[..20] {
        assert_eq!(closed(stranger).await, "");
    }
    let mut new = connect("127.0.0.9", &address).await;
    assert_eq!(asked(&mut new, &good()).await, Some(200), "a sender that nobody knew");
    assert_eq!(asked(&mut kept, &good()).await, Some(200), "a verified connection stays");
    assert!(refused(&mut app, "too_many_connections").await >= 33);
    let open = |state| format!("connections_open{{listener=\"webhook\",state=\"{state}\"}}");
    assert_eq!(app.metric(&open("verified")).await, 2);
    assert_eq!(app.metric(&open("unverified")).await, 6);
    app.wait_for_log("a warning of it", |line| {
        let message = line["message"].as_str()?;
        message.contains("unverified longest").then_some(())
    })
    .await;
    assert_eq!(app.log().matches("a connection was refused").count(), 1);
}

#[tokio::test]
async fn an_address_at_its_bound_loses_its_own_connections_and_a_trusted_proxy_has_no_bound() {
    let changes = [("MAX_CONNECTIONS_PER_ADDRESS", "2"), ("TRUSTED_PROXIES", "127.0.0.7")];
    let (_home, mut app, address) = started(&changes).await;
    let other = connect("127.0.0.3", &address).await;
    let mut first = connect("127.0.0.2", &address).await;
    // Two workers do not admit them in the order in which they came.
    until_open(&mut app, 2).await;
    let second = connect("127.0.0.2", &address).await;
    until_open(&mut app, 3).await;
    let mut third = connect("127.0.0.2", &address).await;
    assert_eq!(closed(&mut first).await, "");
    assert_eq!(asked(&mut third, &good()).await, Some(200));
    assert!(is_open(&other) && is_open(&second));
    let mut fourth = connect("127.0.0.2", &address).await;
    assert_eq!(asked(&mut fourth, &good()).await, Some(200), "in the place of the second");
    let mut fifth = connect("127.0.0.2", &address).await;
    assert_eq!(closed(&mut fifth).await, "", "both are verified");
    assert!(is_open(&third) && is_open(&fourth));
    let mut proxied = Vec::new();
    for _ in 0..6 {
        proxied.push(connect("127.0.0.7", &address).await);
    }
    for stream in &mut proxied {
        assert_eq!(asked(stream, &good()).await, Some(200));
    }
    assert!(proxied.iter().all(is_open));
    assert_eq!(refused(&mut app, "too_many_connections").await, 3);
}

#[tokio::test]
async fn an_answer_closes_the_connection_unless_a_delivery_on_it_was_verified() {
    let (_home, _app, address) = started(&[]).await;
    let wrong = good().replace("Authorization: ", "Authorization: not-");
    for (request, expected) in [
        ("GET /x HTTP/1.1\r\nHost: service\r\n\r\n", 404),
        ("GET /webhooks/harfanglab HTTP/1.1\r\nHost: service\r\n\r\n", 405),
        ("BREW / HTTP/1.1\r\nHost: service\r\n\r\n", 404),
        (&wrong, 401),
    ] {
        let mut stranger = connect("127.0.0.2", &address).await;
        stranger.write_all(request.as_bytes()).await.unwrap();
        let said = closed(&mut stranger).await.to_lowercase();
        assert!(said.starts_with(&format!("http/1.1 {expected}")), "{request}: {said}");
        assert!(said.contains("connection: close"), "at once, not after a while: {said}");
        let mut sender = connect(SENDER, &address).await;
        for _ in 0..3 {
            assert_eq!(asked(&mut sender, &good()).await, Some(200));
        }
        assert!(is_open(&sender));
    }
}

#[tokio::test]
async fn a_later_head_that_comes_a_byte_at_a_time_is_cut_off_like_a_first_one() {
    let (_home, _app, address) = started(&[]).await;
    let mut stream = connect(SENDER, &address).await;
    assert_eq!(asked(&mut stream, &good()).await, Some(200));
    let mut turns = interval(std::time::Duration::from_millis(200));
    let dribbling = async {
        stream.write_all(b"POST /webhooks/harfanglab HTTP/1.1\r\nX: ").await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            turns.tick().await;
        }
    };
    timeout(PATIENCE, dribbling).await.expect("it is cut off");
}

#[tokio::test]
async fn a_network_that_is_not_allowed_is_cut_off_unread_and_a_proxy_is_heard_for_its_clients() {
    let changes =
        [("ALLOWED_NETWORKS", "127.0.0.1, 192.0.2.0/24"), ("TRUSTED_PROXIES", "127.0.0.7")];
    let (_home, mut app, address) = started(&changes).await;
    let mut stranger = connect("127.0.0.2", &address).await;
    assert_eq!(closed(&mut stranger).await, "", "before it has said a word");
    assert_eq!(refused(&mut app, "network").await, 1);
    let mut sender = connect(SENDER, &address).await;
    assert_eq!(asked(&mut sender, &good()).await, Some(200));
    for (client, expected) in [("192.0.2.7", 200), ("198.51.100.9", 403)] {
        let lines = format!("X-Forwarded-For: {client}\r\nContent-Length: 2\r\n");
        let mut proxied = connect("127.0.0.7", &address).await;
        assert_eq!(asked(&mut proxied, &(head(&lines) + "{}")).await, Some(expected), "{client}");
    }
}

#[tokio::test]
async fn connections_that_wait_for_a_request_do_not_delay_the_end() {
    let (_home, mut app, address) = started(&[]).await;
    let mut idle = connect(SENDER, &address).await;
    assert_eq!(asked(&mut idle, &good()).await, Some(200));
    let began = tokio::time::Instant::now();
    assert!(app.terminate().await.success(), "{}", app.log());
    assert_eq!(closed(&mut idle).await, "");
    // What is under way gets ten seconds, and an idle connection is not under way.
    assert!(began.elapsed().as_secs() < 9, "{:?}", began.elapsed());
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let (_home, _app, address) = started(&[]).await;
    let mut stranger = connect("127.0.0.2", &address).await;
    stranger.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let said = closed(&mut stranger).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said:?}");
}

#[tokio::test]
async fn strangers_that_fill_the_endpoint_again_and_again_do_not_delay_senders() {
    let (_home, mut app, address) = started(&[("MAX_CONNECTIONS", "32")]).await;
    // Until it has proved its secret once, a sender is a stranger among them.
    assert_eq!(asked(&mut connect(SENDER, &address).await, &good()).await, Some(200));
    let flood = tokio::spawn({
        let address = address.clone();
        async move {
            let mut held = std::collections::VecDeque::new();
            for number in (0..=250_u8).cycle() {
                held.push_back(connect(&format!("127.0.2.{number}"), &address).await);
                if held.len() > 100 {
                    held.pop_front();
                }
            }
        }
    });
    until("the flood has filled it", async || {
        (refused(&mut app, "too_many_connections").await > 100).then_some(())
    })
    .await;
    for _ in 0..50 {
        let mut sender = connect(SENDER, &address).await;
        assert_eq!(asked(&mut sender, &good()).await, Some(200));
    }
    assert!(!flood.is_finished());
    flood.abort();
}

#[tokio::test]
async fn the_management_address_closes_its_longest_open_connection_above_the_number_that_is_set() {
    let mut home = offline_home();
    home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_MAX_CONNECTIONS", "8");
    let mut app = home.start(&["serve"]);
    let management = authority(&app.management().await).to_owned();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {management}\r\n\r\n");
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(SENDER, &management).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        open.push(stream);
    }
    let mut one_more = connect(SENDER, &management).await;
    assert_eq!(asked(&mut one_more, &request).await, Some(200), "{}", app.log());
    closed(&mut open[0]).await;
    let open: Vec<bool> = open[1..].iter().map(is_open).collect();
    assert_eq!(open, [true; 7], "only the longest open one");
}
