//! The only place that reads the machine's clocks. Everything that needs the time takes a [`Clock`] or
//! a date as a parameter, so that tests decide what time it is; clippy's `disallowed-methods` keeps
//! it so.
//!
//! There are two clocks, because neither is enough to judge a lease: the wall clock may be set back,
//! and the clock that counts since the machine was booted knows nothing of a virtual machine that its
//! host stopped.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};

/// Counts on while the machine is suspended.
#[cfg(target_os = "linux")]
const SINCE_BOOT: ClockId = ClockId::Boottime;
/// Counts on while the machine is suspended, on macOS.
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// A moment, as both clocks show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, which may be set.
    pub wall: DateTime<Utc>,
    /// Time since the machine was booted, also that in which it was suspended.
    pub since_boot: Duration,
}

impl Moment {
    /// The moment this much later, or the last one that can be told.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        let wall = TimeDelta::from_std(length).ok().and_then(|it| self.wall.checked_add_signed(it));
        Self {
            wall: wall.unwrap_or(DateTime::<Utc>::MAX_UTC),
            since_boot: self.since_boot.saturating_add(length),
        }
    }

    /// Returns whether either clock shows `end` or later.
    pub fn has_reached(self, end: Self) -> bool {
        self.wall >= end.wall || self.since_boot >= end.since_boot
    }
}

/// A source of the current time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    /// The machine's clocks.
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn system() -> Self {
        Self::of_moments(|| {
            let since_boot = Duration::try_from(clock_gettime(SINCE_BOOT));
            // It never counts backwards from 0.
            Moment { wall: Utc::now(), since_boot: since_boot.unwrap_or_default() }
        })
    }

    /// A wall clock that answers what `read` answers, for tests; the other clock goes along.
    pub fn from_fn(read: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self::of_moments(move || {
            let wall = read();
            let since_boot = (wall - DateTime::UNIX_EPOCH).to_std().unwrap_or_default();
            Moment { wall, since_boot }
        })
    }

    /// Both clocks, as `read` answers them, for tests.
    pub fn of_moments(read: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The current time.
    pub fn now(&self) -> DateTime<Utc> {
        self.moment().wall
    }

    /// The current time on both clocks.
    pub fn moment(&self) -> Moment {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Clock")
    }
}
