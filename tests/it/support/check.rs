//! The surroundings that the command `check` looks at, and what it prints.

use harfanglab_incidents::demo::{DemoConsole, DemoConsoleConfig};
use secrecy::ExposeSecret;

use super::{
    app::Home,
    command::printed,
    opencti::{FakeOpenCti, Personality},
};

/// A status of the workflow of incidents.
pub(crate) const NEW_STATUS: &str = "0c7b2b5e-4f6c-4a7f-9a52-5f2c5d8a1e01";

/// Its last status.
pub(crate) const CLOSED_STATUS: &str = "0c7b2b5e-4f6c-4a7f-9a52-5f2c5d8a1e02";

/// The surroundings that `check` looks at.
pub(crate) struct CheckScene {
    pub(crate) console: DemoConsole,
    pub(crate) opencti: FakeOpenCti,
    pub(crate) home: Home,
}

impl CheckScene {
    /// Everything right but the broker, which nobody listens as.
    pub(crate) fn new() -> Self {
        let console = DemoConsole::start(DemoConsoleConfig::default()).unwrap();
        let opencti = FakeOpenCti::start_without_broker(Personality::V7_260817_0);
        opencti.set_incident_statuses(&[(NEW_STATUS, "NEW"), (CLOSED_STATUS, "CLOSED")]);
        let token = console.settings().token;
        let home = Home::new(
            "0b3cf0a8-7a5c-4a0f-9d4f-0d6b6f1f7c11",
            (console.url().as_str(), token.expose_secret()),
            (opencti.url(), &opencti.token()),
        );
        Self { console, opencti, home }
    }

    /// Returns what `check` prints, line by line; it must end with exit code 1.
    pub(crate) async fn check(&self) -> Vec<String> {
        self.check_with(1).await
    }

    /// The same with this exit code.
    pub(crate) async fn check_with(&self, code: i32) -> Vec<String> {
        let mut app = self.home.start(&["check"]);
        let text = printed(&mut app).await;
        assert_eq!(app.exit().await.code(), Some(code), "{text}");
        assert!(!text.contains(self.console.settings().token.expose_secret()), "{text}");
        text.lines().map(str::to_owned).collect()
    }
}
