//! The end of the alerts when the console fails, case by case: the service runs once against
//! it, and the journal's end state and the number of requests are told.

use std::{sync::Arc, time::Duration};

use FirstRun::{EndsEarly, Succeeds};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use harfanglab_incidents::{
    clock::Clock,
    config::{Settings, StartDate},
    demo::{Collection, DemoConsole, DemoConsoleConfig, Fault, RequestKind},
    harfanglab::Console,
    intake::Door,
    journal::{Counts, Journal, write_what_comes_in},
    service::{Service, ServiceError},
    sweep::{Found, Job, Pace, Pushes, Range, Sweep, SweepError},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::{
    recorder::recorder,
    stage::{Stage, http, post},
    stores::open_sqlite,
};

const ALERTS: RequestKind = RequestKind::List(Collection::Alerts);
/// Alerts on the console: two pages.
const COUNT: usize = 150;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn clock() -> Clock {
    Clock::from_fn(|| noon() + TimeDelta::hours(1))
}

/// A small alert, as the API shows it.
fn item(number: usize, raised_at: DateTime<Utc>) -> Value {
    json!({
        "id": format!("id-{number}"),
        "alert_unique_id": format!("unique-{number}"),
        "alert_type": "selfprotection",
        "alert_time": raised_at.to_rfc3339(),
        "rule_name": format!("Firewall Rule {number} Removed"),
        "level": "high",
        "status": "new",
        "agent": {"hostname": "WS-LEDGER-07", "ostype": "windows"},
    })
}

/// A console with alerts, and a home for the journal of those who ask it.
pub(crate) struct Scene {
    pub(crate) console: DemoConsole,
    folder: TempDir,
}

impl Scene {
    pub(crate) fn with_alerts(count: usize, apart: TimeDelta) -> Self {
        let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        let mut raised_at = noon();
        for number in 0..count {
            console.add_alert(item(number, raised_at));
            raised_at += apart;
        }
        Self { console, folder: TempDir::new().unwrap() }
    }

    fn journal_url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("journal.db").display())
    }

    /// One run of the service, from its start to its end.
    pub(crate) async fn run(&self) -> Result<(), ServiceError> {
        self.run_with(self.settings(), None).await
    }

    /// The same, with a job in place of its sweep.
    async fn run_with(&self, mut settings: Settings, job: Option<Job>) -> Result<(), ServiceError> {
        settings.connector.directory = None;
        settings.connector.run_and_terminate = true;
        let (recorder, _delivered) = recorder();
        let service = Service::start(settings, clock(), vec![recorder]).await?;
        if let Some(job) = job {
            service.jobs().submit(job).expect("it is the first one");
        }
        Box::pin(service.run(CancellationToken::new())).await
    }

    /// One sweep into the journal, without what comes after it.
    async fn sweep(&self) -> Result<Found, SweepError> {
        let settings = self.settings();
        let journal = self.journal().await;
        let (door, entries) = Door::new(8);
        let arrived = Arc::new(Notify::new());
        let writer = tokio::spawn(write_what_comes_in(journal.clone(), entries, arrived));
        let console = Arc::new(Console::new(&settings.consoles[0].harfanglab).unwrap());
        let (settings, clock) = (settings.consoles[0].import.clone(), clock());
        let pushes = Pushes::NotTaken;
        let sweep = Sweep::new(console, door, journal, settings, clock, pushes);
        let swept = Box::pin(sweep.run_once(Pace::Schedule)).await;
        drop(sweep);
        // The sweep held the door: now that it is closed, the writer lets go of the journal.
        writer.await.unwrap();
        swept
    }

    fn settings(&self) -> Settings {
        let mut console = self.console.settings();
        // Far more than an answer takes on a busy machine: what is counted are requests, not time.
        console.request_timeout = Duration::from_secs(2);
        let folder = self.folder.path().to_owned();
        let mut settings = Settings::embedded(self.journal_url(), folder, console);
        settings.consoles[0].import.start = StartDate::At(noon());
        settings
    }

    async fn journal(&self) -> Journal {
        let console = self.console.settings().url;
        open_sqlite(&self.journal_url(), console.as_str()).await
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.journal().await.counts().await.unwrap()
    }
}

/// The end of the first run.
#[derive(PartialEq, Debug)]
enum FirstRun {
    /// As if nothing had happened.
    Succeeds,
    /// Early, with an error that says so.
    EndsEarly,
}

/// A name, how often the second page meets a fault, the fault, how the run ends, and how many
/// requests for alerts it may make at most.
type Case = (&'static str, usize, Fault, FirstRun, u64);

#[tokio::test]
async fn whatever_fails_on_the_second_page_no_alert_is_lost_or_stuck_and_the_console_is_spared() {
    let often = 100;
    let busy = Fault::Busy { retry_after_s: 0 };
    let patience = Fault::Busy { retry_after_s: 3600 };
    let cases: Vec<Case> = vec![
        ("500 once", 1, Fault::Status(500), Succeeds, 3),
        ("500 that stays", often, Fault::Status(500), EndsEarly, 15),
        ("429 once, at once again", 1, busy, Succeeds, 3),
        ("429 that asks for an hour", often, patience, EndsEarly, 6),
        ("no answer once", 1, Fault::Hang, Succeeds, 3),
        ("no answer ever", often, Fault::Hang, EndsEarly, 9),
        ("a login page with 200", often, Fault::LOGIN_PAGE, EndsEarly, 15),
        ("a body that is cut off", 1, Fault::CutOff, Succeeds, 3),
        ("a text that stops", often, Fault::CUT_TEXT, EndsEarly, 15),
        ("JSON without results", often, Fault::WITHOUT_RESULTS, EndsEarly, 15),
        ("403 that stays", often, Fault::Status(403), EndsEarly, 6),
    ];
    join_all(cases.into_iter().map(case)).await;
}

/// One run against the fault, another without it.
async fn case((name, times, fault, first_run, most_requests): Case) {
    let scene = Scene::with_alerts(COUNT, TimeDelta::seconds(1));
    scene.console.fail_page_from(ALERTS, 100, times, fault);
    let run = scene.run().await;
    assert_eq!(if run.is_ok() { Succeeds } else { EndsEarly }, first_run, "{name}: {run:?}");
    let requests = scene.console.requests().of(ALERTS);
    let all = scene.console.requests();
    assert!(requests <= most_requests, "{name}: {requests} requests: {all:?}");
    let expected = if first_run == Succeeds { COUNT } else { 100 };
    let counts = scene.counts().await;
    let state = (counts.delivered, counts.pending, counts.dead);
    assert_eq!(state, (expected as u64, 0, 0), "{name}: {counts:?}");
    if let Err(failure) = run {
        assert!(failure.to_string().contains("HarfangLab"), "{name}: {failure}");
    }

    scene.console.heal();
    scene.run().await.unwrap();
    let counts = scene.counts().await;
    let state = (counts.delivered, counts.pending, counts.dead);
    assert_eq!(state, (COUNT as u64, 0, 0), "{name}, healed: {counts:?}");
}

#[tokio::test]
async fn a_next_page_that_is_an_absolute_address_elsewhere_is_read_here() {
    let scene = Scene::with_alerts(COUNT, TimeDelta::seconds(1));
    scene.console.link_next_to("https://console.inside.example:8443");
    scene.run().await.unwrap();
    let counts = scene.counts().await;
    assert_eq!((counts.delivered, counts.pending), (COUNT as u64, 0));
    assert_eq!(scene.console.requests().of(ALERTS), 2);
}

#[tokio::test]
async fn a_token_that_is_revoked_and_renewed_costs_time_and_no_alert() {
    let scene = Scene::with_alerts(COUNT, TimeDelta::seconds(1));
    scene.console.fail_page_from(ALERTS, 100, 100, Fault::Status(401));
    let failure = scene.run().await.unwrap_err().to_string();
    assert!(failure.contains("does not accept the API token"), "{failure}");
    assert!(failure.contains("set HARFANGLAB_INCIDENTS_TOKEN"), "{failure}");
    assert_eq!(scene.counts().await.delivered, 100);
    let requests = scene.console.requests().of(ALERTS);
    assert!(requests <= 6, "{requests}: two pages for each of the run's three sweeps");
    scene.console.heal();
    scene.run().await.unwrap();
    assert_eq!(scene.counts().await.delivered, COUNT as u64);
}

#[tokio::test]
async fn a_refused_token_is_told_once_degrades_the_health_and_is_over_without_a_restart() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let good = stage.console.settings().token;
    stage.console.set_token("another".into());
    let mut app = stage.home.start(&["serve"]);
    let (url, management) = (app.webhook().await, app.management().await);
    let denies = |line: &Value| {
        line["message"].as_str()?.starts_with("HarfangLab denies access").then_some(())
    };
    app.wait_for_log("it is told", denies).await;
    let ready = async || -> Value {
        http().get(format!("{management}/readyz")).send().await.unwrap().json().await.unwrap()
    };
    let degraded = ready().await["degraded"]["harfanglab"].to_string();
    assert!(degraded.contains("set HARFANGLAB_INCIDENTS_TOKEN"), "{degraded}");

    // Pushes leave all the same, and are completed once the console lets us in.
    let alert = item(1, Clock::system().now());
    stage.console.add_alert(alert.clone());
    let mut pushed = alert;
    pushed.as_object_mut().unwrap().remove("id");
    assert_eq!(post(&url, &pushed).await.0.as_u16(), 202);
    stage.closed_works(1).await;
    stage.console.set_token(good);
    stage.closed_works(2).await;
    app.wait_for_log("it is over", |line| {
        (line["message"] == "HarfangLab lets us in again").then_some(())
    })
    .await;
    assert_eq!(ready().await["degraded"]["harfanglab"], Value::Null);
    assert!(app.terminate().await.success());
    assert_eq!(app.log().matches("HarfangLab denies access").count(), 1, "{}", app.log());
}

#[tokio::test]
async fn ten_thousand_and_one_alerts_in_one_second_are_all_imported() {
    let scene = Scene::with_alerts(0, TimeDelta::zero());
    for number in 0..10_001 {
        let mut item = item(number, noon());
        let status = if number % 2 == 0 { "new" } else { "closed" };
        item["status"] = json!(status);
        // A value that nobody told us of is asked for once it was met.
        item["level"] = json!("severe");
        scene.console.add_alert(item);
    }
    scene.sweep().await.unwrap();
    assert_eq!(scene.counts().await.pending, 10_001);
    let requests = scene.console.requests().of(ALERTS);
    assert!(requests < 550, "{requests}");
}

#[tokio::test]
async fn a_backfill_of_some_types_takes_no_others_of_a_crowded_second() {
    let scene = Scene::with_alerts(0, TimeDelta::zero());
    for number in 0..10_110 {
        let mut item = item(number, noon());
        item["status"] = json!(if number % 2 == 0 { "new" } else { "closed" });
        item["alert_type"] = json!(if number % 1_011 == 0 { "yara" } else { "selfprotection" });
        scene.console.add_alert(item);
    }
    let types = vec!["selfprotection".to_owned()];
    let until = Some(noon() + TimeDelta::milliseconds(500));
    let mut settings = scene.settings();
    // Nothing is delivered, so that it is about reading alone.
    settings.consoles[0].import.filter.types = vec!["none of them".to_owned()];
    let job = Job::Backfill(Range { since: noon(), until, types });
    scene.run_with(settings, Some(job)).await.unwrap();
    assert_eq!(
        scene.counts().await.filtered,
        10_100,
        "the ten of the other type are not asked for"
    );
}

#[tokio::test]
async fn a_second_that_cannot_be_seen_through_is_an_error_and_the_cursor_stays() {
    let scene = Scene::with_alerts(0, TimeDelta::zero());
    for number in 0..10_001 {
        scene.console.add_alert(item(number, noon()));
    }
    scene.console.add_alert(item(10_001, noon() + TimeDelta::minutes(1)));
    let failure = scene.sweep().await.unwrap_err().to_string();
    assert!(failure.contains("10000 results in the second 2026-03-01 12:00:00 UTC"), "{failure}");
    assert_eq!(scene.counts().await.pending, 10_000);
    let cursor = scene.journal().await.remembered("last_incident_datetime").await.unwrap();
    assert_eq!(cursor.as_deref(), Some("2026-03-01T12:00:00.000000Z"));
}
