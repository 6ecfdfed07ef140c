//! The parts that the service runs for one console: the client, the door with the journal's writer behind it,
//! the
//! pipeline, the sweep, the jobs and the reader of its Elastic connector's queue. A console that is slow,
//! away or floods keeps none of another's parts waiting; what they share is the journal, the sinks and
//! OpenCTI.
//!
//! Does not live here: what is shared (`sinks`, `platform`), when each part runs (`service`).

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DurationRound as _, TimeDelta};
use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    ServiceError, ServicePart, access,
    account::Account,
    authorities, jobs,
    leader::Leader,
    parts::Parts,
    platform::{self, Platform},
    reset::ResetOfConsole,
    schedule::{Pulses, Schedule},
    sinks::Outlets,
    until_answered::until_answered,
};
use crate::{
    clock::Clock,
    config::{ConsoleSettings, Settings},
    convert::{ConvertSettings, NetworkTraffic, RuleChecker},
    harfanglab::Console,
    health::{Health, Part},
    intake::{Door, Entries, MemoryBudget, Samples},
    journal::{Journal, write_what_comes_in},
    label::ConsoleLabel,
    pipeline::{
        Afterwards, Enricher, NameWaits, NegativeSightings, Pipeline, Preparer, ValidFrom,
        first_look_ups_max,
    },
    sweep::{ElasticQueue, Job, JobBoard, Kept, Pushes, Sweep},
};

/// One console's part of the service.
pub(super) struct ConsoleService {
    pub(super) settings: ConsoleSettings,
    pub(super) label: ConsoleLabel,
    pub(super) journal: Journal,
    pub(super) door: Door,
    pub(super) arrived: Arc<Notify>,
    pub(super) board: Arc<JobBoard>,
    pub(super) health: Arc<Health>,
    client: Arc<Console>,
    entries: Mutex<Option<Entries>>,
    jobs: Mutex<mpsc::Receiver<Job>>,
}

/// The shared dependencies of all consoles.
#[derive(Clone, Copy)]
pub(super) struct Common<'a> {
    pub(super) settings: &'a Settings,
    pub(super) outlets: &'a Outlets,
    pub(super) clock: &'a Clock,
    pub(super) parts: &'a Parts,
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
        journal: Journal,
        (health, memory, clock): (&Health, &MemoryBudget, &Clock),
    ) -> Result<Self, ServiceError> {
        let label = if service.has_several_consoles() {
            ConsoleLabel::of(&settings.name)
        } else {
            ConsoleLabel::default()
        };
        let samples = Samples::new(service.journal.samples, service.journal.sample_shapes);
        let (door, entries) = Door::new(service.journal.queue);
        let (board, jobs) = JobBoard::new(settings.harfanglab.url.to_string(), clock.clone());
        Ok(Self {
            client: Arc::new(Console::new(&settings.harfanglab)?),
            health: Arc::new(health.of_console(label.clone())),
            door: door
                .of_console(label.clone())
                .sampling(samples)
                .bounded(memory.clone(), settings.harfanglab.max_values),
            arrived: Arc::default(),
            board: Arc::new(board),
            entries: Mutex::new(Some(entries)),
            jobs: Mutex::new(jobs),
            settings,
            label,
            journal,
        })
    }

    /// Returns what the journal keeps for it.
    pub(super) fn kept(&self) -> Kept {
        Kept { console: self.label.clone(), journal: self.journal.clone() }
    }

    /// Goes on with the day's samples of unknown kinds where the process before left off.
    pub(super) async fn recall_samples(&self, clock: &Clock) {
        let now = clock.now();
        let day = now.duration_trunc(TimeDelta::days(1)).unwrap_or(now);
        match self.journal.samples(day).await {
            Ok(known) => self.door.samples().recall(known, now),
            Err(failure) => {
                warn!(%failure, "the day's samples of unknown kinds begin anew");
            }
        }
    }

    /// Writes to the journal what comes through the door, from now on until the door is gone.
    pub(super) async fn write(&self, parts: &Parts) -> Option<JoinHandle<()>> {
        let entries = self.entries.lock().await.take()?;
        let writing = self.label.on(write_what_comes_in(
            self.journal.clone(),
            entries,
            Arc::clone(&self.arrived),
        ));
        Some(parts.spawn(ServicePart::JournalWriter, writing))
    }

    /// Reads the queue of its Elastic connector whenever this replica leads, until `stop`: the console
    /// hands out each part of it once, to whoever asks.
    pub(super) fn read_queue(
        &self,
        leader: &Arc<Leader>,
        clock: &Clock,
        parts: &Parts,
        stop: &CancellationToken,
    ) {
        let queue = ElasticQueue::new(Arc::clone(&self.client), self.door.clone(), clock.clone());
        let (leader, stop) = (Arc::clone(leader), stop.clone());
        let reading = async move {
            while let Some(term) = leader.next_term(&stop).await {
                if queue.run(&term, &stop).await.is_err() {
                    return;
                }
            }
        };
        parts.spawn(ServicePart::ElasticQueue, self.label.on(reading));
    }

    /// Tells of what the console denies, until `stop`.
    pub(super) fn watch_access(
        &self,
        parts: &Parts,
        stop: &CancellationToken,
    ) -> Result<(), ServiceError> {
        let telling = access::tell(self.client.denied(), Arc::clone(&self.health), stop.clone());
        parts.spawn(ServicePart::ConsoleAccess, self.label.on(telling));
        let current = authorities::keep_current("HarfangLab", self.client.trust(), stop.clone());
        let current = self.label.on(current.map_err(ServiceError::Signal)?);
        parts.spawn(ServicePart::Authorities, current);
        Ok(())
    }

    /// Begins to deliver.
    pub(super) async fn begin(&self, common: Common<'_>, pulses: Pulses, pushes: Pushes) -> Moving {
        let Common { settings, outlets, clock, parts, stop } = common;
        let workflow = match &outlets.platform {
            Some(platform) => platform.workflow(&self.settings.import.workflow).await,
            None => BTreeMap::new(),
        };
        let naming = platform::naming(self.settings.import.naming, &self.journal).await;
        let convert = ConvertSettings {
            author: self.settings.author.clone(),
            marking: self.settings.import.marking,
            score: self.settings.import.score,
            incident_score: self.settings.import.score,
            custom_properties: self.settings.import.custom_properties,
            naming,
            accounts: self.settings.import.accounts,
            raw: self.settings.import.raw,
            network_traffic: NetworkTraffic::Sent,
            rule_checker: RuleChecker::Strict,
            workflow,
            console_url: self.settings.harfanglab.url.clone(),
        };
        let pipeline = self.pipeline(common, convert);
        let pipeline = self.label.on(pipeline.run(stop.clone()));
        let pipeline = parts.spawn(ServicePart::Pipeline, pipeline);
        let sweep = Arc::new(self.sweep(clock, pushes));
        let account = Account::new(Arc::clone(&sweep), Arc::clone(&self.health), clock.clone());
        let period = settings.connector.duration_period;
        let board = Arc::clone(&self.board);
        let schedule = Schedule::new(sweep, account, board, period, clock.clone(), pulses);
        Moving { schedule, pipeline }
    }

    /// Closes what was left open, and reads from now on what OpenCTI says of deliveries. Before the
    /// first delivery: the works that are open now are of a process before this one.
    pub(super) async fn look_after_deliveries(&self, common: Common<'_>) {
        let Common { clock, parts, stop, .. } = common;
        let Some(afterwards) = self.afterwards(common) else {
            return;
        };
        let journal = &self.journal;
        until_answered(|| Afterwards::take_over(journal, clock.now())).await;
        parts.spawn(ServicePart::Afterwards, self.label.on(afterwards.run(stop.clone())));
    }

    /// The same for what any replica delivers, in a term of the one that leads.
    pub(super) fn look_after_deliveries_of_all(&self, common: Common<'_>) {
        let Common { parts, stop, .. } = common;
        if let Some(afterwards) = self.afterwards(common) {
            parts.spawn(ServicePart::Afterwards, self.label.on(afterwards.run(stop.clone())));
        }
    }

    fn afterwards(&self, common: Common<'_>) -> Option<Afterwards> {
        let Common { settings, outlets, clock, .. } = common;
        let client = outlets.platform.as_ref()?.connector().platform().clone();
        Some(Afterwards::new(
            self.journal.clone(),
            (client, settings.connector.id.clone()),
            outlets.confirmed.clone(),
            clock.clone(),
        ))
    }

    fn pipeline(&self, common: Common<'_>, convert: ConvertSettings) -> Pipeline {
        let Common { settings, outlets, clock, .. } = common;
        let import = &self.settings.import;
        let platform = outlets.platform.as_ref();
        let name = &settings.connector.name;
        Pipeline {
            journal: self.journal.clone(),
            preparer: Arc::new(Preparer {
                journal: self.journal.clone(),
                enricher: Enricher::new(Arc::clone(&self.client)),
                enrichment: self.settings.enrichment.clone(),
                first_look_ups_max: first_look_ups_max(
                    &self.settings.harfanglab,
                    settings.pipeline.concurrency,
                ),
                filter: import.filter.clone(),
                threats: import.threats,
                platform: platform.map(|platform| platform.connector().platform().clone()),
                convert,
                valid_from: ValidFrom::default(),
                name_waits: NameWaits::default(),
                refused_rules: Arc::clone(&outlets.refused_rules),
                memory: self.door.memory().clone(),
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
            negative_sightings: platform
                .map_or(NegativeSightings::ByBundle, Platform::negative_sightings),
        }
    }

    fn sweep(&self, clock: &Clock, pushes: Pushes) -> Sweep {
        Sweep::new(
            Arc::clone(&self.client),
            self.door.clone(),
            self.journal.clone(),
            self.settings.import.clone(),
            clock.clone(),
            pushes,
        )
    }

    /// The job that was asked for before a single run began, if any.
    pub(super) async fn first_job(&self) -> Option<Job> {
        self.jobs.lock().await.try_recv().ok()
    }

    /// After a term: what waits for it is given back, and how the last sweep went tells nothing of a
    /// replica that sweeps no longer. What the console denies, pushes notice, too.
    pub(super) async fn leads_no_longer(&self) {
        jobs::give_back(&self.board, &self.jobs).await;
        if self.client.denied().borrow().is_none() {
            self.health.well(Part::HarfangLab);
        }
    }

    /// Sweeps and does the jobs that are asked for, until the end of `term`.
    pub(super) async fn lead(
        &self,
        schedule: &Schedule,
        reset: &ResetOfConsole,
        term: &CancellationToken,
    ) {
        let (sweep, account) = (schedule.sweep(), schedule.account());
        let board = Arc::clone(&self.board);
        let jobs = jobs::take_up(sweep, account, board, &self.jobs, term.clone());
        let leading = async { tokio::join!(jobs, schedule.run(reset, term)) };
        self.label.on(Box::pin(leading)).await;
    }
}
