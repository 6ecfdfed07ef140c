//! A service that reaches nobody: it accepts, and delivers nothing.

use super::app::{App, Home};

pub(crate) const CONSOLE: &str = "http://127.0.0.1:1/";

/// A home whose service reaches nobody: it accepts, and delivers nothing.
pub(crate) fn offline_home() -> Home {
    let mut home = Home::new(
        "0b3cf0a8-7a5c-4a0f-9d4f-0d6b6f1f7c11",
        (CONSOLE, "console-token"),
        ("http://127.0.0.1:1", "opencti-token"),
    )
    .with_webhook();
    home.set("HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE", "0");
    home
}

/// A service that delivers nothing, with these variables on top.
pub(crate) async fn started(changes: &[(&str, &str)]) -> (Home, App, String) {
    let mut home = offline_home();
    for (name, value) in changes {
        home.set(name, value);
    }
    let mut app = home.start(&["serve"]);
    let url = app.webhook().await;
    (home, app, url)
}
