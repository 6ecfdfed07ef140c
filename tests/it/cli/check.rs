//! `check` explains what is wrong and what to do, for each thing that is commonly wrong.

use std::{net::TcpListener, sync::Arc};

use harfanglab_incidents::{
    demo::{Collection, Fault, RequestKind},
    opencti::{OpenCti, ServiceAccount},
};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{
    check::{CLOSED_STATUS, CheckScene, NEW_STATUS},
    stores::open_sqlite,
};

/// The line about `party`.
fn about<'a>(lines: &'a [String], party: &str) -> &'a str {
    lines.iter().find(|line| line.split_whitespace().nth(1) == Some(party)).unwrap()
}

/// The line about `party`, which must be wrong, holds all of `words`.
fn tells(lines: &[String], party: &str, words: &[&str]) {
    let line = about(lines, party);
    assert!(line.starts_with("WRONG"), "{line}");
    for word in words {
        assert!(line.contains(word), "`{word}` is not in: {line}");
    }
}

#[tokio::test]
async fn what_is_right_is_said_to_be_right() {
    let lines = CheckScene::new().check().await;
    for party in ["HarfangLab", "OpenCTI"] {
        let line = about(&lines, party);
        assert!(line.starts_with("ok"), "{line}");
    }
    tells(&lines, "RabbitMQ", &[]);
}

#[tokio::test]
async fn the_journal_is_looked_at_and_left_as_it_is() {
    let mut scene = CheckScene::new();
    let file = scene.home.journal();
    let lines = scene.check().await;
    let line = about(&lines, "journal");
    assert!(line.starts_with("ok") && line.contains("no journal is there yet"), "{line}");
    assert!(!file.exists());

    let url = format!("sqlite:{}", file.display());
    drop(open_sqlite(&url, "https://console.example").await);
    let lines = scene.check().await;
    let line = about(&lines, "journal");
    assert!(line.starts_with("ok") && line.ends_with("a journal is there"), "{line}");

    let mut journal = SqliteConnection::connect(&url).await.unwrap();
    let newer = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1";
    sqlx::query(newer).execute(&mut journal).await.unwrap();
    journal.close().await.unwrap();
    tells(&scene.check().await, "journal", &["a newer version of this program wrote"]);

    std::fs::write(&file, "no database ".repeat(1_000)).unwrap();
    tells(&scene.check().await, "journal", &["is damaged or no journal at all"]);

    for (url, words) in [
        ("sqlite:nowhere/journal.db", "the folder must exist and be writable"),
        ("postgres://nobody@127.0.0.1:1/nothing", "check host, port, database"),
    ] {
        scene.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", url);
        tells(&scene.check().await, "journal", &["HARFANGLAB_INCIDENTS_JOURNAL_URL", words]);
    }
}

#[tokio::test]
async fn a_service_account_is_looked_for_and_neither_made_nor_given_a_token() {
    let mut scene = CheckScene::new();
    scene.home.set("CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT", "true");
    let changes = |scene: &CheckScene| {
        ["UserAdd", "UserTokenAdd", "UserTokenRevoke", "RegisterConnector", "RegisterConnectorS3"]
            .map(|operation| scene.opencti.requests(operation).len())
    };
    let lines = scene.check_with(0).await;
    let line = about(&lines, "OpenCTI");
    assert!(line.starts_with("ok") && line.contains("will make"), "{line}");
    assert!(line.contains("the service account [C] HarfangLab"), "{line}");
    assert!(about(&lines, "RabbitMQ").starts_with("note"), "{lines:?}");
    assert_eq!(changes(&scene), [0; 5]);

    let account = ServiceAccount { connector_name: "HarfangLab".to_owned(), max_confidence: 50 };
    let client = OpenCti::with_service_account(&scene.opencti.settings(), account).unwrap();
    client.version().await.unwrap();
    let made = changes(&scene);
    let lines = scene.check_with(0).await;
    assert!(about(&lines, "OpenCTI").contains("is there"), "{lines:?}");
    assert_eq!(changes(&scene), made, "its token is still the one of before");
}

#[tokio::test]
async fn statuses_that_no_incident_can_have_are_noted_with_those_that_it_can() {
    let mut scene = CheckScene::new();
    let statuses = format!("new=new, closed={CLOSED_STATUS}");
    scene.home.set("HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES", &statuses);
    assert!(about(&scene.check().await, "workflow").starts_with("ok"));
    scene.home.set("HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES", "new=NEW, closed=Done");
    let lines = scene.check().await;
    let line = about(&lines, "workflow");
    assert!(line.starts_with("note"), "{line}");
    let there_are = format!("NEW ({NEW_STATUS}), CLOSED ({CLOSED_STATUS})");
    for word in ["closed=Done", "HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES", &there_are] {
        assert!(line.contains(word), "`{word}` is not in: {line}");
    }
}

#[tokio::test]
async fn a_wrong_address_of_the_console_is_named_with_its_variable() {
    let mut scene = CheckScene::new();
    let elsewhere = format!("{}portal", scene.console.url());
    scene.home.set("HARFANGLAB_INCIDENTS_URL", &elsewhere);
    let lines = scene.check().await;
    tells(&lines, "HarfangLab", &["404", "Check that HARFANGLAB_INCIDENTS_URL is the console"]);
    scene.home.set("HARFANGLAB_INCIDENTS_URL", "http://127.0.0.1:1");
    tells(&scene.check().await, "HarfangLab", &["cannot be reached"]);
}

#[tokio::test]
async fn a_token_that_the_console_does_not_know_is_told_with_where_to_get_one() {
    let mut scene = CheckScene::new();
    scene.home.set("HARFANGLAB_INCIDENTS_TOKEN", "an-old-token");
    let words = ["401", "Generate token", "set HARFANGLAB_INCIDENTS_TOKEN"];
    let lines = scene.check().await;
    tells(&lines, "HarfangLab", &words);
    assert!(!lines.concat().contains("an-old-token"));
}

#[tokio::test]
async fn a_user_without_permission_is_told_which_role_it_needs() {
    let scene = CheckScene::new();
    scene.console.fail_next(RequestKind::List(Collection::Alerts), 1, Fault::Status(403));
    let words = ["403", "role that can read alerts"];
    tells(&scene.check().await, "HarfangLab", &words);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_with_how_to_trust_it() {
    let mut scene = CheckScene::new();
    let address = self_signed();
    scene.home.set("HARFANGLAB_INCIDENTS_URL", &format!("https://localhost:{address}"));
    scene.home.set("HARFANGLAB_INCIDENTS_SSL_VERIFY", "true");
    let words = ["a self-signed certificate", "set HARFANGLAB_INCIDENTS_SSL_VERIFY to a file"];
    tells(&scene.check().await, "HarfangLab", &words);
}

/// A TLS server with a certificate of its own making; answers its port.
fn self_signed() -> u16 {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    // Ends with the test's process: it is blocked in `accept` until then.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client hangs up in the middle: that is what the test is about.
            let _ = connection.complete_io(&mut stream);
        }
    });
    port
}

#[tokio::test]
async fn an_opencti_that_is_away_or_does_not_know_the_token_is_told() {
    let mut scene = CheckScene::new();
    let good = scene.home.get("OPENCTI_TOKEN");
    scene.home.set("OPENCTI_TOKEN", "e2d8a8c0-0000-4000-8000-000000000bad");
    tells(&scene.check().await, "OpenCTI", &["set OPENCTI_TOKEN to a valid API token"]);
    scene.home.set("OPENCTI_TOKEN", &good);
    scene.home.set("OPENCTI_URL", "http://127.0.0.1:1");
    let lines = scene.check().await;
    tells(&lines, "OpenCTI", &["does not answer", "check OPENCTI_URL, network and proxy"]);
    tells(&lines, "RabbitMQ", &["put that right first"]);
}
