//! What the service runs for one console: the client, the door with the journal's writer behind it, the
//! pipeline, the sweep and the jobs. A console that is slow, away or floods keeps none of another's
//! parts waiting; what they share is the journal's file, the sinks and OpenCTI.
//!
//! Does not live here: what is shared (`sinks`, `platform`), when each part runs (`service`).

use std::{collections::BTreeMap, sync::Arc};

use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ServiceError, access, jobs,
    platform::{self, Platform},
    reset::ResetOfConsole,
    schedule::{Pulses, Schedule},
    sinks::Outlets,
};
use crate::{
    clock::Clock,
    config::{ConsoleSettings, Settings},
    convert::{ConvertSettings, NetworkTraffic},
    harfanglab::Console,
    health::Health,
    intake::{Door, Entry},
    journal::{Journal, write_what_comes_in},
    label::ConsoleLabel,
    pipeline::{Afterwards, Enricher, NegativeSightings, Pipeline, Preparer},
    sweep::{Job, JobBoard, Kept, Pushes, Sweep},
};

/// One console's part of the service.
pub(super) struct ConsoleService {
    pub(super) settings: ConsoleSettings,
    pub(super) label: ConsoleLabel,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) door: Door,
    pub(super) arrived: Arc<Notify>,
    pub(super) board: Arc<JobBoard>,
    pub(super) health: Arc<Health>,
    client: Arc<Console>,
    entries: Mutex<Option<mpsc::Receiver<Entry>>>,
    jobs: Mutex<Option<mpsc::Receiver<Job>>>,
}

/// What all consoles have in common.
#[derive(Clone, Copy)]
pub(super) struct Common<'a> {
    pub(super) settings: &'a Settings,
    pub(super) outlets: &'a Outlets,
    pub(super) clock: &'a Clock,
    pub(super) parts: &'a TaskTracker,
    /// Ends everything that begins.
    pub(super) stop: &'a CancellationToken,
}

/// A console's parts that move once OpenCTI is known.
pub(super) struct Moving {
    pub(super) schedule: Schedule,
    pub(super) pipeline: JoinHandle<()>,
}

impl ConsoleService {
    /// Puts the parts together around the rows of `journal` that are this console's.
    pub(super) fn new(
        settings: ConsoleSettings,
        service: &Settings,
        journal: Arc<dyn Journal>,
        health: &Health,
    ) -> Result<Self, ServiceError> {
        let label = if service.has_several_consoles() {
            ConsoleLabel::of(&settings.name)
        } else {
            ConsoleLabel::default()
        };
        let (door, entries) = Door::new(service.journal.queue);
        let (board, jobs) = JobBoard::new(settings.harfanglab.url.to_string());
        Ok(Self {
            client: Arc::new(Console::new(&settings.harfanglab)?),
            health: Arc::new(health.of_console(label.clone())),
            door: door.of_console(label.clone()),
            arrived: Arc::default(),
            board: Arc::new(board),
            entries: Mutex::new(Some(entries)),
            jobs: Mutex::new(Some(jobs)),
            settings,
            label,
            journal,
        })
    }

    /// What the journal keeps for it.
    pub(super) fn kept(&self) -> Kept {
        Kept { console: self.label.clone(), journal: Arc::clone(&self.journal) }
    }

    /// Writes to the journal what comes through the door, from now on until the door is gone.
    pub(super) async fn write(&self, parts: &TaskTracker) -> Option<JoinHandle<()>> {
        let entries = self.entries.lock().await.take()?;
        Some(parts.spawn(self.label.on(write_what_comes_in(
            Arc::clone(&self.journal),
            entries,
            Arc::clone(&self.arrived),
            Arc::clone(&self.health),
        ))))
    }

    /// Tells of what the console denies, until `stop`.
    pub(super) fn watch_access(&self, parts: &TaskTracker, stop: &CancellationToken) {
        let telling = access::tell(self.client.denied(), Arc::clone(&self.health), stop.clone());
        parts.spawn(self.label.on(telling));
    }

    /// Looks after what was delivered, and begins to deliver.
    pub(super) async fn begin(
        &self,
        common: Common<'_>,
        pulses: Pulses,
        reset: ResetOfConsole,
        pushes: Pushes,
    ) -> Moving {
        let Common { settings, outlets, clock, parts, stop } = common;
        self.look_after_deliveries(common).await;
        let workflow = match &outlets.platform {
            Some(platform) => platform.workflow(&self.settings.import.workflow).await,
            None => BTreeMap::new(),
        };
        let naming = platform::naming(self.settings.import.naming, &*self.journal).await;
        let platform = outlets.platform.as_ref();
        let convert = ConvertSettings {
            author: self.settings.author.clone(),
            marking: self.settings.import.marking,
            score: self.settings.import.score,
            naming,
            accounts: self.settings.import.accounts,
            raw: self.settings.import.raw,
            // As OpenCTI's version allows; without OpenCTI as the newest does.
            network_traffic: platform.map_or(NetworkTraffic::Sent, Platform::network_traffic),
            workflow,
            console_url: self.settings.harfanglab.url.clone(),
        };
        let pipeline = self.pipeline(common, convert);
        let pipeline = parts.spawn(self.label.on(pipeline.run(stop.clone())));
        let sweep = Arc::new(self.sweep(clock, pushes));
        let period = settings.connector.duration_period;
        let health = Arc::clone(&self.health);
        let schedule = Schedule::new(sweep, period, health, clock.clone(), pulses, reset);
        Moving { schedule, pipeline }
    }

    /// Closes what was left open, and reads from now on what OpenCTI says of deliveries. Before the
    /// first delivery: the works that are open now are of a process before this one.
    async fn look_after_deliveries(&self, common: Common<'_>) {
        let Common { outlets, clock, parts, stop, .. } = common;
        let Some(platform) = &outlets.platform else {
            return;
        };
        let journal = &self.journal;
        platform::insist(|| Afterwards::take_over(&**journal, clock.now())).await;
        let client = platform.connector().platform().clone();
        let confirmed = outlets.confirmed.clone();
        let afterwards = Afterwards::new(Arc::clone(journal), client, confirmed, clock.clone());
        parts.spawn(self.label.on(afterwards.run(stop.clone())));
    }

    fn pipeline(&self, common: Common<'_>, convert: ConvertSettings) -> Pipeline {
        let Common { settings, outlets, clock, .. } = common;
        let import = &self.settings.import;
        let name = &settings.connector.name;
        Pipeline {
            journal: Arc::clone(&self.journal),
            preparer: Arc::new(Preparer {
                journal: Arc::clone(&self.journal),
                enricher: Enricher::new(Arc::clone(&self.client)),
                enrichment: self.settings.enrichment.clone(),
                filter: import.filter.clone(),
                threats: import.threats,
                convert,
                clock: clock.clone(),
            }),
            sinks: outlets.sinks.clone(),
            pressure: outlets.pressure.clone(),
            arrived: Arc::clone(&self.arrived),
            clock: clock.clone(),
            settings: settings.pipeline.clone(),
            connector_name: match self.label.name() {
                Some(console) => format!("{name} ({console})"),
                None => name.clone(),
            },
            health: Arc::clone(&self.health),
            negative_sightings: outlets
                .platform
                .as_ref()
                .map_or(NegativeSightings::ByBundle, Platform::negative_sightings),
        }
    }

    fn sweep(&self, clock: &Clock, pushes: Pushes) -> Sweep {
        Sweep::new(
            Arc::clone(&self.client),
            self.door.clone(),
            Arc::clone(&self.journal),
            self.settings.import.clone(),
            clock.clone(),
            pushes,
        )
    }

    /// The job that was asked for before a single run began, if any.
    pub(super) async fn first_job(&self) -> Option<Job> {
        self.jobs.lock().await.as_mut()?.try_recv().ok()
    }

    /// Does the jobs that are asked for, until `stop`.
    pub(super) async fn take_up_jobs(
        &self,
        schedule: &Schedule,
        parts: &TaskTracker,
        stop: &CancellationToken,
    ) {
        if let Some(jobs) = self.jobs.lock().await.take() {
            let board = Arc::clone(&self.board);
            let doing = jobs::take_up(schedule.sweep(), board, jobs, stop.clone());
            parts.spawn(self.label.on(doing));
        }
    }
}
