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
//! Invariants:
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
//!   requeued, cannot finish it, whatever the outcome. What it delivered before is delivered once more by
//!   that claim, which changes nothing; to end the event would let a newer version leave while that claim
//!   is still sending this one;
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
//! Users of SQLite's file: one service, which holds the lock beside it, since it takes every lease that it
//! finds at its start for that of a dead process. Commands (`dead-letters`, `events`) open it beside
//! the service, without that lock: each change of theirs is one short transaction that touches no
//! lease, and SQLite parts the processes from each other. The service sees what they changed at its
//! next look, within half a minute.
//!
//! Users of PostgreSQL: any number of replicas, and commands beside them. Nobody takes a lease from
//! another one before it runs out, by the database's clock and not by a replica's, and what must be
//! alone is alone (`database::locks`).
//!
//! Does not live here: deciding what becomes of an event (`pipeline`), reading a body (`intake`).

mod activity;
#[cfg(test)]
mod broken_changes;
mod database;
mod dead_letters;
mod error;
mod event;
mod event_history;
mod failure;
mod file;
mod handle;
mod missing_enrichment;
mod open;
#[cfg(test)]
mod plans;
mod postgres;
mod probe;
mod pruning;
mod refused_rules;
mod schema;
mod sightings;
mod sql;
mod sqlite;
mod storage;
mod works;
mod writer;

pub use self::{
    activity::{Activity, HOURS, Hour},
    dead_letters::{DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterKind, Retried},
    error::JournalError,
    event::{
        Adoption, AlertName, CLAIM_BYTES, CaseObjects, CaseStanding, Claim, Counts, Event, EventId,
        FollowUp, Outcome, TextBytes,
    },
    event_history::{EventHistory, HistoryEntry, WaitsFor},
    handle::{Database, Journal},
    missing_enrichment::MissingEnrichment,
    open::{Access, Opened, Place, open, open_beside, probe},
    postgres::{LeaderLock, Leadership, LeaseTime, PostgresDatabase},
    probe::{TooLate, answer_in_time, check_writable, watch},
    pruning::{PruneBefore, Pruned, Removable, Shrunk},
    refused_rules::{MOST_REFUSED_RULES, RefusedRule, RuleRefusal},
    sightings::{DueFlag, SightingFlag},
    sqlite::SqliteDatabase,
    storage::Storage,
    works::{
        DueWork, ListedRefusal, LostWork, MOST_REFUSALS, Refusal, RequeueOutcome, Requeued,
        WorkPart, WorkStanding,
    },
    writer::write_what_comes_in,
};
