//! A console whose clock differs from ours: what changes there is still told, and in its order.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    clock::Clock,
    config::Settings,
    demo::{DemoConsole, DemoConsoleConfig, Generator},
    harfanglab::Console,
    intake::Door,
    journal::{Counts, Journal, SqliteJournal, write_what_comes_in},
    sweep::{Pace, Pushes, Sweep},
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::health;

/// One alert on a console, and a service that sweeps it by a clock of its own.
struct Skewed {
    console: DemoConsole,
    alert: String,
    sweep: Sweep,
    journal: Arc<SqliteJournal>,
    minutes: Arc<AtomicI64>,
    _folder: TempDir,
}

/// Our clock at the beginning.
fn start() -> DateTime<Utc> {
    "2026-05-26T07:40:00Z".parse().unwrap()
}

impl Skewed {
    /// The alert was raised a minute ago, by the console's clock, which is `ahead` of ours.
    async fn new(ahead: TimeDelta) -> Self {
        let folder = TempDir::new().unwrap();
        let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let settings =
            Settings::embedded(url.clone(), folder.path().to_owned(), console.settings());
        let journal = Arc::new(SqliteJournal::open(&url, "https://console.example").await.unwrap());
        let (door, entries) = Door::new(8);
        tokio::spawn(write_what_comes_in(journal.clone(), entries, Arc::default(), health()));
        let minutes = Arc::new(AtomicI64::new(0));
        let passed = Arc::clone(&minutes);
        let clock =
            Clock::from_fn(move || start() + TimeDelta::minutes(passed.load(Ordering::SeqCst)));
        let client = Arc::new(Console::new(&settings.harfanglab).unwrap());
        let kept: Arc<dyn Journal> = journal.clone();
        let sweep = Sweep::new(client, door, kept, settings.import, clock, Pushes::NotTaken);
        let raised_at = start() + ahead - TimeDelta::minutes(1);
        let alert = Generator::new(50).next_alert(raised_at);
        console.add_alert(alert.api_item());
        let alert = alert.unique_id().to_owned();
        Self { console, alert, sweep, journal, minutes, _folder: folder }
    }

    /// An analyst changes the alert; `shown` is what the console's clock says then.
    fn change(&self, status: &str, shown: DateTime<Utc>) {
        let change = json!({ "status": status, "last_update": shown.to_rfc3339() });
        self.console.update_alert(&self.alert, &change).unwrap();
    }

    /// Sweeps `minute` minutes after the beginning, by our clock; answers how much was new.
    async fn sweep_at(&self, minute: i64) -> usize {
        self.minutes.store(minute, Ordering::SeqCst);
        self.sweep.run_once(Pace::Schedule).await.unwrap().new
    }

    async fn counts(&self) -> Counts {
        self.journal.counts().await.unwrap()
    }
}

#[tokio::test]
async fn what_changes_after_a_console_s_fast_clock_was_set_right_does_not_look_old() {
    let ahead = TimeDelta::hours(2);
    let skewed = Skewed::new(ahead).await;
    assert_eq!(skewed.sweep_at(0).await, 1);
    skewed.change("closed", start() + ahead + TimeDelta::minutes(5));
    assert_eq!(skewed.sweep_at(10).await, 1);
    skewed.change("investigating", start() + ahead + TimeDelta::minutes(15));
    assert_eq!(skewed.sweep_at(20).await, 1, "by the console's own dates");

    // Its clock is right from now on: the dates of before still lie ahead.
    for (minute, status) in [(30, "false_positive"), (40, "closed"), (50, "investigating")] {
        skewed.change(status, start() + TimeDelta::minutes(minute));
        assert_eq!(skewed.sweep_at(minute + 5).await, 1, "{status} is new");
        assert_eq!(skewed.sweep_at(minute + 6).await, 0, "{status} is known");
    }
    // They have come to pass.
    skewed.change("closed", start() + TimeDelta::minutes(200));
    assert_eq!(skewed.sweep_at(205).await, 1);
    assert_eq!(skewed.counts().await.superseded, 0, "nothing was taken for old");
}

#[tokio::test]
async fn what_changes_on_a_console_whose_clock_is_slow_is_found_by_the_next_sweep() {
    let behind = TimeDelta::hours(-2);
    let skewed = Skewed::new(behind).await;
    assert_eq!(skewed.sweep_at(0).await, 1);
    skewed.change("closed", start() + behind + TimeDelta::minutes(5));
    assert_eq!(skewed.sweep_at(10).await, 1);
    skewed.change("new", start() + behind + TimeDelta::minutes(15));
    assert_eq!(skewed.sweep_at(20).await, 1);
    assert_eq!(skewed.sweep_at(30).await, 0);
}
