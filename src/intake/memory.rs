//! The memory budget of deliveries, from the socket until they are committed: bodies, the copies that
//! are made of them, and the texts that the journal has not stored yet.
//!
//! A delivery of up to [`SMALL_BYTES`] takes its share of a budget that all small ones have together.
//! A larger one takes the one turn that there is, so that the many copies of a large body exist once,
//! and so that large ones never use up what small ones need. Whoever gets neither is asked to come
//! back.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of the largest delivery that needs no turn.
pub(super) const SMALL_BYTES: usize = 256 * 1024;
/// Memory for all small deliveries together.
const SHARED_BYTES: usize = 16 << 20;
/// How often a byte of a delivery is in memory: as it came, as the text of an element, and as what is
/// built of it and handed to the journal.
const COPIES: usize = 3;
/// The unit of the budget.
const UNIT_BYTES: usize = 1024;
/// Longest wait for the turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);

/// The budget. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    shared: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self {
            shared: Arc::new(Semaphore::new(SHARED_BYTES / UNIT_BYTES)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

/// The share of one delivery, or its turn. Dropping it gives everything back.
#[derive(Debug, Default)]
pub(super) struct Charge {
    share: Option<OwnedSemaphorePermit>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Charge {
    pub(super) fn has_turn(&self) -> bool {
        self.turn.is_some()
    }
}

/// The budget is used up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl MemoryBudget {
    /// Charges `bytes` more of a delivery; one that has the turn is not charged.
    pub(super) fn charge(&self, charge: &mut Charge, bytes: usize) -> Result<(), Exhausted> {
        if charge.has_turn() {
            return Ok(());
        }
        let units = (bytes * COPIES).div_ceil(UNIT_BYTES);
        let units = u32::try_from(units).map_err(|_too_many| Exhausted)?;
        let taken = Arc::clone(&self.shared);
        let taken = taken.try_acquire_many_owned(units).map_err(|_full| Exhausted)?;
        match &mut charge.share {
            Some(share) => share.merge(taken),
            share => *share = Some(taken),
        }
        Ok(())
    }

    /// Waits for the turn, for as long as a sender may be made to wait. What was charged before stays
    /// so: it is still in memory.
    pub(super) async fn take_turn(&self, charge: &mut Charge) -> Result<(), Exhausted> {
        let waiting = self.await_turn(charge);
        tokio::time::timeout(TURN_TIMEOUT, waiting).await.map_err(|_elapsed| Exhausted)
    }

    /// Waits for the turn however long it takes.
    pub(super) async fn await_turn(&self, charge: &mut Charge) {
        if !charge.has_turn() {
            // It is never closed: there always is a turn in the end.
            charge.turn = Arc::clone(&self.turn).acquire_owned().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn small_deliveries_share_a_budget_and_give_back_what_they_took() {
        let budget = MemoryBudget::default();
        let mut held: Vec<Charge> = Vec::new();
        loop {
            let mut charge = Charge::default();
            let first = budget.charge(&mut charge, SMALL_BYTES / 2);
            if first.and_then(|()| budget.charge(&mut charge, SMALL_BYTES / 2)).is_err() {
                break;
            }
            held.push(charge);
        }
        assert_eq!(held.len(), SHARED_BYTES / (SMALL_BYTES * COPIES));
        held.pop();
        assert_eq!(budget.charge(&mut Charge::default(), SMALL_BYTES), Ok(()));
    }

    #[test]
    fn large_deliveries_take_turns_and_leave_room_for_small_ones() {
        let budget = MemoryBudget::default();
        let (mut first, mut second) = (Charge::default(), Charge::default());
        assert_eq!(budget.await_turn(&mut first).now_or_never(), Some(()));
        assert_eq!(budget.charge(&mut first, 1 << 30), Ok(()));
        assert_eq!(budget.await_turn(&mut second).now_or_never(), None);
        assert_eq!(budget.charge(&mut second, SMALL_BYTES), Ok(()));
        drop(first);
        assert_eq!(budget.await_turn(&mut second).now_or_never(), Some(()));
    }
}
