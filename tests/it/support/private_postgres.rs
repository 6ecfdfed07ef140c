//! A PostgreSQL of the test's own, started by `scripts/postgres.sh`: it may be killed. It ends with
//! the value.

use std::process::{Command, Output};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::authority::Authority;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres.sh");

pub(crate) struct PrivatePostgres {
    folder: TempDir,
    url: String,
}

impl PrivatePostgres {
    pub(crate) fn start() -> Self {
        Self::start_in(TempDir::new().unwrap(), &[])
    }

    /// One that answers a commit before it is on the disk unless it is told otherwise.
    pub(crate) fn careless() -> Self {
        Self::start_in(TempDir::new().unwrap(), &["--careless"])
    }

    /// One with a certificate of `authority` for `localhost`, which all but its superuser must use.
    pub(crate) fn with_tls(authority: &Authority) -> Self {
        Self::with_certificate(&authority.pem(), authority.issue_for("localhost"))
    }

    /// As [`Self::with_tls`], with this certificate and its key; `authorities` are for clients.
    pub(crate) fn with_certificate(
        authorities: &str,
        (certificate, key): (String, String),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let tls = folder.path().join("tls");
        std::fs::create_dir(&tls).unwrap();
        for (file, text) in
            [("ca.pem", authorities), ("certificate.pem", &certificate), ("key.pem", &key)]
        {
            std::fs::write(tls.join(file), text).unwrap();
        }
        Self::start_in(folder, &["--tls"])
    }

    /// One with all of its data on a disk that may be full.
    pub(crate) fn start_on(disk: &std::path::Path) -> Self {
        Self::start_in(TempDir::new_in(disk).unwrap(), &[])
    }

    fn start_in(folder: TempDir, options: &[&str]) -> Self {
        let mut server = Self { folder, url: String::new() };
        server.url = server.script("start", options);
        server
    }

    /// Of its superuser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Ends all of its processes without a word, as a crash does.
    pub(crate) fn crash(&self) {
        self.script("kill", &[]);
    }

    /// Starts it again with what it had on disk, at the same address.
    pub(crate) fn start_again(&self) {
        assert_eq!(self.script("start", &[]), self.url);
    }

    /// Starts it again if it has given up, as when it could not write its log.
    pub(crate) fn start_if_stopped(&self) {
        if std::net::TcpStream::connect(("127.0.0.1", self.port())).is_err() {
            self.start_again();
        }
    }

    /// Returns where it listens.
    pub(crate) fn port(&self) -> u16 {
        url::Url::parse(&self.url).unwrap().port().unwrap()
    }

    /// Runs statements as its superuser.
    pub(crate) async fn run(&self, statements: &str) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    fn script(&self, command: &str, options: &[&str]) -> String {
        let mut script = Command::new(SCRIPT);
        let ran = script.arg(command).arg(self.folder.path()).args(options).output().unwrap();
        let Output { status, stdout, stderr } = ran;
        let text = String::from_utf8(stdout).unwrap();
        assert!(status.success(), "{text}{}", String::from_utf8_lossy(&stderr));
        text.trim().to_owned()
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // Nothing more can be done than to try.
        let _ = Command::new(SCRIPT).arg("stop").arg(self.folder.path()).status();
    }
}
