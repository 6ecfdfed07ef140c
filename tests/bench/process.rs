//! What a running process used, as the kernel counts it.

/// Memory of a process, in MiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: f64,
    /// The most that it ever had.
    pub(crate) peak: f64,
}

impl Memory {
    /// Of the process with this id; `None` once it has ended.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
            Some(kibibytes / 1_024.0)
        };
        Some(Self { resident: mebibytes("VmRSS:")?, peak: mebibytes("VmHWM:")? })
    }
}
