//! The memory budget of deliveries, from the socket until they are committed: bodies, the copies that
//! are made of them, and the texts that the journal has not stored yet.
//!
//! A delivery of up to [`SMALL_BYTES`] takes its share of a budget that all small ones have together.
//! A larger one is received within a budget of its own, charged by what has come, never by what was
//! announced: nobody has verified it yet. One at a time is received beyond that budget, so that several
//! that are received at once cannot block each other for ever. Only once verified it takes the one turn
//! that there is, so that the copies of a large body exist once, and so that large ones never use up
//! what small ones need. It keeps both until it is stored: the next one is received beside it only as far
//! as the budget goes. Whoever gets neither is asked to come back. The pipeline reads one large
//! text at a time, in the same turn where it comes soon.
//!
//! Strangers who post have a quarter of it, apart from the rest: whatever they hold, senders who have proved
//! a secret have theirs. What comes by syslog is charged whole, just before it is verified.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of the largest delivery that needs no turn.
pub(super) const SMALL_BYTES: usize = 256 * 1024;
/// Memory for all small deliveries of known senders together.
const SHARED_BYTES: usize = 12 << 20;
/// Memory for what has come of their large deliveries, but for the one that is received beyond it.
const RECEIVED_BYTES: usize = 2 << 20;
/// The part of the memory of known senders that strangers have besides.
const STRANGERS_PART: usize = 3;
/// Copies of a byte of a delivery in memory: as it came, as the text of an element, and as what is
/// built of it and handed to the journal.
const COPIES: usize = 3;
/// The unit of the budget.
const UNIT_BYTES: usize = 1024;
/// Longest wait for the turn, and for memory to receive a large delivery.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest wait of the pipeline for the turn of deliveries.
const READING_WAITS: Duration = Duration::from_secs(2);

/// The standing of a sender, by the last secret that it proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// Within the last hour, or just now.
    #[default]
    Known,
    /// Not yet.
    Stranger,
}

/// The budget. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    known: Pool,
    strangers: Pool,
    turn: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

/// Memory of known senders, or of strangers.
#[derive(Debug, Clone)]
struct Pool {
    shared: Arc<Semaphore>,
    received: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

impl Pool {
    /// One part of `parts`.
    fn part(parts: usize) -> Self {
        let of = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT_BYTES / parts));
        let beyond = Arc::new(Semaphore::new(1));
        Self { shared: of(SHARED_BYTES), received: of(RECEIVED_BYTES), beyond }
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        let one = || Arc::new(Semaphore::new(1));
        let strangers = Pool::part(STRANGERS_PART);
        Self { known: Pool::part(1), strangers, turn: one(), reading: one() }
    }
}

/// The share of one delivery, or its turn. Dropping it gives everything back.
#[derive(Debug, Default)]
pub(super) struct Charge {
    standing: Standing,
    share: Option<OwnedSemaphorePermit>,
    received: Option<OwnedSemaphorePermit>,
    beyond: Option<OwnedSemaphorePermit>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Charge {
    /// Nothing yet, of a sender of this standing.
    pub(super) fn of(standing: Standing) -> Self {
        Self { standing, ..Self::default() }
    }

    pub(super) fn has_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Returns whether it is received as a large one.
    pub(super) fn is_large(&self) -> bool {
        self.received.is_some() || self.is_beyond()
    }

    /// Returns whether it is the one that is received beyond the budget.
    pub(super) fn is_beyond(&self) -> bool {
        self.beyond.is_some()
    }
}

/// The budget is used up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl MemoryBudget {
    fn pool(&self, charge: &Charge) -> &Pool {
        match charge.standing {
            Standing::Known => &self.known,
            Standing::Stranger => &self.strangers,
        }
    }

    /// Moves a verified delivery of a stranger to the memory of known senders, if there is enough.
    pub(super) fn verified(&self, charge: &mut Charge) {
        let again = |held: &Option<OwnedSemaphorePermit>, of: &Arc<Semaphore>| match held {
            None => Ok(None),
            Some(held) => {
                let units = u32::try_from(held.num_permits()).unwrap_or(u32::MAX);
                Arc::clone(of).try_acquire_many_owned(units).map(Some)
            }
        };
        if charge.standing == Standing::Stranger
            && let Ok(share) = again(&charge.share, &self.known.shared)
            && let Ok(received) = again(&charge.received, &self.known.received)
        {
            (charge.share, charge.received) = (share, received);
            charge.standing = Standing::Known;
        }
    }

    /// Charges a small delivery up to `bytes` in all; one that has the turn is not charged.
    pub(super) fn charge(&self, charge: &mut Charge, bytes: usize) -> Result<(), Exhausted> {
        if charge.has_turn() {
            return Ok(());
        }
        let units = lacking(charge.share.as_ref(), bytes * COPIES)?;
        let taken = Arc::clone(&self.pool(charge).shared);
        let taken = taken.try_acquire_many_owned(units).map_err(|_full| Exhausted)?;
        add(&mut charge.share, taken);
        Ok(())
    }

    /// Charges what has come of a large delivery, `bytes` in all; waits for memory for as long as a
    /// sender may be made to wait.
    pub(super) async fn receive(&self, charge: &mut Charge, bytes: usize) -> Result<(), Exhausted> {
        if charge.is_beyond() {
            return Ok(());
        }
        let units = lacking(charge.received.as_ref(), bytes)?;
        let Pool { received, beyond, .. } = self.pool(charge);
        if let Ok(taken) = Arc::clone(received).try_acquire_many_owned(units) {
            add(&mut charge.received, taken);
        } else {
            let within = Arc::clone(received).acquire_many_owned(units);
            let beyond = Arc::clone(beyond).acquire_owned();
            tokio::select! {
                biased;
                // They are never closed.
                Ok(taken) = within => add(&mut charge.received, taken),
                Ok(beyond) = beyond => charge.beyond = Some(beyond),
                () = tokio::time::sleep(TURN_TIMEOUT) => return Err(Exhausted),
            }
        }
        // It came as a small one until it was known to be large.
        charge.share = None;
        Ok(())
    }

    /// Waits for the turn, for as long as a sender may be made to wait. What was charged before stays
    /// so: it is still in memory.
    pub(super) async fn take_turn(&self, charge: &mut Charge) -> Result<(), Exhausted> {
        let waiting = self.await_turn(charge);
        tokio::time::timeout(TURN_TIMEOUT, waiting).await.map_err(|_elapsed| Exhausted)
    }

    /// Waits for the turn to read a large text of the journal; dropping what it returns ends it. One is read
    /// at a time, and for a moment it waits for the turn of deliveries, too: not longer, since a delivery
    /// may wait until the journal has room, which only reading makes.
    pub async fn turn_to_read(&self) -> [Option<OwnedSemaphorePermit>; 2] {
        let reading = Arc::clone(&self.reading).acquire_owned().await;
        let turn = Arc::clone(&self.turn).acquire_owned();
        let turn = tokio::time::timeout(READING_WAITS, turn).await;
        [reading.ok(), turn.ok().and_then(Result::ok)]
    }

    /// Waits for the turn however long it takes.
    pub(super) async fn await_turn(&self, charge: &mut Charge) {
        if !charge.has_turn() {
            // It is never closed: there always is a turn in the end.
            charge.turn = Arc::clone(&self.turn).acquire_owned().await.ok();
        }
    }
}

/// Returns how many more units than `held` these bytes take.
fn lacking(held: Option<&OwnedSemaphorePermit>, bytes: usize) -> Result<u32, Exhausted> {
    let held = held.map_or(0, OwnedSemaphorePermit::num_permits);
    let units = bytes.div_ceil(UNIT_BYTES).saturating_sub(held);
    u32::try_from(units).map_err(|_too_many| Exhausted)
}

fn add(held: &mut Option<OwnedSemaphorePermit>, taken: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(taken),
        held => *held = Some(taken),
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
            if first.and_then(|()| budget.charge(&mut charge, SMALL_BYTES)).is_err() {
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

    #[test]
    fn bytes_that_come_one_by_one_are_charged_as_those_that_come_together() {
        let budget = MemoryBudget::default();
        let (mut small, mut large) = (Charge::default(), Charge::default());
        for length in 1..=UNIT_BYTES {
            budget.charge(&mut small, length).unwrap();
            budget.receive(&mut large, length).now_or_never().unwrap().unwrap();
        }
        assert_eq!(budget.known.shared.available_permits(), SHARED_BYTES / UNIT_BYTES - COPIES);
        assert_eq!(budget.known.received.available_permits(), RECEIVED_BYTES / UNIT_BYTES - 1);
    }

    #[tokio::test]
    async fn large_bodies_received_at_once_do_not_block_each_other_and_what_has_not_come_holds_nothing()
     {
        let budget = MemoryBudget::default();
        let receive = |charge: &mut Charge, bytes| budget.receive(charge, bytes).now_or_never();
        let (mut first, mut second, mut third) = Default::default();
        assert_eq!(receive(&mut first, RECEIVED_BYTES / 2), Some(Ok(())));
        assert_eq!(receive(&mut second, RECEIVED_BYTES / 2), Some(Ok(())));
        // One goes on beyond the budget, however large it is; the others wait.
        assert_eq!(receive(&mut first, 10 * RECEIVED_BYTES), Some(Ok(())));
        assert_eq!(receive(&mut second, RECEIVED_BYTES), None);
        assert_eq!(receive(&mut third, 1), None);
        drop(first);
        assert_eq!(receive(&mut second, RECEIVED_BYTES), Some(Ok(())));
        assert!(second.is_large() && !second.is_beyond());
    }

    #[test]
    fn whatever_strangers_hold_known_senders_have_their_memory_and_a_verified_stranger_is_one() {
        let budget = MemoryBudget::default();
        let mut held: Vec<Charge> = Vec::new();
        loop {
            let mut stranger = Charge::of(Standing::Stranger);
            if budget.charge(&mut stranger, SMALL_BYTES).is_err() {
                break;
            }
            held.push(stranger);
        }
        assert_eq!(held.len(), SHARED_BYTES / STRANGERS_PART / (SMALL_BYTES * COPIES));
        assert_eq!(budget.known.shared.available_permits(), SHARED_BYTES / UNIT_BYTES);
        budget.verified(&mut held[0]);
        assert_eq!(budget.charge(&mut Charge::of(Standing::Stranger), SMALL_BYTES), Ok(()));
        let left = (SHARED_BYTES - SMALL_BYTES * COPIES) / UNIT_BYTES;
        assert_eq!(budget.known.shared.available_permits(), left);
    }

    #[tokio::test]
    async fn a_delivery_that_keeps_its_turn_does_not_keep_the_pipeline_from_reading() {
        let budget = MemoryBudget::default();
        let mut waits_for_room = Charge::default();
        budget.await_turn(&mut waits_for_room).await;
        let [reading, turn] = budget.turn_to_read().await;
        assert!(reading.is_some() && turn.is_none());
        drop(waits_for_room);
        assert!(budget.turn_to_read().now_or_never().is_none(), "one at a time");
        drop(reading);
        let [_reading, turn] = budget.turn_to_read().await;
        assert!(turn.is_some());
        assert!(budget.take_turn(&mut Charge::default()).now_or_never().is_none());
    }
}
