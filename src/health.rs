//! What the parts of the service say of themselves: what works, what does not and why, and what went
//! wrong last. The management pages show it (`ops`).

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

use crate::clock::Clock;

/// What a replica is among those that share its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// There can be no other one.
    Alone,
    /// It sweeps and beats; the others do not.
    Leads,
    /// Another one leads, or soon will.
    Follows,
}

impl Role {
    /// Name on the pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Leads => "leads",
            Self::Follows => "follows",
        }
    }
}

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

    /// Parts without which nothing can be accepted.
    pub const VITAL: [Self; 2] = [Self::Journal, Self::Room];

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

/// What went wrong with a part, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Why, in plain words; the newest reason of this trouble.
    pub reason: String,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When it was over; `None`: it is not.
    pub until: Option<DateTime<Utc>>,
}

/// What the parts say of themselves.
#[derive(Debug)]
pub struct Health {
    clock: Clock,
    /// The last trouble of each part that ever had one.
    troubles: Mutex<BTreeMap<Part, Trouble>>,
    role: Mutex<Role>,
}

impl Default for Health {
    /// By the machine's clock.
    fn default() -> Self {
        Self::new(Clock::system())
    }
}

impl Health {
    /// Everything is well until somebody says otherwise.
    pub fn new(clock: Clock) -> Self {
        Self { clock, troubles: Mutex::default(), role: Mutex::new(Role::Alone) }
    }

    /// What this replica is from now on.
    pub fn is_now(&self, role: Role) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = role;
        metrics::gauge!("leads").set(if role == Role::Follows { 0.0 } else { 1.0 });
    }

    /// What this replica is.
    pub fn role(&self) -> Role {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `part` works.
    pub fn well(&self, part: Part) {
        if let Some(trouble) = self.lock().get_mut(&part) {
            trouble.until.get_or_insert_with(|| self.clock.now());
        }
    }

    /// `part` does not work, because of `reason`.
    pub fn degraded(&self, part: Part, reason: String) {
        let mut troubles = self.lock();
        let under_way = troubles.get(&part).filter(|trouble| trouble.until.is_none());
        let since = under_way.map_or_else(|| self.clock.now(), |trouble| trouble.since);
        troubles.insert(part, Trouble { reason, since, until: None });
    }

    /// What is degraded, and why.
    pub fn reasons(&self) -> BTreeMap<&'static str, String> {
        let troubles = self.lock();
        let current = troubles.iter().filter(|(_part, trouble)| trouble.until.is_none());
        current.map(|(part, trouble)| (part.name(), trouble.reason.clone())).collect()
    }

    /// The last trouble of each part that ever had one since the start.
    pub fn troubles(&self) -> BTreeMap<Part, Trouble> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Part, Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
