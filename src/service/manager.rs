//! Messages to systemd (`Type=notify`): ready, what the service is doing, stopping, and that it is
//! alive. Without systemd nothing is told to anybody.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// Deliveries are accepted from now on.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells what the service is doing, in a sentence.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Nothing is accepted any more.
pub(super) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Says that the service is alive, twice as often as `WatchdogSec=` asks for. What it shows
/// is that the runtime still runs tasks; of a journal or a remote side that fails the health pages
/// tell, and a restart would not help.
pub(super) async fn watch_dog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let period = (limit / 2).max(Duration::from_millis(1));
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(period).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager could not be told");
    }
}
