//! Requests by bytes: from an address of choice, cut short, or in one write.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::app::WEBHOOK_SECRET;

/// A socket of this address.
pub(crate) fn socket(from: &str) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket
}

/// Connects from this address.
pub(crate) async fn connect(from: &str, to: &str) -> TcpStream {
    socket(from).connect(to.parse().unwrap()).await.unwrap()
}

/// `address:port` of a URL.
pub(crate) fn authority(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

/// The head of a post with the secret and these header lines.
pub(crate) fn head(lines: &str) -> String {
    format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: service\r\nAuthorization: {WEBHOOK_SECRET}\r\n\
         Content-Type: application/json\r\n{lines}\r\n"
    )
}

/// Connects and sends these bytes.
pub(crate) async fn sent(from: &str, to: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(from, to).await;
    // Who answers early may close before everything is sent.
    let _reset = stream.write_all(bytes).await;
    stream
}

/// Sends these bytes from `from`, says no more, and reads until the other side closes; answers the
/// status of every response.
pub(crate) async fn exchanged(from: &str, to: &str, bytes: &[u8]) -> Vec<u16> {
    let mut stream = sent(from, to, bytes).await;
    let _reset = stream.shutdown().await;
    statuses(stream).await
}

/// The status of every response until the other side closes.
pub(crate) async fn statuses(mut stream: TcpStream) -> Vec<u16> {
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    let statuses = text.split("HTTP/1.1 ").skip(1);
    statuses.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}
