//! Compressed answers that are broken or cut off: the reason says which.

use std::{io::Write as _, net::Ipv4Addr};

use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::demo_console::{client_with, started};

/// Asks a server for its version that answers each request with `body` and hangs up; the answer announces
/// `announced` bytes.
async fn why(body: Vec<u8>, announced: usize) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _request = connection.read(&mut [0; 4096]).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\
                 Content-Length: {announced}\r\n\r\n"
            );
            connection.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    let console = started();
    let client = client_with(&console, |settings| {
        settings.url = format!("http://{address}/").parse().unwrap();
    });
    client.version().await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_compressed_answer_that_is_cut_off_is_not_told_as_broken_compression() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // What does not become short when it is compressed.
    let numbers: Vec<u64> = (0..9_000).map(|it: u64| it.wrapping_mul(it << 20)).collect();
    encoder.write_all(serde_json::json!({ "version": numbers }).to_string().as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let garbage = b"neither gzip nor anything else".to_vec();
    let (cut, broken) = ("it was cut off midway", "its compression is broken");
    let length = half.len();
    for (name, body, announced, expected) in [
        ("by its connection", half.clone(), whole.len(), cut),
        ("by whoever compressed it", half, length, cut),
        ("garbage", garbage.clone(), garbage.len(), broken),
    ] {
        let why = why(body, announced).await;
        assert!(why.contains(expected), "{name}: {why}");
    }
}
