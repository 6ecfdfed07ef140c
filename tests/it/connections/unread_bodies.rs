//! Bodies of strangers that are long in coming, or that nobody asks for: what has come of them takes no
//! memory, and whoever sent one that is not much too large still gets an answer.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::limit::{is_alive, send_what_fits, started};
use crate::support::{
    memory::{OVER_IDLE_KIB, idle_kib, limited, peak_kib},
    offline::offline_home,
    sockets::{authority, connect, head},
};

/// Addresses of strangers, and connections of each.
const ADDRESSES: usize = 5;
const CONNECTIONS: usize = 90;
/// Bytes of a body that are sent of ten million.
const SENT_BYTES: usize = 200 << 10;

/// Sends the beginning of a body on each of many connections.
async fn begin_bodies(to: &str, head: &str) -> Vec<TcpStream> {
    let bytes = format!("{head}{}", " ".repeat(SENT_BYTES));
    let mut streams = Vec::new();
    for number in 0..ADDRESSES * CONNECTIONS {
        let stream = connect(&format!("127.0.6.{}", number % ADDRESSES + 1), to).await;
        send_what_fits(&stream, bytes.as_bytes()).await;
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn bodies_that_nobody_asks_for_or_that_are_long_in_coming_take_no_memory() {
    let home = offline_home();
    let Some(mut app) = limited(&home) else { return };
    let webhook = authority(&app.webhook().await).to_owned();
    let management = authority(&app.management().await).to_owned();
    is_alive(&mut app, &management, &webhook).await;
    let idle = idle_kib(&app);
    let wrong = "POST /webhooks/harfanglab HTTP/1.1\r\nAuthorization: wrong\r\n";
    let length = "Content-Length: 10000000\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n989680\r\n";
    let job = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for (to, head) in [
        (&webhook, format!("{wrong}{length}")),
        (&webhook, format!("{wrong}{chunked}")),
        (&management, format!("{job}Content-Length: 2000000\r\n\r\n")),
        (&management, format!("{job}{chunked}")),
    ] {
        let strangers = begin_bodies(to, &head).await;
        is_alive(&mut app, &management, &webhook).await;
        drop(strangers);
    }
    let taken = peak_kib(&app).saturating_sub(idle);
    assert!(taken <= OVER_IDLE_KIB, "it took {taken} KiB more than when idle");
}

#[tokio::test]
async fn whoever_is_refused_by_the_head_alone_gets_the_answer_behind_a_whole_body() {
    let (_home, _app, address) = started(&[]).await;
    for (framing, body) in [
        ("Content-Length: 200000\r\n", "x".repeat(200_000)),
        (
            "Transfer-Encoding: chunked\r\n",
            format!("30d40\r\n{}\r\n0\r\n\r\n", "x".repeat(200_000)),
        ),
    ] {
        let mut stranger = connect("127.0.6.9", &address).await;
        let head = head(framing).replace("Authorization: ", "Authorization: not-");
        stranger.write_all(head.as_bytes()).await.unwrap();
        stranger.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stranger.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{framing}: {answer}");
    }
}

#[tokio::test]
async fn a_body_too_long_to_be_discarded_whole_is_never_taken_for_the_next_head() {
    let (_home, mut app, address) = started(&[]).await;
    let head =
        head("Content-Length: 3000000\r\n").replace("Authorization: ", "Authorization: not-");
    let mut stranger = connect("127.0.6.10", &address).await;
    let (mut answers, mut posts) = stranger.split();
    let answered = async {
        let mut answer = [0; 12];
        answers.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let posting = async {
        posts.write_all(head.as_bytes()).await.unwrap();
        // The connection may be closed before all of it is sent.
        let _closed = posts.write_all(&vec![b'x'; 3_000_000]).await;
    };
    let (answer, ()) = tokio::join!(answered, posting);
    assert_eq!(answer, "HTTP/1.1 401");
    super::limit::closed(&mut stranger).await;
    assert_eq!(super::limit::refused(&mut app, "head_too_large").await, 0);
}
