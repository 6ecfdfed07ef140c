//! Requests that are sent in a row, without waiting for answers: by strangers who read none of them, and
//! by senders whom that must not disturb.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::limit::{is_alive, send_what_fits, started};
use crate::support::{
    memory::{OVER_IDLE_KIB, idle_kib, limited, peak_kib},
    offline::offline_home,
    sockets::{authority, connect, head, socket},
};

/// Connections that ask and do not read.
const STRANGERS: u8 = 100;
/// More than is read of a connection at a time.
const IN_A_ROW_BYTES: usize = 192 << 10;

/// A connection of a client that has hardly room for an answer.
async fn deaf(from: &str, to: &str) -> TcpStream {
    let socket = socket(from);
    socket.set_recv_buffer_size(2048).unwrap();
    socket.connect(to.parse().unwrap()).await.unwrap()
}

/// Asks in a row on many connections, and waits until something was answered on each.
async fn ask_in_a_row(to: &str, first: &str, others: &str) -> Vec<TcpStream> {
    let bytes = first.to_owned() + &others.repeat(IN_A_ROW_BYTES / others.len());
    let mut streams = Vec::new();
    for number in 0..STRANGERS {
        let stream = deaf(&format!("127.0.5.{number}"), to).await;
        send_what_fits(&stream, bytes.as_bytes()).await;
        streams.push(stream);
    }
    for stream in &mut streams {
        // It may have been closed for another one by now.
        let _answer_or_end = stream.read(&mut [0; 1]).await;
    }
    streams
}

#[tokio::test]
async fn strangers_who_ask_in_a_row_and_read_nothing_take_no_memory() {
    let home = offline_home();
    let Some(mut app) = limited(&home) else { return };
    let webhook = authority(&app.webhook().await).to_owned();
    let management = app.management().await;
    let management = authority(&management).to_owned();
    is_alive(&mut app, &management, &webhook).await;
    let idle = idle_kib(&app);
    let short = "GET / HTTP/1.1\r\n\r\n";
    let page = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let metrics = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let known = "GET /webhooks/harfanglab HTTP/1.1\r\n\r\n";
    let post = "POST /webhooks/harfanglab HTTP/1.1\r\n";
    let whole = format!("{post}Content-Length: 2\r\n\r\n{{}}");
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    for (to, first, others) in [
        (&webhook, short, short),
        (&webhook, known, known),
        (&webhook, &whole, short),
        (&webhook, &whole, &whole),
        (&webhook, &chunked, short),
        (&management, short, short),
        (&management, page, page),
        (&management, metrics, metrics),
    ] {
        let strangers = ask_in_a_row(to, first, others).await;
        is_alive(&mut app, &management, &webhook).await;
        drop(strangers);
    }
    let taken = peak_kib(&app).saturating_sub(idle);
    assert!(taken <= OVER_IDLE_KIB, "it took {taken} KiB more than when idle");
}

#[tokio::test]
async fn a_sender_who_posts_in_a_row_is_answered_each_time_and_in_order() {
    let (_home, _app, address) = started(&[]).await;
    let mut sender = connect(super::limit::SENDER, &address).await;
    let length = head("Content-Length: 2\r\n") + "{}";
    let chunked = head("Transfer-Encoding: chunked\r\n") + "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    let round = format!("{length}\r\n{length}");
    let rounds = 20;
    sender.write_all(round.repeat(rounds).as_bytes()).await.unwrap();
    // A byte at a time, and the last: where it ends may be behind the beginning of a further one.
    for byte in chunked.as_bytes() {
        sender.write_all(&[*byte]).await.unwrap();
    }
    let mut answers = String::new();
    sender.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<&str> =
        answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    let mut expected = ["200", "200"].repeat(rounds);
    expected.push("200");
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused_and_the_log_says_why() {
    let (_home, mut app, address) = started(&[]).await;
    let mut sender = connect(super::limit::SENDER, &address).await;
    let line = format!("X-Long: {}\r\n", "x".repeat(40_000));
    let _reset = sender.write_all(head(&line).as_bytes()).await;
    super::limit::closed(&mut sender).await;
    assert_eq!(super::limit::refused(&mut app, "head_too_large").await, 1);
    app.wait_for_log("a warning of it", |line| {
        line["message"].as_str()?.contains("the head of a request").then_some(())
    })
    .await;
}
