//! What the parts of the service say of themselves: what works, what does not and why. The
//! management pages show it (`ops`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// A part that can be degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The journal cannot be written: nothing can be accepted.
    Journal,
    /// The journal's disk has too little room: nothing is accepted.
    Room,
    /// OpenCTI's API.
    OpenCti,
    /// Some sink does not take what is delivered.
    Delivery,
    /// OpenCTI's queue is too long: deliveries wait for it.
    Queue,
    /// The console's API.
    HarfangLab,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 6] =
        [Self::Journal, Self::Room, Self::OpenCti, Self::Delivery, Self::Queue, Self::HarfangLab];

    /// Name on the pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Room => "room",
            Self::OpenCti => "opencti",
            Self::Delivery => "delivery",
            Self::Queue => "opencti_queue",
            Self::HarfangLab => "harfanglab",
        }
    }
}

/// What the parts say of themselves.
#[derive(Debug, Default)]
pub struct Health {
    degraded: Mutex<BTreeMap<Part, String>>,
}

impl Health {
    /// `part` works.
    pub fn well(&self, part: Part) {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).remove(&part);
    }

    /// `part` does not work, because of `reason`.
    pub fn degraded(&self, part: Part, reason: String) {
        self.degraded.lock().unwrap_or_else(PoisonError::into_inner).insert(part, reason);
    }

    /// What is degraded, and why.
    pub fn reasons(&self) -> BTreeMap<&'static str, String> {
        let degraded = self.degraded.lock().unwrap_or_else(PoisonError::into_inner);
        degraded.iter().map(|(part, reason)| (part.name(), reason.clone())).collect()
    }
}
