//! A real Chromium (Debian's package) without a window, driven by its `DevTools` protocol over a pipe:
//! messages end with a zero byte, commands go in by descriptor 3 and everything else comes out by 4.
//! A crate for that would bring thousands of generated types; a page of code needs none.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{app::PATIENCE, skipped::skipped};

/// Joins the two pipes to the descriptors that the browser expects.
const START: &str = "exec chromium \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";

/// A browser with one page.
pub(crate) struct Chromium {
    _process: Child,
    _profile: TempDir,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
    /// Typed into the dialog of a page that asks for a password.
    password: Option<String>,
    /// Everything that the page told, in order.
    pub(crate) events: Vec<Value>,
}

impl Chromium {
    /// Starts one; says so loudly when none is installed.
    pub(crate) async fn start() -> Option<Self> {
        let is_there = Command::new("chromium").arg("--version").output().await;
        if !is_there.is_ok_and(|output| output.status.success()) {
            skipped("chromium is not installed: pages as a browser shows them");
            return None;
        }
        let profile = TempDir::new().unwrap();
        let mut process = Command::new("/bin/sh")
            .args(["-c", START, "chromium", "--headless", "--remote-debugging-pipe"])
            // The tests may run as root, which the sandbox refuses.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut browser = Self {
            _process: process,
            _profile: profile,
            commands,
            answers,
            session: None,
            last_id: 0,
            password: None,
            events: Vec::new(),
        };
        let page = browser.ask("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", attach).await;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    /// Sends a command and answers its result.
    pub(crate) async fn ask(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.send(method, parameters).await;
        loop {
            let mut message = self.next().await;
            if message["id"] == json!(id) {
                assert_eq!(message["error"], Value::Null, "{method}: {message}");
                return message["result"].take();
            }
            self.keep(message).await;
        }
    }

    /// Sends a command and answers its number.
    async fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&command).unwrap();
        bytes.push(0);
        self.commands.write_all(&bytes).await.unwrap();
        self.last_id
    }

    /// Keeps an event, and does at once what the browser waits for.
    async fn keep(&mut self, event: Value) {
        let request = json!({ "requestId": event["params"]["requestId"] });
        if event["method"] == "Fetch.requestPaused" {
            self.send("Fetch.continueRequest", request).await;
        } else if event["method"] == "Fetch.authRequired" {
            let mut answer = request;
            answer["authChallengeResponse"] = json!({
                "response": "ProvideCredentials", "username": "anybody", "password": self.password,
            });
            self.send("Fetch.continueWithAuth", answer).await;
        }
        self.events.push(event);
    }

    async fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.answers.read_until(0, &mut bytes)).await;
        assert!(read.expect("Chromium answers").unwrap() > 0, "Chromium has ended");
        bytes.pop();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Does `action`, and waits until the page that it leads to is loaded.
    async fn loading(&mut self, method: &str, parameters: Value) {
        let seen = self.events.len();
        self.ask(method, parameters).await;
        let is_loaded = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().skip(seen).any(is_loaded) {
            let event = self.next().await;
            self.keep(event).await;
        }
    }

    /// Goes to `url`, which asks for a password, as it does when its user types it into the dialog.
    pub(crate) async fn open_with_password(&mut self, url: &str, password: &str) {
        self.password = Some(password.to_owned());
        self.ask("Fetch.enable", json!({ "handleAuthRequests": true })).await;
        self.open(url).await;
        self.ask("Fetch.disable", json!({})).await;
    }

    /// Goes to `url`.
    pub(crate) async fn open(&mut self, url: &str) {
        self.loading("Page.navigate", json!({ "url": url })).await;
    }

    /// Clicks what `selector` finds, which leads to another page.
    pub(crate) async fn click(&mut self, selector: &str) {
        let click = format!("document.querySelector({}).click()", json!(selector));
        self.loading("Runtime.evaluate", json!({ "expression": click })).await;
    }

    /// Returns what an expression is on the page.
    pub(crate) async fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        self.ask("Runtime.evaluate", asked).await["result"]["value"].take()
    }

    /// The text that one sees.
    pub(crate) async fn text(&mut self) -> String {
        self.value("document.body.innerText").await.as_str().unwrap().to_owned()
    }

    /// Looks at the whole page as `scheme` (`light` or `dark`) and `width` pixels wide, and answers a PNG.
    pub(crate) async fn picture(&mut self, scheme: &str, width: u32) -> Vec<u8> {
        use base64::Engine as _;

        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": scheme })).await;
        let screen =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", screen).await;
        let asked = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.ask("Page.captureScreenshot", asked).await;
        let encoded = picture["data"].as_str().unwrap();
        base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()
    }

    /// Every address that the page asked for.
    pub(crate) fn requested(&self) -> Vec<&str> {
        self.of("Network.requestWillBeSent")
            .filter_map(|event| event["params"]["request"]["url"].as_str())
            .collect()
    }

    /// Everything in the console, and every exception.
    pub(crate) fn complaints(&self) -> Vec<&Value> {
        ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"]
            .into_iter()
            .flat_map(|method| self.of(method))
            .collect()
    }

    fn of(&self, method: &'static str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["method"] == method)
    }
}
