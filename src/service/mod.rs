//! Builds the parts, runs them, shuts them down.
//!
//! Order of life: bind and open what the webhook needs, so that it accepts at once; then get to
//! know OpenCTI, for as long as that takes; only then convert, sweep and beat. Order of death: stop
//! accepting, let what is under way leave within a deadline, leave the rest in the journal.

mod access;
mod account;
mod backpressure;
mod error;
mod jobs;
mod leader;
mod listeners;
mod manager;
mod parts;
mod platform;
mod request_span;
mod retention;
mod room;
mod schedule;
mod secrets;
mod sinks;
mod syslog;
mod tls;
mod token;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, Notify, mpsc, watch},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

use self::{
    account::Account,
    leader::Leader,
    listeners::{Listeners, Shown},
    parts::Parts,
    platform::Platform,
    retention::Retention,
    room::Room,
    schedule::Schedule,
    sinks::Outlets,
};
pub use self::{error::ServiceError, parts::ServicePart, tls::TlsError};
pub(crate) use self::{platform::service_account, sinks::s3_tls};
use crate::{
    clock::Clock,
    config::{IncidentNaming, Settings},
    convert::{ConvertSettings, NetworkTraffic},
    harfanglab::Console,
    health::Health,
    intake::Door,
    journal::{self, Journal, Opened, write_what_comes_in},
    opencti::{Backpressure, ConfirmedObjects, Pulse, QueueLoad, Sink},
    pipeline::{Afterwards, Enricher, NegativeSightings, Pipeline, Preparer},
    sweep::{ElasticQueue, Job, JobBoard, Pushes, Sweep},
};

/// Longest time that what is under way gets to leave at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);
/// Longest time for counting what is left.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A service with its parts, ready to run.
pub struct Service {
    settings: Settings,
    clock: Clock,
    listeners: Listeners,
    journal: Arc<dyn Journal>,
    console: Arc<Console>,
    platform: Option<Platform>,
    /// What need not be sent again.
    confirmed: Option<Arc<ConfirmedObjects>>,
    sinks: Vec<Arc<dyn Sink>>,
    pressure: Option<Arc<Backpressure>>,
    health: Arc<Health>,
    arrived: Arc<Notify>,
    parts: Parts,
    door: Door,
    /// Ends what looks after the journal.
    upkeep: CancellationToken,
    writer: Mutex<JoinHandle<()>>,
    board: Arc<JobBoard>,
    jobs: Mutex<mpsc::Receiver<Job>>,
    leader: Arc<Leader>,
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
        let Opened { journal, place } =
            Box::pin(journal::open(&settings.journal, settings.harfanglab.url.as_str())).await?;
        let console = Arc::new(Console::new(&settings.harfanglab)?);
        let Outlets { platform, confirmed, sinks, pressure } =
            Outlets::open(&settings, &journal, &clock, more_sinks)?;
        let (health, arrived) = (Arc::new(Health::new(clock.clone())), Arc::new(Notify::new()));
        let (door, entries) = Door::new(settings.journal.queue);
        let parts = Parts::new();
        let upkeep = CancellationToken::new();
        let leader = Arc::new(Leader::new(place, &health));
        // PostgreSQL's room is the business of its own administrator.
        if let Some(folder) = leader.folder() {
            let mut room =
                Room::new(&journal, folder.to_owned(), &settings.journal, &door, &health);
            room.look().await;
            parts.spawn(ServicePart::Room, room.watch(upkeep.clone()));
        }
        let writing = write_what_comes_in(
            Arc::clone(&journal),
            entries,
            Arc::clone(&arrived),
            Arc::clone(&health),
        );
        let writer = parts.spawn(ServicePart::JournalWriter, writing);
        let (board, jobs) = JobBoard::new(settings.harfanglab.url.to_string(), clock.clone());
        let board = Arc::new(board);
        let shown = Shown {
            journal: Arc::clone(&journal),
            health: Arc::clone(&health),
            jobs: Arc::clone(&board),
            arrived: Arc::clone(&arrived),
            sinks: sinks.iter().map(|sink| sink.name()).collect(),
        };
        let listeners = Listeners::open(&settings, &door, &clock, shown)?;
        Ok(Self {
            settings,
            clock,
            listeners,
            journal,
            console,
            platform,
            confirmed,
            sinks,
            pressure,
            health,
            arrived,
            parts,
            door,
            upkeep,
            writer: Mutex::new(writer),
            board,
            jobs: Mutex::new(jobs),
            leader,
        })
    }

    /// Where deliveries are taken; `None` when the endpoint is closed.
    pub fn webhook_address(&self) -> Option<SocketAddr> {
        self.listeners.webhook_address()
    }

    /// The journal, to look at.
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal)
    }

    /// Where jobs are hung up. One that hangs there when a single run begins is done in place of its
    /// sweep.
    pub fn jobs(&self) -> Arc<JobBoard> {
        Arc::clone(&self.board)
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
        if self.reads_queue() {
            let (console, door) = (Arc::clone(&self.console), self.door.clone());
            let queue = ElasticQueue::new(console, door, self.clock.clone());
            self.parts.spawn(ServicePart::ElasticQueue, queue.run(self.upkeep.clone()));
        }
        manager::ready(&self.status());
        let result = tokio::select! {
            result = self.work(&stop, &stop_pipeline) => result,
            part = self.parts.broken() => Err(ServiceError::PartEnded(part)),
        };
        manager::stopping("stopping: what is under way may leave, the rest stays in the journal");
        lead.cancel();
        self.upkeep.cancel();
        stop_pipeline.cancel();
        self.listeners.close().await;
        drop(self.door);
        let is_done = tokio::time::timeout(DRAIN_DEADLINE, self.parts.ended()).await.is_ok();
        tell_the_end(is_done, &*self.journal).await;
        result
    }

    /// Contends for the lead, and prunes while it has it.
    fn upkeep(&self, stop: &CancellationToken) {
        let (leader, token) = (Arc::clone(&self.leader), stop.clone());
        self.parts.spawn(ServicePart::Leader, async move { leader.contend(&token).await });
        let journal = Arc::clone(&self.journal);
        let retention = Retention::new(journal, &self.settings.journal, self.clock.clone());
        let (leader, token) = (Arc::clone(&self.leader), stop.clone());
        self.parts.spawn(ServicePart::Retention, async move {
            while let Some(term) = leader.next_term(&token).await {
                retention.run(term).await;
            }
        });
        if let Some(confirmed) = self.confirmed.clone() {
            let (leader, journal) = (Arc::clone(&self.leader), Arc::clone(&self.journal));
            let token = stop.clone();
            let following = async move { leader.follow_resets(journal, confirmed, token).await };
            self.parts.spawn(ServicePart::Leader, following);
        }
    }

    /// What the service does now, for the service manager.
    fn status(&self) -> String {
        match self.listeners.webhook_address() {
            Some(address) => format!("accepting deliveries at {address}"),
            None if self.listeners.take_pushes() => "accepting messages by syslog".to_owned(),
            None => "sweeping; the endpoint is closed".to_owned(),
        }
    }

    async fn work(
        &self,
        stop: &CancellationToken,
        stop_pipeline: &CancellationToken,
    ) -> Result<(), ServiceError> {
        let once = self.settings.connector.runs_once();
        let health = Arc::clone(&self.health);
        let telling = access::tell(self.console.denied(), health, stop_pipeline.clone());
        self.parts.spawn(ServicePart::ConsoleAccess, telling);
        if let (Some(platform), Some(opencti)) = (&self.platform, self.settings.opencti.clone()) {
            let client = platform.connector().platform().clone();
            let current = token::keep_current(client, opencti, stop_pipeline.clone());
            self.parts.spawn(ServicePart::Token, current.map_err(ServiceError::Signal)?);
        }
        if let Some(platform) = &self.platform {
            let met = platform.meet(&*self.journal, &self.health, once, self.leader.is_alone());
            match stop.run_until_cancelled(met).await {
                Some(met) => met?,
                None => return Ok(()),
            }
        }
        if let Some(pressure) = &self.pressure {
            backpressure::watch(pressure, &self.health, &self.parts, stop_pipeline).await;
        }
        if once {
            self.lead_a_single_run().await?;
        }
        if self.leader.is_alone() || once {
            self.look_after_deliveries(stop_pipeline).await;
        }
        let workflow = match &self.platform {
            Some(platform) => platform.workflow(&self.settings.import.workflow).await,
            None => BTreeMap::new(),
        };
        let naming = platform::naming(self.settings.import.naming, &*self.journal).await;
        let running = self.pipeline(naming, workflow).run(stop_pipeline.clone());
        let mut pipeline = self.parts.spawn(ServicePart::Pipeline, running);
        let mut writer = self.writer.lock().await;
        let schedule = self.schedule();
        let working = async {
            if once {
                let job = self.jobs.lock().await.try_recv().ok();
                let done = schedule.run_once(&*self.journal, job.as_ref());
                return stop.run_until_cancelled(done).await.unwrap_or(Ok(()));
            }
            while let Some(term) = self.leader.next_term(stop).await {
                Box::pin(self.lead(&schedule, term)).await;
            }
            Ok(())
        };
        let result = tokio::select! {
            result = working => result,
            _ended = &mut pipeline => Err(ServiceError::PartEnded(ServicePart::Pipeline)),
            _ended = &mut *writer => Err(ServiceError::PartEnded(ServicePart::JournalWriter)),
        };
        if once && let Some(platform) = &self.platform {
            let pulse = Pulse { queue: *self.load().borrow(), ..schedule.pulse() };
            if let Err(failure) = platform.beat_once(&*self.journal, pulse).await {
                warn!(%failure, "OpenCTI was not told where this run ended");
            }
        }
        result
    }

    /// A single run sweeps, so it must lead.
    async fn lead_a_single_run(&self) -> Result<(), ServiceError> {
        if !self.leader.leads_soon().await {
            return Err(ServiceError::AnotherLeads);
        }
        if let Some(platform) = self.platform.as_ref().filter(|_| !self.leader.is_alone()) {
            platform.heed_clearing(&*self.journal).await;
        }
        Ok(())
    }

    /// What only the leader does, until its term ends.
    async fn lead(&self, schedule: &Schedule, term: CancellationToken) {
        if let Some(platform) = &self.platform {
            if !self.leader.is_alone() {
                let journal = &*self.journal;
                let heeded = platform.heed_clearing(journal);
                if term.run_until_cancelled(heeded).await.is_none() {
                    return;
                }
                let running = self.afterwards(platform).run_among_others(term.clone());
                self.parts.spawn(ServicePart::Afterwards, running);
            }
            let pulses = schedule.pulses();
            let journal = Arc::clone(&self.journal);
            let (reset, confirmed) = (schedule.reset(), self.confirmed.clone());
            let beating =
                platform.beat(journal, pulses, self.load(), reset, confirmed, term.clone());
            self.parts.spawn(ServicePart::Heartbeat, beating);
        }
        let board = Arc::clone(&self.board);
        let (sweep, account) = (schedule.sweep(), schedule.account());
        let jobs = jobs::take_up(sweep, account, board, &self.jobs, term.clone());
        tokio::join!(jobs, schedule.run(&term));
    }

    /// Closes what was left open, and reads from now on what OpenCTI says of deliveries. Before the
    /// first delivery: the works that are open now are of a process before this one.
    async fn look_after_deliveries(&self, stop: &CancellationToken) {
        let Some(platform) = &self.platform else {
            return;
        };
        let journal = &self.journal;
        platform::insist(|| Afterwards::take_over(&**journal, self.clock.now())).await;
        let running = self.afterwards(platform).run(stop.clone());
        self.parts.spawn(ServicePart::Afterwards, running);
    }

    fn afterwards(&self, platform: &Platform) -> Afterwards {
        Afterwards::new(
            Arc::clone(&self.journal),
            (platform.connector().platform().clone(), self.settings.connector.id.clone()),
            self.confirmed.clone(),
            self.clock.clone(),
        )
    }

    fn pipeline(&self, naming: IncidentNaming, workflow: BTreeMap<String, String>) -> Pipeline {
        let import = &self.settings.import;
        Pipeline {
            journal: Arc::clone(&self.journal),
            preparer: Arc::new(Preparer {
                journal: Arc::clone(&self.journal),
                enricher: Enricher::new(Arc::clone(&self.console)),
                enrichment: self.settings.enrichment.clone(),
                filter: import.filter.clone(),
                threats: import.threats,
                convert: ConvertSettings {
                    author: self.settings.connector.name.clone(),
                    marking: import.marking,
                    score: import.score,
                    naming,
                    accounts: import.accounts,
                    raw: import.raw,
                    network_traffic: self.network_traffic(),
                    workflow,
                    console_url: self.settings.harfanglab.url.clone(),
                },
                clock: self.clock.clone(),
            }),
            sinks: self.sinks.clone(),
            pressure: self.pressure.clone(),
            arrived: Arc::clone(&self.arrived),
            clock: self.clock.clone(),
            settings: self.settings.pipeline.clone(),
            connector_name: self.settings.connector.name.clone(),
            health: Arc::clone(&self.health),
            negative_sightings: self
                .platform
                .as_ref()
                .map_or(NegativeSightings::ByBundle, Platform::negative_sightings),
        }
    }

    /// How full the queue is; empty for ever where nothing goes there.
    fn load(&self) -> watch::Receiver<QueueLoad> {
        match &self.pressure {
            Some(pressure) => pressure.load(),
            None => watch::Sender::default().subscribe(),
        }
    }

    /// As OpenCTI's version allows; without OpenCTI as the newest does.
    fn network_traffic(&self) -> NetworkTraffic {
        self.platform.as_ref().map_or(NetworkTraffic::Sent, Platform::network_traffic)
    }

    /// Whether the queue of the console's Elastic connector is read; a single run does not.
    fn reads_queue(&self) -> bool {
        self.settings.elastic_pull && !self.settings.connector.runs_once()
    }

    fn schedule(&self) -> Schedule {
        let pushes = if self.listeners.take_pushes() || self.reads_queue() {
            Pushes::Taken
        } else {
            Pushes::NotTaken
        };
        let sweep = Arc::new(Sweep::new(
            Arc::clone(&self.console),
            self.door.clone(),
            Arc::clone(&self.journal),
            self.settings.import.clone(),
            self.clock.clone(),
            pushes,
        ));
        let clock = self.clock.clone();
        let account = Account::new(Arc::clone(&sweep), Arc::clone(&self.health), clock.clone());
        let period = self.settings.connector.duration_period;
        Schedule::new(sweep, account, Arc::clone(&self.board), period, clock)
    }
}

/// Logs how the service ended: what is left comes with the next start.
async fn tell_the_end(is_done: bool, journal: &dyn Journal) {
    // A journal that cannot be read keeps nobody from stopping.
    let counted = tokio::time::timeout(LAST_LOOK, journal.pending()).await;
    let pending = counted.ok().and_then(Result::ok);
    let outcome = if is_done {
        info!(pending, "stopped; nothing was left under way");
        "stopped; nothing was left under way"
    } else {
        warn!(
            pending,
            deadline_seconds = DRAIN_DEADLINE.as_secs(),
            "stopped at the deadline; what was under way is in the journal and will be tried again"
        );
        "stopped at the deadline"
    };
    manager::status(outcome);
}
