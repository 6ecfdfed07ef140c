//! A RabbitMQ of the test's own, started by `scripts/rabbitmq.sh`: what must not be done to the
//! shared one is done to this. It ends with the value.

use std::process::{Command, Output};

use lapin::uri::AMQPUri;
use tempfile::TempDir;

use super::authority::Authority;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rabbitmq.sh");

pub(crate) struct PrivateBroker {
    folder: TempDir,
    urls: Vec<String>,
}

impl PrivateBroker {
    /// Plain connections only.
    pub(crate) fn start() -> Self {
        let mut broker = Self { folder: TempDir::new().unwrap(), urls: Vec::new() };
        broker.urls = broker.script(&["start"], &[]);
        broker
    }

    /// Plain connections, and TLS with a certificate of `authority` for `localhost`. `option` is
    /// the script's: `--tls`, or `--tls-clients` to demand a certificate of that authority.
    pub(crate) fn with_tls(authority: &Authority, option: &str) -> Self {
        Self::with_certificate(&authority.pem(), authority.issue_for("localhost"), option)
    }

    /// As [`Self::with_tls`], with this certificate and its key; `authorities` are for clients.
    pub(crate) fn with_certificate(
        authorities: &str,
        (certificate, key): (String, String),
        option: &str,
    ) -> Self {
        let mut broker = Self { folder: TempDir::new().unwrap(), urls: Vec::new() };
        let tls = broker.folder.path().join("tls");
        std::fs::create_dir(&tls).unwrap();
        for (file, text) in
            [("ca.pem", authorities), ("certificate.pem", &certificate), ("key.pem", &key)]
        {
            std::fs::write(tls.join(file), text).unwrap();
        }
        broker.urls = broker.script(&["start"], &[option]);
        broker
    }

    pub(crate) fn url(&self) -> &str {
        &self.urls[0]
    }

    /// Returns where it listens for TLS.
    pub(crate) fn tls(&self) -> AMQPUri {
        self.urls[1].parse().unwrap()
    }

    /// Runs its control program.
    pub(crate) fn control(&self, arguments: &[&str]) {
        self.script(&["ctl"], arguments);
    }

    /// Ends the node without a word, as a crash does.
    pub(crate) fn crash(&self) {
        let id = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        assert!(Command::new("kill").args(["-KILL", id.trim()]).status().unwrap().success());
    }

    /// Starts the node again with what it had on disk, at the same address.
    pub(crate) fn start_again(&self) {
        assert_eq!(self.script(&["start"], &[]), self.urls);
    }

    /// Lines that the script prints; it must succeed.
    fn script(&self, command: &[&str], arguments: &[&str]) -> Vec<String> {
        let Output { status, stdout, stderr } = Command::new(SCRIPT)
            .args(command)
            .arg(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(stdout).unwrap();
        assert!(status.success(), "{text}{}", String::from_utf8_lossy(&stderr));
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        // Nothing more can be done than to try.
        let _ = Command::new(SCRIPT).arg("stop").arg(self.folder.path()).status();
    }
}
