//! TLS handshakes: each of the two costly steps, answering a client's first message and verifying what it
//! shows thereafter (100 signatures when it sends a forged chain of certificates), is done for one
//! connection at a time and followed by a pause as long as itself, so that a flood of either takes half
//! of one processor and no more.
//!
//! Addresses that were verified of late have queues of their own. Whoever finds a queue full is
//! refused before anything is computed.

use std::{
    collections::HashMap,
    future::poll_fn,
    io, mem,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::network_of;
use super::{OpenConnection, Rank};

/// Longest time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes of each queue that wait for their turn, in total and of one address.
const WAITING_MAX: usize = 64;
const WAITING_PER_ADDRESS_MAX: usize = 16;
/// Time from which on verifying is followed by a pause.
const COSTLY: Duration = Duration::from_millis(1);

/// Why a handshake was not finished.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Too many are waiting.
    #[error("too many TLS handshakes at once")]
    TooMany,
    /// The client was too slow.
    #[error("the TLS handshake took too long")]
    TooSlow,
    /// The two could not agree, or the client has gone.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// The handshakes of one listener.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    strangers: Queues,
    known: Queues,
}

/// The queues of the two steps.
#[derive(Debug, Default)]
struct Queues {
    answering: Queue,
    verifying: Queue,
}

/// Handshakes that wait for their turn.
#[derive(Debug)]
struct Queue {
    turn: Arc<Semaphore>,
    waiting: Mutex<HashMap<IpAddr, usize>>,
}

/// One that waits in a queue.
struct Waiting<'a> {
    queue: &'a Queue,
    address: IpAddr,
}

impl Handshakes {
    /// Makes the handshake with whoever holds `connection`.
    pub(super) async fn finish(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
        connection: &OpenConnection,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let Queues { answering, verifying } = match connection.rank {
            Rank::Stranger => &self.strangers,
            Rank::Known => &self.known,
        };
        let handshake = async {
            let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let turn = answering.turn(connection).await?;
            let began = Instant::now();
            let mut rest = pin!(hello.into_stream(config));
            let mut polled = poll_once(rest.as_mut()).await;
            pause(turn, began.elapsed());
            loop {
                if let Poll::Ready(shaken) = polled {
                    return Ok(shaken?);
                }
                woken().await;
                let turn = verifying.turn(connection).await?;
                let began = Instant::now();
                polled = poll_once(rest.as_mut()).await;
                // A few bytes of a message cost nothing, and must not keep others from their turn.
                if began.elapsed() >= COSTLY {
                    pause(turn, began.elapsed());
                }
            }
        };
        let finished = tokio::time::timeout(HANDSHAKE_TIMEOUT, Box::pin(handshake)).await;
        finished.unwrap_or(Err(HandshakeError::TooSlow))
    }
}

/// Polls a future, which wakes the task if it is pending.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Waits until the task is woken: by a future that it polled before.
async fn woken() {
    let mut is_first = true;
    poll_fn(|_context| if mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) })
        .await;
}

/// Gives the turn to the next one after a pause.
fn pause(turn: OwnedSemaphorePermit, pause: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        drop(turn);
    });
}

impl Default for Queue {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), waiting: Mutex::default() }
    }
}

impl Queue {
    async fn turn(
        &self,
        connection: &OpenConnection,
    ) -> Result<OwnedSemaphorePermit, HandshakeError> {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            return Ok(turn);
        }
        // A trusted proxy has many clients behind one address.
        let max = match connection.counted_to {
            Some(_) => WAITING_PER_ADDRESS_MAX,
            None => WAITING_MAX,
        };
        let _waiting = self.join(network_of(connection.address), max)?;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        turn.map_err(|_closed| HandshakeError::TooMany)
    }

    fn join(&self, address: IpAddr, max: usize) -> Result<Waiting<'_>, HandshakeError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = waiting.values().sum();
        let of_address = waiting.get(&address).copied().unwrap_or(0);
        if total >= WAITING_MAX || of_address >= max {
            return Err(HandshakeError::TooMany);
        }
        waiting.insert(address, of_address + 1);
        Ok(Waiting { queue: self, address })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::{
        clock::Clock,
        connections::{ConnectionLimit, Peer},
    };

    fn tls() -> (Arc<ServerConfig>, TlsConnector) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let server = ServerConfig::builder().with_no_client_auth();
        (
            Arc::new(server.with_single_cert(vec![certificate], key).unwrap()),
            TlsConnector::from(Arc::new(client)),
        )
    }

    #[tokio::test]
    async fn what_a_client_shows_after_its_first_message_is_verified_in_its_turn() {
        let (server, client) = tls();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (to_server, accepted) = tokio::join!(connecting, listener.accept());
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let limit = ConnectionLimit::new("test", 2, 2, Clock::from_fn(move || now));
        let open = limit.admit(Peer::Direct(Ipv4Addr::LOCALHOST.into())).await.unwrap();
        let handshakes = Handshakes::default();
        let turn = handshakes.strangers.verifying.turn(&open).await.unwrap();
        let mut finished = pin!(handshakes.finish(server, accepted.unwrap().0, &open));
        tokio::select! {
            _ = &mut finished => panic!("another one has the turn"),
            shaken = client.connect("localhost".try_into().unwrap(), to_server.unwrap()) => {
                shaken.unwrap();
            }
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(finished.as_mut().now_or_never().is_none(), "another one has the turn");
        }
        drop(turn);
        finished.await.unwrap();
    }

    #[test]
    fn handshakes_that_wait_are_bounded_in_total_and_by_address_and_free_their_place() {
        let queue = Queue::default();
        let address = |number: u32| IpAddr::V4(number.into());
        let mut waiting: Vec<Waiting<'_>> = Vec::new();
        for number in 0..WAITING_MAX / WAITING_PER_ADDRESS_MAX {
            let address = address(u32::try_from(number).unwrap());
            for _ in 0..WAITING_PER_ADDRESS_MAX {
                waiting.push(queue.join(address, WAITING_PER_ADDRESS_MAX).unwrap());
            }
            assert!(queue.join(address, WAITING_PER_ADDRESS_MAX).is_err(), "its own bound");
        }
        assert!(queue.join(address(99), WAITING_PER_ADDRESS_MAX).is_err(), "the bound of all");
        waiting.pop();
        waiting.push(queue.join(address(99), WAITING_PER_ADDRESS_MAX).unwrap());
        drop(waiting);
        assert!(queue.waiting.lock().unwrap().is_empty());
    }
}
