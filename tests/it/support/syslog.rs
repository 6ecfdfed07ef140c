//! A service that listens for syslog, and messages as HarfangLab sends them.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{
    app::{App, Home},
    offline::offline_home,
    sockets::socket,
    waiting::until,
};

/// The token of these tests. The end of each test looks for it in the log.
pub(crate) const TOKEN: &str = "a-syslog-token-of-the-tests";

/// A service that delivers nothing and listens for syslog, with these variables on top.
pub(crate) async fn started(changes: &[(&str, &str)]) -> (Home, App, SocketAddr) {
    let mut home = listening(offline_home());
    for (name, value) in changes {
        home.set(&format!("HARFANGLAB_INCIDENTS_{name}"), value);
    }
    let mut app = home.start(&["serve"]);
    let address = address(&mut app).await;
    (home, app, address)
}

/// A home whose service listens for syslog on a free port, with [`TOKEN`].
pub(crate) fn listening(mut home: Home) -> Home {
    home.set("HARFANGLAB_INCIDENTS_SYSLOG_LISTEN", "127.0.0.1:0");
    home.set("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN", TOKEN);
    home
}

/// Returns the address at which the service listens for syslog.
pub(crate) async fn address(app: &mut App) -> SocketAddr {
    app.wait_for_log("it listens for syslog", |line| {
        let is_it = line["message"] == "listening for syslog";
        is_it.then(|| line["attributes"]["address"].as_str()?.parse().ok()).flatten()
    })
    .await
}

/// A message as HarfangLab sends it, with this token.
pub(crate) fn message_with(token: &str, body: &str) -> String {
    let data = format!("[harfanglab@32473 token=\"{token}\"]");
    format!("<14>1 2026-05-26T07:39:58.447Z console HarfangLab - - {data} {body}")
}

/// A message with [`TOKEN`].
pub(crate) fn message(body: &Value) -> String {
    message_with(TOKEN, &body.to_string())
}

/// Connects from this address.
pub(crate) async fn connected_from(from: &str, to: SocketAddr) -> TcpStream {
    socket(from).connect(to).await.unwrap()
}

/// Sends these bytes and ends the connection.
pub(crate) async fn send(from: &str, to: SocketAddr, bytes: &[u8]) {
    let mut stream = connected_from(from, to).await;
    // Who is refused early may be cut off before everything is sent.
    let _reset = stream.write_all(bytes).await;
    let _reset = stream.shutdown().await;
}

/// Returns how many messages were refused for this reason.
pub(crate) async fn refused(app: &mut App, reason: &str) -> u64 {
    app.metric(&format!("syslog_refused_total{{reason=\"{reason}\"}}")).await
}

/// Waits until the journal holds `count` events, and no more.
pub(crate) async fn until_stored(app: &mut App, count: u64) {
    until(&format!("{count} events are stored"), async || {
        // While nothing can be stored there are no counts.
        (app.events_counted().await? >= count).then_some(())
    })
    .await;
    assert_eq!(app.events_stored().await, count);
}
