//! Attacks by syslog: on the proof, the framing, the time, the memory and the log.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    app::App,
    notifications::minimal_alert,
    syslog::{TOKEN, connected_from, message, message_with, refused, send, started, until_stored},
    waiting::until,
};

/// A token that somebody might guess.
const WEAK_TOKEN: &str = "a-weak-token";
const MAX_FRAME: (&str, &str) = ("SYSLOG_MAX_FRAME", "64KiB");

/// A stream and the reason for which it is counted as refused.
fn rows() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let body = minimal_alert("forged").to_string();
    let line = |text: String| (text + "\n").into_bytes();
    let twice = format!("[harfanglab@32473 token=\"{TOKEN}\"][harfanglab@32473 token=\"{TOKEN}\"]");
    let cut = message(&minimal_alert("forged"));
    vec![
        ("no token", line(format!("<14>1 - - - - - - {body}")), "missing"),
        ("no structured data", line(format!("<14>May 26 07:39:58 host app: {body}")), "missing"),
        (
            "in another element",
            line(message(&minimal_alert("x")).replace("@32473", "@1")),
            "missing",
        ),
        ("a wrong token", line(message_with("a-guess", &body)), "mismatch"),
        ("an empty token", line(message_with("", &body)), "mismatch"),
        ("a longer token", line(message_with(&format!("{TOKEN}x"), &body)), "mismatch"),
        ("two tokens", line(format!("<14>1 - - - - - {twice} {body}")), "malformed"),
        ("no header", line(body.clone()), "header"),
        ("an unclosed element", line("<14>1 - - - - - [a@1 b=\"c".to_owned()), "header"),
        ("not JSON", line(message_with(TOKEN, "hello\u{1b}[2J there")), "not_json"),
        ("nothing", line(message_with(TOKEN, "")), "not_json"),
        ("half a message", format!("{} {}", cut.len() + 1, cut).into_bytes(), "cut"),
        ("a count of everything", b"99999999999999999999 <14>1".to_vec(), "framing"),
        ("a count of terabytes", b"9999999999 <14>1".to_vec(), "framing"),
        ("a count without a message", b"12<14>1".to_vec(), "framing"),
        ("a long line", line(message_with(TOKEN, &"x".repeat(70_000))), "too_large"),
    ]
}

#[tokio::test]
async fn each_hostile_stream_is_counted_by_its_reason_and_leaves_nothing_unproven_in_the_journal() {
    let (_home, mut app, address) = started(&[MAX_FRAME]).await;
    for (what, stream, reason) in rows() {
        let before = refused(&mut app, reason).await;
        send("127.0.0.1", address, &stream).await;
        until(&format!("{what} is refused as {reason}"), async || {
            (refused(&mut app, reason).await > before).then_some(())
        })
        .await;
    }
    for (_name, stream) in corpus() {
        send("127.0.0.1", address, &stream).await;
    }
    send("127.0.0.1", address, format!("{}\n", message(&minimal_alert("good"))).as_bytes()).await;
    // And a sample of what was verified and is not JSON.
    until_stored(&mut app, 2).await;
    every_line_is_one_json_object(&app);
}

/// The streams of `tests/corpus/syslog`, none of which holds the token.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/syslog");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

fn every_line_is_one_json_object(app: &App) {
    for line in app.log().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
        assert!(!line.contains(|character: char| character.is_control()), "{line:?}");
    }
}

#[tokio::test]
async fn what_is_too_long_broken_or_unproven_does_not_cost_the_messages_beside_it() {
    let (_home, mut app, address) = started(&[MAX_FRAME]).await;
    let long = message_with(TOKEN, &"x".repeat(200_000));
    let mut stream = Vec::new();
    for part in [
        format!("{}\n", message(&minimal_alert("one"))),
        format!("{long}\n"),
        format!("{}\n", message(&minimal_alert("two"))),
        format!("{} {long}", long.len()),
        format!("{}\n", message(&minimal_alert("three"))),
        "<14>1 - - - - - - {\"log_type\":\"alert\"}\nnonsense\r\n\r\n".to_owned(),
        format!("{}\n", message(&minimal_alert("four"))),
    ] {
        stream.extend_from_slice(part.as_bytes());
    }
    // Not UTF-8, as by POST: the alert is kept.
    let odd = message(&minimal_alert("five")).into_bytes();
    let at = odd.windows(10).position(|window| window == b"Suspicious").unwrap();
    stream.extend_from_slice(&[&odd[..at], b"\xff\xfe", &odd[at..], b"\n"].concat());
    send("127.0.0.1", address, &stream).await;
    until_stored(&mut app, 5).await;
    assert_eq!(refused(&mut app, "too_large").await, 2);
    assert_eq!(refused(&mut app, "missing").await, 1);
    assert_eq!(refused(&mut app, "header").await, 1);
}

/// Reads until the other side ends.
async fn closed(stream: &mut TcpStream) {
    let mut said = Vec::new();
    let _reset = stream.read_to_end(&mut said).await;
    assert!(said.is_empty(), "nothing is ever answered");
}

/// Writes `piece` again and again until the other side ends.
async fn never_ending(to: SocketAddr, begin: &[u8], piece: &[u8], pause: Duration) {
    let mut stream = connected_from("127.0.0.1", to).await;
    stream.write_all(begin).await.unwrap();
    let mut turns = tokio::time::interval(pause);
    while stream.write_all(piece).await.is_ok() {
        turns.tick().await;
    }
}

#[tokio::test]
async fn who_never_ends_a_message_or_sends_a_byte_at_a_time_loses_the_connection_alone() {
    let (_home, mut app, address) = started(&[MAX_FRAME]).await;
    let mut honest = connected_from("127.0.0.1", address).await;
    let (long, moment) = (vec![b'x'; 4096], Duration::from_millis(20));
    tokio::join!(
        never_ending(address, b"<14>1 - - - - - ", &long, moment),
        never_ending(address, b"60000000 ", &long, moment),
        never_ending(address, b"<14>1 ", b"x", Duration::from_millis(200)),
        async {
            for number in 0..20 {
                let line = format!("{}\n", message(&minimal_alert(&format!("alert-{number}"))));
                honest.write_all(line.as_bytes()).await.unwrap();
                until_stored(&mut app, number + 1).await;
            }
        },
    );
    assert_eq!(refused(&mut app, "too_slow").await, 3);
    honest.write_all(format!("{}\n", message(&minimal_alert("last"))).as_bytes()).await.unwrap();
    until_stored(&mut app, 21).await;
}

#[tokio::test]
async fn when_all_connections_are_taken_strangers_make_way_and_senders_stay() {
    let (_home, mut app, address) = started(&[("SYSLOG_MAX_CONNECTIONS", "2")]).await;
    let mut sender = connected_from("127.0.0.1", address).await;
    sender.write_all(format!("{}\n", message(&minimal_alert("one"))).as_bytes()).await.unwrap();
    until_stored(&mut app, 1).await;
    for _ in 0..10 {
        let mut stranger = connected_from("127.0.0.1", address).await;
        stranger.write_all(b"<14>1 - ").await.unwrap();
        let mut other = connected_from("127.0.0.1", address).await;
        closed(&mut stranger).await;
        other.shutdown().await.unwrap();
        closed(&mut other).await;
    }
    sender.write_all(format!("{}\n", message(&minimal_alert("two"))).as_bytes()).await.unwrap();
    until_stored(&mut app, 2).await;
    assert!(refused(&mut app, "too_many_connections").await >= 10);
}

#[tokio::test]
async fn who_guesses_tokens_is_cut_off_for_a_while_but_a_strong_token_is_no_guess() {
    let tokens = format!("{TOKEN},{WEAK_TOKEN}");
    let (_home, mut app, address) = started(&[("SYSLOG_TOKEN", &tokens)]).await;
    let guess = format!("{}\n", message_with("a-guess", "{}"));
    let weak = format!("{}\n", message_with(WEAK_TOKEN, &minimal_alert("weak").to_string()));
    send("127.0.0.3", address, weak.as_bytes()).await;
    until_stored(&mut app, 1).await;
    let mut guesser = connected_from("127.0.0.3", address).await;
    let _reset = guesser.write_all(guess.repeat(100).as_bytes()).await;
    closed(&mut guesser).await;
    assert_eq!(refused(&mut app, "mismatch").await, 30);
    for again in [&guess, &weak] {
        let mut guesser = connected_from("127.0.0.3", address).await;
        let _reset = guesser.write_all(again.as_bytes()).await;
        closed(&mut guesser).await;
    }
    assert!(refused(&mut app, "too_many_failures").await >= 3);
    let good = format!("{}\n", message(&minimal_alert("good")));
    send("127.0.0.3", address, good.as_bytes()).await;
    until_stored(&mut app, 2).await;
    send("127.0.0.1", address, weak.replace("\"weak\"", "\"other\"").as_bytes()).await;
    until_stored(&mut app, 3).await;
    assert!(!app.log().contains("a-guess"), "what was guessed is not told");
}

#[tokio::test]
async fn without_a_token_the_network_proves_a_sender_and_others_are_cut_off_unread() {
    let mut home = crate::support::syslog::listening(crate::support::offline::offline_home());
    home.unset("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN");
    home.set("HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS", "127.0.0.2, 192.0.2.0/24");
    let mut app = home.start(&["serve"]);
    let address = crate::support::syslog::address(&mut app).await;
    let stream = format!("<14>May 26 07:39:58 console app: {}\n", minimal_alert("one"));
    let mut stranger = connected_from("127.0.0.1", address).await;
    let _reset = stranger.write_all(stream.as_bytes()).await;
    closed(&mut stranger).await;
    assert_eq!(refused(&mut app, "network").await, 1);
    assert_eq!(app.metric("syslog_messages_total").await, 0);
    send("127.0.0.2", address, stream.as_bytes()).await;
    until_stored(&mut app, 1).await;
}
