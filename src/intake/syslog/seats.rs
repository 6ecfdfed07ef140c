//! The connections there may be at once. When all are taken, the one that has been there longest
//! without being verified makes way; when all are verified, a new one waits to be accepted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All connections.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    strangers: Arc<Mutex<Strangers>>,
}

/// Connections that have not been verified, in the order in which they came.
#[derive(Debug, Default)]
struct Strangers {
    came: u64,
    to_make_way: BTreeMap<u64, CancellationToken>,
}

/// The place of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    seats: Seats,
    makes_way: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    pub(super) fn new(count: usize) -> Self {
        let free = Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Self { free, strangers: Arc::default() }
    }

    /// Takes a place; `None` when there will never be one again.
    pub(super) async fn take(&self) -> Option<Seat> {
        let free = Arc::clone(&self.free);
        let permit = match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_taken) => {
                if let Some((_number, longest)) = self.lock().to_make_way.pop_first() {
                    longest.cancel();
                }
                free.acquire_owned().await.ok()?
            }
        };
        let makes_way = CancellationToken::new();
        let mut strangers = self.lock();
        strangers.came += 1;
        let number = strangers.came;
        strangers.to_make_way.insert(number, makes_way.clone());
        drop(strangers);
        Some(Seat { number, seats: self.clone(), makes_way, _permit: permit })
    }

    fn lock(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Ends the connection when it is cancelled.
    pub(super) fn makes_way(&self) -> &CancellationToken {
        &self.makes_way
    }

    /// Whoever sits here has been verified and keeps the place.
    pub(super) fn is_verified(&self) {
        self.seats.lock().to_make_way.remove(&self.number);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.is_verified();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_longest_there_that_is_not_verified_makes_way_and_the_verified_never_do() {
        let seats = Seats::new(3);
        let [one, two, three] =
            [seats.take().await, seats.take().await, seats.take().await].map(Option::unwrap);
        one.is_verified();
        let fourth = seats.take();
        tokio::pin!(fourth);
        assert!(fourth.as_mut().now_or_never().is_none(), "all are taken");
        assert!(two.makes_way().is_cancelled() && !three.makes_way().is_cancelled());
        drop(two);
        let fourth = fourth.await.unwrap();
        fourth.is_verified();
        three.is_verified();
        assert!(seats.take().now_or_never().is_none(), "a new one waits");
        assert!([one, three, fourth].iter().all(|seat| !seat.makes_way().is_cancelled()));
    }
}
