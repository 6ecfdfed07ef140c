//! The resources that a running process used, as the kernel counts it.

use std::time::Duration;

/// Interval at which a process is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The unit in which the kernel counts processor time, on every Linux that Rust runs on: `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

/// The resources that a process used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// MiB that it has now.
    pub(crate) resident: f64,
    /// Of these, MiB of its own: without the pages of its program, which the kernel can drop.
    pub(crate) own: f64,
    /// MiB that it had at most.
    pub(crate) peak: f64,
    /// Seconds on a processor.
    pub(crate) cpu_seconds: f64,
}

impl Usage {
    /// Of the process with this id; `None` once it has ended.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
            Some(kibibytes / 1_024.0)
        };
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // Behind the name, which may hold anything, come the state and ten numbers before the two.
        let (_name, numbers) = stat.rsplit_once(')')?;
        let ticks = numbers.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|number| number.parse::<f64>().ok()).sum();
        Some(Self {
            resident: mebibytes("VmRSS:")?,
            own: mebibytes("RssAnon:")?,
            peak: mebibytes("VmHWM:")?,
            cpu_seconds: ticks / TICKS_PER_SECOND,
        })
    }

    /// Of this process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id()).expect("this process runs")
    }

    /// Returns what a process had used when it was last looked at before `exited` was over.
    pub(crate) async fn until(process: u32, exited: impl Future<Output = ()>) -> Self {
        let (mut looks, mut last) = (tokio::time::interval(LOOK), Self::default());
        tokio::pin!(exited);
        loop {
            tokio::select! {
                () = &mut exited => return last,
                _now = looks.tick() => last = Self::of(process).unwrap_or(last),
            }
        }
    }
}
