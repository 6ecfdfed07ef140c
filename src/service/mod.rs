//! Builds the parts, runs them, shuts them down.
//!
//! Order of life: bind and open what the webhook needs, so that it accepts at once; then get to
//! know OpenCTI, for as long as that takes; only then convert, sweep and beat. Order of death: stop
//! accepting, let what is under way leave within a deadline, leave the rest in the journal.

mod access;
mod backpressure;
mod console;
mod error;
mod jobs;
mod listeners;
mod manager;
mod platform;
mod request_span;
mod reset;
mod retention;
mod room;
mod schedule;
mod secrets;
mod sinks;
mod tls;
mod token;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::future::{join_all, select_all};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::{info, warn};

use self::{
    console::{Common, ConsoleService, Moving},
    listeners::{Listeners, Shown},
    reset::Reset,
    retention::Retention,
    room::Room,
    schedule::Pulses,
    sinks::Outlets,
};
pub use self::{error::ServiceError, tls::TlsError};
pub(crate) use self::{platform::client, sinks::s3_tls};
use crate::{
    clock::Clock,
    config::Settings,
    health::Health,
    intake::Door,
    journal::{Journal, SqliteJournal},
    opencti::{Pulse, QueueLoad, Sink},
    sweep::{ConnectorState, Job, JobBoard},
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
    /// In the order of the configuration; at least one.
    consoles: Vec<ConsoleService>,
    outlets: Outlets,
    health: Arc<Health>,
    parts: TaskTracker,
    /// Ends what looks after the journal.
    upkeep: CancellationToken,
    writers: Mutex<Vec<JoinHandle<()>>>,
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
        let first = settings.harfanglab.url.as_str();
        let sqlite = SqliteJournal::open(&settings.journal.url, first).await?;
        let folder = sqlite.file().parent().filter(|folder| *folder != Path::new(""));
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let shared: Arc<dyn Journal> = Arc::new(sqlite.clone());
        let outlets = Outlets::open(&settings, &shared, &clock, more_sinks)?;
        let health = Arc::new(Health::new(clock.clone()));
        let consoles = settings.each_console().into_iter().map(|console| {
            let journal = Arc::new(sqlite.for_console(console.harfanglab.url.as_str()));
            ConsoleService::new(console, &settings, journal, &health)
        });
        let consoles: Vec<ConsoleService> = consoles.collect::<Result<_, _>>()?;
        let parts = TaskTracker::new();
        let doors: Vec<Door> = consoles.iter().map(|console| console.door.clone()).collect();
        let mut room = Room::new(&shared, folder, &settings.journal, doors, &health);
        room.look().await;
        let upkeep = CancellationToken::new();
        parts.spawn(room.watch(upkeep.clone()));
        let writers = join_all(consoles.iter().map(|console| console.write(&parts))).await;
        let shown = Shown {
            consoles: &consoles,
            health: Arc::clone(&health),
            sinks: outlets.sinks.iter().map(|sink| sink.name()).collect(),
        };
        let listeners = Listeners::open(&settings, &clock, shown)?;
        let writers = Mutex::new(writers.into_iter().flatten().collect());
        Ok(Self { settings, clock, listeners, consoles, outlets, health, parts, upkeep, writers })
    }

    /// Where deliveries are taken; `None` when the endpoint is closed.
    pub fn webhook_address(&self) -> Option<SocketAddr> {
        self.listeners.webhook_address()
    }

    /// The journal, to look at; of several consoles, the rows of the first.
    pub fn journal(&self) -> Arc<dyn Journal> {
        // There is always one.
        Arc::clone(&self.consoles[0].journal)
    }

    /// The journal with the rows of the console of this name.
    pub fn journal_of(&self, console: &str) -> Option<Arc<dyn Journal>> {
        self.console(console).map(|console| Arc::clone(&console.journal))
    }

    /// Where jobs are hung up; of several consoles, for the first. One that hangs there when a single
    /// run begins is done in place of its sweep.
    pub fn jobs(&self) -> Arc<JobBoard> {
        // There is always one.
        Arc::clone(&self.consoles[0].board)
    }

    /// Where jobs for the console of this name are hung up. When a single run begins and one hangs
    /// anywhere, consoles without one do not sweep.
    pub fn jobs_of(&self, console: &str) -> Option<Arc<JobBoard>> {
        self.console(console).map(|console| Arc::clone(&console.board))
    }

    fn console(&self, name: &str) -> Option<&ConsoleService> {
        self.consoles.iter().find(|console| console.settings.name == name)
    }

    fn journals(&self) -> Vec<Arc<dyn Journal>> {
        self.consoles.iter().map(|console| Arc::clone(&console.journal)).collect()
    }

    /// Runs until `stop`, or, for a single run, until everything found is delivered.
    ///
    /// # Errors
    /// [`ServiceError::OpenCti`] when OpenCTI refuses a single run for good, and
    /// [`ServiceError::Sweep`] when a single run could not see everything.
    pub async fn run(self, stop: CancellationToken) -> Result<(), ServiceError> {
        let stop_pipeline = CancellationToken::new();
        let _dog = AbortOnDropHandle::new(tokio::spawn(manager::watch_dog()));
        let journals = self.journals();
        let retention = Retention::new(journals, &self.settings.journal, self.clock.clone());
        self.parts.spawn(retention.run(self.upkeep.clone()));
        manager::ready(&self.status());
        let result = self.work(&stop, &stop_pipeline).await;
        manager::stopping("stopping: what is under way may leave, the rest stays in the journal");
        self.upkeep.cancel();
        stop_pipeline.cancel();
        self.listeners.close().await;
        let journals = self.journals();
        // With them the doors: nobody writes any more.
        drop(self.consoles);
        self.parts.close();
        let is_done = tokio::time::timeout(DRAIN_DEADLINE, self.parts.wait()).await.is_ok();
        tell_the_end(is_done, &journals).await;
        result
    }

    /// What the service does now, for the service manager.
    fn status(&self) -> String {
        match self.listeners.webhook_address() {
            Some(address) => format!("accepting deliveries at {address}"),
            None => "sweeping; the endpoint is closed".to_owned(),
        }
    }

    async fn work(
        &self,
        stop: &CancellationToken,
        stop_pipeline: &CancellationToken,
    ) -> Result<(), ServiceError> {
        let once = self.settings.connector.runs_once();
        for console in &self.consoles {
            console.watch_access(&self.parts, stop_pipeline);
        }
        let platform = self.outlets.platform.as_ref();
        if let (Some(platform), Some(opencti)) = (platform, self.settings.opencti.clone()) {
            let client = platform.connector().platform().clone();
            let current = token::keep_current(client, opencti, stop_pipeline.clone());
            self.parts.spawn(current.map_err(ServiceError::Signal)?);
        }
        let state = ConnectorState::new(self.consoles.iter().map(ConsoleService::kept).collect());
        if let Some(platform) = platform {
            let met = platform.meet(&state, &self.health, once);
            match stop.run_until_cancelled(met).await {
                Some(met) => met?,
                None => return Ok(()),
            }
        }
        if let Some(pressure) = &self.outlets.pressure {
            backpressure::watch(pressure, &self.health, &self.parts, stop_pipeline).await;
        }
        let (pulses, reset) = (Pulses::default(), Reset::new(state.clone(), self.consoles.len()));
        let moving = self.begin(&pulses, &reset, stop_pipeline).await;
        let (schedules, pipelines): (Vec<_>, Vec<_>) =
            moving.into_iter().map(|moving| (moving.schedule, moving.pipeline)).unzip();
        let mut writers = self.writers.lock().await;
        let a_part_ended = async {
            tokio::select! {
                _ended = select_all(pipelines) => ServiceError::PartEnded("pipeline"),
                _ended = select_all(writers.iter_mut()) => {
                    ServiceError::PartEnded("journal's writer")
                }
            }
        };
        let swept = async {
            if once {
                let done = self.run_once(&schedules);
                stop.run_until_cancelled(done).await.unwrap_or(Ok(()))
            } else {
                self.keep_running(&schedules, (&state, &pulses, &reset), stop).await;
                Ok(())
            }
        };
        let result = tokio::select! {
            result = swept => result,
            ended = a_part_ended => Err(ended),
        };
        if once && let Some(platform) = platform {
            let pulse = pulses.borrow().clone();
            let queue = *self.load().borrow();
            let pulse = Pulse { queue, last_run: Some(self.clock.now()), ..pulse };
            if let Err(failure) = platform.beat_once(&state, pulse).await {
                warn!(%failure, "OpenCTI was not told where this run ended");
            }
        }
        result
    }

    /// Every console begins to deliver.
    async fn begin(
        &self,
        pulses: &Pulses,
        reset: &Arc<Reset>,
        stop: &CancellationToken,
    ) -> Vec<Moving> {
        let common = Common {
            settings: &self.settings,
            outlets: &self.outlets,
            clock: &self.clock,
            parts: &self.parts,
            stop,
        };
        join_all(self.consoles.iter().enumerate().map(|(position, console)| {
            let pushes = self.listeners.pushes(&console.settings);
            console.label.on(console.begin(common, pulses.clone(), reset.of(position), pushes))
        }))
        .await
    }

    /// One job of each console, or of those of which one was asked for; then everything delivered.
    async fn run_once(&self, schedules: &[schedule::Schedule]) -> Result<(), ServiceError> {
        let asked = join_all(self.consoles.iter().map(ConsoleService::first_job)).await;
        let is_any_asked = asked.iter().any(Option::is_some);
        let done =
            self.consoles.iter().zip(schedules).zip(asked).map(|((console, schedule), asked)| {
                let job = asked.or((!is_any_asked).then_some(Job::Sweep));
                console.label.on(async move {
                    schedule.run_once(&*console.journal, &console.board, job.as_ref()).await
                })
            });
        join_all(done).await.into_iter().collect()
    }

    /// Beats, does jobs and sweeps until `stop`.
    async fn keep_running(
        &self,
        schedules: &[schedule::Schedule],
        (state, pulses, reset): (&ConnectorState, &Pulses, &Arc<Reset>),
        stop: &CancellationToken,
    ) {
        if let Some(platform) = &self.outlets.platform {
            let confirmed = self.outlets.confirmed.clone();
            let (pulses, reset) = (pulses.subscribe(), Arc::clone(reset));
            let load = self.load();
            let beating =
                platform.beat(state.clone(), pulses, load, reset, confirmed, stop.clone());
            self.parts.spawn(beating);
        }
        for (console, schedule) in self.consoles.iter().zip(schedules) {
            console.take_up_jobs(schedule, &self.parts, stop).await;
        }
        let running = self.consoles.iter().zip(schedules);
        join_all(running.map(|(console, schedule)| console.label.on(schedule.run(stop)))).await;
    }

    /// How full the queue is; empty for ever where nothing goes there.
    fn load(&self) -> watch::Receiver<QueueLoad> {
        match &self.outlets.pressure {
            Some(pressure) => pressure.load(),
            None => watch::Sender::default().subscribe(),
        }
    }
}

/// Logs how the service ended: what is left comes with the next start.
async fn tell_the_end(is_done: bool, journals: &[Arc<dyn Journal>]) {
    // A journal that cannot be read keeps nobody from stopping.
    let counting = join_all(journals.iter().map(|journal| journal.pending()));
    let counted = tokio::time::timeout(LAST_LOOK, counting).await;
    let counted = counted.ok().map(|counts| counts.into_iter().sum::<Result<u64, _>>());
    let pending = counted.and_then(Result::ok);
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
