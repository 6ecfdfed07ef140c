//! The door: the one way into the journal, for push, sweep and replay alike.
//!
//! A bounded channel whose other end is the journal's writer, which commits all that is waiting at
//! once. `append` answers only when the notifications are committed.

use std::{
    iter::Sum,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{MemoryBudget, Notification, Samples};
use crate::{alert::element::MaxValues, label::ConsoleLabel};

/// Probes that wait for the writer at most; who asks then waits for a place.
const PROBES_WAITING: usize = 4;
/// From one try of a patient sender to the next.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Notifications on their way to a commit, with the way back for the answer.
#[derive(Debug)]
pub struct Entry {
    /// The notifications to store; many of them in several commits.
    pub notifications: Vec<Notification>,
    /// Told once all of it is durable, or a commit has failed.
    pub reply: oneshot::Sender<Result<Receipt, DoorError>>,
}

/// The outcome of a batch: everything in it is durable now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Stored, to be imported.
    pub accepted: usize,
    /// Of the accepted, those of which no version was there before.
    pub first_seen: usize,
    /// Already there in the same version, or older than what is there.
    pub duplicates: usize,
    /// Kept for the first time, as dead letters: they cannot be imported.
    pub dead_letters: usize,
}

impl AddAssign for Receipt {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.first_seen += other.first_seen;
        self.duplicates += other.duplicates;
        self.dead_letters += other.dead_letters;
    }
}

impl Sum for Receipt {
    fn sum<I: Iterator<Item = Self>>(receipts: I) -> Self {
        receipts.fold(Self::default(), |mut sum, receipt| {
            sum += receipt;
            sum
        })
    }
}

/// The end of a door that the journal's writer holds.
#[derive(Debug)]
pub struct Entries {
    /// Deliveries to store.
    pub deliveries: mpsc::Receiver<Entry>,
    /// Questions whether something could be stored now.
    pub probes: mpsc::Receiver<oneshot::Sender<Result<(), DoorError>>>,
}

/// The reason for which a delivery was not stored, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// The queue in front of the journal is full.
    #[error("too many deliveries are waiting for the journal; try again shortly")]
    Busy,
    /// The journal has no room for more. Told to the log when it begins and when it ends.
    #[error("the journal has no room for more; make room on its disk")]
    NoRoom,
    /// The journal could not commit.
    #[error("the journal could not store the delivery: {0}")]
    Failed(String),
    /// The service is shutting down.
    #[error("the service is shutting down")]
    Closed,
}

/// The journal's door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    sender: mpsc::Sender<Entry>,
    probes: mpsc::Sender<oneshot::Sender<Result<(), DoorError>>>,
    has_no_room: Arc<AtomicBool>,
    console: ConsoleLabel,
    samples: Arc<Samples>,
    memory: MemoryBudget,
    max_values: MaxValues,
}

impl Door {
    /// A door behind which at most `queue` batches wait, and the end that the journal's writer
    /// holds.
    pub fn new(queue: usize) -> (Self, Entries) {
        let (sender, deliveries) = mpsc::channel(queue.max(1));
        let (probes, probes_received) = mpsc::channel(PROBES_WAITING);
        let door = Self {
            sender,
            probes,
            has_no_room: Arc::default(),
            console: ConsoleLabel::default(),
            memory: MemoryBudget::default(),
            samples: Arc::default(),
            max_values: MaxValues::default(),
        };
        (door, Entries { deliveries, probes: probes_received })
    }

    /// For what is read within `memory`, and at most `max_values` of an element.
    #[must_use]
    pub fn bounded(self, memory: MemoryBudget, max_values: MaxValues) -> Self {
        Self { memory, max_values, ..self }
    }

    /// The memory budget of what comes through it.
    pub(crate) fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// The most values that are built of an element.
    pub fn max_values(&self) -> MaxValues {
        self.max_values
    }

    /// Through which only so much of unknown kinds goes.
    #[must_use]
    pub fn sampling(self, samples: Samples) -> Self {
        Self { samples: Arc::new(samples), ..self }
    }

    /// Returns the samples that are kept of unknown kinds.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Through which only what is of this console goes.
    #[must_use]
    pub fn of_console(self, console: ConsoleLabel) -> Self {
        Self { console, ..self }
    }

    /// Returns the console whose notifications go through it.
    pub fn console(&self) -> &ConsoleLabel {
        &self.console
    }

    /// Refuses everything from now on, until [`Door::has_room`].
    pub fn has_no_room(&self) {
        self.has_no_room.store(true, Ordering::Relaxed);
    }

    /// Lets everything in again.
    pub fn has_room(&self) {
        self.has_no_room.store(false, Ordering::Relaxed);
    }

    fn check_room(&self) -> Result<(), DoorError> {
        if self.has_no_room.load(Ordering::Relaxed) { Err(DoorError::NoRoom) } else { Ok(()) }
    }

    /// Stores `notifications`; `Ok` means durable. Refuses at once when the queue is full.
    ///
    /// # Errors
    /// [`DoorError`]; the batch is not acknowledged, and what is stored of it is known when it comes again.
    pub async fn append(&self, notifications: Vec<Notification>) -> Result<Receipt, DoorError> {
        self.check_room()?;
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(Entry { notifications, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DoorError::Busy,
            mpsc::error::TrySendError::Closed(_) => DoorError::Closed,
        })?;
        answer.await.unwrap_or(Err(DoorError::Closed))
    }

    /// As [`Door::append`], but waits for its turn: for the sweep, which can.
    ///
    /// # Errors
    /// [`DoorError::NoRoom`], [`DoorError::Failed`] or [`DoorError::Closed`].
    pub async fn append_in_turn(
        &self,
        notifications: Vec<Notification>,
    ) -> Result<Receipt, DoorError> {
        self.check_room()?;
        let (reply, answer) = oneshot::channel();
        self.sender
            .send(Entry { notifications, reply })
            .await
            .map_err(|_closed| DoorError::Closed)?;
        answer.await.unwrap_or(Err(DoorError::Closed))
    }
}

impl Door {
    /// Asks the writer whether a delivery could be stored now: it writes as much as one. Whether there is
    /// room does not matter here.
    ///
    /// # Errors
    /// [`DoorError::Failed`] or [`DoorError::Closed`].
    pub async fn probe(&self) -> Result<(), DoorError> {
        let (reply, answer) = oneshot::channel();
        self.probes.send(reply).await.map_err(|_closed| DoorError::Closed)?;
        answer.await.unwrap_or(Err(DoorError::Closed))
    }

    /// As [`Door::append_in_turn`], but tries again until `give_up` is cancelled, once at least: for those
    /// whose sender cannot be asked to send it again. `tell` hears why it has to wait, each time.
    ///
    /// # Errors
    /// [`DoorError::Closed`]: it could not be stored before the end.
    pub async fn append_patiently(
        &self,
        notifications: Vec<Notification>,
        give_up: &CancellationToken,
        mut tell: impl FnMut(&DoorError),
    ) -> Result<Receipt, DoorError> {
        loop {
            match self.append_in_turn(notifications.clone()).await {
                Err(reason) if reason != DoorError::Closed => tell(&reason),
                ended => return ended,
            }
            let pause = tokio::time::sleep(RETRY_EVERY);
            if give_up.run_until_cancelled(pause).await.is_none() {
                return Err(DoorError::Closed);
            }
        }
    }
}
