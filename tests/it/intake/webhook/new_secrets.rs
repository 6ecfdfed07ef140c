//! New secrets without a restart: at SIGHUP, when the file changes, and not when the new file is
//! broken.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::support::{
    app::App,
    stage::{Stage, http},
};

const OLD: &str = "the-old-secret-of-the-tests";
const NEW: &str = "the-new-secret-of-the-tests";

/// The binary with its secrets in a file.
async fn started() -> (Stage, App, String, PathBuf) {
    started_with(0o600).await
}

/// The same with this mode of the file.
async fn started_with(mode: u32) -> (Stage, App, String, PathBuf) {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let file = stage.home.path().join("secret");
    std::fs::write(&file, format!("{OLD}\n")).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    stage.home = stage.home.with_secret_file(&file);
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    (stage, app, url, file)
}

async fn status(url: &str, secret: &str) -> u16 {
    let request = http().post(url).header("Authorization", secret).json(&json!({}));
    request.send().await.unwrap().status().as_u16()
}

fn says(line: &Value, message: &str) -> bool {
    line["message"].as_str().is_some_and(|text| text.contains(message))
}

#[tokio::test]
async fn at_sighup_the_new_secret_is_taken_and_the_old_one_refused() {
    let (_stage, mut app, url, file) = started().await;
    assert_eq!((status(&url, OLD).await, status(&url, NEW).await), (200, 401));
    std::fs::write(&file, format!("{OLD},{NEW}")).unwrap();
    app.hang_up();
    app.wait_for_log("an answer to SIGHUP", |line| {
        (line["attributes"]["cause"] == "SIGHUP").then_some(())
    })
    .await;
    assert_eq!((status(&url, OLD).await, status(&url, NEW).await), (200, 200));
    std::fs::write(&file, NEW).unwrap();
    app.hang_up();
    app.wait_for_log("one secret is left", |line| {
        let replaced = says(line, "secrets were replaced") && line["attributes"]["count"] == 1;
        replaced.then_some(())
    })
    .await;
    assert_eq!((status(&url, OLD).await, status(&url, NEW).await), (401, 200));
    let log = app.log();
    assert!(!log.contains(OLD) && !log.contains(NEW), "a secret is in the log");
}

#[tokio::test]
async fn a_secret_that_others_may_read_is_told_at_the_start_and_when_it_becomes_so() {
    let exposed = |line: &Value| says(line, "/secret holds secrets and can be read by every user");
    let count = |app: &App| {
        let lines = app.log();
        let lines = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|line| exposed(line)).count()
    };
    let (stage, mut app, _url, file) = started_with(0o644).await;
    // One look later it has not been told again.
    std::fs::write(&file, NEW).unwrap();
    app.wait_for_log("the new file is told", |line| {
        says(line, "secrets were replaced").then_some(())
    })
    .await;
    assert_eq!(count(&app), 1, "{}", app.log());
    drop(app);
    drop(stage);

    let (_stage, mut app, _url, file) = started_with(0o600).await;
    std::fs::write(&file, NEW).unwrap();
    app.wait_for_log("the file was looked at", |line| {
        says(line, "secrets were replaced").then_some(())
    })
    .await;
    assert_eq!(count(&app), 0, "{}", app.log());
    std::fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
    app.wait_for_log("the mode is told", |line| exposed(line).then_some(())).await;
}

#[tokio::test]
async fn a_changed_file_is_noticed_by_itself_and_a_broken_one_changes_nothing() {
    let (_stage, mut app, url, file) = started().await;
    std::fs::write(&file, "\n").unwrap();
    let fault = app
        .wait_for_log("the broken file is told", |line| {
            says(line, "were not replaced").then(|| line["attributes"]["fault"].to_string())
        })
        .await;
    assert!(fault.contains("is empty") && fault.contains("secret"), "{fault}");
    assert_eq!(status(&url, OLD).await, 200, "the old secret stays valid");
    std::fs::write(&file, NEW).unwrap();
    app.wait_for_log("the new file is told", |line| {
        says(line, "secrets were replaced").then_some(())
    })
    .await;
    assert_eq!((status(&url, OLD).await, status(&url, NEW).await), (401, 200));
}

#[tokio::test]
async fn sighup_is_answered_for_a_pipe_without_a_writer_and_the_secret_stays() {
    let (stage, mut app, url, file) = started().await;
    let pipe = stage.home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::rename(&pipe, &file).unwrap();
    app.hang_up();
    app.wait_for_log("why it is not read", |line| {
        says(line, "came from a pipe or a device").then_some(())
    })
    .await;
    assert_eq!(status(&url, OLD).await, 200);
}

#[tokio::test]
async fn sighup_does_not_end_a_service_whose_secret_is_in_the_environment() {
    let mut stage = Stage::with_webhook().await;
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");
    let mut app = stage.home.start(&["serve"]);
    let url = app.webhook().await;
    app.hang_up();
    app.wait_for_log("what to do instead", |line| {
        says(line, "HARFANGLAB_INCIDENTS_WEBHOOK_SECRET_FILE").then_some(())
    })
    .await;
    assert_eq!(status(&url, crate::support::app::WEBHOOK_SECRET).await, 200);
}
