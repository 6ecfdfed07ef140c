//! Clocks that are wrong for a while, the service's or the console's, and alerts dated in the future:
//! every new alert and every change of status is found all the same, by a console that filters its dates
//! strictly. One table of cases, each played from the same script.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use Interlude::{LostJournal, Nothing, Restart, StateAhead};
use chrono::TimeDelta;
use futures_util::future::join_all;
use harfanglab_incidents::{
    clock::Clock,
    config::{Settings, StartDate},
    demo::{DemoConsole, DemoConsoleConfig, Generator},
    harfanglab::Console,
    intake::Door,
    journal::{Journal, write_what_comes_in},
    label::ConsoleLabel,
    sweep::{self, ConnectorState, Kept, Pace, Pushes, Sweep},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::{
    manual_sweep::{change, minute},
    stores::open_sqlite,
};

const DAY: i64 = 24 * 60;
const YEAR: i64 = 365 * DAY;

/// The service's past before its clock and the console's are what they are at the end.
#[derive(Clone, Copy, PartialEq)]
enum Interlude {
    Nothing,
    Restart,
    /// The journal is lost; the import goes on from the state that OpenCTI was told.
    LostJournal,
    /// The same, and that state is three days ahead.
    StateAhead,
}

/// By how many minutes the clocks are ahead, before, during and after the trouble; when the alerts are
/// dated that are not of the present, in minutes from the beginning; and what happens then.
struct Case {
    name: &'static str,
    service: [i64; 3],
    console: [i64; 3],
    odd_alerts: &'static [i64],
    interlude: Interlude,
    start: StartDate,
}

const RIGHT: Case = Case {
    name: "every clock is right",
    service: [0; 3],
    console: [0; 3],
    odd_alerts: &[],
    interlude: Nothing,
    start: StartDate::At(chrono::DateTime::UNIX_EPOCH),
};
const AHEAD: [i64; 3] = [0, 2 * DAY, 0];
const CASES: &[Case] = &[
    RIGHT,
    Case { name: "service ahead", service: AHEAD, ..RIGHT },
    // The case of issue 19: the cursor was moved to the service's wrong present.
    Case {
        name: "service ahead, an alert three days ahead",
        service: AHEAD,
        odd_alerts: &[3 * DAY],
        ..RIGHT
    },
    Case {
        name: "service ahead, alerts between its clock and the right one",
        service: AHEAD,
        odd_alerts: &[DAY, DAY + 60, 2 * DAY],
        ..RIGHT
    },
    Case {
        name: "the same, and a restart in between",
        service: AHEAD,
        odd_alerts: &[DAY, DAY + 60, 2 * DAY],
        interlude: Restart,
        ..RIGHT
    },
    Case {
        name: "the same, and the journal lost in between",
        service: AHEAD,
        odd_alerts: &[DAY, DAY + 60, 2 * DAY],
        interlude: LostJournal,
        ..RIGHT
    },
    Case {
        name: "service ahead from its first sweep on",
        service: [2 * DAY, 2 * DAY, 0],
        odd_alerts: &[DAY],
        ..RIGHT
    },
    Case {
        name: "the same, with a start date of a day ago",
        service: [2 * DAY, 2 * DAY, 0],
        start: StartDate::Ago(TimeDelta::days(1)),
        ..RIGHT
    },
    Case { name: "service behind", service: [0, -2 * DAY, 0], ..RIGHT },
    Case {
        name: "service behind, restart",
        service: [0, -2 * DAY, 0],
        interlude: Restart,
        ..RIGHT
    },
    Case { name: "service at the epoch", service: [0, -50 * YEAR, 0], ..RIGHT },
    Case { name: "console ahead", console: [0, 3 * DAY, 0], ..RIGHT },
    Case { name: "console ahead all along", console: [3 * DAY; 3], ..RIGHT },
    Case { name: "both ahead", service: AHEAD, console: AHEAD, ..RIGHT },
    Case {
        name: "both ahead, restart",
        service: AHEAD,
        console: AHEAD,
        interlude: Restart,
        ..RIGHT
    },
    Case { name: "an alert from 2099", odd_alerts: &[73 * YEAR], ..RIGHT },
    Case {
        name: "an alert from 2099, restart",
        odd_alerts: &[73 * YEAR],
        interlude: Restart,
        ..RIGHT
    },
    Case {
        name: "an alert from 2099, journal lost",
        odd_alerts: &[73 * YEAR],
        interlude: LostJournal,
        ..RIGHT
    },
    Case {
        name: "console behind all along, an alert from 2099",
        console: [-120; 3],
        odd_alerts: &[73 * YEAR],
        ..RIGHT
    },
    Case { name: "journal lost", interlude: LostJournal, ..RIGHT },
    Case { name: "state of OpenCTI ahead", interlude: StateAhead, ..RIGHT },
];

/// A service that sweeps by a clock of its own.
struct Service {
    journal: Journal,
    sweep: Sweep,
    writer: JoinHandle<()>,
}

/// The service's surroundings.
struct Scene {
    console: DemoConsole,
    folder: TempDir,
    passed: Arc<AtomicI64>,
}

impl Scene {
    async fn start(&self, file: &str, start: StartDate) -> Service {
        let url = format!("sqlite:{}", self.folder.path().join(file).display());
        let folder = self.folder.path().to_owned();
        let mut settings = Settings::embedded(url.clone(), folder, self.console.settings());
        settings.consoles[0].import.start = start;
        let journal = open_sqlite(&url, "https://console.example").await;
        let (door, entries) = Door::new(8);
        let writer = tokio::spawn(write_what_comes_in(journal.clone(), entries, Arc::default()));
        let passed = Arc::clone(&self.passed);
        let clock = Clock::from_fn(move || minute(passed.load(Ordering::SeqCst)));
        let client = Arc::new(Console::new(&settings.consoles[0].harfanglab).unwrap());
        let (kept, import) = (journal.clone(), settings.consoles[0].import.clone());
        let sweep = Sweep::new(client, door, kept, import, clock, Pushes::NotTaken);
        Service { journal, sweep, writer }
    }

    /// Returns how much was new `at` this minute by the service's clock.
    async fn sweep(&self, service: &Service, at: i64) -> usize {
        self.passed.store(at, Ordering::SeqCst);
        service.sweep.run_once(Pace::Schedule).await.unwrap().new
    }

    /// Ends the service, and starts it as after `interlude`.
    async fn after(&self, service: Service, case: &Case, at: i64) -> Service {
        self.passed.store(at, Ordering::SeqCst);
        if case.interlude == Nothing {
            return service;
        }
        let kept = Kept { console: ConsoleLabel::default(), journal: service.journal.clone() };
        let told = ConnectorState::new(vec![kept]).told().await.unwrap();
        let Service { journal, sweep, writer } = service;
        drop((journal, sweep));
        writer.await.unwrap();
        let state = match case.interlude {
            Nothing | Restart => return self.start("journal.db", case.start).await,
            LostJournal => told.unwrap_or(Value::Null),
            StateAhead => json!({"last_incident_datetime": minute(3 * DAY).to_rfc3339()}),
        };
        let service = self.start("another.db", case.start).await;
        sweep::take_over(&service.journal, &state, minute(at)).await.unwrap();
        service
    }
}

/// Plays the script; returns what was not found.
async fn play(case: &Case) -> Vec<String> {
    let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
    let (folder, passed) = (TempDir::new().unwrap(), Arc::default());
    let scene = Scene { console, folder, passed };
    let mut generator = Generator::new(19);
    let mut raise = |at: i64| {
        let alert = generator.next_alert(minute(at));
        // Only its own time tells of it until it is changed.
        let mut item = alert.api_item();
        item.as_object_mut().unwrap().remove("last_update");
        scene.console.add_alert(item);
        alert.unique_id().to_owned()
    };
    let mut missed = Vec::new();
    let mut expect = |what: &str, new: usize, expected: usize| {
        if new != expected {
            missed.push(format!("{}: {what}: {new} new, not {expected}", case.name));
        }
    };
    let ([ours, wrong, right], [theirs, skewed, righted]) = (case.service, case.console);
    let service = scene.start("journal.db", case.start).await;
    let first = raise(theirs - 1);
    let mut new = scene.sweep(&service, ours).await;

    case.odd_alerts.iter().for_each(|at| drop(raise(*at)));
    let second = raise(skewed + 10);
    new += scene.sweep(&service, wrong + 15).await;
    change(&scene.console, &first, "closed", minute(skewed + 20));
    new += scene.sweep(&service, wrong + 25).await;
    let service = scene.after(service, case, right + 180).await;

    new += scene.sweep(&service, right + 180).await;
    if matches!(case.interlude, Nothing | Restart) {
        // A start date by a clock that is ahead hides the first alert until it has changed.
        let seen_at_first = usize::from(matches!(case.start, StartDate::At(_)));
        expect("what came until then", new, seen_at_first + 2 + case.odd_alerts.len());
    }
    let third = raise(righted + 181);
    expect("a new alert", scene.sweep(&service, right + 185).await, 1);
    let changes =
        [(&first, "investigating", 190), (&second, "closed", 200), (&third, "closed", 210)];
    for (alert, status, at) in changes {
        change(&scene.console, alert, status, minute(righted + at));
        expect("a change of status", scene.sweep(&service, right + at + 5).await, 1);
    }
    expect("what is known", scene.sweep(&service, right + 220).await, 0);
    let superseded = service.journal.counts().await.unwrap().superseded;
    expect("what was taken for old", usize::try_from(superseded).unwrap(), 0);
    missed
}

#[tokio::test]
async fn whatever_clock_was_wrong_new_alerts_and_changes_of_status_are_found() {
    let missed = join_all(CASES.iter().map(play)).await.concat();
    assert!(missed.is_empty(), "{missed:#?}");
}
