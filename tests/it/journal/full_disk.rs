//! Real disks that are filled to the last byte and freed again, under the journal in a file, under
//! PostgreSQL, and under the directory that bundles go to. At each step everything that tells of health
//! tells the same: `/readyz`, the status page, the metric, the command `healthcheck` and the log; and
//! afterwards all goes on without a restart of ours.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use harfanglab_incidents::{
    demo::Generator,
    journal::{Journal, JournalError, SqliteDatabase},
};
use reqwest::StatusCode;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{
    Connection as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tokio::io::AsyncReadExt as _;

use crate::support::{
    app::{App, Home},
    journal_file::{beside, connect, cut},
    notifications::minimal_alert,
    offline::offline_home,
    opencti::Personality,
    private_postgres::PrivatePostgres,
    small_disk::SmallDisk,
    stage::{Stage, http, post},
    stores::open_sqlite_beside,
    waiting::until,
};

/// Alerts posted until a full disk refuses one: what is free inside of files takes some.
const POSTS_UNTIL_REFUSED: u64 = 4_000;

/// A file that takes all that is free.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(folder: &Path) -> Self {
        let path = folder.join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 20, 4_096, 1] {
            let piece = vec![1; size];
            while file.write_all(&piece).is_ok() {}
        }
        Self(path)
    }

    /// Leaves so much free.
    fn leave(&self, bytes: u64) {
        let file = File::options().write(true).open(&self.0).unwrap();
        file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
    }

    fn free(self) {
        fs::remove_file(self.0).unwrap();
    }
}

/// An alert of some 3 KB that no database can make smaller.
fn alert(number: u64) -> Value {
    let hash = |part: u64| hex::encode(Sha256::digest((number * 1_000 + part).to_le_bytes()));
    let mut alert = minimal_alert(&format!("alert-{number}"));
    alert["details"] = (0..40).map(hash).collect::<String>().into();
    alert
}

/// A service, and everything that tells of its health.
struct Watched {
    app: App,
    home: Home,
    url: String,
    management: String,
}

/// The state that all of them tell.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Ready,
    Degraded,
    Unready,
}

impl Watched {
    async fn start(mut home: Home) -> Self {
        let mut app = home.start(&["serve"]);
        let (url, management) = (app.webhook().await, app.management().await);
        // So that `healthcheck` finds it.
        let address = management.strip_prefix("http://").unwrap();
        home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", address);
        Self { app, home, url, management }
    }

    async fn page(&self, path: &str) -> (StatusCode, String) {
        let page = http().get(format!("{}{path}", self.management)).send().await.unwrap();
        (page.status(), page.text().await.unwrap())
    }

    /// Returns whether the metric says that this component is degraded.
    async fn is_degraded(&self, part: &str) -> bool {
        let (_, metrics) = self.page("/metrics").await;
        let line = |value| format!("part_degraded{{part=\"{part}\"}} {value}\n");
        assert!(metrics.contains(&line(0)) || metrics.contains(&line(1)), "{part}: {metrics}");
        metrics.contains(&line(1))
    }

    /// Returns what readiness says; everything else must say the same, about `part`.
    async fn say(&self, part: &str) -> Said {
        let is_degraded = self.is_degraded(part).await;
        let (status, ready) = self.page("/readyz").await;
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let (_, page) = self.page("/").await;
        let mut command = self.home.start(&["healthcheck"]);
        let mut line = String::new();
        command.stdout().read_to_string(&mut line).await.unwrap();
        let is_success = command.exit().await.success();
        if !is_success {
            line = command.whole_log().await;
        }
        // A lonely service is degraded by the parties that it does not reach.
        let reason = ready["degraded"][part].as_str();
        assert_eq!(reason.is_some(), is_degraded, "{part}: the metric says otherwise: {ready}");
        assert_eq!(is_success, status == StatusCode::OK, "healthcheck says otherwise: {line}");
        if let Some(reason) = reason {
            assert!(line.contains(&format!("{part}: ")), "{line}");
            assert!(reason.len() > 20, "{reason}");
        }
        match (status, is_degraded) {
            (StatusCode::OK, true) => {
                assert!(page.contains("It works, but something is in the way."), "{page}");
                Said::Degraded
            }
            (StatusCode::OK, false) => {
                assert!(page.contains("It works"), "{page}");
                Said::Ready
            }
            (StatusCode::SERVICE_UNAVAILABLE, true) => {
                assert_eq!(ready["status"], "unready", "{ready}");
                assert!(page.contains("It does not work: nothing is accepted."), "{page}");
                Said::Unready
            }
            other => panic!("{other:?}: {ready}"),
        }
    }

    fn logged(&self, message: &str) -> usize {
        self.app.log().matches(message).count()
    }
}

const BEGAN: &str = "the journal cannot be written: ";
const ENDED: &str = "the journal can be written again";

/// Fills the disk, is refused, frees it and is accepted again: the same for either database. `meanwhile`
/// is done once the disk is free again.
async fn fill_and_free(home: Home, disk: &Path, meanwhile: impl AsyncFnOnce()) {
    let mut watched = Watched::start(home).await;
    let mut acknowledged = 1;
    assert_eq!(post(&watched.url, &alert(0)).await.0, StatusCode::ACCEPTED);
    assert_eq!(watched.say("journal").await, Said::Ready);

    let ballast = Ballast::fill(disk);
    let refused = loop {
        assert!(acknowledged < POSTS_UNTIL_REFUSED, "it never was full");
        match post(&watched.url, &alert(acknowledged)).await.0 {
            StatusCode::ACCEPTED => acknowledged += 1,
            StatusCode::SERVICE_UNAVAILABLE => break acknowledged,
            other => panic!("{other}"),
        }
    };
    // As its sender does, who comes back.
    for _ in 0..5 {
        let status = post(&watched.url, &alert(refused)).await.0;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(watched.say("journal").await, Said::Unready);
    assert_eq!(watched.say("journal").await, Said::Unready, "it stays so");
    assert_eq!((watched.logged(BEGAN), watched.logged(ENDED)), (1, 0), "{}", watched.app.log());

    ballast.free();
    meanwhile().await;
    // By itself: nobody asks, and nobody posts.
    let ended = |line: &Value| line["message"].as_str()?.starts_with(ENDED).then_some(());
    watched.app.wait_for_log("it is writable again", ended).await;
    for number in refused..refused + 5 {
        let (status, answer) = post(&watched.url, &alert(number)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    }
    assert_eq!(watched.say("journal").await, Said::Ready);
    assert_eq!((watched.logged(BEGAN), watched.logged(ENDED)), (1, 1), "{}", watched.app.log());
    let ready: Value = serde_json::from_str(&watched.page("/readyz").await.1).unwrap();
    assert_eq!(ready["journal"]["pending"], refused + 5, "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_on_a_disk_that_was_full_goes_on_without_a_restart() {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let mut home = offline_home();
    let file = disk.path().join("journal.db");
    home.keep_journal_in(&file);
    fill_and_free(home, disk.path(), async || {}).await;
}

/// The write-ahead log that a start on a full disk finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    /// None, and no index of one: as in a backup that was put in place.
    None,
    /// That of a killed service. A try to open it has cut its index.
    WithoutIndex,
}

/// Returns what a command says, and whether it succeeds.
async fn run(home: &Home, arguments: &[&str]) -> (bool, String) {
    let mut command = home.start(arguments);
    let mut said = String::new();
    command.stdout().read_to_string(&mut said).await.unwrap();
    let is_success = command.exit().await.success();
    (is_success, said + &command.whole_log().await)
}

/// Reads while each push makes the service try to open the journal.
async fn read_beside_pushes(watched: &Watched) {
    let push = async {
        loop {
            assert_eq!(post(&watched.url, &alert(3)).await.0, StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let read = async {
        for _command in 0..10 {
            let (is_success, said) = run(&watched.home, &["events", "show", "alert-0"]).await;
            assert!(is_success && said.contains("alert-0"), "{said}");
        }
    };
    tokio::select! { () = push => {}, () = read => {} }
}

/// Starts the service on a full disk, reads the journal meanwhile, frees the disk and is accepted.
async fn start_on_a_full_disk(log: Log) {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let mut home = offline_home();
    let file = disk.path().join("journal.db");
    home.keep_journal_in(&file);
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    for number in 0..3 {
        assert_eq!(post(&url, &alert(number)).await.0, StatusCode::ACCEPTED);
    }
    app.kill().await;
    if log == Log::None {
        let mut last_user = connect(&file).await;
        sqlx::query("SELECT COUNT(*) FROM events").fetch_one(&mut last_user).await.unwrap();
        last_user.close().await.unwrap();
        assert!(!beside(&file, "-wal").exists() && !beside(&file, "-shm").exists());
    } else {
        cut(&beside(&file, "-shm"), |_| 3);
    }
    let ballast = Ballast::fill(disk.path());

    let read_by_commands = async |home: &Home| {
        let (is_success, said) = run(home, &["events", "show", "alert-0"]).await;
        assert!(is_success && said.contains("alert-0"), "{said}");
        let (is_success, said) = run(home, &["dead-letters", "list"]).await;
        assert!(is_success && said.contains("no dead letters"), "{said}");
        if log == Log::None {
            let (is_success, said) = run(home, &["dead-letters", "drop", "--all", "--yes"]).await;
            assert!(!is_success && said.contains("its disk is full"), "{said}");
        }
    };
    read_by_commands(&home).await;
    for _start in 0..2 {
        home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
        let mut watched = Watched::start(home).await;
        assert_eq!(watched.say("journal").await, Said::Unready);
        assert_eq!(post(&watched.url, &alert(3)).await.0, StatusCode::SERVICE_UNAVAILABLE);
        let (_, ready) = watched.page("/readyz").await;
        assert!(ready.contains("disk is full"), "{ready}");
        read_by_commands(&watched.home).await;
        read_beside_pushes(&watched).await;
        assert!(watched.app.terminate().await.success());
        assert!(!watched.app.log().contains("log is gone"), "{}", watched.app.log());
        home = watched.home;
    }
    if log == Log::None {
        home.set("CONNECTOR_RUN_AND_TERMINATE", "true");
        let (is_success, said) = run(&home, &["serve"]).await;
        assert!(!is_success && said.contains("its disk is full"), "it does not wait: {said}");
        home.set("CONNECTOR_RUN_AND_TERMINATE", "false");
    }

    home.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
    let mut watched = Watched::start(home).await;
    assert_eq!(watched.say("journal").await, Said::Unready);
    ballast.free();
    let is_written = |line: &Value| line["message"].as_str()?.starts_with(ENDED).then_some(());
    watched.app.wait_for_log("it is open and writable", is_written).await;
    assert_eq!(post(&watched.url, &alert(3)).await.0, StatusCode::ACCEPTED);
    assert_eq!(watched.say("journal").await, Said::Ready);
    let ready: Value = serde_json::from_str(&watched.page("/readyz").await.1).unwrap();
    assert_eq!(ready["journal"]["pending"], 4, "{ready}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_is_unready_until_there_is_space_and_commands_read_meanwhile() {
    start_on_a_full_disk(Log::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_after_a_kill_is_unready_until_there_is_space() {
    start_on_a_full_disk(Log::WithoutIndex).await;
}

#[tokio::test]
async fn a_schema_that_a_full_disk_kept_old_is_brought_up_to_date_once_there_is_space() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let (file, console) = (disk.path().join("journal.db"), "https://console.example");
    let url = format!("sqlite:{}", file.display());
    let old = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let old = SqlitePool::connect_with(old).await.unwrap();
    sqlx::migrate!("src/journal/migrations").run_to(1, &old).await.unwrap();
    old.close().await;
    let ballast = Ballast::fill(disk.path());
    // Enough for the index of the log, and too little for a step of the schema.
    ballast.leave(40 << 10);
    let database = SqliteDatabase::open_when_possible(&url).await.unwrap();
    let journal = Journal::new(database, console);
    for _ in 0..3 {
        let failure = journal.probe().await.unwrap_err();
        assert!(matches!(failure, JournalError::DiskFull { .. }), "{failure}");
    }
    ballast.free();
    journal.probe().await.unwrap();
    let beside = open_sqlite_beside(&url, console).await;
    assert!(beside.remembered("readiness_probe").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_on_a_postgresql_whose_disk_was_full_goes_on_without_a_restart_of_ours() {
    let Some(disk) = SmallDisk::mount("192m") else { return };
    let server = tokio::task::block_in_place(|| PrivatePostgres::start_on(disk.path()));
    let mut home = offline_home();
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", server.url());
    // A server that could not write its log has stopped: its own administrator starts it again.
    let meanwhile = async || tokio::task::block_in_place(|| server.start_if_stopped());
    fill_and_free(home, disk.path(), meanwhile).await;
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_directory_degrades_delivery_which_goes_on_by_itself() {
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let mut stage = Stage::new(Personality::V7_260817_0).await;
    stage.home = stage.home.with_webhook();
    let folder = disk.path().join("bundles");
    fs::create_dir(&folder).unwrap();
    for (name, value) in [
        ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01"),
        ("HARFANGLAB_INCIDENTS_RETRY_MAX", "PT2S"),
        ("CONNECTOR_SEND_TO_QUEUE", "false"),
        ("CONNECTOR_SEND_TO_DIRECTORY", "true"),
        ("CONNECTOR_SEND_TO_DIRECTORY_PATH", folder.to_str().unwrap()),
    ] {
        stage.home.set(name, value);
    }
    let now = harfanglab_incidents::clock::Clock::system().now();
    stage.console.seed(now);
    let watched = Watched::start(stage.home).await;
    let mut generator = Generator::new(7);
    let mut post_one = async || {
        let alert = generator.next_alert(now);
        stage.console.add_alert(alert.api_item());
        post(&watched.url, &alert.native()).await.0
    };
    assert_eq!(post_one().await, StatusCode::ACCEPTED);
    until("the first one is a file", async || (!names(&folder).is_empty()).then_some(())).await;
    assert_eq!(watched.say("delivery").await, Said::Ready);

    let before = names(&folder);
    let ballast = Ballast::fill(disk.path());
    assert_eq!(post_one().await, StatusCode::ACCEPTED, "the journal has a disk of its own");
    let degraded = async || watched.is_degraded("delivery").await.then_some(());
    until("delivery is degraded", degraded).await;
    assert_eq!(watched.say("delivery").await, Said::Degraded);
    assert_eq!(post_one().await, StatusCode::ACCEPTED);
    assert_eq!(names(&folder), before, "nothing half-written is left");

    ballast.free();
    until("all are files", async || (names(&folder).len() >= 3).then_some(())).await;
    let well = async || (!watched.is_degraded("delivery").await).then_some(());
    until("delivery is well", well).await;
    assert_eq!(watched.say("delivery").await, Said::Ready);
    for name in names(&folder) {
        assert!(name.strip_suffix(".json").is_some(), "{name}");
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        let _whole: Value = serde_json::from_str(&text).unwrap();
    }
}
