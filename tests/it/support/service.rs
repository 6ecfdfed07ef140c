//! The service of a test in this process, before a simulated console and a sink that records.

use std::{sync::Arc, time::Duration};

use harfanglab_incidents::{
    clock::Clock,
    config::Settings,
    demo::{DemoConsole, DemoConsoleConfig},
    journal::Journal,
    service::{Service, ServiceError},
    stix::Bundle,
    sweep::{Job, JobBoard, JobState, Progress},
};
use secrecy::SecretString;
use sqlx::{Connection, Row, SqliteConnection};
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    app::{WEBHOOK_SECRET, patience},
    recorder::recorder,
};

/// Between two looks at the journal when nothing is delivered.
const LOOK: Duration = Duration::from_millis(20);

/// A running service and its surroundings.
pub(crate) struct TestService {
    pub(crate) console: DemoConsole,
    pub(crate) webhook: String,
    pub(crate) journal: Journal,
    board: Arc<JobBoard>,
    delivered: watch::Receiver<Vec<Bundle>>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), ServiceError>>,
    folder: TempDir,
}

/// A version of an alert that was delivered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DeliveredVersion {
    pub(crate) key: String,
    pub(crate) version: String,
}

impl TestService {
    /// Starts the service before a console that has what `fill` puts there.
    pub(crate) async fn start(
        fill: impl FnOnce(&DemoConsole),
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        fill(&console);
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let mut settings = Settings::embedded(url, folder.path().to_owned(), console.settings());
        settings.connector.directory = None;
        settings.connector.duration_period = Duration::from_hours(1);
        settings.consoles[0].webhook.secrets = vec![SecretString::from(WEBHOOK_SECRET)];
        change(&mut settings);
        let (recorder, delivered) = recorder();
        let service = Service::start(settings, Clock::system(), vec![recorder]).await.unwrap();
        let address = service.webhook_address().unwrap();
        let (journal, board) = (service.journal(), service.jobs());
        let stop = CancellationToken::new();
        let running = tokio::spawn(service.run(stop.clone()));
        let webhook = format!("http://{address}/webhooks/harfanglab");
        Self { console, webhook, journal, board, delivered, stop, running, folder }
    }

    /// One sweep, and again until the console has let it pass.
    pub(crate) async fn sweep(&self) -> Progress {
        loop {
            let mut steps = self.board.watch();
            self.board.submit(Job::Sweep).expect("no other job is under way");
            let ended = steps.wait_for(|progress| progress.state != JobState::Running);
            let ended = tokio::time::timeout(patience(), ended).await.expect("it ends").unwrap();
            if ended.state == JobState::Done {
                return ended.clone();
            }
        }
    }

    /// Waits until everything in the journal has its end.
    pub(crate) async fn settle(&self) {
        let mut delivered = self.delivered.clone();
        let settled = async {
            while !self.journal.is_drained().await.unwrap() {
                let _a_look_is_due = tokio::time::timeout(LOOK, delivered.changed()).await;
            }
        };
        let in_time = tokio::time::timeout(patience(), settled).await.is_ok();
        assert!(in_time, "{:?}", self.journal.counts().await);
    }

    /// Everything delivered so far, in order.
    pub(crate) fn bundles(&self) -> Vec<Bundle> {
        self.delivered.borrow().clone()
    }

    /// Ends the service in order; answers what was delivered of alerts, in order, and the names
    /// and dates (in microseconds) of their incidents by key.
    pub(crate) async fn end(self) -> (Vec<DeliveredVersion>, Vec<(String, String, i64)>) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        let file = self.folder.path().join("journal.db");
        let url = format!("sqlite:{}?mode=ro", file.display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let rows = sqlx::query(
            "SELECT key, version FROM events WHERE state = 'delivered' AND is_version = 1 \
             AND dialect <> 'native-threat' ORDER BY finished_at, id",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let sent = rows
            .iter()
            .map(|row| DeliveredVersion { key: row.get(0), version: row.get(1) })
            .collect();
        let rows = sqlx::query("SELECT key, name, created_at_us FROM incidents");
        let rows = rows.fetch_all(&mut connection).await.unwrap();
        let incidents = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        (sent, incidents)
    }
}
