//! Builds the parts, runs them, shuts them down.
//!
//! Order of life: bind and open what the webhook needs, so that it accepts at once; then get to
//! know OpenCTI, for as long as that takes; only then convert, sweep and beat. Order of death: stop
//! accepting, let what is under way leave within a deadline, leave the rest in the journal.

mod access;
mod account;
mod authorities;
mod backpressure;
mod certificates;
mod clock_skew;
mod console;
mod ending;
mod endpoint;
mod error;
mod jobs;
mod leader;
mod listeners;
mod manager;
mod outage;
mod parts;
mod platform;
mod recreated;
mod renewed;
mod request_span;
mod reset;
mod retention;
mod room;
mod schedule;
mod secrets;
mod sinks;
mod socket;
mod syslog;
mod token;
mod until_answered;

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use futures_util::future::{join_all, select_all};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::warn;

pub(crate) use self::platform::service_account;
use self::{
    console::{Common, ConsoleService, Moving},
    ending::Ending,
    leader::Leader,
    listeners::{Listeners, Shown},
    parts::Parts,
    platform::Platform,
    reset::Reset,
    retention::Retention,
    room::Room,
    schedule::{Errand, Pulses, Schedule},
    sinks::Outlets,
};
pub use self::{error::ServiceError, parts::ServicePart};
use crate::{
    clock::Clock,
    config::Settings,
    health::Health,
    intake::Door,
    intake::MemoryBudget,
    journal::{self, Journal, Opened},
    opencti::{Pulse, QueueLoad, Sink},
    pipeline::try_now,
    sweep::{ConnectorState, JobBoard, Pushes},
};

/// A service with its parts, ready to run.
pub struct Service {
    settings: Settings,
    clock: Clock,
    listeners: Listeners,
    /// In the order of the configuration; at least one.
    consoles: Vec<ConsoleService>,
    outlets: Outlets,
    health: Arc<Health>,
    parts: Parts,
    /// Ends what looks after the journal.
    upkeep: CancellationToken,
    writers: Mutex<Vec<JoinHandle<()>>>,
    leader: Arc<Leader>,
}

/// The state that the consoles tell together, for as long as the service runs.
struct Told {
    /// The connector's state in OpenCTI.
    state: ConnectorState,
    pulses: Pulses,
}

impl Service {
    /// Binds what is to be bound, opens the journal, and accepts from now on. `more_sinks` get
    /// every bundle too.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing runs then.
    pub async fn start(
        settings: Settings,
        clock: Clock,
        more_sinks: Vec<Arc<dyn Sink>>,
    ) -> Result<Self, ServiceError> {
        let urls = settings.consoles.iter();
        let urls: Vec<&str> = urls.map(|console| console.harfanglab.url.as_str()).collect();
        let Opened { journal: shared, place } =
            Box::pin(journal::open(&settings.journal, &urls)).await?;
        if settings.connector.runs_once() {
            // It does not wait for a disk that is full.
            shared.pending().await?;
        }
        let outlets = Outlets::open(&settings, &shared, &clock, more_sinks)?;
        let health = Arc::new(Health::new(clock.clone()));
        shared.storage().report_to(&health);
        let memory = MemoryBudget::default();
        let consoles = settings.consoles.iter().cloned().map(|console| {
            let journal = shared.of_console(console.harfanglab.url.as_str());
            ConsoleService::new(console, &settings, journal, (&health, &memory, &clock))
        });
        let consoles: Vec<ConsoleService> = consoles.collect::<Result<_, _>>()?;
        let parts = Parts::new();
        let upkeep = CancellationToken::new();
        let leader = Arc::new(Leader::new(place, &health));
        // PostgreSQL's room is the business of its own administrator.
        if let Some(folder) = leader.folder() {
            let doors: Vec<Door> = consoles.iter().map(|console| console.door.clone()).collect();
            let folder = folder.to_owned();
            let journals = consoles.iter().map(|console| console.journal.clone()).collect();
            let mut room = Room::new(journals, folder, &settings.journal, doors, &health, &clock);
            room.look().await;
            parts.spawn(ServicePart::Room, room.watch(upkeep.clone()));
        }
        join_all(consoles.iter().map(|console| console.recall_samples(&clock))).await;
        let writers = join_all(consoles.iter().map(|console| console.write(&parts))).await;
        // There is always one, and the journal is one for all.
        let (journal, door) = (shared.clone(), consoles[0].door.clone());
        let watching = journal::watch(journal, door, upkeep.clone());
        parts.spawn(ServicePart::JournalWatch, watching);
        let shown = Shown {
            consoles: &consoles,
            health: Arc::clone(&health),
            sinks: outlets.sinks.iter().map(|sink| sink.name()).collect(),
        };
        let listeners = Listeners::open(&settings, &clock, shown)?;
        let writers = Mutex::new(writers.into_iter().flatten().collect());
        Ok(Self {
            settings,
            clock,
            listeners,
            consoles,
            outlets,
            health,
            parts,
            upkeep,
            writers,
            leader,
        })
    }

    /// Returns the address at which deliveries are taken; `None` when the endpoint is closed.
    pub fn webhook_address(&self) -> Option<SocketAddr> {
        self.listeners.webhook_address()
    }

    /// The journal, to look at; of several consoles, the rows of the first.
    pub fn journal(&self) -> Journal {
        // There is always one.
        self.consoles[0].journal.clone()
    }

    /// The journal with the rows of the console of this name.
    pub fn journal_of(&self, console: &str) -> Option<Journal> {
        self.console(console).map(|console| console.journal.clone())
    }

    /// Returns the board on which jobs are put; of several consoles, for the first. One that is there when a
    /// single
    /// run begins is done in place of its sweep.
    pub fn jobs(&self) -> Arc<JobBoard> {
        // There is always one.
        Arc::clone(&self.consoles[0].board)
    }

    /// Returns the board on which jobs for the console of this name are put. When a single run begins and one
    /// is
    /// anywhere, consoles without one do not sweep.
    pub fn jobs_of(&self, console: &str) -> Option<Arc<JobBoard>> {
        self.console(console).map(|console| Arc::clone(&console.board))
    }

    fn console(&self, name: &str) -> Option<&ConsoleService> {
        self.consoles.iter().find(|console| console.settings.name == name)
    }

    fn journals(&self) -> Vec<Journal> {
        self.consoles.iter().map(|console| console.journal.clone()).collect()
    }

    /// Runs until `stop`, or, for a single run, until everything found is delivered.
    ///
    /// # Errors
    /// [`ServiceError::OpenCti`] when OpenCTI refuses a single run for good, and
    /// [`ServiceError::Sweep`] when a single run could not see everything.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServiceError> {
        let stop_pipeline = CancellationToken::new();
        let _dog = AbortOnDropHandle::new(tokio::spawn(manager::watch_dog()));
        let lead = stop.child_token();
        self.upkeep(&lead);
        for console in self.consoles.iter().filter(|console| self.reads_queue(console)) {
            console.read_queue(&self.leader, &self.clock, &self.parts, &self.upkeep);
        }
        manager::ready(&self.status());
        let result = tokio::select! {
            result = self.work(&stop, &stop_pipeline) => result,
            part = self.parts.broken() => Err(ServiceError::PartEnded(part)),
        };
        let ending = Ending::begins();
        manager::stopping("stopping: what is under way may leave, the rest stays in the journal");
        lead.cancel();
        self.upkeep.cancel();
        stop_pipeline.cancel();
        self.listeners.close().await;
        let journals = self.journals();
        // With them the doors: nobody writes any more.
        drop(self.consoles);
        ending.when(self.parts.ended(), &journals).await;
        result
    }

    /// Contends for the lead, and prunes while it has it.
    fn upkeep(&self, stop: &CancellationToken) {
        let (leader, token) = (Arc::clone(&self.leader), stop.clone());
        self.parts.spawn(ServicePart::Leader, async move { leader.contend(&token).await });
        let journals = self.journals();
        let retention = Retention::new(journals, &self.settings.journal, self.clock.clone());
        let (leader, token) = (Arc::clone(&self.leader), stop.clone());
        self.parts.spawn(ServicePart::Retention, async move {
            while let Some(term) = leader.next_term(&token).await {
                retention.run(term).await;
            }
        });
        if !self.leader.is_alone() {
            let (clock, health) = (self.clock.clone(), Arc::clone(&self.health));
            let watching = clock_skew::watch(self.journal(), clock, health, stop.clone());
            self.parts.spawn(ServicePart::ClockSkew, watching);
        }
        if let Some(platform) = &self.outlets.platform {
            let (leader, journals) = (Arc::clone(&self.leader), self.journals());
            let (confirmed, token) = (self.outlets.confirmed.clone(), stop.clone());
            let platform = platform.connector().platform().clone();
            let following = async move {
                leader.follow_resets(journals, confirmed, platform, token).await;
            };
            self.parts.spawn(ServicePart::Leader, following);
        }
    }

    /// Returns whether the queue of the console's Elastic connector is read; a single run does not.
    fn reads_queue(&self, console: &ConsoleService) -> bool {
        console.settings.elastic_pull && !self.settings.connector.runs_once()
    }

    /// Describes what the service does now, for the service manager.
    fn status(&self) -> String {
        match self.listeners.webhook_address() {
            Some(address) => format!("accepting deliveries at {address}"),
            None if self.settings.connector.runs_once() => "sweeping once".to_owned(),
            None => {
                let settings = self.consoles.iter().map(|console| &console.settings);
                let roads = settings.map(|console| self.settings.roads_besides_posts(console));
                let roads: Vec<&str> = roads.collect::<BTreeSet<_>>().into_iter().collect();
                format!("the endpoint is closed; alerts come by {}", roads.join(", or by "))
            }
        }
    }

    async fn work(
        &self,
        stop: &CancellationToken,
        stop_pipeline: &CancellationToken,
    ) -> Result<(), ServiceError> {
        let once = self.settings.connector.runs_once();
        for console in &self.consoles {
            console.watch_access(&self.parts, stop_pipeline)?;
        }
        let platform = self.outlets.platform.as_ref();
        if let (Some(platform), Some(opencti)) = (platform, self.settings.opencti.clone()) {
            let client = platform.connector().platform().clone();
            let stop = stop_pipeline.clone();
            let current = authorities::keep_current("OpenCTI", client.trust(), stop.clone());
            self.parts.spawn(ServicePart::Authorities, current.map_err(ServiceError::Signal)?);
            let current = token::keep_current(client, opencti, stop);
            self.parts.spawn(ServicePart::Token, current.map_err(ServiceError::Signal)?);
        }
        let state = ConnectorState::new(self.consoles.iter().map(ConsoleService::kept).collect());
        if let Some(platform) = platform {
            let is_alone = self.leader.is_alone();
            let met = platform.meet(&state, &self.health, &self.clock, once, is_alone);
            match stop.run_until_cancelled(met).await {
                Some(met) => met?,
                None => return Ok(()),
            }
        }
        if let Some(platform) = platform.filter(|_| !self.leader.is_alone()) {
            let (leader, connector) = (Arc::clone(&self.leader), platform.connector());
            let stop = stop_pipeline.clone();
            let telling = recreated::tell_the_leader(leader, connector, state.clone(), stop);
            self.parts.spawn(ServicePart::Leader, telling);
        }
        if let Some(platform) = platform {
            self.watch_outages(platform, stop_pipeline);
        }
        if let Some(pressure) = &self.outlets.pressure {
            backpressure::watch(pressure, &self.health, &self.parts, stop_pipeline).await;
        }
        // A journal that fails is asked again for as long as it takes, or until there is a stop.
        if once && let Some(led) = stop.run_until_cancelled(self.lead_a_single_run(&state)).await {
            led?;
        }
        let told = Told { state, pulses: Pulses::default() };
        let begun = stop.run_until_cancelled(self.begin(&told.pulses, stop_pipeline)).await;
        let Some(moving) = begun else { return Ok(()) };
        let (schedules, pipelines): (Vec<_>, Vec<_>) =
            moving.into_iter().map(|moving| (moving.schedule, moving.pipeline)).unzip();
        let mut writers = self.writers.lock().await;
        let a_part_ended = async {
            tokio::select! {
                _ended = select_all(pipelines) => ServicePart::Pipeline,
                _ended = select_all(writers.iter_mut()) => ServicePart::JournalWriter,
            }
        };
        let working = async {
            if once {
                let done = self.run_once(&schedules);
                return stop.run_until_cancelled(done).await.unwrap_or(Ok(()));
            }
            while let Some(term) = self.leader.next_term(stop).await {
                Box::pin(self.lead(&schedules, &told, term)).await;
                join_all(self.consoles.iter().map(ConsoleService::leads_no_longer)).await;
            }
            Ok(())
        };
        let result = tokio::select! {
            result = working => result,
            part = a_part_ended => Err(ServiceError::PartEnded(part)),
        };
        if once {
            self.tell_where_it_ended(&told).await;
        }
        result
    }

    /// Notices outages of OpenCTI. What waits because of one is tried again as soon as it is over.
    fn watch_outages(&self, platform: &Platform, stop: &CancellationToken) {
        let client = platform.connector().platform().clone();
        let sinks = self.outlets.sinks.iter().filter(|sink| sink.opens_works());
        let sinks: Arc<[_]> = sinks.map(|sink| sink.name()).collect();
        let consoles = self.consoles.iter();
        let consoles: Arc<[_]> =
            consoles.map(|it| (it.journal.clone(), Arc::clone(&it.arrived))).collect();
        let clock = self.clock.clone();
        let is_back = move || {
            let (sinks, consoles, now) = (Arc::clone(&sinks), Arc::clone(&consoles), clock.now());
            async move {
                for (journal, arrived) in consoles.iter() {
                    for sink in sinks.iter() {
                        try_now(sink, journal, arrived, now).await;
                    }
                }
            }
        };
        let noticed = (Arc::clone(&self.health), outage::PACE);
        let watching = outage::watch(client, noticed, self.journal(), is_back, stop.clone());
        self.parts.spawn(ServicePart::OutageWatch, watching);
    }

    /// A single run sweeps, so it must lead.
    async fn lead_a_single_run(&self, state: &ConnectorState) -> Result<(), ServiceError> {
        if !self.leader.leads_soon().await {
            return Err(ServiceError::AnotherLeads);
        }
        let platform = self.outlets.platform.as_ref();
        if let Some(platform) = platform.filter(|_| !self.leader.is_alone()) {
            platform.heed_clearing(state).await;
        }
        Ok(())
    }

    /// The one beat of a single run.
    async fn tell_where_it_ended(&self, told: &Told) {
        let Some(platform) = &self.outlets.platform else {
            return;
        };
        let pulse = told.pulses.borrow().clone();
        let queue = *self.load().borrow();
        let pulse = Pulse { queue, last_run: Some(self.clock.now()), ..pulse };
        if let Err(failure) = platform.beat_once(&told.state, pulse).await {
            warn!(%failure, "OpenCTI was not told where this run ended");
        }
    }

    /// Returns the shared dependencies of all consoles, until `stop`.
    fn common<'a>(&'a self, stop: &'a CancellationToken) -> Common<'a> {
        Common {
            settings: &self.settings,
            outlets: &self.outlets,
            clock: &self.clock,
            parts: &self.parts,
            stop,
        }
    }

    /// Every console begins to deliver.
    async fn begin(&self, pulses: &Pulses, stop: &CancellationToken) -> Vec<Moving> {
        let common = self.common(stop);
        let looks_after = self.leader.is_alone() || self.settings.connector.runs_once();
        join_all(self.consoles.iter().map(|console| {
            let pushes = if self.reads_queue(console) {
                Pushes::Taken
            } else {
                self.listeners.pushes(&console.settings)
            };
            let pulses = pulses.clone();
            console.label.on(async move {
                if looks_after {
                    console.look_after_deliveries(common).await;
                }
                console.begin(common, pulses, pushes).await
            })
        }))
        .await
    }

    /// One job of each console, or of those of which one was asked for; then everything delivered. One
    /// that fails keeps no other from its end.
    async fn run_once(&self, schedules: &[Schedule]) -> Result<(), ServiceError> {
        let asked = join_all(self.consoles.iter().map(ConsoleService::first_job)).await;
        let is_any_asked = asked.iter().any(Option::is_some);
        let done =
            self.consoles.iter().zip(schedules).zip(asked).map(|((console, schedule), asked)| {
                let errand = match asked {
                    Some(job) => Errand::Job(job),
                    None if is_any_asked => Errand::None,
                    None => Errand::Sweep,
                };
                let journal = &console.journal;
                console.label.on(async move { schedule.run_once(journal, &errand).await })
            });
        let done = join_all(done).await.into_iter();
        if !self.settings.has_several_consoles() {
            return done.collect();
        }
        let name = |console: &ConsoleService| console.settings.name.clone();
        let failed = self.consoles.iter().zip(done);
        let failed = failed.filter_map(|(console, done)| Some((name(console), done.err()?)));
        let failed: Vec<_> = failed.collect();
        if failed.is_empty() { Ok(()) } else { Err(ServiceError::Consoles(failed)) }
    }

    /// Does what only the leader does, for every console, until its term ends.
    async fn lead(&self, schedules: &[Schedule], told: &Told, term: CancellationToken) {
        let reset = Reset::new(told.state.clone(), self.consoles.len());
        if let Some(platform) = &self.outlets.platform {
            if !self.leader.is_alone() {
                let heeded = platform.heed_clearing(&told.state);
                if term.run_until_cancelled(heeded).await.is_none() {
                    return;
                }
                for console in &self.consoles {
                    console.look_after_deliveries_of_all(self.common(&term));
                }
                let (reset, confirmed) = (Arc::clone(&reset), self.outlets.confirmed.clone());
                let heeding = recreated::heed_the_others(reset, confirmed, term.clone());
                self.parts.spawn(ServicePart::Leader, heeding);
            }
            let (state, pulses) = (told.state.clone(), told.pulses.subscribe());
            let (reset, confirmed) = (Arc::clone(&reset), self.outlets.confirmed.clone());
            let beating = platform.beat(state, pulses, self.load(), reset, confirmed, term.clone());
            self.parts.spawn(ServicePart::Heartbeat, beating);
        }
        let running = self.consoles.iter().zip(schedules).enumerate();
        join_all(running.map(async |(position, (console, schedule))| {
            console.lead(schedule, &reset.of(position), &term).await;
        }))
        .await;
    }

    /// Returns the fill of the queue; empty for ever where nothing goes there.
    fn load(&self) -> watch::Receiver<QueueLoad> {
        match &self.outlets.pressure {
            Some(pressure) => pressure.load(),
            None => watch::Sender::default().subscribe(),
        }
    }
}
