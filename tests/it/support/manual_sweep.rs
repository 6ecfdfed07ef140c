//! Sweeps one by one: a console, a journal and a clock that is moved by the minute.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    clock::Clock,
    config::Settings,
    demo::{DemoConsole, DemoConsoleConfig},
    harfanglab::Console,
    intake::{Door, Entry},
    journal::{Journal, write_what_comes_in},
    sweep::{Found, Pace, Pushes, Sweep},
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::stores::open_sqlite;

/// A sweep that runs when the test says so.
pub(crate) struct ManualSweep {
    pub(crate) console: DemoConsole,
    pub(crate) journal: Journal,
    sweep: Sweep,
    minutes: Arc<AtomicI64>,
    _folder: TempDir,
}

/// So many minutes after the beginning, by our clock.
pub(crate) fn minute(minute: i64) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-05-26T07:40:00Z".parse().unwrap();
    start + TimeDelta::minutes(minute)
}

/// Changes the status of an alert at this instant, by the console's clock.
pub(crate) fn change(console: &DemoConsole, alert: &str, status: &str, at: DateTime<Utc>) {
    let changes = json!({"status": status, "last_update": at.to_rfc3339()});
    console.update_alert(alert, &changes).unwrap();
}

impl ManualSweep {
    /// Starts it; what is read goes through `between` on its way to the journal.
    pub(crate) async fn start(
        pushes: Pushes,
        between: impl Fn(&DemoConsole, &Entry) + Send + 'static,
    ) -> Arc<Self> {
        let folder = TempDir::new().unwrap();
        let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let settings =
            Settings::embedded(url.clone(), folder.path().to_owned(), console.settings());
        let journal = open_sqlite(&url, "https://console.example").await;
        let (inner, entries) = Door::new(8);
        tokio::spawn(write_what_comes_in(journal.clone(), entries, Arc::default()));
        let (door, mut entries) = Door::new(8);
        let minutes = Arc::new(AtomicI64::new(0));
        let passed = Arc::clone(&minutes);
        let clock = Clock::from_fn(move || minute(passed.load(Ordering::SeqCst)));
        let client = Arc::new(Console::new(&settings.consoles[0].harfanglab).unwrap());
        let sweep = Sweep::new(
            client,
            door,
            journal.clone(),
            settings.consoles[0].import.clone(),
            clock,
            pushes,
        );
        let by_hand = Arc::new(Self { console, journal, sweep, minutes, _folder: folder });
        let whole = Arc::downgrade(&by_hand);
        tokio::spawn(async move {
            while let Some(entry) = entries.deliveries.recv().await {
                if let Some(whole) = whole.upgrade() {
                    between(&whole.console, &entry);
                }
                let _gone = entry.reply.send(inner.append_in_turn(entry.notifications).await);
            }
        });
        by_hand
    }

    /// Sweeps so many minutes after the beginning, by our clock.
    pub(crate) async fn at(&self, minute: i64) -> Found {
        self.minutes.store(minute, Ordering::SeqCst);
        self.sweep.run_once(Pace::Schedule).await.unwrap()
    }
}
