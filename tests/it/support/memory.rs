//! The memory of a service under a limit, as the system tells it.

use std::path::Path;

use super::{
    app::{App, Home},
    skipped::skipped,
};

/// The limit under which the service runs, in KiB.
pub(crate) const DATA_LIMIT_KIB: u64 = 256 << 10;

/// The most that it may take beyond what it takes when idle, in KiB.
pub(crate) const OVER_IDLE_KIB: u64 = 64 << 10;

/// One figure of what the system says of its memory, in KiB.
pub(crate) fn kib(app: &App, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", app.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Returns what it took of its own at its peak, in KiB: without the pages of its program, which are many where
/// it is built without optimisation.
pub(crate) fn peak_kib(app: &App) -> u64 {
    kib(app, "VmHWM").saturating_sub(kib(app, "RssFile"))
}

/// Returns its own memory now, in KiB.
pub(crate) fn idle_kib(app: &App) -> u64 {
    kib(app, "RssAnon")
}

/// Starts the service under the limit; `None` where the system has none of what that takes.
pub(crate) fn limited(home: &Home) -> Option<App> {
    if !Path::new("/proc/self/status").exists() {
        skipped("memory cannot be measured here: there is no /proc");
        return None;
    }
    Some(home.serve_after(&format!("ulimit -d {DATA_LIMIT_KIB}")))
}
