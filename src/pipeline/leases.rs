//! The leases of what is under way in this process: renewed for as long as it is, and judged before
//! anything of it leaves.
//!
//! A lease is renewed before each claim, by the time of that claim, so that none takes what is under way
//! here; and in between by a timer, for other replicas that may claim. A lease counts from the moment
//! *before* its statement was sent, so that it ends here before it ends in the journal. It has ended as
//! soon as either the wall clock or the clock that counts while the machine is suspended says so, or
//! the journal did not renew it. Nothing of an event leaves then: whoever holds the event now sends it,
//! and perhaps has sent a newer version of it already.
//!
//! The lease is judged before the first message of an event. What has begun to leave goes on to its last
//! message, which takes moments: a sink hands over a bounded amount at a time (`opencti::publish`).
//!
//! Does not live here: what a lease means (`journal`).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tracing::{error, warn};

use crate::{
    clock::{Clock, Moment},
    journal::{Claim, EventId, Journal, JournalError},
    opencti::LeaseCheck,
};

/// Parts of a lease after which the timer looks.
const LOOKS_A_LEASE: u32 = 4;

/// The leases that are held.
pub(super) struct Leases {
    length: Duration,
    clock: Clock,
    held: Mutex<BTreeMap<EventId, Held>>,
}

#[derive(Clone, Copy)]
struct Held {
    claim: Claim,
    until: Moment,
}

/// Keeps an event's lease until it is dropped.
pub(super) struct Lease {
    leases: Arc<Leases>,
    claim: Claim,
}

impl Leases {
    /// Leases of this length; none yet.
    pub(super) fn new(length: Duration, clock: Clock) -> Arc<Self> {
        Arc::new(Self { length, clock, held: Mutex::default() })
    }

    /// Keeps the lease of an event; its claim was sent at `sent_at` or later.
    pub(super) fn keep(self: &Arc<Self>, claim: Claim, sent_at: Moment) -> Lease {
        let until = sent_at.after(self.length);
        self.held.lock().insert(claim.event, Held { claim, until });
        Lease { leases: Arc::clone(self), claim }
    }

    /// Returns whether this claim's lease has not ended yet.
    pub(super) fn holds(&self, claim: Claim) -> bool {
        let now = self.clock.moment();
        let held = self.held.lock();
        held.get(&claim.event).is_some_and(|it| it.claim == claim && !now.has_reached(it.until))
    }

    /// The check that a sink makes before anything of these claims leaves.
    pub(super) fn check(self: &Arc<Self>, claims: impl Iterator<Item = Claim>) -> LeaseCheck {
        let claims: HashMap<EventId, Claim> = claims.map(|claim| (claim.event, claim)).collect();
        let leases = Arc::clone(self);
        LeaseCheck::new(move |event| claims.get(&event).is_some_and(|claim| leases.holds(*claim)))
    }

    /// Renews those of which half has passed, and those that end later than any can: the clock was set
    /// back, and what the journal holds with it. Those that the journal does not renew are lost.
    /// `now` was read before this was called.
    pub(super) async fn renew(&self, journal: &Journal, now: Moment) -> Result<(), JournalError> {
        let (half, latest) = (now.after(self.length / 2), now.after(self.length));
        let is_ageing = |it: &&Held| half.has_reached(it.until) || it.until.wall > latest.wall;
        let ageing: Vec<Claim> =
            self.held.lock().values().filter(is_ageing).map(|it| it.claim).collect();
        if ageing.is_empty() {
            return Ok(());
        }
        let renewed = journal.renew(&ageing, self.length, now.wall).await?;
        let renewed: HashSet<EventId> = renewed.into_iter().map(|claim| claim.event).collect();
        let mut lost = 0_usize;
        let mut held = self.held.lock();
        for claim in ageing {
            // It may have ended, or have been claimed anew, meanwhile.
            let Some(it) = held.get_mut(&claim.event).filter(|it| it.claim == claim) else {
                continue;
            };
            if renewed.contains(&claim.event) {
                it.until = latest;
            } else {
                held.remove(&claim.event);
                lost += 1;
            }
        }
        drop(held);
        if lost > 0 {
            warn!(
                events = lost,
                "leases were lost: this process stood still, or could not reach the journal, for \
                 longer than HARFANGLAB_INCIDENTS_LEASE; the events are left to whoever claims them"
            );
        }
        Ok(())
    }

    /// Renews for ever.
    pub(super) async fn renew_in_time(self: Arc<Self>, journal: Journal) {
        loop {
            tokio::time::sleep(self.length / LOOKS_A_LEASE).await;
            if let Err(failure) = self.renew(&journal, self.clock.moment()).await {
                error!(%failure, "the leases of what is under way could not be renewed");
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held.lock();
        // It may have been put back and claimed anew meanwhile.
        if held.get(&self.claim.event).is_some_and(|it| it.claim == self.claim) {
            held.remove(&self.claim.event);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        intake::{Notification, dialect::Dialect, verification::Proof},
        journal::SqliteDatabase,
    };

    const LEASE: Duration = Duration::from_mins(5);
    const MINUTE: Duration = Duration::from_mins(1);

    /// Both clocks of a machine, which a test sets.
    #[derive(Clone)]
    struct Machine(Arc<Mutex<Moment>>);

    impl Machine {
        fn new() -> Self {
            let wall = "2026-05-26T08:40:00Z".parse().unwrap();
            Self(Arc::new(Mutex::new(Moment { wall, since_boot: MINUTE })))
        }

        fn clock(&self) -> Clock {
            let machine = self.clone();
            Clock::of_moments(move || *machine.0.lock())
        }

        fn goes_on(&self, wall: TimeDelta, since_boot: Duration) {
            let mut now = self.0.lock();
            now.wall += wall;
            now.since_boot += since_boot;
        }
    }

    async fn journal_with_one_alert(folder: &TempDir, now: DateTime<Utc>) -> Journal {
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal =
            Journal::new(SqliteDatabase::open(&url).await.unwrap(), "https://console.example");
        let element = json!({
            "log_type": "alert", "alert_type": "sigma", "alert_unique_id": "a", "status": "new",
        });
        let proof = Proof::answered_by_console(now);
        let alert =
            Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string());
        journal.append(&[vec![alert]]).await.unwrap();
        journal
    }

    #[test]
    fn a_lease_has_ended_when_either_clock_says_so() {
        let claim = Claim { event: 1, attempt: 1, fence: 1 };
        for (wall, since_boot, holds) in [
            (TimeDelta::minutes(4), MINUTE * 4, true),
            // Suspended, and the wall clock was not set right since.
            (TimeDelta::zero(), MINUTE * 5, false),
            (TimeDelta::minutes(-60), MINUTE * 5, false),
            // A virtual machine that its host stopped; or a clock that was set ahead.
            (TimeDelta::minutes(5), Duration::ZERO, false),
            // Set back: it ends by the other clock.
            (TimeDelta::minutes(-60), MINUTE * 4, true),
        ] {
            let machine = Machine::new();
            let leases = Leases::new(LEASE, machine.clock());
            let _under_way = leases.keep(claim, machine.clock().moment());
            machine.goes_on(wall, since_boot);
            assert_eq!(leases.holds(claim), holds, "{wall} {since_boot:?}");
            let check = leases.check([claim].into_iter());
            assert_eq!(check.holds(Some(&1)), holds);
        }
    }

    #[test]
    fn a_claim_made_anew_does_not_extend_the_lease_of_the_one_before() {
        let machine = Machine::new();
        let leases = Leases::new(LEASE, machine.clock());
        let before = Claim { event: 1, attempt: 1, fence: 1 };
        let anew = Claim { event: 1, attempt: 2, fence: 2 };
        let first = leases.keep(before, machine.clock().moment());
        let _second = leases.keep(anew, machine.clock().moment());
        assert!(!leases.holds(before) && leases.holds(anew));
        drop(first);
        assert!(leases.holds(anew));
    }

    #[tokio::test]
    async fn what_the_journal_does_not_renew_is_lost() {
        let folder = TempDir::new().unwrap();
        let machine = Machine::new();
        let now = machine.clock().moment();
        let journal = journal_with_one_alert(&folder, now.wall).await;
        let claimed = journal.claim(1, LEASE, now.wall).await.unwrap().remove(0);
        let leases = Leases::new(LEASE, machine.clock());
        let _under_way = leases.keep(claimed.claim, now);
        // Somebody else takes it.
        let later = now.after(LEASE);
        journal.claim(1, LEASE, later.wall).await.unwrap().remove(0);
        assert!(leases.holds(claimed.claim), "as far as is known here");
        leases.renew(&journal, now.after(MINUTE * 4)).await.unwrap();
        assert!(!leases.holds(claimed.claim));
    }

    #[tokio::test]
    async fn what_is_under_way_stays_ours_when_the_clock_is_set_back() {
        let folder = TempDir::new().unwrap();
        let machine = Machine::new();
        let now = || machine.clock().moment();
        let journal = journal_with_one_alert(&folder, now().wall).await;
        let claimed = journal.claim(1, LEASE, now().wall).await.unwrap().remove(0);
        let leases = Leases::new(LEASE, machine.clock());
        let _under_way = leases.keep(claimed.claim, now());
        machine.goes_on(TimeDelta::hours(-1), Duration::ZERO);
        // As the pipeline claims.
        for minutes in 0..9 {
            leases.renew(&journal, now()).await.unwrap();
            let twice = journal.claim(1, LEASE, now().wall).await.unwrap();
            assert!(twice.is_empty(), "taken twice after {minutes} minutes");
            assert!(leases.holds(claimed.claim), "after {minutes} minutes");
            machine.goes_on(TimeDelta::minutes(1), MINUTE);
        }
    }
}
