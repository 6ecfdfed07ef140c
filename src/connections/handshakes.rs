//! TLS handshakes: the costly step, answering a client's first message, is done for one connection
//! at a time and followed by a pause as long as itself, so that a flood of handshakes takes half of
//! one processor and no more.
//!
//! Addresses that were verified of late have a queue of their own. Whoever finds a queue full is
//! refused before anything is computed.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
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
    strangers: Arc<Queue>,
    known: Arc<Queue>,
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
        let queue = match connection.rank {
            Rank::Stranger => &self.strangers,
            Rank::Known => &self.known,
        };
        let handshake = async {
            let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let turn = queue.turn(connection).await?;
            let began = Instant::now();
            let rest = hello.into_stream(config);
            pause(turn, began.elapsed());
            Ok(rest.await?)
        };
        let finished = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await;
        finished.unwrap_or(Err(HandshakeError::TooSlow))
    }
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
    use super::*;

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
