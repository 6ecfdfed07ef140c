//! Room for the journal: below the mark nothing more is accepted, so that what is accepted already
//! can still be worked on, and no commit is broken off by a full disk.
//!
//! Noticed and ended by itself, told once each way. The sweep meets the same closed door and goes on
//! from its cursor later.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::JournalSettings,
    health::{Health, Part},
    intake::Door,
    journal::Journal,
};

/// How often the room is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keeps every console's door shut while there is no room.
pub(super) struct Room {
    journal: Arc<dyn Journal>,
    folder: PathBuf,
    marks: Marks,
    doors: Vec<Door>,
    health: Arc<Health>,
    standing: Standing,
}

/// Whether there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Ample,
    Short,
}

/// The bounds, in bytes; zero: none.
#[derive(Debug, Clone, Copy)]
struct Marks {
    max_used: u64,
    min_free: u64,
}

/// What there is, in bytes.
#[derive(Debug, Clone, Copy)]
struct Measured {
    used: u64,
    free: u64,
}

impl Room {
    pub(super) fn new(
        journal: &Arc<dyn Journal>,
        folder: PathBuf,
        settings: &JournalSettings,
        doors: Vec<Door>,
        health: &Arc<Health>,
    ) -> Self {
        let marks = Marks { max_used: settings.max_size_bytes, min_free: settings.min_free_bytes };
        let (journal, health) = (Arc::clone(journal), Arc::clone(health));
        Self { journal, folder, marks, doors, health, standing: Standing::Ample }
    }

    /// Looks every moment until `stop`.
    pub(super) async fn watch(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            self.look().await;
        }
    }

    /// Opens or shuts the doors by what there is now.
    pub(super) async fn look(&mut self) {
        let measured = match self.measure().await {
            Ok(measured) => measured,
            // Whoever writes to the journal will say what is wrong with it.
            Err(reason) => return warn!(%reason, "the journal's room cannot be measured"),
        };
        match (self.marks.shortage(measured, self.standing), self.standing) {
            (Some(reason), was) => {
                if was == Standing::Ample {
                    error!(
                        %reason,
                        "the journal has no room: deliveries get 503 and the sweep pauses; make \
                         room, and the service goes on by itself"
                    );
                }
                self.doors.iter().for_each(Door::has_no_room);
                self.health.degraded(Part::Room, reason);
                self.standing = Standing::Short;
            }
            (None, Standing::Short) => {
                info!("the journal has room again: deliveries are accepted");
                self.doors.iter().for_each(Door::has_room);
                self.health.well(Part::Room);
                self.standing = Standing::Ample;
            }
            (None, Standing::Ample) => {}
        }
    }

    async fn measure(&self) -> Result<Measured, String> {
        let used = self.journal.used_bytes().await.map_err(|error| error.to_string())?;
        let disk = rustix::fs::statvfs(&self.folder).map_err(|error| error.to_string())?;
        Ok(Measured { used, free: disk.f_bavail.saturating_mul(disk.f_frsize) })
    }
}

impl Marks {
    /// Why there is no room, in words with what to do. Who is short needs an eighth more than the
    /// mark, so that the door does not flap.
    fn shortage(self, measured: Measured, was: Standing) -> Option<String> {
        let more = |mark: u64| match was {
            Standing::Ample => 0,
            Standing::Short => mark / 8,
        };
        let Self { max_used, min_free } = self;
        if min_free > 0 && measured.free < min_free.saturating_add(more(min_free)) {
            return Some(format!(
                "{} MiB are free on the journal's disk, less than \
                 HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE ({} MiB)",
                measured.free >> 20,
                min_free >> 20
            ));
        }
        if max_used > 0 && measured.used > max_used.saturating_sub(more(max_used)) {
            return Some(format!(
                "the journal has grown to {} MiB, HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE is {} MiB; \
                 see why deliveries do not leave, or shorten HARFANGLAB_INCIDENTS_JOURNAL_RETENTION",
                measured.used >> 20,
                max_used >> 20
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn below_a_mark_there_is_no_room_until_there_is_an_eighth_more() {
        let marks = Marks { max_used: 80 * MIB, min_free: 80 * MIB };
        let short = |used: u64, free: u64, was| {
            marks.shortage(Measured { used: used * MIB, free: free * MIB }, was).is_some()
        };
        let (ample, was_short) = (Standing::Ample, Standing::Short);
        assert!(!short(80, 80, ample), "at the marks");
        assert!(short(81, 80, ample) && short(80, 79, ample));
        assert!(short(71, 500, was_short) && !short(70, 500, was_short));
        assert!(short(0, 89, was_short) && !short(0, 90, was_short));
        let off = Marks { max_used: 0, min_free: 0 };
        assert!(off.shortage(Measured { used: u64::MAX, free: 0 }, ample).is_none());
    }
}
