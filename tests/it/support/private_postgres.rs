//! A PostgreSQL of the test's own, started by `scripts/postgres.sh`: it may be killed. It ends with
//! the value.

use std::process::{Command, Output};

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres.sh");

pub(crate) struct PrivatePostgres {
    folder: TempDir,
    url: String,
}

impl PrivatePostgres {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut server = Self { folder, url: String::new() };
        server.url = server.script("start");
        server
    }

    /// Of its superuser.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Ends all of its processes without a word, as a crash does.
    pub(crate) fn crash(&self) {
        self.script("kill");
    }

    /// Starts it again with what it had on disk, at the same address.
    pub(crate) fn start_again(&self) {
        assert_eq!(self.script("start"), self.url);
    }

    fn script(&self, command: &str) -> String {
        let ran = Command::new(SCRIPT).arg(command).arg(self.folder.path()).output().unwrap();
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
