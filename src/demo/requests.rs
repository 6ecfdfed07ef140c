//! Requests to the simulated console: counted by kind, for tests and benchmarks to read.

use std::collections::BTreeMap;

use super::store::Collection;

/// The object of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// `/api/version`.
    Version,
    /// `/api/auth/users/me`.
    WhoAmI,
    /// A list.
    List(Collection),
    /// One object by its id.
    One(Collection),
    /// `Threat/{id}/note/`.
    Note,
    /// The oldest chunk of the Elastic connector's queue.
    ElasticPull,
    /// Anything else.
    Unknown,
}

impl RequestKind {
    /// The kind of a path, and the id it names.
    pub(super) fn of(path: &str) -> (Self, Option<&str>) {
        let path = path.strip_prefix('/').unwrap_or(path);
        let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        match segments[..] {
            ["api", "version"] => (Self::Version, None),
            ["api", "auth", "users", "me"] => (Self::WhoAmI, None),
            ["api", "data", "connectors", "elastic", "pull"] => (Self::ElasticPull, None),
            ["api", "data", "alert", "alert", "Alert", id, "details"] => {
                (Self::One(Collection::Alerts), Some(id))
            }
            ["api", "data", "alert", "alert", "Threat", id, "note"] => (Self::Note, Some(id)),
            ["api", "data", ref place @ .., name] if Collection::at(place, name).is_some() => {
                (Collection::at(place, name).map_or(Self::Unknown, Self::List), None)
            }
            ["api", "data", ref place @ .., name, id] => {
                match Collection::at(place, name) {
                    // The alert itself is only known to be answered below `details/`.
                    Some(Collection::Alerts) | None => (Self::Unknown, None),
                    Some(collection) => (Self::One(collection), Some(id)),
                }
            }
            _ => (Self::Unknown, None),
        }
    }
}

/// Counts of each kind of request, refused ones and those answered with a fault included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    pub(super) counts: BTreeMap<RequestKind, u64>,
    pub(super) at_once: usize,
    pub(super) most_at_once: usize,
}

impl Requests {
    /// Requests of one kind.
    pub fn of(&self, kind: RequestKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Requests of every kind.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The most requests that were being answered at one moment.
    pub fn most_at_once(&self) -> usize {
        self.most_at_once
    }
}
