//! A journal that cannot store: nothing more is read, the sender waits, and everything arrives.

use std::path::Path;

use sqlx::{ConnectOptions as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    app::{App, Home, is_long},
    notifications::minimal_alert,
    small_disk::SmallDisk,
    stage::{Stage, incident_names},
    syslog::{address, connected_from, listening, message, send, started, until_stored},
};

async fn connected(journal: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(journal).connect().await.unwrap()
}

async fn locked(journal: &Path) -> SqliteConnection {
    let mut connection = connected(journal).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await.unwrap();
    connection
}

async fn unlock(mut connection: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
}

async fn until_it_waits(app: &mut App) {
    app.wait_for_log("it reads no more", |line| {
        line["message"].as_str()?.contains("nothing more is read until it can").then_some(())
    })
    .await;
}

/// So many alerts of 20 KB as lines: more than the buffers of two sockets hold.
fn many(count: usize) -> String {
    let padding = "x".repeat(20_000);
    let line = |number| {
        let mut alert = minimal_alert(&format!("alert-{number}"));
        alert["padding"] = padding.as_str().into();
        message(&alert) + "\n"
    };
    (0..count).map(line).collect()
}

#[tokio::test]
async fn while_the_journal_is_locked_nothing_more_is_read_and_then_everything_arrives() {
    const COUNT: usize = 1_000;
    let (home, mut app, address) = started(&[]).await;
    send("127.0.0.1", address, format!("{}\n", message(&minimal_alert("first"))).as_bytes()).await;
    until_stored(&mut app, 1).await;
    let lock = locked(&home.journal()).await;
    let idle_kib = app.memory_kib();
    let mut stream = connected_from("127.0.0.1", address).await;
    let sending = tokio::spawn(async move {
        stream.write_all(many(COUNT).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    until_it_waits(&mut app).await;
    assert!(!sending.is_finished(), "the sender waits");
    if is_long() {
        // Told again after a minute: longer than a message may take, and nobody is cut off for it.
        app.wait_for_sum(2, |line| {
            let waits = line["message"].as_str()?.contains("nothing more is read until it can");
            waits.then_some(1)
        })
        .await;
    }
    let grown_kib = app.memory_kib().saturating_sub(idle_kib);
    assert!(grown_kib < 10 << 10, "the socket is not read into memory: {grown_kib} KiB");
    unlock(lock).await;
    sending.await.unwrap();
    until_stored(&mut app, COUNT as u64 + 1).await;
    assert!(app.log().contains("reading goes on"), "{}", app.log());
}

#[tokio::test]
async fn while_the_disk_has_too_little_room_the_sender_waits_and_loses_nothing() {
    // What fills the disk below the mark, and what comes then.
    const COUNT: usize = 800;
    const MORE: usize = 50;
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let url = format!("sqlite:{}", disk.path().join("journal.db").display());
    let marks = [("JOURNAL_URL", url.as_str()), ("JOURNAL_MIN_FREE", "8MiB")];
    let (_home, mut app, address) = started(&marks).await;
    send("127.0.0.1", address, many(COUNT).as_bytes()).await;
    app.wait_for_log("the room is short", |line| {
        line["message"].as_str()?.contains("has no room").then_some(())
    })
    .await;
    let all = many(COUNT + MORE);
    let more: String = all.split_inclusive('\n').skip(COUNT).collect();
    send("127.0.0.1", address, more.as_bytes()).await;
    until_it_waits(&mut app).await;
    disk.grow("200m");
    until_stored(&mut app, (COUNT + MORE) as u64).await;
}

#[tokio::test]
async fn what_was_read_whole_is_stored_at_shutdown() {
    let (home, mut app, address) = started(&[]).await;
    let lock = locked(&home.journal()).await;
    let mut stream = connected_from("127.0.0.1", address).await;
    let lines: String =
        (0..3).map(|number| message(&minimal_alert(&format!("alert-{number}"))) + "\n").collect();
    stream.write_all(format!("{lines}<14>1 - - half").as_bytes()).await.unwrap();
    until_it_waits(&mut app).await;
    let (stored, log) = stored_by_stop(&home, &mut app, lock).await;
    assert_eq!(stored, 3, "{log}");
}

/// Asks the service to stop while it waits for its journal, lets it have that, and answers how many events
/// are there once it has ended in order, with its log.
async fn stored_by_stop(home: &Home, app: &mut App, lock: SqliteConnection) -> (i64, String) {
    app.ask_to_stop();
    app.wait_for_log("it stops", |line| {
        line["message"].as_str()?.starts_with("stopping").then_some(())
    })
    .await;
    unlock(lock).await;
    assert!(app.exit().await.success(), "{}", app.whole_log().await);
    let mut journal = connected(&home.journal()).await;
    let row = sqlx::query("SELECT COUNT(*) FROM events").fetch_one(&mut journal).await.unwrap();
    (row.get(0), app.whole_log().await)
}

/// As much as a chunk holds was read; the rest is still in the socket when the service is asked to stop.
#[tokio::test]
async fn what_the_sockets_hold_at_shutdown_is_read_stored_and_what_is_left_is_told() {
    const COUNT: u32 = 20;
    let (home, mut app, address) = started(&[]).await;
    let lock = locked(&home.journal()).await;
    let mut stream = connected_from("127.0.0.1", address).await;
    stream.write_all(format!("{}<14>1 - - half", many(COUNT as usize)).as_bytes()).await.unwrap();
    until_it_waits(&mut app).await;
    let (stored, log) = stored_by_stop(&home, &mut app, lock).await;
    assert_eq!(stored, i64::from(COUNT), "{log}");
    assert!(log.contains("\"left_bytes\":14}"), "half a message: {log}");
}

/// Syslog acknowledges nothing: what was read and not committed when the power fails is gone, and the
/// sweep finds it.
#[tokio::test]
async fn what_a_kill_took_before_it_was_committed_is_found_by_the_next_sweep() {
    let mut stage = Stage::with_webhook().await;
    stage.home = listening(stage.home);
    let now = harfanglab_incidents::clock::Clock::system().now();
    stage.console.seed(now);
    let mut app = stage.home.start(&["serve"]);
    let at = address(&mut app).await;
    app.wait_for_log("the first sweep is done", |line| {
        line["message"].as_str()?.contains("sweep is done").then_some(())
    })
    .await;
    let pushed = harfanglab_incidents::demo::Generator::new(4).next_alert(now);
    stage.console.add_alert(pushed.api_item());
    let lock = locked(&stage.home.journal()).await;
    send("127.0.0.1", at, format!("{}\n", message(&pushed.native())).as_bytes()).await;
    until_it_waits(&mut app).await;
    app.kill().await;
    unlock(lock).await;
    let _app = stage.home.start(&["serve"]);
    let works = stage.closed_works(1).await;
    let names = incident_names(&stage.messages_of(&works).await);
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].ends_with(&format!(" on {}", pushed.host())), "{names:?}");
}
