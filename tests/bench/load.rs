//! Load on an endpoint: requests over connections that stay open, closed loop (the next one when the
//! last is answered) or open loop (each at its time, whatever becomes of the others). Every answer is
//! written down, so that speed never hides a loss.
//!
//! Plain HTTP/1.1 over sockets: a client library would cost more than the endpoint that it measures.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::app::WEBHOOK_SECRET;

/// Room for an answer.
const ANSWER_BYTES: usize = 4_096;

/// The outcome of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// Its place among the requests.
    pub(crate) position: usize,
    pub(crate) status: u16,
    /// The time at which it was to be sent.
    pub(crate) due_at: Instant,
    /// Until its answer was read.
    pub(crate) took: Duration,
}

/// The bytes of a POST.
pub(crate) fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {WEBHOOK_SECRET}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends all of them over this many connections, each as soon as it may.
pub(crate) async fn closed_loop(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    connections: usize,
) -> (Duration, Vec<Answered>) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        streams.push(connect(address).await);
    }
    let begin = Instant::now();
    let mut senders = JoinSet::new();
    for mut stream in streams {
        let (requests, next) = (Arc::clone(requests), Arc::clone(&next));
        senders.spawn(async move {
            let mut answered = Vec::new();
            loop {
                let position = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(position) else {
                    return answered;
                };
                let due_at = Instant::now();
                let status = exchange(&mut stream, request).await;
                answered.push(Answered { position, status, due_at, took: due_at.elapsed() });
            }
        });
    }
    let answered = senders.join_all().await.into_iter().flatten().collect();
    (begin.elapsed(), answered)
}

/// Sends each at its time, `rate` a second, over a connection of its own when the others are busy.
pub(crate) async fn open_loop(
    address: SocketAddr,
    requests: &Arc<Vec<Vec<u8>>>,
    rate: f64,
) -> Vec<Answered> {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut senders = JoinSet::new();
    for position in 0..requests.len() {
        let due_at = ticks.tick().await.into_std();
        let requests = Arc::clone(requests);
        senders.spawn(async move {
            let mut stream = connect(address).await;
            let status = exchange(&mut stream, &requests[position]).await;
            Answered { position, status, due_at, took: due_at.elapsed() }
        });
    }
    senders.join_all().await
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("the endpoint listens");
    stream.set_nodelay(true).expect("the socket takes it");
    stream
}

/// Sends a request and reads its answer to the end; answers the status.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> u16 {
    stream.write_all(request).await.expect("the endpoint reads");
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    loop {
        let read = stream.read_buf(&mut answer).await.expect("the endpoint answers");
        assert!(read > 0, "the endpoint closed the connection: {}", text(&answer));
        if let Some(status) = whole(&answer) {
            return status;
        }
    }
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

/// The status of an answer that is there to its last byte.
fn whole(answer: &[u8]) -> Option<u16> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = text(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(0, |length| length.trim().parse().expect("it is a number"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (answer.len() >= end + 4 + length).then_some(status.expect("an answer has a status"))
}

/// The value that this share of the durations does not exceed.
pub(crate) fn quantile(durations: &mut [Duration], share: f64) -> Duration {
    durations.sort();
    let place = Duration::from_secs(durations.len() as u64).mul_f64(share).as_secs();
    let place = usize::try_from(place).expect("a place of a slice").min(durations.len() - 1);
    durations[place]
}
