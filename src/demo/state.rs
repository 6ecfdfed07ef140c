//! Everything that the simulated console knows, shared between its server (`routes`) and its owner
//! (`console`).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use strum::VariantArray as _;

use super::{
    faults::Fault,
    requests::{RequestKind, Requests},
    store::{Collection, Records},
};

/// The treatment of a filter by `alert_unique_id`: not documented, so all three are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueIdFilter {
    /// Filters by it.
    Honoured,
    /// Answers as if it were not there.
    Ignored,
    /// Answers 400.
    Refused,
}

/// The console's state, shared between its server and its owner.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// Locks the state.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

/// A fault that only later pages of a list meet.
pub(super) struct PageFault {
    pub(super) kind: RequestKind,
    pub(super) offset: u64,
    pub(super) times: usize,
    pub(super) fault: Fault,
}

/// Everything the console knows.
pub(super) struct State {
    pub(super) token: SecretString,
    pub(super) latency: Duration,
    pub(super) unique_id_filter: UniqueIdFilter,
    collections: BTreeMap<Collection, Records>,
    pub(super) notes: BTreeMap<String, Value>,
    /// Chunks of the Elastic connector in pull mode, oldest first.
    pub(super) queue: VecDeque<Vec<Value>>,
    pub(super) faults: BTreeMap<RequestKind, VecDeque<Fault>>,
    pub(super) page_faults: Vec<PageFault>,
    /// The beginning of `next`.
    pub(super) next_base: String,
    pub(super) requests: Requests,
}

impl State {
    /// An empty console's.
    pub(super) fn new(
        token: SecretString,
        latency: Duration,
        unique_id_filter: UniqueIdFilter,
    ) -> Self {
        Self {
            token,
            latency,
            unique_id_filter,
            collections: Collection::VARIANTS
                .iter()
                .map(|&each| (each, Records::new(each)))
                .collect(),
            notes: BTreeMap::new(),
            queue: VecDeque::new(),
            faults: BTreeMap::new(),
            page_faults: Vec::new(),
            next_base: String::new(),
            requests: Requests::default(),
        }
    }

    /// Counts a request; answers the fault that is due for it and how long to think. `offset` is
    /// where the page begins that a list is asked for.
    pub(super) fn arrival(&mut self, kind: RequestKind, offset: u64) -> (Option<Fault>, Duration) {
        *self.requests.counts.entry(kind).or_default() += 1;
        self.requests.at_once += 1;
        self.requests.most_at_once = self.requests.most_at_once.max(self.requests.at_once);
        let fault = self.faults.get_mut(&kind).and_then(VecDeque::pop_front);
        let fault = fault.or_else(|| {
            let is_due =
                |due: &&mut PageFault| due.kind == kind && due.offset <= offset && due.times > 0;
            let due = self.page_faults.iter_mut().find(is_due)?;
            due.times -= 1;
            Some(due.fault.clone())
        });
        (fault, self.latency)
    }

    /// Returns whether an `Authorization` header is exactly `Token <token>`.
    pub(super) fn accepts(&self, authorization: &str) -> bool {
        authorization.strip_prefix("Token ") == Some(self.token.expose_secret())
    }

    pub(super) fn records(&self, collection: Collection) -> &Records {
        &self.collections[&collection]
    }

    pub(super) fn records_mut(&mut self, collection: Collection) -> &mut Records {
        self.collections.entry(collection).or_insert_with(|| Records::new(collection))
    }
}
