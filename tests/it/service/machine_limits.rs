//! Bounds of the machine and the end of the service: little room on the disk, systemd, signals.

use std::{
    fs::File, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf, process::Command,
};

use harfanglab_incidents::{
    intake::{Notification, dialect::Dialect, verification::Proof},
    journal::CLAIM_BYTES,
};
use reqwest::StatusCode;
use rustix::fs::OFlags;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixDatagram},
};

use crate::support::{
    app::{Home, WEBHOOK_SECRET},
    notifications::{LEASE, start},
    offline::offline_home,
    opencti::FakeWork,
    small_disk::{SmallDisk, acknowledged_until_full, padded_alert},
    stage::{Stage, http, post},
    stores::open_sqlite,
    waiting::until,
};

#[tokio::test]
async fn below_the_mark_of_free_disk_deliveries_get_503_until_there_is_room_again() {
    let mut home = offline_home();
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let file = disk.path().join("journal.db");
    home.keep_journal_in(&file);
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE", "8MiB");
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    assert_eq!(post(&url, &padded_alert(0)).await.0, StatusCode::ACCEPTED);

    let ballast: PathBuf = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 20 << 20]).unwrap();
    app.wait_for_log("there is no room", |line| {
        line["message"].as_str()?.starts_with("the journal has no room").then_some(())
    })
    .await;
    let request = http().post(&url).header("Authorization", WEBHOOK_SECRET).json(&padded_alert(1));
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["Retry-After"], "60");
    for number in 2..10 {
        post(&url, &padded_alert(number)).await;
    }
    let ready = app.readiness().await;
    assert_eq!(ready["status"], "unready", "{ready}");
    assert!(ready["reason"].as_str().unwrap().contains("JOURNAL_MIN_FREE"), "{ready}");
    assert_eq!(app.log().matches("the journal has no room").count(), 1, "told once");

    std::fs::remove_file(&ballast).unwrap();
    app.wait_for_log("there is room", |line| {
        line["message"].as_str()?.starts_with("the journal has room again").then_some(())
    })
    .await;
    assert_eq!(post(&url, &padded_alert(1)).await.0, StatusCode::ACCEPTED);
    assert_eq!(app.readiness().await["journal"]["pending"], 2);
}

#[tokio::test]
async fn what_is_free_on_the_journals_disk_is_a_metric_that_follows_the_disk() {
    let mut home = offline_home();
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let file = disk.path().join("journal.db");
    home.keep_journal_in(&file);
    let mut app = home.start(&["serve"]);
    let at_first = until("the disk is measured", async || {
        Some(app.metric("journal_disk_free_bytes").await).filter(|free| *free > 0)
    })
    .await;
    assert!(at_first < 24 << 20, "{at_first}: that is another disk");
    std::fs::write(disk.path().join("ballast"), vec![1; 8 << 20]).unwrap();
    until("the metric falls with the ballast", async || {
        // Less than the ballast, as the journal's log may become shorter meanwhile.
        (app.metric("journal_disk_free_bytes").await + (6 << 20) < at_first).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_journal_that_has_grown_to_its_bound_takes_no_more() {
    let mut home = offline_home();
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE", "4MiB");
    let mut app = home.start(&["serve"]);
    let acknowledged = acknowledged_until_full(&mut app).await;
    // An empty journal and its log have room of their own in it.
    assert!(acknowledged >= 10, "{acknowledged}");
    let ready = app.readiness().await;
    assert!(ready["reason"].as_str().unwrap().contains("JOURNAL_MAX_SIZE"), "{ready}");
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_is_as_a_full_disk_and_does_not_end_the_service() {
    let home = offline_home();
    // 2 MiB.
    let mut app = home.serve_after("ulimit -S -f 4096");
    acknowledged_until_full(&mut app).await;
    assert_eq!(app.readiness().await["status"], "unready");
    let id = app.process_id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited:"]).status();
    assert!(lifted.unwrap().success());
    until("it is ready again", async || {
        (app.readiness().await["status"] != "unready").then_some(())
    })
    .await;
    let url = app.webhook().await;
    assert_eq!(post(&url, &padded_alert(5_000)).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_claim_takes_as_many_texts_as_fit_its_bytes_or_a_single_larger_one() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("journal.db").display());
    let journal = open_sqlite(&url, "http://127.0.0.1:1/").await;
    let third = CLAIM_BYTES / 3;
    for (number, bytes) in [third, third, third, CLAIM_BYTES + 1, 10, 10].into_iter().enumerate() {
        let mut element = padded_alert(number as u64);
        element["padding"] = json!("x".repeat(bytes));
        let proof = Proof::answered_by_console(start());
        let text = element.to_string();
        let dialect = Dialect::NativeAlert;
        let stored = Notification::of_dialect(&proof, dialect, &element, text);
        journal.append(&[vec![stored]]).await.unwrap();
    }
    let mut claims = Vec::new();
    for _ in 0..4 {
        claims.push(journal.claim(100, LEASE, start()).await.unwrap().len());
    }
    // Three thirds and what stands around them are a little more than the whole.
    assert_eq!(claims, [2, 1, 1, 2]);
    assert!(journal.claim(100, LEASE, start()).await.unwrap().is_empty());
}

/// The socket of a service manager.
fn service_manager(home: &mut Home) -> UnixDatagram {
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    home.set("NOTIFY_SOCKET", path.to_str().unwrap());
    socket
}

/// The next message with this line.
async fn told(socket: &UnixDatagram, line: &str) -> String {
    let mut buffer = [0; 1024];
    loop {
        let length = socket.recv(&mut buffer).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.lines().any(|it| it == line) {
            return text;
        }
    }
}

/// URL of the endpoint, as the service manager was told it.
fn posts_to(ready: &str) -> String {
    let address = ready.split_once("accepting deliveries at ").unwrap().1;
    let address = address.split(|end: char| end == '/' || end.is_whitespace()).next().unwrap();
    format!("http://{address}/webhooks/harfanglab")
}

#[tokio::test]
async fn a_log_that_cannot_be_written_does_not_end_the_service() {
    let mut home = offline_home();
    let socket = service_manager(&mut home);
    let mut app = home.serve_after("exec 2>/dev/full");
    let ready = told(&socket, "READY=1").await;
    let url = posts_to(&ready);
    for (secret, status) in [("a-guess", 401), (WEBHOOK_SECRET, 200)] {
        let request = http().post(&url).header("Authorization", secret).json(&json!({}));
        assert_eq!(request.send().await.unwrap().status().as_u16(), status);
    }
    app.ask_to_stop();
    assert!(app.exit().await.success());
}

/// Fills a pipe to the last byte.
fn fill(pipe: &mut File) {
    for chunk in [&[b'x'; 4096][..], b"x"] {
        while pipe.write(chunk).is_ok() {}
    }
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_neither_deliveries_nor_the_end() {
    let Stage { mut home, opencti, .. } = Stage::with_webhook().await;
    home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let socket = service_manager(&mut home);
    let path = home.path().join("log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut options = File::options();
    let mut log = options.read(true).write(true).custom_flags(nonblocking).open(&path).unwrap();
    let mut app = home.serve_after("exec 2<>log");
    let url = posts_to(&told(&socket, "READY=1").await);
    fill(&mut log);
    // Told in the log, on which everything stood still.
    let wrong = http().post(&url).header("Authorization", "a-guess").json(&padded_alert(1));
    assert_eq!(wrong.send().await.unwrap().status().as_u16(), 401);
    assert_eq!(post(&url, &padded_alert(1)).await.0, StatusCode::ACCEPTED);
    let is_closed = |works: &[FakeWork]| works.iter().any(|work| work.closed.is_some());
    opencti.wait_for("the alert is delivered", |state| is_closed(&state.works)).await;
    app.ask_to_stop();
    assert!(app.exit().await.success());
}

#[tokio::test]
async fn the_service_manager_is_told_ready_alive_and_stopping() {
    let mut home = offline_home();
    let socket = service_manager(&mut home);
    home.set("WATCHDOG_USEC", "200000");
    let mut app = home.start(&["serve"]);
    let said = async |what: &str| told(&socket, what).await;
    let ready = said("READY=1").await;
    assert!(ready.contains("STATUS=accepting deliveries at 127.0.0.1:"), "{ready}");
    said("WATCHDOG=1").await;
    said("WATCHDOG=1").await;
    app.ask_to_stop();
    let stopping = said("STOPPING=1").await;
    assert!(stopping.contains("STATUS=stopping"), "{stopping}");
    said("STATUS=stopped; nothing was left under way").await;
    assert!(app.exit().await.success());
}

#[tokio::test]
async fn at_sigterm_what_cannot_leave_stays_in_the_journal_and_the_log_says_how_much() {
    let stage = Stage::with_webhook().await;
    stage.opencti.go_down();
    let mut home = stage.home;
    home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    assert_eq!(post(&url, &padded_alert(1)).await.0, StatusCode::ACCEPTED);
    assert!(app.terminate().await.success());
    let left = app
        .wait_for_log("the outcome", |line| {
            let is_outcome = line["message"] == "stopped; nothing was left under way";
            is_outcome.then(|| line["attributes"]["pending"].clone())
        })
        .await;
    assert_eq!(left.to_string().trim_matches('"'), "1");
}

#[tokio::test]
async fn sigterm_stops_accepting_and_a_second_one_ends_the_service_at_once() {
    let home = offline_home();
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    let address = url.split('/').nth(2).unwrap().to_owned();
    // A delivery that is being received is waited for.
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /webhooks/harfanglab HTTP/1.1\r\nHost: {address}\r\nContent-Length: 10\r\n\
         Authorization: {WEBHOOK_SECRET}\r\nExpect: 100-continue\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    slow.read_exact(&mut interim).await.unwrap();

    app.ask_to_stop();
    app.wait_for_log("it is stopping", |line| {
        line["message"].as_str()?.starts_with("stopping:").then_some(())
    })
    .await;
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    app.ask_to_stop();
    assert_eq!(app.exit().await.code(), Some(130));
}
