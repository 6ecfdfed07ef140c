//! Commands that end by themselves, and what they print.

use tokio::io::AsyncReadExt as _;

use super::app::{App, Home};

/// All that a command prints.
pub(crate) async fn printed(app: &mut App) -> String {
    let mut text = String::new();
    app.stdout().read_to_string(&mut text).await.unwrap();
    text
}

/// The end of a command: its exit code, and what it printed.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) async fn run(home: &Home, arguments: &[&str]) -> Ran {
    let mut app = home.start(arguments);
    let mut stdout = String::new();
    app.stdout().read_to_string(&mut stdout).await.unwrap();
    let code = app.exit().await.code();
    app.wait_for_the_end_of_its_log().await;
    Ran { code, stdout, stderr: app.log() }
}
