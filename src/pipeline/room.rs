//! Limits of what is under way at once: events by their number while they are prepared, and the bytes of
//! their texts and of what is built of them from the claim to the delivery, since one may be a
//! thousand times another.
//!
//! Bytes are taken for a whole claim before it is made, as many as the journal may answer with, so
//! that what waits for the others of its claim never waits for room that only they can give back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::journal::CLAIM_BYTES;

/// Bytes under way: four full claims. A single larger event has the room for itself.
const BYTES_MAX: usize = 4 * CLAIM_BYTES;
/// The unit in which bytes are counted.
const UNIT_BYTES: usize = 1024;

/// The room that is left for more events.
pub(super) struct Room {
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// Bytes that are taken; dropping gives them back.
pub(super) type Bytes = Option<OwnedSemaphorePermit>;

/// An event's share. Dropping it gives everything back.
pub(super) struct Place {
    _place: Option<OwnedSemaphorePermit>,
    /// Kept until the event was delivered.
    pub(super) bytes: Bytes,
}

impl Room {
    /// Room for this many events in preparation.
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.max(1))),
            bytes: Arc::new(Semaphore::new(BYTES_MAX / UNIT_BYTES)),
        }
    }

    /// Waits for a free place, and for as many bytes as one claim may bring.
    pub(super) async fn for_a_claim(&self) -> Bytes {
        drop(take(&self.places, 1).await);
        take(&self.bytes, units(CLAIM_BYTES)).await
    }

    /// Returns the number of events that may be claimed.
    pub(super) fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    /// A place for an event that takes so many bytes, which come out of `claim`; where it has too few,
    /// the event waits for more.
    pub(super) async fn place(&self, claim: &mut Bytes, bytes: usize) -> Place {
        let wanted = units(bytes).min(units(BYTES_MAX));
        let there = claim.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let mut held = claim.as_mut().and_then(|claim| claim.split(wanted.min(there)));
        if wanted > there
            && let Some(more) = take(&self.bytes, wanted - there).await
        {
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
        }
        Place { _place: take(&self.places, 1).await, bytes: held }
    }
}

/// The semaphores are never closed: there always is a permit in the end.
async fn take(semaphore: &Arc<Semaphore>, permits: usize) -> Option<OwnedSemaphorePermit> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    Arc::clone(semaphore).acquire_many_owned(permits).await.ok()
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn waits<T>(future: impl Future<Output = T>) -> bool {
        tokio::time::timeout(Duration::from_millis(1), future).await.is_err()
    }

    #[tokio::test]
    async fn what_is_under_way_is_bounded_by_bytes_and_what_fits_goes_on() {
        let room = Room::new(100);
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut claim = room.for_a_claim().await;
            held.push(room.place(&mut claim, CLAIM_BYTES).await);
        }
        // A claim of small texts gives back what it does not need.
        let mut claim = room.for_a_claim().await;
        let small = room.place(&mut claim, 10).await;
        assert!(waits(room.for_a_claim()).await, "the claim itself may still bring more");
        drop(claim);
        assert!(waits(room.for_a_claim()).await, "a whole claim does not fit beside it");
        drop(small);
        let fourth = room.for_a_claim().await;
        drop((fourth, held));
        let mut claim = room.for_a_claim().await;
        let giant = room.place(&mut claim, 10 * BYTES_MAX).await;
        drop(claim);
        assert!(waits(room.for_a_claim()).await, "nothing beside a giant");
        drop(giant);
        assert!(!waits(room.for_a_claim()).await);
    }

    #[tokio::test]
    async fn events_in_preparation_are_bounded_by_their_number() {
        let room = Room::new(1);
        let mut claim = room.for_a_claim().await;
        let only = room.place(&mut claim, 10).await;
        assert!(waits(room.place(&mut claim, 10)).await);
        drop(only);
        assert!(!waits(room.place(&mut claim, 10)).await);
    }
}
