//! TLS handshakes: each of the two costly steps, answering a client's first message and verifying what it
//! shows thereafter (100 signatures when it sends a forged chain of certificates), is done for one
//! connection at a time and followed by a pause as long as itself, so that a flood of either takes half
//! of one processor and no more.
//!
//! Addresses that were verified of late have queues of their own and are never refused: the connection
//! limit bounds them. The queues of strangers are bounded. When one is full, the newest of the address that
//! waits with the most gives its place to an address that waits with fewer; else whoever comes is
//! refused, before anything is computed.

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    io, mem,
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{OpenConnection, Rank, network_of};

/// Longest time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes of strangers that wait for their turn in each queue.
const WAITING_MAX: usize = 64;
/// Time from which on verifying is followed by a pause.
const COSTLY: Duration = Duration::from_millis(1);

/// The reason for which a handshake was not finished.
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
    strangers: Mutex<Strangers>,
}

/// The strangers that wait in a queue, those of an address in the order in which they came.
#[derive(Debug, Default)]
struct Strangers {
    came: u64,
    by_address: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

/// A stranger that waits in a queue.
struct Waiting<'a> {
    queue: &'a Queue,
    address: IpAddr,
    number: u64,
    evicted: CancellationToken,
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
        Self { turn: Arc::new(Semaphore::new(1)), strangers: Mutex::default() }
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
        let turn = Arc::clone(&self.turn).acquire_owned();
        let turn = match connection.rank {
            Rank::Known => Some(turn.await),
            Rank::Stranger => {
                let waiting = self.join(network_of(connection.address))?;
                waiting.evicted.run_until_cancelled(turn).await
            }
        };
        turn.and_then(Result::ok).ok_or(HandshakeError::TooMany)
    }

    /// Adds a stranger.
    fn join(&self, address: IpAddr) -> Result<Waiting<'_>, HandshakeError> {
        let mut strangers = self.strangers.lock();
        strangers.make_place_for(address)?;
        strangers.came += 1;
        let (number, evicted) = (strangers.came, CancellationToken::new());
        strangers.by_address.entry(address).or_default().insert(number, evicted.clone());
        Ok(Waiting { queue: self, address, number, evicted })
    }
}

impl Strangers {
    fn make_place_for(&mut self, address: IpAddr) -> Result<(), HandshakeError> {
        let total: usize = self.by_address.values().map(BTreeMap::len).sum();
        if total < WAITING_MAX {
            return Ok(());
        }
        let of_address = self.by_address.get(&address).map_or(0, BTreeMap::len);
        let most = self.by_address.iter().max_by_key(|(_address, waiting)| waiting.len());
        // Not for one that would wait with as many thereafter: places would only change hands.
        let (most, newest) = most
            .filter(|(_address, waiting)| waiting.len() > of_address + 1)
            .and_then(|(most, waiting)| Some((*most, *waiting.last_key_value()?.0)))
            .ok_or(HandshakeError::TooMany)?;
        if let Some(evicted) = self.remove(most, newest) {
            evicted.cancel();
        }
        Ok(())
    }

    fn remove(&mut self, address: IpAddr, number: u64) -> Option<CancellationToken> {
        let waiting = self.by_address.get_mut(&address)?;
        let removed = waiting.remove(&number);
        if waiting.is_empty() {
            self.by_address.remove(&address);
        }
        removed
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut strangers = self.queue.strangers.lock();
        strangers.remove(self.address, self.number);
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

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[tokio::test]
    async fn handshakes_of_a_verified_address_wait_for_their_turn_however_many_they_are() {
        let now = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let limit = ConnectionLimit::new("test", 500, 500, Clock::from_fn(move || now));
        let first = limit.admit(Peer::Direct(address(1))).await.unwrap();
        first.verified(address(1));
        let mut open = Vec::new();
        for _ in 0..4 * WAITING_MAX {
            open.push(limit.admit(Peer::Direct(address(1))).await.unwrap());
        }
        let queue = Queue::default();
        let turn = queue.turn(&open[0]).await.unwrap();
        let mut turns: Vec<_> = open.iter().map(|open| Box::pin(queue.turn(open))).collect();
        for waiting in &mut turns {
            assert!(waiting.now_or_never().is_none(), "another one has the turn");
        }
        drop(turn);
        for turn in turns {
            drop(turn.await.unwrap());
        }
    }

    #[test]
    fn the_address_that_waits_with_the_most_gives_its_place_to_one_that_waits_with_fewer() {
        let queue = Queue::default();
        let of_one: Vec<_> =
            (0..WAITING_MAX).map(|_| queue.join(address(1)).expect("it is alone")).collect();
        assert!(queue.join(address(1)).is_err(), "the bound of all");
        let join = |number| queue.join(address(number)).expect("another has more");
        let mut others: Vec<_> = (2..34).map(join).collect();
        let evicted: Vec<bool> = of_one.iter().map(|one| one.evicted.is_cancelled()).collect();
        assert_eq!(evicted, [[false; 32], [true; 32]].concat(), "the newest of it");
        let second = join(2);
        assert!(of_one[31].evicted.is_cancelled() && !second.evicted.is_cancelled());
        others.extend((34..65).map(join));
        assert!(second.evicted.is_cancelled());
        assert!(queue.join(address(65)).is_err(), "each waits with one");
        drop((of_one, others, second));
        assert!(queue.strangers.lock().by_address.is_empty());
    }
}
