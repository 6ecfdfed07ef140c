//! The Python connector beside us: a checkout of it, run on the same alerts, console and broker.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use serde_json::Value;

use crate::{process::Usage, support::stage::Stage};

/// Converts without console and broker, and tells the processor time that it took.
const CONVERT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/peer_convert.py");

/// A checkout of it: the folder with `src/main.py`.
pub(crate) struct Peer {
    checkout: PathBuf,
}

impl Peer {
    pub(crate) fn at(checkout: PathBuf) -> Self {
        Self { checkout }
    }

    /// The Python that has its packages: of an environment in the checkout, else that of the path.
    fn python(&self) -> PathBuf {
        let own = self.checkout.join("venv/bin/python");
        if own.exists() { own } else { "python3".into() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.python());
        command.args(arguments).current_dir(self.checkout.join("src")).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
    }

    /// Runs it once in these surroundings; answers the seconds from its start to its exit, and what
    /// it used.
    pub(crate) async fn run(&self, stage: &Stage) -> (f64, Usage) {
        let log = stage.home.path().join("peer.log");
        let file = || std::fs::File::create(&log).expect("the log can be written");
        // It puts paths behind the address as it is.
        let console = stage.home.get("HARFANGLAB_INCIDENTS_URL");
        let begin = Instant::now();
        let command = self.command(&["main.py"]);
        let mut child = tokio::process::Command::from(command)
            .envs(stage.home.environment())
            .env("HARFANGLAB_INCIDENTS_URL", console.trim_end_matches('/'))
            .env("CONNECTOR_TYPE", "EXTERNAL_IMPORT")
            .env("CONNECTOR_LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(file())
            .stderr(file())
            .kill_on_drop(true)
            .spawn()
            .expect("Python runs main.py in the folder src of --peer");
        let process = child.id().expect("it was just started");
        let exited = async {
            let status = child.wait().await.expect("it can be waited for");
            assert!(status.success(), "the Python connector failed: {status}\n{}", read(&log));
        };
        let usage = Usage::until(process, exited).await;
        let seconds = begin.elapsed().as_secs_f64();
        // It reports a run that was lost as a success.
        let messages = stage.broker.depth(&stage.queue()).await;
        assert!(messages > 0, "the Python connector sent nothing:\n{}", read(&log));
        (seconds, usage)
    }

    /// Milliseconds of processor time in which it converts an alert, splits and encodes.
    pub(crate) fn converts(&self, alerts: &Value) -> f64 {
        let mut command = self.command(&[CONVERT]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs with the packages of the connector");
        let mut input = child.stdin.take().expect("it was asked for");
        input.write_all(alerts.to_string().as_bytes()).expect("the script reads its alerts");
        drop(input);
        let output = child.wait_with_output().expect("it can be waited for");
        assert!(output.status.success(), "the Python connector failed to convert");
        let told = String::from_utf8_lossy(&output.stdout).trim().parse();
        told.expect("the script tells a number")
    }
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
