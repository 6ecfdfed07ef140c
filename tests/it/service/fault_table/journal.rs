//! Rows of the fault table: the journal's file, the disk under it, and the clock.

use std::{fs, time::Duration};

use chrono::TimeDelta;
use futures_util::future::BoxFuture;

use super::{
    Row, Seen, left_in,
    posts::{alert, posted, verified},
    told,
};
use crate::support::{
    app::{App, Home},
    journal_file::{beside, connect, cut},
    notifications::{padded_native, start},
    offline::offline_home,
    stores::open_sqlite,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = journal_rows();
    rows.extend(disk_rows());
    rows
}

fn row(
    name: &'static str,
    done: &'static str,
    answered: &'static str,
    left: &'static str,
    seen: BoxFuture<'static, Seen>,
) -> Row {
    Row { part: "journal", name, done, answered, left, seen }
}

fn disk(
    name: &'static str,
    done: &'static str,
    answered: &'static str,
    left: &'static str,
    seen: BoxFuture<'static, Seen>,
) -> Row {
    Row { part: "disk", name, done, answered, left, seen }
}

fn journal_rows() -> Vec<Row> {
    vec![
        row(
            "locked by another process",
            "held an exclusive transaction while posting",
            "503, Retry-After 5",
            "nothing",
            Box::pin(locked()),
        ),
        row(
            "in use by another service",
            "started a second service on the same file",
            "exit 1: another process uses this journal; stop that one first",
            "1 pending",
            Box::pin(used()),
        ),
        row(
            "garbage for a file",
            "started on a file that is no database",
            "exit 1: is damaged or no journal at all",
            "the file as it was",
            Box::pin(garbage()),
        ),
        row(
            "torn last commit",
            "killed it after two commits and cut the log's end",
            "starts",
            "1 pending",
            Box::pin(torn()),
        ),
        row(
            "file of a newer version",
            "started on a file with a migration from the future",
            "exit 1: written by a newer version needs that version",
            "1 event",
            Box::pin(newer()),
        ),
    ]
}

fn disk_rows() -> Vec<Row> {
    vec![
        disk(
            "too little free",
            "asked for more free space than the disk has, then posted",
            "503, Retry-After 60",
            "nothing",
            Box::pin(no_room("HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE", "16384GiB")),
        ),
        disk(
            "journal at its bound",
            "allowed the journal 1 KiB, then posted",
            "503, Retry-After 60",
            "nothing",
            Box::pin(no_room("HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE", "1KiB")),
        ),
        disk(
            "folder that is not there",
            "pointed the journal into a missing folder",
            "exit 1: must exist and be writable",
            "no file",
            Box::pin(no_folder()),
        ),
        Row {
            part: "clock",
            ..row(
                "set back an hour",
                "stored an alert, set the clock back, claimed",
                "claimed at once",
                "1 pending",
                Box::pin(set_back()),
            )
        },
    ]
}

/// Returns which of `words` a service says that does not start.
async fn refused(home: &Home, words: &str) -> String {
    let mut app = home.start(&["serve"]);
    let code = app.exit().await.code().unwrap();
    let log = app.whole_log().await;
    assert!(log.contains(words), "{words}: {log}");
    format!("exit {code}: {words}")
}

/// One alert stored, and the service gone.
async fn with_an_alert() -> Home {
    let home = offline_home();
    assert_eq!(posted(&home, |url| [verified(&url, &alert(1))]).await.0, 202);
    home
}

async fn refusal_of_a_post(app: &mut App) -> String {
    let url = app.webhook().await;
    let response = verified(&url, &alert(1)).send().await.unwrap();
    let retry_after = response.headers()["Retry-After"].to_str().unwrap().to_owned();
    format!("{}, Retry-After {retry_after}", response.status().as_u16())
}

async fn locked() -> Seen {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    app.webhook().await;
    let mut other_process = connect(&home.journal()).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other_process).await.unwrap();
    let answered = refusal_of_a_post(&mut app).await;
    app.kill().await;
    sqlx::query("ROLLBACK").execute(&mut other_process).await.unwrap();
    Seen { answered, left: left_in(&home).await }
}

async fn used() -> Seen {
    let home = offline_home();
    let mut first = home.start(&["serve"]);
    let url = first.webhook().await;
    assert_eq!(verified(&url, &alert(1)).send().await.unwrap().status().as_u16(), 202);
    let answered = refused(&home, "another process uses this journal; stop that one first").await;
    first.kill().await;
    Seen { answered, left: left_in(&home).await }
}

async fn garbage() -> Seen {
    let home = offline_home();
    let garbage = b"this is no database".repeat(1_000);
    fs::write(home.journal(), &garbage).unwrap();
    let answered = refused(&home, "is damaged or no journal at all").await;
    let is_same = fs::read(home.journal()).unwrap() == garbage;
    Seen { answered, left: if is_same { "the file as it was" } else { "changed" }.to_owned() }
}

async fn torn() -> Seen {
    let home = offline_home();
    let two = |url: String| [1, 2].map(|number| verified(&url, &alert(number)));
    assert_eq!(posted(&home, two).await.0, 202);
    // A commit for each post, and no other: deliveries wait until OpenCTI knows the connector.
    cut(&beside(&home.journal(), "-wal"), |length| length - 100);
    let mut app = home.start(&["serve"]);
    app.webhook().await;
    app.kill().await;
    Seen { answered: "starts".to_owned(), left: left_in(&home).await }
}

async fn newer() -> Seen {
    let home = with_an_alert().await;
    let mut connection = connect(&home.journal()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', TRUE, x'00', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let answered = refused(&home, "written by a newer version needs that version").await;
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM events").fetch_one(&mut connection).await.unwrap();
    Seen { answered, left: format!("{count} event") }
}

async fn no_room(option: &str, value: &str) -> Seen {
    let mut home = offline_home();
    home.set(option, value);
    let mut app = home.start(&["serve"]);
    let answered = refusal_of_a_post(&mut app).await;
    app.kill().await;
    Seen { answered, left: left_in(&home).await }
}

async fn no_folder() -> Seen {
    let mut home = offline_home();
    let file = home.path().join("missing").join("journal.db");
    home.keep_journal_in(&file);
    let answered = refused(&home, "must exist and be writable").await;
    Seen { answered, left: if file.exists() { "a file" } else { "no file" }.to_owned() }
}

async fn set_back() -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = open_sqlite(&url, "http://127.0.0.1:1/").await;
    journal.append(&[vec![padded_native("a", start() + TimeDelta::hours(1))]]).await.unwrap();
    let claimed = journal.claim(9, Duration::from_mins(5), start()).await.unwrap().len();
    let answered = if claimed == 1 { "claimed at once" } else { "held up" }.to_owned();
    Seen { answered, left: told(&journal.counts().await.unwrap()) }
}
