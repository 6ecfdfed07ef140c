//! The locks of a change. SQLite has one writer, and so one order; in PostgreSQL, where several replicas
//! write, a change waits only for those that it must not cross, by advisory locks of a transaction.

use std::collections::BTreeSet;

/// Classes of changes of one console's events that are made one after the other.
///
/// Two classes, because what reads the versions of a key and then writes one (which is the latest,
/// which recurrence) must be alone among arrivals, and what reads which rows are leased or unfinished
/// and then writes one must be alone among departures; but an arrival only adds rows that come after
/// all that are there, which no departure under way has to know of. So a commit of new deliveries
/// never waits for a claim. A change that needs both takes arrivals first, so that no two wait for each
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) enum EventLocks {
    /// The rows are the change's own business.
    None,
    /// It numbers versions.
    Arrivals,
    /// It claims, finishes or puts back.
    Departures,
    /// It does both.
    Both,
}

/// Incidents whose names and dates a change compares, alone, over all consoles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) enum NameLocks {
    /// Those of some names. A name has one of 256 numbers, so that there are never more locks than that.
    Some(BTreeSet<u8>),
    /// All.
    All,
}

/// Name of the lock of all names of incidents. A change that fixes some of them shares it. A version before
/// this one holds it alone.
const ALL_NAMES: &str = " harfanglab-incidents identities ";

impl EventLocks {
    /// Returns the names of the locks at a console, in the order in which they are taken.
    pub(in crate::journal) fn names(self, console: &str) -> Vec<String> {
        let classes: &[&str] = match self {
            Self::None => &[],
            Self::Arrivals => &["arrivals"],
            Self::Departures => &["departures"],
            Self::Both => &["arrivals", "departures"],
        };
        let name = |class: &&str| format!(" harfanglab-incidents {class} {console}");
        classes.iter().map(name).collect()
    }
}

impl NameLocks {
    /// Returns the names of the locks that are held alone. They hold nothing that anybody chose, and are in
    /// order.
    pub(in crate::journal) fn names(&self) -> Vec<String> {
        match self {
            Self::Some(numbers) => {
                numbers.iter().map(|number| format!("{ALL_NAMES}{number:03}")).collect()
            }
            Self::All => vec![ALL_NAMES.to_owned()],
        }
    }

    /// Returns what begins a change and takes its locks. Each statement after it sees what was committed by
    /// those who had them before.
    pub(in crate::journal) fn begin(&self) -> String {
        let take = |function: &str, name: &str| {
            format!("; SELECT {function}(hashtextextended(current_schema() || '{name}', 0))")
        };
        let mut begin = String::from("BEGIN");
        if matches!(self, Self::Some(_)) {
            begin += &take("pg_advisory_xact_lock_shared", ALL_NAMES);
        }
        for name in self.names() {
            begin += &take("pg_advisory_xact_lock", &name);
        }
        begin
    }
}
