//! HarfangLab's syslog connector against the real binary. In files beside this one: real senders
//! (`real_senders`), attacks (`hostile`), what proves a message (`proofs`), a journal that cannot store
//! (`full_journal`), the same bundles as by POST (`same_bundles`), whose they are (`console_labels`).

mod console_labels;
mod full_journal;
mod hostile;
mod proofs;
mod real_senders;
mod same_bundles;

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    configuration::load_with,
    notifications::minimal_alert,
    offline::offline_home,
    stage::http,
    syslog::{
        TOKEN, address, connected_from, listening, message, message_with, refused, send, started,
        until_stored,
    },
};

#[tokio::test]
async fn alerts_in_either_framing_are_stored_once_and_telemetry_and_tests_are_not_kept() {
    let (_home, mut app, address) = started(&[]).await;
    let counted = message(&minimal_alert("counted"));
    let telemetry = message(&json!({ "log_type": "process", "agentid": "a" }));
    let connection_test = message(&json!({}));
    let stream = format!(
        "{} {counted}{}\n{}\r\n{telemetry}\n{connection_test}\n{}",
        counted.len(),
        message(&minimal_alert("line")),
        message(&minimal_alert("line")),
        message(&minimal_alert("never ended")),
    );
    send("127.0.0.1", address, stream.as_bytes()).await;
    until_stored(&mut app, 3).await;
    assert_eq!(app.metric("syslog_verified_total").await, 6);
    assert_eq!(app.metric("syslog_ignored_total{kind=\"process\"}").await, 1);
    let push = |result| format!("events_received_total{{origin=\"push\",result=\"{result}\"}}");
    assert_eq!(app.metric(&push("accepted")).await, 3);
    assert_eq!(app.metric(&push("duplicate")).await, 1);
    let page = http().get(app.management().await).send().await.unwrap().text().await.unwrap();
    for part in ["last by syslog", "an alert ", &format!("{address} (TCP)")] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(app.terminate().await.success(), "{}", app.log());
}

#[tokio::test]
async fn new_tokens_are_taken_from_their_file_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let mut home = listening(offline_home());
    home.unset("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN");
    home.unset("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET");
    home.set("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_FILE", file.to_str().unwrap());
    let mut app = home.start(&["serve"]);
    let address = address(&mut app).await;
    let new = message_with("the-next-token-of-the-tests", &minimal_alert("new").to_string());
    let (old, new) = (format!("{}\n", message(&minimal_alert("old"))), format!("{new}\n"));
    let mut stream = connected_from("127.0.0.1", address).await;
    stream.write_all(format!("{new}{old}").as_bytes()).await.unwrap();
    until_stored(&mut app, 1).await;
    assert_eq!(refused(&mut app, "mismatch").await, 1);
    std::fs::write(&file, "the-next-token-of-the-tests").unwrap();
    app.hang_up();
    app.wait_for_log("the tokens were replaced", |line| {
        line["message"].as_str()?.contains("tokens for syslog were replaced").then_some(())
    })
    .await;
    stream.write_all(format!("{old}{new}").as_bytes()).await.unwrap();
    until_stored(&mut app, 2).await;
    assert_eq!(refused(&mut app, "mismatch").await, 2);
    assert!(!app.log().contains("the-next-token"), "a token is in the log");
    app.hang_up();
    app.wait_for_log("an answer for the tokens", |line| {
        (line["message"] == "the tokens for syslog are the same as before").then_some(())
    })
    .await;
    app.wait_for_log("an answer for the endpoint, which is closed", |line| {
        line["message"].as_str()?.contains("has no secrets to renew").then_some(())
    })
    .await;
    assert!(!app.log().contains("come from no file"), "{}", app.log());
}

#[tokio::test]
async fn check_says_what_will_be_listened_to_and_read_and_no_token() {
    let mut home = listening(offline_home());
    home.set("HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS", "192.0.2.0/24");
    home.set("HARFANGLAB_INCIDENTS_ELASTIC_PULL", "true");
    let mut app = home.start(&["check"]);
    let mut said = String::new();
    app.stdout().read_to_string(&mut said).await.unwrap();
    let syslog = "note   syslog         will take messages by TCP at 127.0.0.1:0, with \
                  [harfanglab@32473 token=\"…\"] as structured data, from the allowed networks";
    for row in [syslog, "note   pull queue     the Elastic connector's queue will be read"] {
        assert!(said.contains(row), "{row}: {said}");
    }
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn a_listener_that_would_let_anybody_in_is_refused_with_what_to_set() {
    let listen = ("HARFANGLAB_INCIDENTS_SYSLOG_LISTEN", "127.0.0.1:6514");
    let token = ("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN", TOKEN);
    let networks = ("HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS", "192.0.2.0/24");
    let faults = load_with(&[listen]).unwrap_err().to_string();
    for part in [
        "HARFANGLAB_INCIDENTS_SYSLOG_LISTEN (harfanglab_incidents.syslog_listen",
        "would let anybody in",
        "set HARFANGLAB_INCIDENTS_SYSLOG_TOKEN",
        "HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA",
        "HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS",
    ] {
        assert!(faults.contains(part), "{part}: {faults}");
    }
    for proof in [token, networks] {
        let loaded = load_with(&[listen, proof]).unwrap();
        let syslog = loaded.settings.syslog.unwrap();
        assert_eq!(syslog.token_name, "token");
        assert!(!loaded.warnings.concat().contains("SYSLOG"), "{:?}", loaded.warnings);
        assert_eq!(syslog.idle_timeout, Duration::from_hours(24));
    }
    let loaded = load_with(&[token]).unwrap();
    assert!(loaded.settings.syslog.is_none(), "closed unless it is asked for");
    assert!(loaded.warnings.concat().contains("TOKEN has no effect"), "{:?}", loaded.warnings);
    let open = ("HARFANGLAB_INCIDENTS_SYSLOG_LISTEN", "0.0.0.0:6514");
    let warnings = load_with(&[open, token]).unwrap().warnings.concat();
    assert!(warnings.contains("plain TCP"), "{warnings}");
    let same = ("HARFANGLAB_INCIDENTS_SYSLOG_LISTEN", "127.0.0.1:8080");
    let faults = load_with(&[same, token]).unwrap_err().to_string();
    assert!(faults.contains("is 127.0.0.1:8080, as is HARFANGLAB_INCIDENTS_LISTEN"), "{faults}");
    for (name, value) in [("ID", "two words"), ("NAME", "a=b"), ("ID", &"x".repeat(33))] {
        let name = format!("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_{name}");
        assert!(load_with(&[listen, token, (&name, value)]).is_err(), "{value}");
    }
}
