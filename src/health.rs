//! State of the parts of the service, told by themselves: what works, what does not and why, and what went
//! wrong last. Of several consoles each says for itself what is its own: its API, and how what it brings
//! is delivered. The management pages show it (`ops`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use strum::{IntoStaticStr, VariantArray};

use crate::{clock::Clock, label::ConsoleLabel};

/// The role of a replica among those that share its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
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
        self.into()
    }
}

/// A part that can be degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
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
    #[strum(serialize = "opencti_queue")]
    Queue,
    /// The console's API.
    HarfangLab,
    /// This replica's clock and that of the journal's database are apart.
    Clock,
}

impl Part {
    /// Parts without which nothing can be accepted.
    pub const VITAL: [Self; 2] = [Self::Journal, Self::Room];

    /// Name on the pages.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A part, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The part.
    pub part: Part,
    /// The console; none where the part is one for all, or there is one console.
    pub console: ConsoleLabel,
}

impl Place {
    /// The part, as it concerns this console.
    pub fn of(part: Part, console: &ConsoleLabel) -> Self {
        let is_own = matches!(part, Part::Delivery | Part::HarfangLab);
        Self { part, console: if is_own { console.clone() } else { ConsoleLabel::default() } }
    }

    /// Name on the pages, such as `harfanglab` or `harfanglab (paris)`.
    pub fn name(&self) -> String {
        match self.console.name() {
            Some(console) => format!("{} ({console})", self.part.name()),
            None => self.part.name().to_owned(),
        }
    }
}

/// A sink by its name, and whose deliveries it takes.
pub type SinkPlace = (&'static str, ConsoleLabel);

/// A failure of a part, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The reason in plain words, the newest of this trouble.
    pub reason: String,
    /// The time at which it began.
    pub since: DateTime<Utc>,
    /// The time at which it was over; `None`: it is not.
    pub until: Option<DateTime<Utc>>,
}

/// The state of the parts, told by themselves.
#[derive(Debug)]
pub struct Health {
    clock: Clock,
    /// The console whose parts are told of.
    console: ConsoleLabel,
    /// The last trouble of each part that ever had one, of all consoles.
    troubles: Arc<Mutex<BTreeMap<Place, Trouble>>>,
    role: Arc<Mutex<Role>>,
    /// The last trouble of each sink that ever had one, by its name and by whose deliveries it took:
    /// together they are [`Part::Delivery`].
    sinks: Arc<Mutex<BTreeMap<SinkPlace, Trouble>>>,
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
        Self {
            clock,
            console: ConsoleLabel::default(),
            troubles: Arc::default(),
            sinks: Arc::default(),
            role: Arc::new(Mutex::new(Role::Alone)),
        }
    }

    /// The same, told of by what works for this console.
    #[must_use]
    pub fn of_console(&self, console: ConsoleLabel) -> Self {
        Self {
            clock: self.clock.clone(),
            console,
            troubles: Arc::clone(&self.troubles),
            sinks: Arc::clone(&self.sinks),
            role: Arc::clone(&self.role),
        }
    }

    /// Sets the role that this replica has from now on.
    pub fn is_now(&self, role: Role) {
        *self.role.lock() = role;
        metrics::gauge!("leads").set(if role == Role::Follows { 0.0 } else { 1.0 });
    }

    /// Returns the role of this replica.
    pub fn role(&self) -> Role {
        *self.role.lock()
    }

    /// `part` works.
    pub fn well(&self, part: Part) {
        end(&mut self.troubles.lock(), &Place::of(part, &self.console), self.clock.now());
    }

    /// `part` does not work, because of `reason`.
    pub fn degraded(&self, part: Part, reason: String) {
        let place = Place::of(part, &self.console);
        begin(&mut self.troubles.lock(), place, reason, self.clock.now());
    }

    /// The sink of this name takes what is delivered. Delivery is well once every sink is.
    pub fn sink_well(&self, name: &'static str) {
        let mut sinks = self.sinks.lock();
        end(&mut sinks, &(name, self.console.clone()), self.clock.now());
        let mut own = sinks.iter().filter(|((_name, console), _)| *console == self.console);
        if own.all(|(_sink, trouble)| trouble.until.is_some()) {
            self.well(Part::Delivery);
        }
    }

    /// The sink of this name does not take what is delivered, because of `reason`.
    pub fn sink_degraded(&self, name: &'static str, reason: String) {
        let place = (name, self.console.clone());
        let mut sinks = self.sinks.lock();
        self.degraded(Part::Delivery, reason.clone());
        begin(&mut sinks, place, reason, self.clock.now());
    }

    /// The last trouble of each sink that ever had one since the start.
    pub fn sink_troubles(&self) -> BTreeMap<SinkPlace, Trouble> {
        self.sinks.lock().clone()
    }

    /// Returns what is degraded, and why.
    pub fn reasons(&self) -> BTreeMap<String, String> {
        let troubles = self.troubles.lock();
        let current = troubles.iter().filter(|(_place, trouble)| trouble.until.is_none());
        current.map(|(place, trouble)| (place.name(), trouble.reason.clone())).collect()
    }

    /// Returns what is degraded.
    pub fn degraded_places(&self) -> BTreeSet<Place> {
        let troubles = self.troubles.lock();
        let current = troubles.iter().filter(|(_place, trouble)| trouble.until.is_none());
        current.map(|(place, _trouble)| place.clone()).collect()
    }

    /// The last trouble of each part that ever had one since the start.
    pub fn troubles(&self) -> BTreeMap<Place, Trouble> {
        self.troubles.lock().clone()
    }
}

/// It is in trouble from `now` on, unless it already is.
fn begin<K: Ord>(troubles: &mut BTreeMap<K, Trouble>, of: K, reason: String, now: DateTime<Utc>) {
    let under_way = troubles.get(&of).filter(|trouble| trouble.until.is_none());
    let since = under_way.map_or(now, |trouble| trouble.since);
    troubles.insert(of, Trouble { reason, since, until: None });
}

/// Its trouble, if it has one, is over.
fn end<K: Ord>(troubles: &mut BTreeMap<K, Trouble>, of: &K, now: DateTime<Utc>) {
    if let Some(trouble) = troubles.get_mut(of) {
        trouble.until.get_or_insert(now);
    }
}
