//! The journal against a model of it in memory: random operations, crashes between them, and after
//! each the same answers, on both databases. Written over the trait: what opens a journal is a
//! parameter.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    intake::{Notification, Origin, dialect::Dialect, verification::Proof},
    journal::{Claim, Counts, Journal, Outcome, Retried},
};
use proptest::{prelude::*, test_runner::Config};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    app::is_long,
    stores::{CONSOLE, fresh_schema, open_replica, open_sqlite, server},
    verification::proof_of_a_push,
};

const LEASE: Duration = Duration::from_mins(5);
/// So many that a claim finds more than one of each kind to choose from.
const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const VERSIONS: [&str; 4] = ["new", "investigating", "closed", "false_positive"];

#[derive(Debug, Clone)]
enum Step {
    Append {
        key: usize,
        version: usize,
        origin: Origin,
    },
    Claim {
        limit: usize,
    },
    /// Ends one of the claims ever made, also one whose lease was lost.
    Finish {
        claim: prop::sample::Index,
        how: How,
    },
    Wait {
        minutes: i64,
    },
    /// The process dies and another one opens the journal.
    Crash,
    Retry {
        row: prop::sample::Index,
    },
    Discard {
        row: prop::sample::Index,
    },
}

#[derive(Debug, Clone, Copy)]
enum How {
    Delivered,
    Filtered,
    Superseded,
    Dead,
    Later,
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        4 => Just(How::Delivered),
        1 => Just(How::Filtered),
        1 => Just(How::Superseded),
        4 => Just(How::Dead),
        4 => Just(How::Later),
    ];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..KEYS.len(), 0..VERSIONS.len(), prop::bool::ANY).prop_map(|(key, version, swept)| {
            Step::Append { key, version, origin: if swept { Origin::Sweep } else { Origin::Push } }
        }),
        5 => (1..4_usize).prop_map(|limit| Step::Claim { limit }),
        5 => (index(), how).prop_map(|(claim, how)| Step::Finish { claim, how }),
        2 => (1..8_i64).prop_map(|minutes| Step::Wait { minutes }),
        1 => Just(Step::Crash),
        3 => index().prop_map(|row| Step::Retry { row }),
        1 => index().prop_map(|row| Step::Discard { row }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Delivered,
    Filtered,
    Superseded,
    Dead,
    Dropped,
}

#[derive(Debug, Clone)]
struct Row {
    key: &'static str,
    version: &'static str,
    state: State,
    due: DateTime<Utc>,
    /// A delivery was put off, or a person asked for it again.
    is_put_back: bool,
    leased_until: Option<DateTime<Utc>>,
    claims: u32,
    claims_before: u32,
}

/// The journal as its header describes it. Rows are in the order of their arrival.
#[derive(Default)]
struct Model {
    rows: Vec<Row>,
}

impl Model {
    /// Returns whether it is new. None of them says of when it is: what is pushed may be late, so it is new
    /// the first time only; what the console shows is how it is now, whatever was before.
    fn append(
        &mut self,
        key: &'static str,
        version: &'static str,
        origin: Origin,
        now: DateTime<Utc>,
    ) -> bool {
        let mut versions = self.rows.iter().filter(|row| row.key == key).map(|row| row.version);
        let is_there = match origin {
            Origin::Push => versions.any(|known| known == version),
            _ => versions.next_back() == Some(version),
        };
        if is_there {
            return false;
        }
        self.rows.push(Row {
            key,
            version,
            state: State::Pending,
            due: now,
            is_put_back: false,
            leased_until: None,
            claims: 0,
            claims_before: 0,
        });
        true
    }

    /// Places of the rows that are taken.
    fn claim(&mut self, limit: usize, now: DateTime<Utc>) -> Vec<usize> {
        let is_leased = |row: &Row| row.leased_until.is_some_and(|until| until > now);
        let holds_up = |place: usize, other: usize| {
            let (row, before) = (&self.rows[place], &self.rows[other]);
            other != place
                && before.key == row.key
                && before.state == State::Pending
                && (other < place || is_leased(before))
        };
        let mut free: Vec<usize> = (0..self.rows.len())
            .filter(|place| {
                let row = &self.rows[*place];
                row.state == State::Pending && row.due <= now && !is_leased(row)
            })
            .filter(|place| !(0..self.rows.len()).any(|other| holds_up(*place, other)))
            .collect();
        let by_due = |place: &usize| (self.rows[*place].due, *place);
        free.sort_by_key(by_due);
        let (mut taken, mut others): (Vec<usize>, Vec<usize>) =
            free.into_iter().partition(|place| self.rows[*place].is_put_back);
        // Half for either kind; one takes what the other leaves.
        let left_by_others = limit.saturating_sub(others.len());
        taken.truncate(limit.div_ceil(2).max(left_by_others));
        others.truncate(limit - taken.len());
        taken.append(&mut others);
        taken.sort_by_key(by_due);
        for place in &taken {
            self.rows[*place].claims += 1;
            self.rows[*place].leased_until = Some(now + LEASE);
        }
        taken
    }

    fn finish(&mut self, place: usize, fence: u32, how: How, now: DateTime<Utc>) {
        let row = &mut self.rows[place];
        let is_delivered = matches!(how, How::Delivered);
        if row.state != State::Pending || row.claims != fence {
            return;
        }
        row.leased_until = None;
        match how {
            How::Delivered => row.state = State::Delivered,
            How::Filtered => row.state = State::Filtered,
            How::Superseded => row.state = State::Superseded,
            How::Dead => row.state = State::Dead,
            How::Later => {
                (row.due, row.is_put_back) = (now + TimeDelta::minutes(3), true);
            }
        }
        if is_delivered {
            let key = row.key;
            let is_later_delivered = |row: &Row| row.key == key && row.state == State::Delivered;
            assert!(!self.rows[place + 1..].iter().any(is_later_delivered), "out of order");
            for older in self.rows[..place].iter_mut().filter(|row| row.key == key) {
                if older.state == State::Pending {
                    (older.state, older.leased_until) = (State::Superseded, None);
                }
            }
        }
    }

    fn retry(&mut self, place: usize, now: DateTime<Utc>) -> Retried {
        let row = &self.rows[place];
        // The text of what was dropped is gone.
        if row.state != State::Dead {
            return Retried::NotThere;
        }
        let is_newer = |other: &Row| other.key == row.key && other.state == State::Delivered;
        let is_overtaken = self.rows[place + 1..].iter().any(is_newer);
        let row = &mut self.rows[place];
        if is_overtaken {
            row.state = State::Superseded;
            return Retried::Superseded;
        }
        // Whoever still ends the claim before, ends nothing.
        row.claims += 1;
        (row.state, row.due, row.claims_before) = (State::Pending, now, row.claims);
        row.is_put_back = true;
        Retried::Pending
    }

    fn crash(&mut self) {
        self.rows.iter_mut().for_each(|row| row.leased_until = None);
    }

    fn count(&self, state: State) -> u64 {
        self.rows.iter().filter(|row| row.state == state).count() as u64
    }

    fn assert_counts(&self, counts: Counts) {
        let expected = (
            self.count(State::Pending),
            self.count(State::Delivered),
            self.count(State::Filtered),
            self.count(State::Superseded),
            self.count(State::Dead),
            self.count(State::Dropped),
        );
        let Counts { pending, delivered, filtered, superseded, dead, dropped, .. } = counts;
        assert_eq!((pending, delivered, filtered, superseded, dead, dropped), expected);
    }
}

fn notification(key: &str, version: &str, origin: Origin, now: DateTime<Utc>) -> Notification {
    let element = json!({
        "log_type": "alert", "alert_type": "sigma", "alert_unique_id": key, "status": version,
        "level": "high", "rule_name": "Suspicious Thing", "agent": { "agentid": "x" },
    });
    let proof = match origin {
        Origin::Push => proof_of_a_push(now),
        _ => Proof::answered_by_console(now),
    };
    Notification::of_dialect(&proof, Dialect::NativeAlert, &element, element.to_string())
}

fn outcome(how: How, now: DateTime<Utc>) -> Outcome {
    match how {
        How::Delivered => Outcome::Delivered { root_id: "incident--x".to_owned(), remark: None },
        How::Filtered => Outcome::Filtered { reason: "filtered".to_owned() },
        How::Superseded => Outcome::Superseded,
        How::Dead => Outcome::Dead { reason: "dead".to_owned() },
        How::Later => {
            Outcome::Later { at: now + TimeDelta::minutes(3), reason: "later".to_owned() }
        }
    }
}

/// The leases of a process that died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leases {
    /// The next process is alone and takes them for nobody's.
    EndWithTheProcess,
    /// Other replicas may hold them: they run out.
    RunOut,
}

/// One run: journal, model and what both have in common.
struct Run<Open> {
    open: Open,
    leases: Leases,
    /// `None` while no process has it.
    journal: Option<Journal>,
    model: Model,
    now: DateTime<Utc>,
    /// Every claim ever made, with the place of its row.
    claims: Vec<(Claim, usize)>,
    /// Event ids, as far as claims have shown them.
    ids: BTreeMap<usize, i64>,
}

impl<Open: AsyncFn() -> Journal> Run<Open> {
    async fn new(open: Open, leases: Leases) -> Self {
        let journal = Some(open().await);
        let now = "2026-05-26T07:40:00Z".parse().unwrap();
        let (claims, ids) = (Vec::new(), BTreeMap::new());
        Self { open, leases, journal, model: Model::default(), now, claims, ids }
    }

    async fn take(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Append { key, version, origin } => {
                let (key, version) = (KEYS[*key], VERSIONS[*version]);
                let batch = vec![notification(key, version, *origin, now)];
                let receipt = self.journal().append(&[batch]).await.unwrap().remove(0);
                assert_eq!(receipt.accepted == 1, self.model.append(key, version, *origin, now));
            }
            Step::Claim { limit } => self.claim(*limit).await,
            Step::Finish { claim, how } => {
                if !self.claims.is_empty() {
                    let (claim, place) = *claim.get(&self.claims);
                    self.finish(claim, place, *how).await;
                }
            }
            Step::Wait { minutes } => self.now += TimeDelta::minutes(*minutes),
            Step::Crash => self.crash().await,
            Step::Retry { row } => {
                if let Some((place, id)) = self.known(*row) {
                    let became = self.journal().retry(&[id], now).await.unwrap().remove(0);
                    assert_eq!(became, self.model.retry(place, now));
                }
            }
            Step::Discard { row } => {
                if let Some((place, id)) = self.known(*row) {
                    let dropped = self.journal().discard(&[id], now).await.unwrap();
                    let row = &mut self.model.rows[place];
                    assert_eq!(dropped == 1, row.state == State::Dead);
                    if dropped == 1 {
                        row.state = State::Dropped;
                    }
                }
            }
        }
        self.model.assert_counts(self.journal().counts().await.unwrap());
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().expect("it is open between the steps")
    }

    fn known(&self, row: prop::sample::Index) -> Option<(usize, i64)> {
        let known: Vec<_> = self.ids.iter().map(|(place, id)| (*place, *id)).collect();
        (!known.is_empty()).then(|| *row.get(&known))
    }

    async fn claim(&mut self, limit: usize) {
        let events = self.journal().claim(limit, LEASE, self.now).await.unwrap();
        let places = self.model.claim(limit, self.now);
        assert_eq!(events.len(), places.len());
        for (event, place) in events.into_iter().zip(places) {
            let row = &self.model.rows[place];
            let version = event.version.split('|').next().unwrap();
            assert_eq!((event.key.as_str(), version), (row.key, row.version));
            let numbers = (event.claim.fence, event.claim.attempt);
            assert_eq!(numbers, (row.claims, row.claims - row.claims_before));
            self.ids.insert(place, event.claim.event);
            self.claims.push((event.claim, place));
        }
    }

    async fn finish(&mut self, claim: Claim, place: usize, how: How) {
        self.journal().finish(&[(claim, outcome(how, self.now))], self.now).await.unwrap();
        self.model.finish(place, claim.fence, how, self.now);
    }

    async fn crash(&mut self) {
        // A journal that is in use is not opened a second time, so the old one goes first.
        self.journal = None;
        self.journal = Some((self.open)().await);
        if self.leases == Leases::EndWithTheProcess {
            self.model.crash();
        }
    }

    /// Whatever happened, everything finds its end.
    async fn drain(&mut self) {
        self.crash().await;
        while !self.journal().is_drained().await.unwrap() {
            self.now += TimeDelta::minutes(10);
            let first = self.claims.len();
            self.claim(100).await;
            let taken = self.claims[first..].to_vec();
            for (claim, place) in taken {
                self.finish(claim, place, How::Delivered).await;
            }
            assert!(self.claims.len() > first, "what waits is due some day");
        }
        self.model.assert_counts(self.journal().counts().await.unwrap());
        assert_eq!(self.journal().next_due().await.unwrap(), None);
    }
}

/// A folder in memory where the system has one: what a disk adds to each of the many steps is time,
/// and here no power fails.
fn folder() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

fn cases() -> u32 {
    if is_long() { 1_000 } else { 16 }
}

fn run(steps: &[Step], leases: Leases, open: impl AsyncFn() -> Journal) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut run = Run::new(open, leases).await;
        for step in steps {
            run.take(step).await;
        }
        run.drain().await;
    });
}

proptest! {
    #![proptest_config(Config { cases: cases(), failure_persistence: None, ..Config::default() })]

    #[test]
    fn sqlite_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let folder = folder();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        run(&steps, Leases::EndWithTheProcess, async || {
            open_sqlite(&url, CONSOLE).await
        });
    }

    #[test]
    fn postgresql_does_what_the_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let place = std::cell::OnceCell::new();
        run(&steps, Leases::RunOut, async || {
            if place.get().is_none() {
                let _first = place.set(fresh_schema(&server()).await);
            }
            let url = place.get().unwrap();
            open_replica(url, 2).await
        });
    }
}
