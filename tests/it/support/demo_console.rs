//! The simulated console on its own, and clients of it.

use chrono::{DateTime, TimeDelta, Utc};
use harfanglab_incidents::{
    config::HarfangLabSettings,
    demo::{Collection, DemoAlert, DemoConsole, DemoConsoleConfig, Generator, RequestKind},
    harfanglab::Console,
};

/// Requests for pages of alerts.
pub(crate) const ALERTS: RequestKind = RequestKind::List(Collection::Alerts);

/// Returns the time at which these tests begin.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Starts an empty console.
pub(crate) fn started() -> DemoConsole {
    DemoConsole::start(DemoConsoleConfig::default()).unwrap()
}

/// Returns a client of this console.
pub(crate) fn client(console: &DemoConsole) -> Console {
    Console::new(&console.settings()).unwrap()
}

/// The same, with changed settings.
pub(crate) fn client_with(
    console: &DemoConsole,
    change: impl FnOnce(&mut HarfangLabSettings),
) -> Console {
    let mut settings = console.settings();
    change(&mut settings);
    Console::new(&settings).unwrap()
}

/// Puts `count` alerts on the console, `apart` after one another from noon.
pub(crate) fn fill(console: &DemoConsole, count: i32, apart: TimeDelta) -> Vec<DemoAlert> {
    let mut generator = Generator::new(7);
    let alerts: Vec<_> = (0..count).map(|n| generator.next_alert(noon() + apart * n)).collect();
    for alert in &alerts {
        console.add_alert(alert.api_item());
    }
    alerts
}
