//! The durable store of notifications, from the commit that allows the 2xx to their end.
//!
//! A row of `events` is one version of one alert or threat. Its state:
//!
//! ```text
//! pending ──claim──▶ pending, leased ──finish──▶ delivered | filtered | superseded | dead
//!    ▲                                   │                                        │  │
//!    ├──────────── try again at ◀────────┘                                        │  │
//!    └──────────────────────── a person asks for it again ◀──────────────────────┘  ▼
//!                                       a person drops it, and its text is removed ▶ dropped
//! ```
//!
//! What always holds:
//! - a version is delivered once, however often and by whatever road it comes. Only the latest
//!   version of a key makes a repetition: a status that changes and goes back is there again, as
//!   the next recurrence of that version. A row is unique by console, key, version, recurrence and
//!   generation, both as received and as later identified;
//! - the latest is the one with the latest date of its own (`last_update`, or the last entry of the
//!   status history), of equal or missing dates the one that came last. What is older than the
//!   latest, a page or a push that was late, undoes nothing: it is a repetition if it was there,
//!   else superseded at once. A push that gives no date never follows a version that has one, nor
//!   one that it repeats: the sweep brings the change with its date. A version without a status was
//!   truncated in transit and counts as a repetition of the latest that has one;
//! - no claim takes a version while an earlier one of the same key is unfinished, unless that was
//!   delivered before and waits to leave once more, which the newer one makes needless;
//! - a follow-up, which waits for the console to show more of a delivered version, is no earlier
//!   version: while it merely waits it holds up nobody. It is claimed only when no received version
//!   of its key is unfinished, and while it is leased no version of its key is claimed, so that it
//!   never leaves after a newer one. A newer version, once delivered, ends it as superseded;
//! - what was delivered incomplete is completed once: a follow-up that gave up is taken up again by
//!   the sweep's item of the same version, one that was delivered is not;
//! - a case refers to every delivered alert of its threat: when one is delivered after it, its newest
//!   delivered version is pending once more, some seconds later, in the commit that says so;
//! - a version that OpenCTI refused in part after its delivery, for a reason that passes, is pending
//!   once more, a bounded number of times, unless a newer one is on its way;
//! - a claim is fenced: whoever lost the lease to another claim, or ended the event before it was
//!   requeued, cannot finish it, whatever the outcome. What it delivered before is delivered once more by that claim, which changes nothing; to
//!   end the event would let a newer version leave while that claim is still sending this one;
//! - a letter that is asked for again leaves before newer versions that still wait, waits for one
//!   that is just leaving, and ends as superseded when a newer one was delivered first;
//! - nothing brings back what a person dropped: the same version, when push or sweep bring it again, is
//!   a duplicate of it;
//! - of unknown kinds a sample is stored, by its shape; it, and the texts of finished events, may go
//!   early when space runs short. Dead letters that may be alerts, and what is pending, never do;
//! - what ended long ago loses its body first and its row much later, so that a version is known
//!   again for as long as anything could bring it. The name of an incident goes when no row of it is
//!   left and it was raised two years before such rows, that of a case with the note that was sent of
//!   it. The date from which an indicator is valid goes when it is 500 days old and no sighting of it
//!   is left. The flag of a sighting that is a false positive stays as long as it is one: there are never
//!   more than indicators times hosts, and it is what takes the flag back;
//! - a clock that is set back moves what waits along with it;
//! - name and creation date of an incident are fixed in `incidents` before it is first sent;
//! - a work is known before anything leaves in it, until what OpenCTI says of it is read (`works`).
//!
//! Who uses SQLite's file: one service, which holds the lock beside it, since it takes every lease that it
//! finds at its start for that of a dead process. Commands (`dead-letters`, `events`) open it beside
//! the service, without that lock: each change of theirs is one short transaction that touches no
//! lease, and SQLite parts the processes from each other. The service sees what they changed at its
//! next look, within half a minute.
//!
//! Who uses PostgreSQL: any number of replicas, and commands beside them. Nobody takes a lease from
//! another one before it runs out, by the database's clock and not by a replica's, and what must be
//! alone is alone (`sql::Order`).
//!
//! Does not live here: deciding what becomes of an event (`pipeline`), reading a body (`intake`).

mod activity;
mod event;
mod failure;
mod file;
mod lacking;
mod open;
mod operations;
#[cfg(test)]
mod plans;
mod postgres;
mod refused_rules;
mod sightings;
mod sql;
mod sqlite;
mod storage;
mod story;
mod works;
mod writer;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use self::failure::{FailureKind, kind_of};
pub use self::{
    activity::{Activity, HOURS, Hour},
    event::{
        Adoption, AlertName, CaseObjects, CaseStanding, Claim, Counts, Event, EventId, FollowUp,
        Outcome, TextBytes,
    },
    lacking::Lacking,
    open::{Access, Opened, Place, open, open_beside, probe},
    operations::{
        Letter, LetterFilter, LetterGroup, LetterKind, Operations, PruneBefore, Pruned, Removable,
        Retried, Shrunk,
    },
    postgres::{LeaderLock, Leadership, LeaseTime, PostgresJournal},
    refused_rules::{MOST_REFUSED_RULES, RefusedRule, RefusedRuleJournal, RuleRefusal},
    sightings::{DueFlag, SightingFlag, SightingJournal},
    sqlite::SqliteJournal,
    storage::{Storage, TooLate, answer_in_time, check_writable, watch},
    story::{Chapter, Story, WaitsFor},
    works::{
        DueWork, ListedRefusal, LostWork, MOST_REFUSALS, Refusal, Requeued, SentAgain, WorkJournal,
        WorkPart, WorkStanding,
    },
    writer::write_what_comes_in,
};
use crate::{
    alert::{IncidentIdentity, MergedSightings, SeenIndicator, Sighted},
    clock::Clock,
    intake::{Notification, Receipt},
};

/// Most bytes of text in one claim, unless its only event has more. The pipeline counts on it.
pub const CLAIM_BYTES: usize = 4 << 20;

/// Bytes of the longest text that is handled like any other. Of a larger one as few copies are made as
/// can be.
const SMALL_BYTES: usize = 256 << 10;

/// Why the journal could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database refused or failed.
    #[error("the journal's database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database's schema could not be brought up to date.
    #[error(
        "the journal's schema could not be brought up to date: {0}; one written by a newer \
         version needs that version"
    )]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The file is no journal, or not a whole one.
    #[error(
        "the journal {} is damaged or no journal at all ({reason}). It was left as it is. Stop the \
         service, keep a copy of the file and of those that begin with its name, and put a backup \
         in its place; or save what can be read with `sqlite3 {} .recover`; or move it away, and \
         the service starts an empty one and sweeps again from \
         HARFANGLAB_INCIDENTS_IMPORT_START_DATE, without the dead letters and the pushes that the \
         console does not keep",
        file.display(), file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// The address of the journal cannot be used.
    #[error("HARFANGLAB_INCIDENTS_JOURNAL_URL: {0}")]
    Address(String),
    /// The file cannot be opened because its disk is full.
    #[error(
        "cannot open {}: its disk is full; free space there, nothing in the journal is lost",
        file.display()
    )]
    DiskFull {
        /// The file.
        file: PathBuf,
    },
    /// Nothing is accepted until the service is restarted, for this reason.
    #[error("{0}")]
    Lost(String),
    /// Nothing failed: another change fixes incidents of the same names, and takes long.
    #[error("others are still fixing incidents of this name")]
    Busy,
    /// A row holds what no version of this program wrote.
    #[error(
        "the journal holds a row that cannot be read: {0}; was it changed by hand, or written by a \
         newer version? Use that version, or put a backup in its place"
    )]
    Corrupt(String),
}

impl JournalError {
    /// Returns whether [`Journal::storage`] tells the log of it, from its beginning to its end.
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::DiskFull { .. })
            || matches!(self.kind(), Some(FailureKind::Storage(_) | FailureKind::Damage(_)))
    }

    /// Returns whether a smaller change may succeed: the disk had no space for this one.
    pub fn lacks_space(&self) -> bool {
        matches!(self, Self::Database(error) if failure::lacks_space(error))
    }

    /// Returns the kind of failure; `None`: not one of the database.
    fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Database(error) => Some(kind_of(error)),
            _ => None,
        }
    }
}

/// The durable store: SQLite, embedded, or PostgreSQL, for several replicas.
#[async_trait]
pub trait Journal: Operations + WorkJournal + SightingJournal + RefusedRuleJournal {
    /// The same journal, with the rows of another console.
    fn of_console(&self, console: &str) -> Arc<dyn Journal>;

    /// Whether other replicas may use it at the same time.
    fn has_replicas(&self) -> bool;

    /// By how much the clock by which leases go is ahead of `clock`; `None` where it is the same one, or
    /// where the answer took too long to tell.
    async fn clock_skew(&self, clock: &Clock) -> Result<Option<TimeDelta>, JournalError>;

    /// Knows whether it can be written.
    fn storage(&self) -> &Storage;

    /// Checks that what is stored will be found after a restart, as far as that can be seen at a glance.
    ///
    /// # Errors
    /// [`JournalError::Lost`], from then on until a restart.
    async fn check_not_lost(&self) -> Result<(), JournalError>;

    /// Writes as much as a large alert with its indexes (64 KiB), over what the last call wrote. Whoever
    /// calls it tells [`Journal::storage`] of a success ([`check_writable`]).
    async fn probe(&self) -> Result<(), JournalError>;

    /// Stores every batch in one commit, and says what became of each.
    async fn append(&self, batches: &[Vec<Notification>]) -> Result<Vec<Receipt>, JournalError>;

    /// Takes up to `limit` events that are due, oldest first, for `lease`: as many as have
    /// [`CLAIM_BYTES`] of text together, or a single larger one. Half of either bound is for events that
    /// were put back, the rest for all others; one kind takes what the other leaves. What cannot be halved
    /// is for those that were put back when `now` is an even millisecond, else for the others.
    async fn claim(
        &self,
        limit: usize,
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Event>, JournalError>;

    /// Reads the text of a claimed event if its claim left it out.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] when the text is no text.
    async fn read_text(&self, event: &mut Event) -> Result<(), JournalError>;

    /// Lets claims last for `lease` from `now` on, and answers those that do. Those that were lost or
    /// have ended are left alone.
    async fn renew(
        &self,
        claims: &[Claim],
        lease: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claim>, JournalError>;

    /// Ends claims, or puts them back for later. Claims whose lease was lost are left alone.
    async fn finish(
        &self,
        outcomes: &[(Claim, Outcome)],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError>;

    /// Makes due at `now` what was put back until later with a reason that begins with `reason`, and
    /// returns the number of these events. It leaves in the order of versions all the same.
    async fn make_due(&self, reason: &str, now: DateTime<Utc>) -> Result<u64, JournalError>;

    /// When the next pending event is due, if any is.
    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, JournalError>;

    /// Whether everything that was received has its end. Follow-ups do not count unless they are
    /// under way: they may wait for the console long after their alert is delivered.
    async fn is_drained(&self) -> Result<bool, JournalError>;

    /// Fixes names and dates of incidents before they are first sent; an incident that has them
    /// already keeps them. Where OpenCTI would take two alerts for one incident, over all consoles of
    /// the journal, the later one gets the next free millisecond; of those fixed here the first key
    /// comes first. An alert that another console shows, too, has one incident. Answers what holds, in
    /// the same order.
    ///
    /// # Errors
    /// [`JournalError::Busy`] when another replica takes long to fix incidents of these names.
    async fn fix_identities(
        &self,
        wanted: &[(String, IncidentIdentity)],
    ) -> Result<Vec<IncidentIdentity>, JournalError>;

    /// Says which alert an event is: it is known by that from now on, and an incident that was fixed
    /// for it before is the alert's. Answers what is fixed for the alert.
    async fn identify(&self, claim: Claim, alert: &AlertName) -> Result<Adoption, JournalError>;

    /// Gives the alert `key` the incident of an event that was delivered without being matched:
    /// same agent, same rule, nearest in time within `tolerance`. Answers what is fixed for it.
    async fn adopt_unmatched(
        &self,
        event: &Event,
        tolerance: Duration,
    ) -> Result<Option<IncidentIdentity>, JournalError>;

    /// Keeps the sighting of the alert `key` in place of an earlier one, and answers what the other
    /// alerts say whose sightings OpenCTI merges with it. Only a false positive is told.
    async fn note_sighting(
        &self,
        key: &str,
        sighted: &Sighted,
    ) -> Result<MergedSightings, JournalError>;

    /// Returns from when on an indicator is valid, for alerts of all consoles: the time of the first alert
    /// seen with it, moved forward by one that comes long enough after.
    async fn valid_from(&self, seen: &SeenIndicator) -> Result<DateTime<Utc>, JournalError>;

    /// Keeps objects that cases of threats refer to; one that was sent stays sent. Forgets those that were
    /// left out.
    async fn keep_case_objects(&self, kept: &[CaseObjects]) -> Result<(), JournalError>;

    /// STIX ids of what the case of a threat is still to refer to, incidents first: the delivered
    /// incidents of its alerts and the objects that were kept for it, without those that were sent
    /// since the last reset.
    async fn new_case_objects(&self, threat_key: &str) -> Result<Vec<String>, JournalError>;

    /// Makes the try that is under way count as none: waiting for another event uses up no tries.
    /// The claim stays as it is, and is finished as any other. A lost one is left alone.
    async fn uncounted(&self, claim: Claim) -> Result<(), JournalError>;

    /// Whether alerts of a threat are still on their way.
    async fn has_unfinished_alerts(&self, threat_key: &str) -> Result<bool, JournalError>;

    /// A remembered value: cursors, the choice of names.
    async fn remembered(&self, name: &str) -> Result<Option<String>, JournalError>;

    /// Remembers a value.
    async fn remember(&self, name: &str, value: &str) -> Result<(), JournalError>;

    /// Forgets a value: it was never remembered.
    async fn forget(&self, name: &str) -> Result<(), JournalError>;

    /// Starts another import generation, in which everything is new again, forgets these remembered
    /// values and all refused rules, and has every closed work looked at, all in one commit.
    async fn start_over(&self, forgotten: &[&str]) -> Result<(), JournalError>;

    /// How many events wait, as in [`Counts::pending`]: cheap, whatever else the journal holds.
    async fn pending(&self) -> Result<u64, JournalError>;

    /// How many events are in each state.
    async fn counts(&self) -> Result<Counts, JournalError>;
}
