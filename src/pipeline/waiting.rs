//! For how long an event waits for the console: before it first leaves, for its confirmation, and
//! as a follow-up. The console never keeps an alert from being delivered, unless the operator wants
//! every push confirmed.
//!
//! ```text
//! pushed ──▶ asked ──▶ all known ─────────────────────────▶ delivered
//!              │ ▲                                              ▲
//!   not there: │ │ once after the first wait                    │ more is known
//!   failing:   │ │ a few tries                                  │
//!   silent:    │ │ until the deadline of its look-ups           │
//!   away:      │ │ not at all (`console_outage`)                │
//!              └─┴──▶ delivered in part ──▶ follow-up, asked ───┤
//!                                              ▲      │         │
//!                                              └ later ┘        ▼
//!                                                      gave up: the sweep's turn
//! ```

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::{console_outage::ConsoleOutage, enrich::Found, prepare::Preparer, retry};
use crate::{
    clock::Clock,
    config::HarfangLabSettings,
    harfanglab::ConsoleError,
    intake::{Origin, dialect::Dialect},
    journal::{Event, FollowUp, MissingEnrichment, Outcome},
};

/// Tries in which a failing console may hold an alert back: seconds, not minutes.
const TRIES_WITH_CONSOLE: u32 = 3;
/// Look-ups of an alert: its page, its host, its rule.
const LOOK_UPS: u32 = 3;
/// Least time for them: a busy machine or console is no hung one.
const LOOK_UPS_LEAST: Duration = Duration::from_secs(5);
/// Longest wait between two looks for what a delivered alert lacks.
const FOLLOW_UP_WAIT_MAX: Duration = Duration::from_mins(1);

/// Returns the longest time that the look-ups of an alert may take together before it first leaves: a
/// share of the longest request, and as long as those of `alerts` at once wait for their turn in the
/// console's rate.
pub fn first_look_ups_max(console: &HarfangLabSettings, alerts: usize) -> Duration {
    let alerts = u32::try_from(alerts).unwrap_or(u32::MAX);
    let turn = Duration::from_secs(LOOK_UPS.into()) / console.requests_per_second.max(1);
    let asking = (console.request_timeout / LOOK_UPS).max(LOOK_UPS_LEAST);
    asking.saturating_add(turn.saturating_mul(alerts))
}

/// Until when the look-ups of one event go on.
pub(super) struct Deadline<'a> {
    at: Instant,
    longest: Duration,
    /// The event's leave to ask the console, decided when it first has something to ask.
    may_ask: Option<Result<(), ConsoleError>>,
    outage: &'a ConsoleOutage,
    clock: &'a Clock,
}

impl Deadline<'_> {
    /// Returns what `look_up` finds in time. What is known without asking is found after the deadline
    /// and during an outage, too, and says nothing of the console.
    pub(super) fn ask<T>(
        &mut self,
        look_up: impl Future<Output = Found<T>>,
    ) -> impl Future<Output = Found<T>> {
        // Boxed: it is large, and would be held twice.
        let mut look_up = Box::pin(look_up);
        async move {
            if let Some(known) = look_up.as_mut().now_or_never() {
                return known;
            }
            if let Err(failure) = self.may_ask() {
                return Found::Failed(failure);
            }
            if Instant::now() >= self.at {
                return self.too_late();
            }
            let answers_before = self.outage.answers();
            let found = timeout_at(self.at, look_up).await.unwrap_or_else(|_over| self.too_late());
            match &found {
                Found::NothingToAsk => {}
                Found::Failed(failure) if failure.is_transient() && !failure.is_denied() => {
                    self.outage.failed(failure, answers_before, self.clock.now());
                    if self.outage.is_on() {
                        // It asks for nothing else.
                        self.may_ask = Some(Err(failure.clone()));
                    }
                }
                _ => self.outage.answered(),
            }
            found
        }
    }

    /// Returns the event's leave to ask the console. Only an event that has something to ask takes the
    /// turn that an outage has every now and then.
    fn may_ask(&mut self) -> Result<(), ConsoleError> {
        self.may_ask.get_or_insert_with(|| self.outage.may_ask(self.clock.now())).clone()
    }

    fn too_late<T>(&self) -> Found<T> {
        Found::Failed(ConsoleError::TimedOut {
            path: "the look-ups of an alert or threat".to_owned(),
            after_s: self.longest.as_secs(),
        })
    }
}

/// The result of a look-up, once there is nothing to wait for.
pub(super) enum Settled<T> {
    /// It is known.
    Known(T),
    /// There is nothing more to know.
    Complete,
    /// It is not known, and may be later.
    Incomplete,
}

impl Preparer {
    /// Returns when the look-ups of `event` end that begin now. A follow-up and a threat, for which no
    /// alert waits, have three times as long as an alert that has not left. A threat has them during an
    /// outage, too: its note, its slug and the techniques of its rules would not be added later.
    pub(super) fn deadline(&self, event: &Event) -> Deadline<'_> {
        let is_threat = event.dialect == Dialect::NativeThreat;
        let is_first = event.follow_up.is_none() && !is_threat;
        let first = self.first_look_ups_max;
        let longest = if is_first { first } else { first.saturating_mul(LOOK_UPS) };
        Deadline {
            at: Instant::now() + longest,
            longest,
            may_ask: is_threat.then_some(Ok(())),
            outage: &self.enricher.outage,
            clock: &self.clock,
        }
    }

    /// Decides on the result of a look-up: the event goes on, or waits. `wait_if_absent` is for what the
    /// console shows late.
    pub(super) fn settled<T>(
        &self,
        event: &Event,
        found: Found<T>,
        wait_if_absent: Option<Duration>,
    ) -> Result<Settled<T>, Outcome> {
        let attempt = event.claim.attempt;
        let may_wait = event.follow_up.is_none();
        match found {
            Found::Yes(item) => Ok(Settled::Known(item)),
            Found::NothingToAsk => Ok(Settled::Complete),
            Found::NotThere => match wait_if_absent.filter(|wait| !wait.is_zero()) {
                Some(wait) if may_wait && attempt == 1 => {
                    Err(self.later(wait, "the console does not show the alert yet".to_owned()))
                }
                _ => Ok(Settled::Incomplete),
            },
            Found::Failed(failure) => {
                // A refused token is not put right within seconds, and an alert that has waited for
                // an answer in vain, or whose console is away, leaves at once.
                let is_over = (failure.is_timeout() || self.enricher.outage.is_on())
                    && event.dialect != Dialect::NativeThreat;
                let passes = failure.is_transient() && !failure.is_denied() && !is_over;
                if may_wait && passes && attempt < TRIES_WITH_CONSOLE {
                    let wait = Duration::from_secs(u64::from(attempt) * 2);
                    return Err(self.later(wait, failure.to_string()));
                }
                if is_over {
                    // The outage is told of once.
                    debug!(%failure, "the alert goes out with what is known");
                } else if may_wait && !failure.is_denied() {
                    warn!(
                        %failure,
                        "the console could not be asked; the alert goes out with what is known"
                    );
                }
                Ok(Settled::Incomplete)
            }
        }
    }

    /// Holds a pushed event until the console shows that it exists, when the operator wants that:
    /// what it does not show in time is a dead letter; a console that cannot be asked is waited for.
    pub(super) fn confirmed<T>(&self, event: &Event, found: &Found<T>) -> Result<(), Outcome> {
        if !self.needs_confirmation(event) {
            return Ok(());
        }
        let wait = retry::wait(event.claim.attempt, event.claim.event, FOLLOW_UP_WAIT_MAX);
        match found {
            Found::Yes(_) => Ok(()),
            Found::Failed(failure) => Err(self.later(wait, unconfirmed(failure))),
            Found::NotThere if self.clock.now() < event.received_at + self.enrichment_time() => {
                Err(self.later(wait, "the console does not confirm the alert yet".to_owned()))
            }
            Found::NotThere => Err(Outcome::Dead {
                reason: "the console's API did not show within \
                         HARFANGLAB_INCIDENTS_ENRICHMENT_TIME that this exists \
                         (HARFANGLAB_INCIDENTS_WEBHOOK_CONFIRM): whoever posted it may not be the \
                         console"
                    .to_owned(),
            }),
            Found::NothingToAsk => Err(Outcome::Dead {
                reason:
                    "it says too little to be found on the console, so that the console cannot \
                         confirm it (HARFANGLAB_INCIDENTS_WEBHOOK_CONFIRM)"
                        .to_owned(),
            }),
        }
    }

    /// Returns whether an event must be confirmed before anything is made of it.
    pub(super) fn needs_confirmation(&self, event: &Event) -> bool {
        self.enrichment.confirm && event.origin == Origin::Push
    }

    /// Returns how an event goes on with `missing` still unknown: the follow-up to store with it, if any. A
    /// follow-up that found nothing new waits on or gives up.
    pub(super) fn follow_up(
        &self,
        event: &Event,
        missing: MissingEnrichment,
    ) -> Result<Option<FollowUp>, Outcome> {
        let now = self.clock.now();
        let deadline = match &event.follow_up {
            Some(current) if !missing.is_less_than(current.missing) => {
                if now >= current.deadline {
                    let reason = "the console showed nothing more within \
                                  HARFANGLAB_INCIDENTS_ENRICHMENT_TIME; the sweep completes it";
                    return Err(Outcome::GaveUp { reason: reason.to_owned() });
                }
                let wait = retry::wait(event.claim.attempt, event.claim.event, FOLLOW_UP_WAIT_MAX);
                // The last look is at the deadline itself.
                let at = (now + wait).min(current.deadline);
                let reason = "the console shows nothing more of the alert yet".to_owned();
                return Err(Outcome::Later { at, reason });
            }
            Some(current) => current.deadline,
            None => now + self.enrichment_time(),
        };
        let wait = retry::wait(1, event.claim.event, FOLLOW_UP_WAIT_MAX);
        let due_at = (now + wait).min(deadline);
        Ok(missing.is_any().then_some(FollowUp { missing, due_at, deadline }))
    }

    fn enrichment_time(&self) -> TimeDelta {
        TimeDelta::from_std(self.enrichment.time).unwrap_or(TimeDelta::MAX)
    }
}

fn unconfirmed(failure: &ConsoleError) -> String {
    format!("waits for the console's confirmation: {failure}")
}

#[cfg(test)]
mod tests {
    use std::{
        future::ready,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };

    use chrono::DateTime;

    use super::*;
    use crate::alert::Agent;

    fn clock_of(passed_s: &Arc<AtomicI64>) -> Clock {
        let passed_s = Arc::clone(passed_s);
        Clock::from_fn(move || {
            DateTime::UNIX_EPOCH + TimeDelta::seconds(passed_s.load(Ordering::SeqCst))
        })
    }

    fn deadline<'a>(outage: &'a ConsoleOutage, clock: &'a Clock) -> Deadline<'a> {
        let longest = Duration::from_hours(1);
        Deadline { at: Instant::now() + longest, longest, may_ask: None, outage, clock }
    }

    fn begin(outage: &ConsoleOutage, clock: &Clock) {
        let failure = ConsoleError::TimedOut { path: "/api".to_owned(), after_s: 10 };
        outage.failed(&failure, outage.answers(), clock.now());
    }

    async fn answered() -> Found<Agent> {
        tokio::task::yield_now().await;
        Found::NotThere
    }

    #[tokio::test]
    async fn what_asks_nothing_neither_ends_an_outage_nor_takes_its_turn() {
        let (outage, passed_s) = (ConsoleOutage::default(), Arc::new(AtomicI64::new(0)));
        let clock = clock_of(&passed_s);
        begin(&outage, &clock);
        for seconds in [0, 30] {
            passed_s.store(seconds, Ordering::SeqCst);
            let cached = ready(Found::Yes(Agent::default()));
            let found = deadline(&outage, &clock).ask(cached).await;
            assert!(matches!(found, Found::Yes(_)), "known all the same");
        }
        assert!(outage.may_ask(clock.now()).is_ok(), "the turn was not taken");
        assert!(outage.may_ask(clock.now()).is_err(), "and the console is still away");
    }

    #[tokio::test]
    async fn during_an_outage_no_alert_asks_but_a_threat_does() {
        let (outage, passed_s) = (ConsoleOutage::default(), Arc::new(AtomicI64::new(0)));
        let clock = clock_of(&passed_s);
        begin(&outage, &clock);
        let found = deadline(&outage, &clock).ask(answered()).await;
        assert!(matches!(found, Found::Failed(failure) if failure.is_timeout()));
        let mut of_threat = Deadline { may_ask: Some(Ok(())), ..deadline(&outage, &clock) };
        assert!(matches!(of_threat.ask(answered()).await, Found::NotThere));
        let found = deadline(&outage, &clock).ask(answered()).await;
        assert!(matches!(found, Found::NotThere), "the console answers again");
    }
}
