//! The journal under damage: each case ends in service, or in an error that says what to do.

use std::fs::{self};

use chrono::TimeDelta;
use harfanglab_incidents::journal::Outcome;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::support::{
    app::{App, Home},
    journal_file::{beside, connect, cut},
    notifications::{LEASE, padded_native, start},
    offline::{CONSOLE, offline_home},
    small_disk::{SmallDisk, acknowledged_until_full},
    stores::open_sqlite,
};

/// Commits of an image, and rows in each.
const COMMITS: usize = 20;
const ROWS: usize = 10;

/// Puts into `home` what the disk holds when the power fails after twenty commits.
pub(crate) async fn crash_image(home: &Home, log: Log) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("journal.db");
    let url = format!("sqlite:{}", file.display());
    let journal = open_sqlite(&url, CONSOLE).await;
    for commit in 0..COMMITS {
        let rows =
            (0..ROWS).map(|row| padded_native(&format!("alert-{commit}-{row}"), start())).collect();
        journal.append(&[rows]).await.unwrap();
    }
    if log == Log::CopiedBack {
        let mut connection = connect(&file).await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
    for suffix in ["", "-wal", "-shm"] {
        fs::copy(beside(&file, suffix), beside(&home.journal(), suffix)).unwrap();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// The last commits are in the write-ahead log.
    Holds,
    /// Everything is in the file itself.
    CopiedBack,
}

async fn pending(app: &mut App) -> u64 {
    app.readiness().await["journal"]["pending"].as_u64().unwrap()
}

pub(crate) async fn refusal(home: &Home) -> String {
    let mut app = home.start(&["serve"]);
    let code = app.exit().await.code();
    app.wait_for_the_end_of_its_log().await;
    assert_eq!(code, Some(1), "{}", app.log());
    app.log()
}

#[tokio::test]
async fn after_a_power_failure_everything_that_was_committed_is_there() {
    let home = offline_home();
    crash_image(&home, Log::Holds).await;
    let mut app = home.start(&["serve"]);
    assert_eq!(pending(&mut app).await, (COMMITS * ROWS) as u64);
    assert!(!app.log().contains("write-ahead log"), "{}", app.log());
}

#[tokio::test]
async fn a_log_that_was_cut_loses_its_last_commit_only() {
    let home = offline_home();
    crash_image(&home, Log::Holds).await;
    cut(&beside(&home.journal(), "-wal"), |length| length - 100);
    let mut app = home.start(&["serve"]);
    assert_eq!(pending(&mut app).await, ((COMMITS - 1) * ROWS) as u64);
}

#[tokio::test]
async fn a_log_that_is_gone_is_missed_at_the_start() {
    let home = offline_home();
    crash_image(&home, Log::Holds).await;
    fs::remove_file(beside(&home.journal(), "-wal")).unwrap();
    let mut app = home.start(&["serve"]);
    app.webhook().await;
    assert!(app.log().contains("the journal's write-ahead log is gone"), "{}", app.log());
}

#[tokio::test]
async fn a_file_that_was_cut_in_mid_page_is_left_alone_and_the_error_says_what_to_do() {
    let home = offline_home();
    crash_image(&home, Log::CopiedBack).await;
    cut(&home.journal(), |length| length / 2 + 100);
    let before = fs::read(home.journal()).unwrap();
    let said = refusal(&home).await;
    assert!(said.contains("is damaged or no journal at all"), "{said}");
    assert!(said.contains(".recover") && said.contains("backup"), "{said}");
    assert!(fs::read(home.journal()).unwrap() == before, "it was left as it is");
}

#[tokio::test]
async fn a_file_of_garbage_is_left_alone_and_the_error_says_what_to_do() {
    let home = offline_home();
    let garbage = b"this is no database".repeat(1_000);
    fs::write(home.journal(), &garbage).unwrap();
    let said = refusal(&home).await;
    assert!(said.contains("is damaged or no journal at all"), "{said}");
    assert_eq!(fs::read(home.journal()).unwrap(), garbage);
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let home = offline_home();
    crash_image(&home, Log::CopiedBack).await;
    let mut connection = connect(&home.journal()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', TRUE, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let said = refusal(&home).await;
    assert!(said.contains("written by a newer version needs that version"), "{said}");
    let mut command = home.start(&["dead-letters", "list"]);
    assert_eq!(command.exit().await.code(), Some(1));
    command.wait_for_the_end_of_its_log().await;
    assert!(command.log().contains("is of another version"), "{}", command.log());
}

#[tokio::test]
async fn a_journal_that_another_service_uses_is_refused_and_left_to_it() {
    let home = offline_home();
    let mut first = home.start(&["serve"]);
    first.webhook().await;
    let said = refusal(&home).await;
    assert!(said.contains("another process uses this journal; stop that one first"), "{said}");
    assert_eq!(pending(&mut first).await, 0);
}

#[tokio::test]
async fn a_disk_that_can_only_be_read_is_refused_with_what_to_do() {
    let mut home = offline_home();
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let file = disk.path().join("journal.db");
    home.keep_journal_in(&file);
    disk.remount_read_only();
    let said = refusal(&home).await;
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("must exist and be writable"), "{said}");
}

#[tokio::test]
async fn a_full_disk_gets_503_and_what_was_acknowledged_is_there_after_a_kill() {
    let mut home = offline_home();
    let Some(disk) = SmallDisk::mount("2m") else { return };
    let file = disk.path().join("journal.db");
    home.keep_journal_in(&file);
    let mut app = home.start(&["serve"]);
    let acknowledged = acknowledged_until_full(&mut app).await;
    app.kill().await;
    disk.grow("64m");
    let mut app = home.start(&["serve"]);
    let kept = pending(&mut app).await;
    // What was stored and not answered may be there, too: one delivery at most.
    assert!(kept == acknowledged || kept == acknowledged + 1, "{kept} of {acknowledged}");
    assert!(acknowledged > 0);
}

#[tokio::test]
async fn a_limit_on_file_sizes_gets_503_and_what_was_acknowledged_is_there_without_it() {
    let home = offline_home();
    let mut app = home.serve_after("trap '' XFSZ; ulimit -f 3000");
    let acknowledged = acknowledged_until_full(&mut app).await;
    app.kill().await;
    let mut app = home.start(&["serve"]);
    let kept = pending(&mut app).await;
    assert!(kept == acknowledged || kept == acknowledged + 1, "{kept} of {acknowledged}");
    assert!(acknowledged > 0);
}

#[tokio::test]
async fn a_clock_that_is_set_back_an_hour_holds_up_nothing() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let hour = TimeDelta::hours(1);
    let journal = open_sqlite(&url, CONSOLE).await;
    journal
        .append(&[vec![padded_native("a", start() + hour), padded_native("b", start() + hour)]])
        .await
        .unwrap();
    let tried = journal.claim(1, LEASE, start() + hour).await.unwrap().remove(0);
    let at = start() + hour + TimeDelta::minutes(1);
    let later = Outcome::Later { at, reason: "the broker is away".to_owned() };
    journal.finish(&[(tried.claim, later)], start() + hour).await.unwrap();

    // While it runs: what is new is taken at once, what was tried waits its minute and no more.
    let taken = journal.claim(9, LEASE, start()).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(journal.claim(9, LEASE, start() + TimeDelta::minutes(1)).await.unwrap().len(), 1);
    drop(journal);

    // While it was stopped.
    let journal = open_sqlite(&url, CONSOLE).await;
    journal.append(&[vec![padded_native("c", start() + hour)]]).await.unwrap();
    drop(journal);
    let journal = open_sqlite(&url, CONSOLE).await;
    assert_eq!(journal.claim(9, LEASE, start()).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_journal_that_is_locked_for_good_is_refused_with_what_to_do() {
    let home = offline_home();
    crash_image(&home, Log::CopiedBack).await;
    let mut other_process = connect(&home.journal()).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other_process).await.unwrap();
    let said = refusal(&home).await;
    assert!(said.contains("another process holds it locked"), "{said}");
}
