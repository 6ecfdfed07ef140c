//! TLS to a real PostgreSQL with a private authority: what is checked of it, and what an operator is
//! told whose address does not fit.

use harfanglab_incidents::journal::PostgresDatabase;
use secrecy::SecretString;
use sqlx::{Connection as _, PgConnection, Row as _};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, task::block_in_place};

use crate::support::{
    authority::Authority,
    configuration::write_private,
    private_postgres::PrivatePostgres,
    stage::{Stage, post},
    stores::server,
};

const PASSWORD: &str = "pg-password-of-the-tests";

/// A server with TLS, a database of a user's own there, and files of certificates.
struct Scene {
    database: PrivatePostgres,
    authority: Authority,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let authority = Authority::new();
        let database = block_in_place(|| PrivatePostgres::with_tls(&authority));
        for user in ["journal", "certified"] {
            database.run(&format!("CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}'")).await;
        }
        database.run("CREATE DATABASE journal OWNER journal").await;
        Self { database, authority, folder: TempDir::new().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> String {
        write_private(self.folder.path(), name, text).to_str().unwrap().to_owned()
    }

    fn address(&self, user: &str, host: &str, parameters: &str) -> String {
        let port = self.database.port();
        format!("postgres://{user}@{host}:{port}/journal?{parameters}")
    }

    /// Returns what `check` says of this address.
    async fn probe(&self, url: &str, password: &str) -> Result<String, String> {
        let found = PostgresDatabase::probe(url, Some(&SecretString::from(password))).await;
        found.map_err(|failure| {
            let told = format!("{failure} {failure:?}");
            assert!(!told.contains(password), "{told}");
            failure.to_string()
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_keeps_its_journal_over_tls_and_stops_before_a_server_that_it_cannot_trust() {
    let scene = Scene::new().await;
    let authority = scene.file("ca.pem", &scene.authority.pem());
    let stranger = scene.file("stranger.pem", &Authority::new().pem());
    let mut stage = Stage::with_webhook().await;
    let trusting = |file: &str| {
        scene.address("journal", "localhost", &format!("sslmode=verify-full&sslrootcert={file}"))
    };
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &trusting(&authority));
    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD", PASSWORD);
    stage.home.set("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "2999-01-01");

    let mut check = stage.home.start(&["check"]);
    let mut said = String::new();
    check.stdout().read_to_string(&mut said).await.unwrap();
    let line = said.lines().find(|line| line.contains("journal")).unwrap();
    assert!(line.starts_with("ok") && line.contains("host of its certificate checked"), "{line}");
    assert!(line.contains("no journal is there yet"), "{line}");

    let mut app = stage.home.start(&["serve"]);
    let connection = app.wait_for_log("where the journal is", |line| {
        let is_it = line["message"] == "the journal is in PostgreSQL";
        is_it.then(|| line["attributes"]["connection"].as_str().unwrap().to_owned())
    });
    assert_eq!(connection.await, "encrypted, authority and host of its certificate checked");
    let webhook = app.webhook().await;
    let alert = harfanglab_incidents::demo::Generator::new(1)
        .next_alert(harfanglab_incidents::clock::Clock::system().now());
    assert_eq!(post(&webhook, &alert.native()).await.0, 202);
    stage.closed_works(1).await;
    let mut superuser = PgConnection::connect(scene.database.url()).await.unwrap();
    let connections = "SELECT COUNT(*), COUNT(*) FILTER (WHERE ssl), \
         COUNT(*) FILTER (WHERE application_name LIKE '%leader') \
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'journal'";
    let row = sqlx::query(connections).fetch_one(&mut superuser).await.unwrap();
    let (all, encrypted, of_leader): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(all >= 2 && encrypted == all && of_leader == 1, "{all} {encrypted} {of_leader}");
    assert!(app.terminate().await.success(), "{}", app.log());

    stage.home.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &trusting(&stranger));
    let mut refused = stage.home.start(&["serve"]);
    assert!(!refused.exit().await.success());
    let log = refused.whole_log().await;
    assert!(log.contains("is not trusted: set sslrootcert"), "{log}");
    assert!(!log.contains("trying again"), "nothing passes by itself here: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sslmode_checks_what_it_says_and_nothing_shows_the_password() {
    let scene = Scene::new().await;
    let authority = scene.file("ca.pem", &scene.authority.pem());
    let (certificate, key) = scene.authority.issue_for("certified");
    let (certificate, key) = (scene.file("client.pem", &certificate), scene.file("key.pem", &key));

    let identity = format!("sslmode=require&sslcert={certificate}&sslkey={key}");
    for (user, host, parameters, found) in [
        (
            "journal",
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={authority}"),
            "authority of",
        ),
        (
            "journal",
            "127.0.0.1",
            format!("sslmode=require&sslrootcert={authority}"),
            "authority of",
        ),
        ("journal", "127.0.0.1", "sslmode=require".to_owned(), "its certificate not checked"),
        ("journal", "127.0.0.1", String::new(), "its certificate not checked"),
        ("certified", "localhost", identity, "its certificate not checked"),
    ] {
        let url = scene.address(user, host, &parameters);
        let words = scene.probe(&url, PASSWORD).await.unwrap();
        assert!(words.contains("encrypted") && words.contains(found), "{parameters}: {words}");
    }
    let plain = PostgresDatabase::probe(&server(), None).await.unwrap();
    assert!(plain.contains("not encrypted"), "{plain}");

    let journal = scene.address("journal", "localhost", "");
    let password = SecretString::from(PASSWORD);
    let opened = PostgresDatabase::open(&journal, Some(&password), 2).await;
    let lock =
        PostgresDatabase::leader_lock(&journal, Some(&password), &["https://console.example"]);
    let shown = format!("{opened:?} {lock:?}");
    assert!(opened.is_ok() && !shown.contains(PASSWORD), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_does_not_fit_its_server_or_itself_is_refused_with_its_remedy() {
    let scene = Scene::new().await;
    let authority = scene.file("ca.pem", &scene.authority.pem());
    let stranger = scene.file("stranger.pem", &Authority::new().pem());
    let empty = scene.file("empty.pem", "no certificate");
    let certificate = scene.file("client.pem", &scene.authority.issue_for("certified").0);
    for (host, parameters, told) in [
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={stranger}"),
            "is not trusted: set sslrootcert",
        ),
        ("localhost", "sslmode=verify-full".to_owned(), "is not trusted: set sslrootcert"),
        ("localhost", format!("sslmode=require&sslrootcert={stranger}"), "is not trusted"),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={authority}"),
            "made out for another host",
        ),
        ("localhost", "sslmode=disable".to_owned(), "demands TLS, set sslmode=verify-full"),
        ("localhost", "sslmode=allow".to_owned(), "sslmode=allow is not possible"),
        ("localhost", format!("sslrootcert={authority}"), "not looked at with no sslmode: add"),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(), "cannot be read"),
        ("localhost", format!("sslmode=verify-full&sslrootcert={empty}"), "holds no certificate"),
        ("localhost", format!("sslmode=require&sslcert={certificate}"), "name both"),
        (
            "localhost",
            format!("sslmode=require&sslcert={certificate}&sslkey={certificate}"),
            "holds no private key",
        ),
        ("localhost", "sslmod=verify-full".to_owned(), "the parameter sslmod is not known"),
        ("localhost", format!("sslpassword={PASSWORD}"), "is no secret there"),
    ] {
        let refusal = scene.probe(&scene.address("journal", host, &parameters), PASSWORD).await;
        let text = refusal.expect_err(&parameters);
        assert!(text.contains(told), "{parameters}: {text}");
    }
    let wrong = scene.probe(&scene.address("journal", "localhost", ""), "another-password").await;
    assert!(wrong.unwrap_err().contains("HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD"));
    let uncertified = scene.probe(&scene.address("certified", "localhost", ""), PASSWORD).await;
    assert!(uncertified.unwrap_err().contains("sslcert and sslkey"));
    let without = PostgresDatabase::probe(&format!("{}?sslmode=require", server()), None).await;
    assert!(without.unwrap_err().to_string().contains("set ssl = on"));
}
