//! The real binary as its user starts it: a process with an environment, whose log lines are the
//! events that tests wait for.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::watch,
};

use super::stage::http;

/// Longest wait for an event of a process. Only a failing test ever reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Bytes of the shortest secret that logs are searched for.
const SECRET_MIN: usize = 12;
/// Lines of its log that a failing test shows.
const LINES_OF_A_FAILURE: usize = 60;

/// Returns whether the tests are to run at their large sizes.
pub(crate) fn is_long() -> bool {
    std::env::var_os("HARFANGLAB_INCIDENTS_TEST_LONG").is_some()
}

/// [`PATIENCE`], and as much more as the large sizes may need.
pub(crate) fn patience() -> Duration {
    if is_long() { PATIENCE * 15 } else { PATIENCE }
}

/// The secret of every webhook in these tests.
pub(crate) const WEBHOOK_SECRET: &str = "a-webhook-secret-of-the-tests";

/// The binary: Cargo's, or another build of it.
fn binary() -> String {
    std::env::var("HARFANGLAB_INCIDENTS_TEST_BINARY")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_harfanglab-incidents").to_owned())
}

/// A folder and an environment in which the binary can be started again and again.
pub(crate) struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Home {
    /// A fresh folder; the environment is what the public Python connector takes, for `console`
    /// and `opencti`.
    pub(crate) fn new(connector_id: &str, console: (&str, &str), opencti: (&str, &str)) -> Self {
        let mut home = Self { folder: TempDir::new().unwrap(), environment: Vec::new() };
        for (name, value) in [
            ("OPENCTI_URL", opencti.0),
            ("OPENCTI_TOKEN", opencti.1),
            ("CONNECTOR_ID", connector_id),
            ("CONNECTOR_NAME", "HarfangLab"),
            ("CONNECTOR_SCOPE", "harfanglab"),
            ("CONNECTOR_DURATION_PERIOD", "PT1H"),
            ("HARFANGLAB_INCIDENTS_URL", console.0),
            ("HARFANGLAB_INCIDENTS_SSL_VERIFY", "false"),
            ("HARFANGLAB_INCIDENTS_TOKEN", console.1),
            ("HARFANGLAB_INCIDENTS_IMPORT_THREATS", "false"),
            ("HARFANGLAB_INCIDENTS_ALERT_STATUSES", "new, investigating"),
            ("HARFANGLAB_INCIDENTS_ALERT_TYPES", ""),
            ("HARFANGLAB_INCIDENTS_DEFAULT_MARKING", "TLP:AMBER"),
            ("HARFANGLAB_INCIDENTS_DEFAULT_SCORE", "50"),
            ("HARFANGLAB_INCIDENTS_IMPORT_START_DATE", "1970-01-01"),
        ] {
            home.set(name, value);
        }
        home
    }

    /// Opens the endpoint with [`WEBHOOK_SECRET`], on free ports.
    pub(crate) fn with_webhook(mut self) -> Self {
        self.set("HARFANGLAB_INCIDENTS_LISTEN", "127.0.0.1:0");
        self.set("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET", WEBHOOK_SECRET);
        self.set("HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN", "127.0.0.1:0");
        self
    }

    /// As [`Home::with_webhook`], with the secrets in this file instead.
    pub(crate) fn with_secret_file(mut self, path: &Path) -> Self {
        self.environment.retain(|(name, _)| name != "HARFANGLAB_INCIDENTS_WEBHOOK_SECRET");
        self.set("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET_FILE", path.to_str().unwrap());
        self
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Keeps the journal in this file.
    pub(crate) fn keep_journal_in(&mut self, file: &Path) {
        self.set("HARFANGLAB_INCIDENTS_JOURNAL_URL", &format!("sqlite:{}", file.display()));
    }

    /// Takes a variable away.
    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// A variable that was set.
    pub(crate) fn get(&self, name: &str) -> String {
        let value = self.environment.iter().find(|(known, _)| known == name);
        value.unwrap_or_else(|| panic!("{name} was not set")).1.clone()
    }

    /// Everything that was set.
    #[allow(dead_code, reason = "the benchmarks need it")]
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The folder in which the binary runs.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The journal's file.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path().join("harfanglab-incidents.db")
    }

    /// Starts the binary with `arguments`.
    pub(crate) fn start(&self, arguments: &[&str]) -> App {
        self.start_as(Command::new(binary()).args(arguments))
    }

    /// Starts the service from a shell that has run `prelude`, as under a limit of the system.
    pub(crate) fn serve_after(&self, prelude: &str) -> App {
        let binary = binary();
        let script = format!("{prelude}; exec '{binary}' serve");
        self.start_as(Command::new("/bin/sh").args(["-c", &script]))
    }

    /// Starts the binary with `arguments` on a terminal: its standard output is what the terminal gets.
    pub(crate) fn start_on_a_terminal(&self, arguments: &str) -> App {
        let command = format!("'{}' {arguments}", binary());
        self.start_as(Command::new("/usr/bin/script").args(["-qec", &command, "/dev/null"]))
    }

    /// The values of all variables that hold a secret.
    fn secrets(&self) -> Vec<String> {
        let kinds = [
            "_TOKEN",
            "_SECRET",
            "_PASS",
            "_PASSWORD",
            "_PASSPHRASE",
            "_SECRET_KEY",
            "_CUSTOM_HEADERS",
        ];
        let secret = |name: &str| kinds.iter().any(|kind| name.ends_with(kind));
        let values = self.environment.iter().filter(|(name, _)| secret(name));
        values
            .flat_map(|(_, value)| value.split(','))
            .map(|value| value.split_once(':').map_or(value, |(_header, value)| value))
            .map(|value| value.trim().to_owned())
            // What is shorter is a word that a log may say by itself.
            .filter(|value| value.len() >= SECRET_MIN)
            .collect()
    }

    fn start_as(&self, command: &mut Command) -> App {
        let mut child = command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (arrived, lines) = watch::channel(0);
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let writer = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                writer.lock().unwrap().push(line);
                arrived.send_modify(|count| *count += 1);
            }
        });
        App { child, log, lines, secrets: self.secrets() }
    }
}

/// A started binary.
pub(crate) struct App {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
    secrets: Vec<String>,
}

/// No log of any test may hold a secret of its configuration.
impl Drop for App {
    fn drop(&mut self) {
        let log = self.log();
        if std::thread::panicking() {
            let end = log.lines().rev().take(LINES_OF_A_FAILURE).collect::<Vec<_>>();
            eprintln!("its log, the newest line first:\n{}", end.join("\n"));
            return;
        }
        for secret in &self.secrets {
            for form in forms_of(secret) {
                let line = log.lines().find(|line| line.contains(&form));
                assert!(line.is_none(), "a secret is in the log, as {form}: {line:?}");
            }
        }
    }
}

/// A secret as it is, and as protocols and formats write it.
pub(crate) fn forms_of(secret: &str) -> Vec<String> {
    let percent = percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC);
    let base64 = STANDARD.encode(secret);
    let mut forms = vec![
        secret.to_owned(),
        base64.trim_end_matches('=').to_owned(),
        percent.to_string(),
        hex::encode(secret),
    ];
    forms.dedup();
    forms
}

impl App {
    /// Waits for a log line for which `pick` answers something.
    pub(crate) async fn wait_for_log<T>(
        &mut self,
        what: &str,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> T {
        let log = Arc::clone(&self.log);
        let find = || {
            let lines = log.lock().unwrap();
            lines.iter().find_map(|line| pick(&serde_json::from_str(line).ok()?))
        };
        let waited = tokio::time::timeout(patience(), async {
            loop {
                if let Some(found) = find() {
                    return Some(found);
                }
                if self.lines.changed().await.is_err() {
                    return find();
                }
            }
        });
        match waited.await {
            Ok(Some(found)) => found,
            _ => panic!("no log line: {what}; the log:\n{}", self.log()),
        }
    }

    /// Waits until the numbers that `pick` finds in its lines add up to `total`.
    pub(crate) async fn wait_for_sum(&mut self, total: u64, pick: impl Fn(&Value) -> Option<u64>) {
        loop {
            let sum: u64 = {
                let lines = self.log.lock().unwrap();
                lines.iter().filter_map(|line| pick(&serde_json::from_str(line).ok()?)).sum()
            };
            if sum >= total {
                return;
            }
            let another = tokio::time::timeout(patience(), self.lines.changed()).await;
            assert!(matches!(another, Ok(Ok(()))), "{sum} of {total}; the log:\n{}", self.log());
        }
    }

    /// Its standard output, once.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("it was not taken before")
    }

    /// Waits until its log has ended, too, so that [`App::log`] is whole.
    pub(crate) async fn wait_for_the_end_of_its_log(&mut self) {
        let ended = async { while self.lines.changed().await.is_ok() {} };
        tokio::time::timeout(patience(), ended).await.expect("a process that ended logs no more");
    }

    /// Everything logged until now.
    pub(crate) fn log(&self) -> String {
        // Also while a test fails that looked at it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Everything that it ever logged, once it has ended.
    pub(crate) async fn whole_log(&mut self) -> String {
        while self.lines.changed().await.is_ok() {}
        self.log()
    }

    async fn address(&mut self, message: &str) -> SocketAddr {
        self.wait_for_log(message, |line| {
            (line["message"] == message)
                .then(|| line["attributes"]["address"].as_str()?.parse().ok())
                .flatten()
        })
        .await
    }

    /// URL of the endpoint.
    pub(crate) async fn webhook(&mut self) -> String {
        let address = self.address("listening for deliveries").await;
        format!("http://{address}/webhooks/harfanglab")
    }

    /// Base URL of the management pages.
    pub(crate) async fn management(&mut self) -> String {
        format!("http://{}", self.address("listening for health checks and metrics").await)
    }

    /// The value of one series of `/metrics`.
    pub(crate) async fn metric(&mut self, series: &str) -> u64 {
        let management = self.management().await;
        let page = http().get(format!("{management}/metrics")).send().await.unwrap();
        let page = page.text().await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in:\n{page}")).parse().unwrap()
    }

    /// Returns what `/readyz` says.
    pub(crate) async fn readiness(&mut self) -> Value {
        let management = self.management().await;
        http().get(format!("{management}/readyz")).send().await.unwrap().json().await.unwrap()
    }

    /// Returns how many events there are, whatever became of them; `None` while nothing can be counted.
    pub(crate) async fn events_counted(&mut self) -> Option<u64> {
        let ready = self.readiness().await;
        let counts = ready["journal"].as_object()?;
        // Those that are followed up are among the delivered.
        let states = counts.iter().filter(|(state, _)| *state != "following_up");
        Some(states.filter_map(|(_, count)| count.as_u64()).sum())
    }

    /// Returns how many events there are, whatever became of them.
    pub(crate) async fn events_stored(&mut self) -> u64 {
        self.events_counted().await.expect("the journal can be counted")
    }

    /// Pulls the plug.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Its process.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// Returns how much memory it has, in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let id = self.process_id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Asks it to stop, as a service manager does, and waits.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.exit().await
    }

    /// Presses Ctrl-C, and goes on.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Asks it to stop, and goes on.
    pub(crate) fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// Asks it to read its secrets again.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Stops it, with all that it holds, and waits until none of its threads runs any more: the signal
    /// alone leaves them time for a few more requests.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        let id = i32::try_from(self.process_id()).ok().and_then(Pid::from_raw).unwrap();
        waitid(WaitId::Pid(id), WaitIdOptions::STOPPED).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.process_id().to_string();
        let sent = std::process::Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it ends by itself.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        let Ok(status) = tokio::time::timeout(patience(), self.child.wait()).await else {
            panic!("it did not end; the log:\n{}", self.log())
        };
        status.unwrap()
    }
}

/// Returns the role that a replica says it has.
pub(crate) async fn role(management: &str) -> Option<String> {
    let answer = http().get(format!("{management}/readyz")).send().await.ok()?;
    let ready: Value = answer.json().await.ok()?;
    ready["role"].as_str().map(str::to_owned)
}
