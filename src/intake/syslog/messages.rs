//! Contents of frames: each verified, read as a posted body is, and all that they held committed
//! together. Nothing that was read is dropped: what cannot be stored now is tried again.

use std::{net::IpAddr, sync::Arc};

use actix_web::web::Bytes;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{header::Message, refusal::Refusal, standing::SyslogStanding};
use crate::{
    clock::Clock,
    complaints::Complaints,
    intake::{
        Door, DoorError, Notification,
        attempts::{Exhausted, FailedAttempts},
        decode::{self, DecodeError, Element, decode},
        dialect::counted_as,
        memory::{Charge, SMALL_BYTES},
        sort,
        verification::{NotProven, Sender, Strength, SyslogVerifier},
    },
};

/// Elements one message may hold; HarfangLab puts one into each.
const ELEMENTS_MAX: usize = 1_000;
/// Wrong tokens a minute and address, after which its connections are closed.
const FAILURES_MAX: u32 = 30;

/// The parts shared by all connections.
pub(super) struct Shared {
    pub(super) verifier: Arc<ArcSwap<SyslogVerifier>>,
    pub(super) door: Door,
    pub(super) clock: Clock,
    pub(super) standing: Arc<SyslogStanding>,
    failed: FailedAttempts,
    complaints: Complaints,
    waiting: Complaints,
    /// No more time to store what was read.
    pub(super) give_up: CancellationToken,
}

/// The future of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GoOn {
    Yes,
    No,
}

/// The result of reading a handful of frames.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) notifications: Vec<Notification>,
    pub(super) verified: usize,
}

impl Shared {
    pub(super) fn new(
        verifier: Arc<ArcSwap<SyslogVerifier>>,
        door: Door,
        clock: Clock,
        standing: Arc<SyslogStanding>,
    ) -> Self {
        Self {
            verifier,
            door,
            clock,
            standing,
            failed: FailedAttempts::new(FAILURES_MAX),
            complaints: Complaints::default(),
            waiting: Complaints::default(),
            give_up: CancellationToken::new(),
        }
    }

    /// Counts a refusal, and tells the log at most once a minute.
    pub(super) fn refuse(&self, address: IpAddr, refusal: &Refusal) {
        self.standing.refused(refusal.reason());
        if let Some(left_out) = self.complaints.due(self.clock.now()) {
            let reason = refusal.reason();
            warn!(%address, reason, left_out, "something that came by syslog was refused: {refusal}");
        }
    }

    /// Returns whether a connection from `address` may begin.
    pub(super) fn admit(&self, address: IpAddr) -> Result<(), Refusal> {
        Ok(self.verifier.load().admit(address)?)
    }

    /// Waits for the memory in which frames are read and kept until they are stored; nothing more is
    /// read meanwhile. `None` when the service ends before there is any.
    pub(super) async fn charge(&self, frames: &[Bytes]) -> Option<Charge> {
        let bytes = frames.iter().map(Bytes::len).sum();
        let memory = self.door.memory();
        let mut charge = Charge::default();
        if bytes > SMALL_BYTES || memory.charge(&mut charge, bytes).is_err() {
            self.give_up.run_until_cancelled(memory.await_turn(&mut charge)).await?;
        }
        Some(charge)
    }

    /// Verifies and reads one frame; what it holds is added to `read`.
    pub(super) fn take(&self, sender: Sender, frame: &Bytes, read: &mut Read) -> GoOn {
        metrics::counter!("syslog_messages_total").increment(1);
        match self.understand(sender, frame, read) {
            Ok(()) => GoOn::Yes,
            Err(refusal) => {
                self.refuse(sender.address, &refusal);
                self.after(sender.address, &refusal)
            }
        }
    }

    fn understand(&self, sender: Sender, frame: &Bytes, read: &mut Read) -> Result<(), Refusal> {
        let now = self.clock.now();
        let message = Message::parse(frame)?;
        let (proof, strength) = self.verifier.load().verify(sender, &message, now)?;
        let has_failed = || self.failed.wait_seconds(sender.address, now).is_some();
        if strength == Strength::Weak && has_failed() {
            return Err(Refusal::TooManyFailures);
        }
        self.standing.verified(now);
        read.verified += 1;
        let text = decode::text_of(message.body());
        let (elements, outcome) = match decode(&text, ELEMENTS_MAX) {
            Ok(elements) => (elements, Ok(())),
            Err(error @ DecodeError::Empty) => return Err(Refusal::NotJson(error)),
            Err(error) => {
                // Cut by a relay, or with something before it: it may have been an alert.
                let reason = format!("it came by syslog, and {error}").into();
                let text = text.as_ref().into();
                (vec![Element::Unreadable { text, reason }], Err(Refusal::NotJson(error)))
            }
        };
        let sorted = sort(&proof, elements, self.door.samples(), self.door.max_values());
        if sorted.is_connection_test() {
            info!("the console tested the connection by syslog");
        }
        for kind in &sorted.telemetry {
            metrics::counter!("syslog_ignored_total", "kind" => counted_as(kind)).increment(1);
        }
        read.notifications.extend(sorted.notifications);
        outcome
    }

    /// Takes the connection from whoever guesses tokens; one who forgot the token is merely not heard.
    fn after(&self, address: IpAddr, refusal: &Refusal) -> GoOn {
        if *refusal == Refusal::TooManyFailures {
            return GoOn::No;
        }
        let has_guessed = *refusal == Refusal::NotProven(NotProven::Mismatch);
        if has_guessed && self.failed.note(address, self.clock.now()) == Exhausted::Yes {
            self.refuse(address, &Refusal::TooManyFailures);
            return GoOn::No;
        }
        GoOn::Yes
    }

    /// Commits what was read, however long it takes. Whoever waits here reads no more.
    ///
    /// # Errors
    /// [`DoorError`] when the service ends and it could not be stored.
    pub(super) async fn store(&self, notifications: Vec<Notification>) -> Result<(), DoorError> {
        if notifications.is_empty() {
            return Ok(());
        }
        let mut has_waited = false;
        let tell = |reason: &DoorError| {
            has_waited = true;
            if let Some(left_out) = self.waiting.due(self.clock.now()) {
                warn!(
                    %reason,
                    left_out,
                    "what came by syslog cannot be stored yet: nothing more is read until it can"
                );
            }
        };
        let receipt = self.door.append_patiently(notifications, &self.give_up, tell).await?;
        self.standing.stored(self.clock.now());
        if has_waited {
            let accepted = receipt.accepted;
            info!(accepted, "what came by syslog is stored now; reading goes on");
        }
        Ok(())
    }
}
