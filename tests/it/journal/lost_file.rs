//! A journal that is lost while the service runs, because its file is damaged, removed or replaced: nothing
//! more is accepted until a restart, and everything that tells of health says why. And a journal with
//! several names, by which it could be lost.

use std::{
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use harfanglab_incidents::journal::{Journal, JournalError, Outcome};
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::Connection as _;
use tempfile::TempDir;

use super::damage::{Log, crash_image, refusal};
use crate::support::{
    app::App,
    journal_file::{beside, connect, cut},
    notifications::{LEASE, minimal_alert, padded_native, start},
    offline::offline_home,
    small_disk::SmallDisk,
    stage::post,
    stores::open_sqlite,
};

const CONSOLE: &str = "http://127.0.0.1:1/";
const LOST: &str = "the journal is lost: ";

fn alert(number: u64) -> Value {
    minimal_alert(&format!("new-{number}"))
}

/// Checks that it is unready because of `reason`, and stays so whoever asks and posts.
async fn stays_unready(app: &mut App, reason: &str) {
    let url = app.webhook().await;
    for number in 1_000..1_003 {
        let ready = app.readiness().await;
        assert_eq!(ready["status"], "unready", "{ready}");
        assert!(ready["reason"].as_str().unwrap().contains(reason), "{ready}");
        let (status, answer) = post(&url, &alert(number)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    }
    assert_eq!(app.log().matches(LOST).count(), 1, "told once: {}", app.log());
    assert!(!app.log().contains("can be written again"), "{}", app.log());
}

async fn lost_by_itself(app: &mut App) {
    let begins = |line: &Value| line["message"].as_str()?.starts_with(LOST).then_some(());
    app.wait_for_log("the journal is lost", begins).await;
}

/// Makes nonsense of the second half of a file, and answers what was there.
fn damage(file: &Path) -> (u64, Vec<u8>) {
    let whole = fs::read(file).unwrap();
    let half = whole.len() / 2 / 4_096 * 4_096;
    write_at(file, half as u64, &vec![0xa5; whole.len() - half]);
    (half as u64, whole[half..].to_vec())
}

fn write_at(file: &Path, position: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_file_that_is_damaged_while_the_service_runs_gets_503_until_a_restart() {
    let home = offline_home();
    crash_image(&home, Log::CopiedBack).await;
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    let (position, good) = damage(&home.journal());
    let mut number = 0;
    while post(&url, &alert(number)).await.0 == StatusCode::ACCEPTED {
        number += 1;
        assert!(number < 1_000, "it never notices");
    }
    lost_by_itself(&mut app).await;
    stays_unready(&mut app, "put a backup in its place").await;
    // No probe that happens to succeed ends it.
    write_at(&home.journal(), position, &good);
    stays_unready(&mut app, "put a backup in its place").await;
}

#[tokio::test]
async fn a_file_that_is_moved_away_while_the_service_runs_is_missed_until_a_restart() {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    for number in 0..3 {
        assert_eq!(post(&url, &alert(number)).await.0, StatusCode::ACCEPTED);
    }
    let away = beside(&home.journal(), ".away");
    fs::rename(home.journal(), &away).unwrap();
    lost_by_itself(&mut app).await;
    stays_unready(&mut app, "removed or moved away").await;
    assert!(!home.journal().exists(), "no empty one takes its place");

    fs::rename(&away, home.journal()).unwrap();
    stays_unready(&mut app, "removed or moved away").await;
    app.kill().await;
    let mut app = home.start(&["serve"]);
    assert_eq!(app.readiness().await["journal"]["pending"], 3);
    assert!(!app.log().contains("the journal's file is gone"), "{}", app.log());
}

#[tokio::test]
async fn a_journal_that_was_removed_is_missed_at_the_start() {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    app.webhook().await;
    assert!(!app.log().contains("the journal's file is gone"), "{}", app.log());
    app.terminate().await;
    fs::remove_file(home.journal()).unwrap();
    let mut app = home.start(&["serve"]);
    app.webhook().await;
    assert!(app.log().contains("the journal's file is gone"), "{}", app.log());
}

#[tokio::test]
async fn what_waits_in_a_file_that_was_replaced_still_leaves_and_nothing_more_is_stored() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("journal.db");
    let url = format!("sqlite:{}", file.display());
    let journal = open_sqlite(&url, CONSOLE).await;
    let rows = (0..3).map(|number| padded_native(&format!("alert-{number}"), start())).collect();
    journal.append(&[rows]).await.unwrap();
    // As the service does all the time: so it is open for reading, too.
    assert_eq!(journal.counts().await.unwrap().pending, 3);

    fs::rename(&file, folder.path().join("away.db")).unwrap();
    fs::write(&file, "another one").unwrap();
    let refused = journal.append(&[vec![padded_native("late", start())]]).await.unwrap_err();
    assert!(matches!(&refused, JournalError::Lost(_)), "{refused}");
    assert!(refused.to_string().contains("replaced by another one"), "{refused}");

    let claimed = journal.claim(9, LEASE, start()).await.unwrap();
    let delivered = || Outcome::Delivered { root_id: "incident--1".to_owned(), remark: None };
    let done: Vec<_> = claimed.iter().map(|event| (event.claim, delivered())).collect();
    journal.finish(&done, start()).await.unwrap();
    let counts = journal.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.pending), (3, 0));
    assert_eq!(fs::read(&file).unwrap(), b"another one");
}

/// A journal in a folder of its own, with three alerts in its write-ahead log.
async fn open_journal() -> (TempDir, PathBuf, Journal) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("journal.db");
    let journal = open_sqlite(&format!("sqlite:{}", file.display()), CONSOLE).await;
    let rows = (0..3).map(|number| padded_native(&format!("alert-{number}"), start())).collect();
    journal.append(&[rows]).await.unwrap();
    (folder, file, journal)
}

async fn lost_at_the_next_alert(journal: &Journal, reason: &str) {
    for late in ["late", "later"] {
        let refused = journal.append(&[vec![padded_native(late, start())]]).await.unwrap_err();
        assert!(matches!(&refused, JournalError::Lost(_)), "{refused}");
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[tokio::test]
async fn once_a_file_beside_the_journal_is_gone_nothing_is_acknowledged_and_what_was_is_saved() {
    type Fault = fn(&Path, &str);
    let remove: Fault = |file, suffix| fs::remove_file(beside(file, suffix)).unwrap();
    let replace: Fault = |file, suffix| {
        let copy = beside(file, ".copy");
        fs::copy(beside(file, suffix), &copy).unwrap();
        fs::rename(&copy, beside(file, suffix)).unwrap();
    };
    for (fault, suffixes, reason) in [
        (remove, &["-wal"][..], "db-wal was removed or moved away"),
        (remove, &["-shm"], "db-shm was removed or moved away"),
        (remove, &["-wal", "-shm"], "db-wal was removed or moved away"),
        (replace, &["-wal"], "db-wal was replaced by another one"),
        (replace, &["-shm"], "db-shm was replaced by another one"),
    ] {
        let (folder, file, journal) = open_journal().await;
        for suffix in suffixes {
            fault(&file, suffix);
        }
        lost_at_the_next_alert(&journal, reason).await;
        lost_at_the_next_alert(&journal, "everything was copied into").await;
        // Readers that have read nothing yet are no others.
        assert_eq!(journal.counts().await.unwrap().pending, 3, "{reason}");
        assert_eq!(journal.claim(9, LEASE, start()).await.unwrap().len(), 3, "{reason}");

        // As a kill leaves it.
        let left = folder.path().join("left.db");
        fs::copy(&file, &left).unwrap();
        let again = open_sqlite(&format!("sqlite:{}", left.display()), CONSOLE).await;
        assert_eq!(again.counts().await.unwrap().pending, 3, "{reason}");
    }
}

#[tokio::test]
async fn a_log_that_is_removed_while_the_service_runs_is_missed_by_itself() {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    assert_eq!(post(&url, &alert(0)).await.0, StatusCode::ACCEPTED);
    fs::remove_file(beside(&home.journal(), "-wal")).unwrap();
    lost_by_itself(&mut app).await;
    stays_unready(&mut app, "-wal was removed or moved away").await;
    app.kill().await;
    let mut app = home.start(&["serve"]);
    assert_eq!(app.readiness().await["journal"]["pending"], 1);
}

#[tokio::test]
async fn a_removed_log_that_a_reader_keeps_from_being_saved_is_saved_once_it_is_done() {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    assert_eq!(post(&url, &alert(0)).await.0, StatusCode::ACCEPTED);
    let mut reader = connect(&home.journal()).await;
    let earlier_state = "BEGIN; SELECT COUNT(*) FROM events";
    sqlx::raw_sql(earlier_state).execute(&mut reader).await.unwrap();
    assert_eq!(post(&url, &alert(1)).await.0, StatusCode::ACCEPTED);
    fs::remove_file(beside(&home.journal(), "-wal")).unwrap();
    lost_by_itself(&mut app).await;
    stays_unready(&mut app, "could not be copied").await;

    sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
    let saved = |line: &Value| line["message"].as_str()?.contains("lost is saved").then_some(());
    app.wait_for_log("what was accepted is saved", saved).await;
    stays_unready(&mut app, "everything was copied into").await;
    // As a kill leaves it.
    let left = home.path().join("left.db");
    fs::copy(home.journal(), &left).unwrap();
    let mut left = connect(&left).await;
    let events = sqlx::query_scalar("SELECT COUNT(*) FROM events").fetch_one(&mut left);
    let events: i64 = events.await.unwrap();
    assert_eq!(events, 2);
}

#[tokio::test]
async fn a_folder_that_cannot_be_looked_into_for_a_moment_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let [open, away] = ["open", "away"].map(|name| folder.path().join(name));
    fs::create_dir(&open).unwrap();
    let url = format!("sqlite:{}", open.join("journal.db").display());
    let journal = open_sqlite(&url, CONSOLE).await;
    journal.append(&[vec![padded_native("before", start())]]).await.unwrap();
    fs::rename(&open, &away).unwrap();
    // A loop of links is an error that says nothing about what would be behind it.
    symlink(&open, &open).unwrap();
    journal.append(&[vec![padded_native("meanwhile", start())]]).await.unwrap();
    fs::remove_file(&open).unwrap();
    fs::rename(&away, &open).unwrap();
    journal.append(&[vec![padded_native("after", start())]]).await.unwrap();
    assert_eq!(journal.counts().await.unwrap().pending, 3);
}

#[tokio::test]
async fn a_journal_that_is_cut_while_it_is_open_is_lost_and_an_empty_one_is_missed_at_the_start() {
    // Found by us or by SQLite, when it misses a page.
    for halves in [0, 1] {
        let (_folder, file, journal) = open_journal().await;
        let mut beside = connect(&file).await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut beside).await.unwrap();
        journal.append(&[vec![padded_native("one more", start())]]).await.unwrap();
        cut(&file, |whole| whole / 2 / 4_096 * 4_096 * halves);
        lost_at_the_next_alert(&journal, "and put a backup in its place").await;
    }
    for halves in [0, 1] {
        let (_folder, file, journal) = open_journal().await;
        cut(&beside(&file, "-wal"), |whole| whole / 2 * halves);
        lost_at_the_next_alert(&journal, "and put a backup in its place").await;
    }

    let home = offline_home();
    fs::write(home.journal(), "").unwrap();
    fs::write(beside(&home.journal(), ".lock"), "").unwrap();
    let mut app = home.start(&["serve"]);
    app.webhook().await;
    assert!(app.log().contains("the journal's file is gone or empty"), "{}", app.log());
}

#[tokio::test]
async fn a_journal_that_becomes_smaller_in_good_order_is_not_lost() {
    let (_folder, file, journal) = open_journal().await;
    let rows = (0..200).map(|number| padded_native(&format!("more-{number}"), start())).collect();
    journal.append(&[rows]).await.unwrap();
    let mut other = connect(&file).await;
    let log = beside(&file, "-wal");
    let length = |file: &Path| fs::metadata(file).unwrap().len();
    for (smaller, statements) in [
        (&log, "PRAGMA wal_checkpoint(TRUNCATE)"),
        (&file, "DELETE FROM events; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)"),
    ] {
        let before = length(smaller);
        sqlx::raw_sql(statements).execute(&mut other).await.unwrap();
        assert!(length(smaller) < before, "{statements}");
        journal.append(&[vec![padded_native(statements, start())]]).await.unwrap();
    }
    other.close().await.unwrap();
    journal.append(&[vec![padded_native("the last", start())]]).await.unwrap();
}

#[tokio::test]
async fn a_link_to_the_journal_of_a_running_service_lets_no_second_one_in() {
    let (home, mut other) = (offline_home(), offline_home());
    let mut first = home.start(&["serve"]);
    let url = first.webhook().await;
    assert_eq!(post(&url, &alert(0)).await.0, StatusCode::ACCEPTED);

    let link = other.path().join("link.db");
    symlink(home.journal(), &link).unwrap();
    other.keep_journal_in(&link);
    let said = refusal(&other).await;
    assert!(said.contains("another process uses this journal"), "{said}");

    let link = home.path().join("hard-link.db");
    fs::hard_link(home.journal(), &link).unwrap();
    other.keep_journal_in(&link);
    let said = refusal(&other).await;
    assert!(said.contains("it has 2 names (hard links)") && said.contains("samefile"), "{said}");
    assert_eq!(post(&url, &alert(1)).await.0, StatusCode::ACCEPTED);
    first.terminate().await;

    // A command would see something else by each name.
    let mut command = other.start(&["dead-letters", "list"]);
    assert_eq!(command.exit().await.code(), Some(1));
    assert!(command.whole_log().await.contains("hard links"));
    fs::remove_file(&link).unwrap();
    let mut first = home.start(&["serve"]);
    assert_eq!(first.readiness().await["journal"]["pending"], 2);
}

#[tokio::test]
async fn a_link_is_followed_to_the_disk_that_is_guarded_also_before_the_journal_is_there() {
    let mut home = offline_home();
    let Some(disk) = SmallDisk::mount("4m") else { return };
    let (link, file) = (home.path().join("link.db"), disk.path().join("journal.db"));
    symlink(&file, &link).unwrap();
    home.keep_journal_in(&link);
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE", "8MiB");
    let mut app = home.start(&["serve"]);
    let ready = app.readiness().await;
    assert_eq!(ready["status"], "unready", "the disk of the link has more: {ready}");
    assert!(ready["reason"].as_str().unwrap().contains("JOURNAL_MIN_FREE"), "{ready}");
    assert!(file.exists() && beside(&file, ".lock").exists());
}
