//! Objects that the broker confirmed recently, so that OpenCTI need not import it again: systems, hosts,
//! indicators, techniques and the relationships between them, by id and content.
//!
//! Invariants:
//! - an object is left out only where the broker confirmed the same content, or the same delivery
//!   holds it earlier and counts as delivered only when that is confirmed;
//! - author and marking always go along, because an object whose marking is missing loses it in
//!   silence; so do incidents, cases, sightings, notes and observables;
//! - everything counts as unknown after a new registration, which follows a lost queue, a deleted
//!   connector and a failed broker, and when somebody says so (a reset, a missing reference);
//! - the bundles of who is named in `Delivery::whole` leave whole;
//! - what OpenCTI refused counts as unknown from then on.
//!
//! Does not live here: cutting bundles up (`splitter`), saying when to forget (`service`, `pipeline`).

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{registration::Registration, splitter::Piece};

/// Objects remembered at most; some 30 MiB.
const MOST_OBJECTS: u64 = 100_000;

/// A digest of an object's content.
pub(super) type Content = [u8; 32];

/// The content of a message, as far as leaving it out is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The object's STIX id.
    pub(super) id: String,
    /// Its content; `None`: it is always sent.
    pub(super) content: Option<Content>,
}

/// The objects that were confirmed recently.
#[derive(Debug)]
pub struct ConfirmedObjects {
    objects: Cache<String, (u64, Content)>,
    /// Grows each time everything is forgotten: what was under way then is not remembered.
    era: AtomicU64,
    registration: Mutex<Weak<Registration>>,
}

impl ConfirmedObjects {
    /// Remembers for `time`.
    pub fn new(time: Duration) -> Self {
        Self {
            objects: Cache::builder().max_capacity(MOST_OBJECTS).time_to_live(time).build(),
            era: AtomicU64::new(0),
            registration: Mutex::new(Weak::new()),
        }
    }

    /// Everything is sent again from now on.
    pub fn forget(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
        self.objects.invalidate_all();
    }

    /// These are sent again from now on: OpenCTI refused them, whatever the broker confirmed.
    pub fn forget_objects<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        for id in ids {
            self.objects.invalidate(id);
        }
    }

    /// The present era, for [`ConfirmedObjects::remember`]. What was confirmed under another
    /// registration is forgotten.
    pub(super) fn era(&self, registration: &Arc<Registration>) -> u64 {
        let mut known = self.registration.lock();
        if known.as_ptr() != Arc::as_ptr(registration) {
            *known = Arc::downgrade(registration);
            self.forget();
        }
        self.era.load(Ordering::SeqCst)
    }

    /// Returns the messages of a bundle that are to be sent. `earlier` is what the same delivery holds already,
    /// and is added to.
    pub(super) fn wanted(
        &self,
        marks: &[Mark],
        earlier: &mut HashMap<String, Content>,
        era: u64,
    ) -> Wanted {
        let mut wanted = Wanted { positions: Vec::with_capacity(marks.len()), leans: false };
        for (position, mark) in marks.iter().enumerate() {
            let known = mark.content.is_some_and(|content| match earlier.get(&mark.id) {
                Some(sent) => {
                    wanted.leans |= *sent == content;
                    *sent == content
                }
                None => self.objects.get(&mark.id) == Some((era, content)),
            });
            if !known {
                wanted.positions.push(position);
                if let Some(content) = mark.content {
                    earlier.insert(mark.id.clone(), content);
                }
            }
        }
        wanted
    }

    /// The broker confirmed these, which were sent in `era`.
    pub(super) fn remember<'a>(&self, marks: impl IntoIterator<Item = &'a Mark>, era: u64) {
        for mark in marks {
            if let Some(content) = mark.content {
                self.objects.insert(mark.id.clone(), (era, content));
            }
        }
    }
}

/// The part of a bundle that is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Positions of the messages to send.
    pub(super) positions: Vec<usize>,
    /// True where something is left out because an earlier bundle of the same delivery holds it.
    pub(super) leans: bool,
}

/// The marks of a bundle's messages, in order.
pub(super) fn marks(pieces: &[Piece]) -> Vec<Mark> {
    let lasting: HashSet<&str> =
        pieces.iter().filter(|piece| is_lasting(&piece.object)).map(|p| id(&p.object)).collect();
    let is_between_lasting = |object: &Map<String, Value>| {
        text(object, "type") == "relationship"
            && ["source_ref", "target_ref"].iter().all(|end| lasting.contains(text(object, end)))
    };
    pieces
        .iter()
        .map(|Piece { object, .. }| {
            let may_be_known = lasting.contains(id(object)) || is_between_lasting(object);
            Mark { id: id(object).to_owned(), content: may_be_known.then(|| digest(object)) }
        })
        .collect()
}

/// Returns whether it is the same in many alerts.
fn is_lasting(object: &Map<String, Value>) -> bool {
    match text(object, "type") {
        "identity" => text(object, "identity_class") == "system",
        kind => matches!(kind, "hostname" | "indicator" | "attack-pattern"),
    }
}

/// Without the number of dependencies, which differs from bundle to bundle.
fn digest(object: &Map<String, Value>) -> Content {
    let text = serde_json::to_vec(object).expect("its keys are texts, and nothing else can fail");
    Sha256::digest(text).into()
}

fn id(object: &Map<String, Value>) -> &str {
    text(object, "id")
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}
