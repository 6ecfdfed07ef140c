//! The disk guard: keeps so much of the disk free, and the journal so small, that what is accepted
//! already can still be worked on, and no commit is broken off by a full disk.
//!
//! At a mark it first removes what nobody needs, a little at a time ([`Removable`]), then ends follow-ups
//! of delivered alerts, and gives the disk back. When nothing of that is left it shuts the doors: deliveries get 503 and the sweep pauses. It
//! goes on removing, and opens them as soon as there is space again. Pending events and dead letters
//! that may be alerts are never touched. The sweep goes on from its cursor later.
//!
//! A text that was removed frees a part of the file, and only giving that back frees the disk. So nothing
//! is removed for the disk's sake while there is something to give back, or none of it can be.
//!
//! Does not live here: what is removed because it is old (`service::retention`).

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    clock::Clock,
    complaints::Complaints,
    config::JournalSettings,
    disk::Disk,
    health::{Health, Part},
    intake::Door,
    journal::{Counts, Journal, JournalError, Removable, Shrunk, TextBytes},
};

/// Time between two looks at the space.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Steps of removing before the guard looks up; each is a commit of milliseconds.
const STEPS_AT_ONCE: usize = 40;
/// Bytes given back, or held by follow-ups under way, for which another step is made although nothing
/// was removed.
const WORTH_A_STEP: u64 = 1 << 20;
/// Time for which the writer is left alone between two steps.
const BETWEEN_STEPS: Duration = Duration::from_millis(5);
/// Texts that one step removes; fewer after a step for which the disk had no room.
const ROWS_PER_STEP: usize = 200;
/// Longest time for which a reader or another process keeps the guard from its work before it shuts
/// the doors.
const HELD_UP_MAX: TimeDelta = TimeDelta::seconds(10);

/// Guards the space of the journal and keeps every console's door shut while there is none.
pub(super) struct Room {
    /// One for each console; what is removed goes from all by any of them.
    journals: Vec<Journal>,
    folder: PathBuf,
    disk: Disk,
    marks: Marks,
    doors: Vec<Door>,
    health: Arc<Health>,
    clock: Clock,
    standing: Standing,
    rows_per_step: usize,
    removed: Removed,
    /// Since when it is kept from its work.
    held_up_since: Option<DateTime<Utc>>,
    complaints: Complaints,
}

/// The outcome of a step.
enum Step {
    /// There is more space, or may be with the next one.
    Useful,
    /// Nothing is left that could make space.
    Useless,
    /// Something kept it from its work, for this reason.
    HeldUp(String),
}

/// The state of the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Enough.
    Ample,
    /// Too little, and something may be removed.
    Removing,
    /// Too little: the doors are shut.
    Short,
}

/// The bounds, in bytes; zero: none.
#[derive(Debug, Clone, Copy)]
struct Marks {
    max_used: u64,
    min_free: u64,
}

/// Too little space.
#[derive(Debug)]
struct Shortage {
    /// In words.
    reason: String,
    is_of_disk: bool,
}

/// The sizes of what there is, in bytes.
#[derive(Debug, Clone, Copy)]
struct Measured {
    used: u64,
    free: u64,
}

/// The distance from the marks that is enough: who is short needs an eighth more, so that the door
/// does not flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Margin {
    None,
    Eighth,
}

/// Texts that were removed since the log was told.
#[derive(Debug, Default)]
struct Removed {
    dropped: u64,
    samples: u64,
    finished: u64,
    follow_ups: u64,
    told: Complaints,
}

impl Room {
    pub(super) fn new(
        journals: Vec<Journal>,
        folder: PathBuf,
        settings: &JournalSettings,
        doors: Vec<Door>,
        health: &Arc<Health>,
        clock: &Clock,
    ) -> Self {
        Self {
            journals,
            folder,
            disk: Disk::default(),
            marks: Marks { max_used: settings.max_size_bytes, min_free: settings.min_free_bytes },
            doors,
            health: Arc::clone(health),
            clock: clock.clone(),
            standing: Standing::Ample,
            rows_per_step: ROWS_PER_STEP,
            removed: Removed::default(),
            held_up_since: None,
            complaints: Complaints::default(),
        }
    }

    /// Looks every moment until `stop`; at once again while there is something to remove.
    pub(super) async fn watch(mut self, stop: CancellationToken) {
        loop {
            let goes_on = self.standing == Standing::Removing && self.held_up_since.is_none();
            let pause = if goes_on { BETWEEN_STEPS } else { LOOK_EVERY };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            self.look().await;
        }
    }

    /// Makes space, and opens or shuts the doors by what there is then.
    pub(super) async fn look(&mut self) {
        if let Err(reason) = self.look_and_remove().await {
            // Whoever writes to the journal will say what is wrong with it.
            self.tell_failure(&reason, "the journal's space cannot be measured");
        }
        self.removed.tell(self.clock.now());
    }

    async fn look_and_remove(&mut self) -> Result<(), String> {
        for _step in 0..STEPS_AT_ONCE {
            if self.shortage(self.margin()).await?.is_none() {
                self.open();
                return Ok(());
            }
            let shrunk = self.journal().shrink().await;
            let Some(shortage) = self.shortage(self.margin()).await? else {
                self.open();
                return Ok(());
            };
            match self.make_space(&shortage, shrunk).await {
                Step::Useful => self.held_up_since = None,
                Step::Useless => {
                    self.held_up_since = None;
                    return self.shut_if_short(&shortage).await;
                }
                Step::HeldUp(reason) => return self.hold_out(&shortage, &reason).await,
            }
            if self.standing == Standing::Ample {
                self.standing = Standing::Removing;
            }
            tokio::time::sleep(BETWEEN_STEPS).await;
        }
        Ok(())
    }

    /// Goes on from what was given back: by giving back more, or by removing texts.
    async fn make_space(
        &mut self,
        shortage: &Shortage,
        shrunk: Result<Shrunk, JournalError>,
    ) -> Step {
        let given_back = match shrunk {
            Ok(Shrunk { is_held_up: true, .. }) => {
                return Step::HeldUp("somebody reads an earlier state of the journal".to_owned());
            }
            Ok(Shrunk { is_more: true, .. }) if shortage.is_of_disk => return Step::Useful,
            Ok(Shrunk { bytes, .. }) => bytes,
            Err(failure) if failure.lacks_space() => {
                self.tell_failure(&failure, "the journal cannot give disk back");
                if shortage.is_of_disk {
                    return Step::Useless;
                }
                0
            }
            Err(failure) => return Step::HeldUp(failure.to_string()),
        };
        match self.remove().await {
            Step::Useless if given_back >= WORTH_A_STEP => Step::Useful,
            step => step,
        }
    }

    /// Leaves the doors as they are for a while: whatever is in the way may be gone with the next look.
    async fn hold_out(&mut self, shortage: &Shortage, reason: &str) -> Result<(), String> {
        let now = self.clock.now();
        let since = *self.held_up_since.get_or_insert(now);
        if (now - since).abs() >= HELD_UP_MAX {
            self.tell_failure(&reason, "the journal's guard is kept from making space");
            self.shut_if_short(shortage).await?;
        }
        Ok(())
    }

    /// Shuts the doors, unless they are open and only the margin below the mark is used.
    async fn shut_if_short(&mut self, shortage: &Shortage) -> Result<(), String> {
        let is_open = self.standing != Standing::Short;
        if is_open && self.shortage(Margin::None).await?.is_none() {
            self.open();
        } else {
            self.shut(&shortage.reason).await;
        }
        Ok(())
    }

    fn tell_failure(&mut self, failure: &dyn std::fmt::Display, message: &str) {
        if let Some(left_out) = self.complaints.due(self.clock.now()) {
            warn!(%failure, left_out, "{message}");
        }
    }

    fn margin(&self) -> Margin {
        if self.standing == Standing::Ample { Margin::None } else { Margin::Eighth }
    }

    fn open(&mut self) {
        if self.standing == Standing::Short {
            info!("the journal has room again: deliveries are accepted");
            self.doors.iter().for_each(Door::has_room);
            self.health.well(Part::Room);
        }
        self.standing = Standing::Ample;
        self.held_up_since = None;
    }

    async fn shut(&mut self, shortage: &str) {
        let reason = format!("{shortage}; {}", self.taken().await);
        if self.standing != Standing::Short {
            error!(
                %reason,
                "the journal has no room: deliveries get 503 and the sweep pauses; make room, and \
                 the service goes on by itself"
            );
        }
        self.doors.iter().for_each(Door::has_no_room);
        self.health.degraded(Part::Room, reason);
        self.standing = Standing::Short;
    }

    async fn shortage(&self, margin: Margin) -> Result<Option<Shortage>, String> {
        Ok(self.marks.shortage(self.measure().await?, margin))
    }

    async fn measure(&self) -> Result<Measured, String> {
        let used = self.journal().used_bytes().await.map_err(|error| error.to_string())?;
        let folder = self.folder.clone();
        let disk = self.disk.ask(move || rustix::fs::statvfs(&folder)).await;
        let disk =
            disk.ok_or("the journal's disk does not answer")?.map_err(|error| error.to_string())?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        #[expect(clippy::cast_precision_loss, reason = "of 2^52 bytes a few more are nothing")]
        metrics::gauge!("journal_disk_free_bytes").set(free as f64);
        Ok(Measured { used, free })
    }

    fn journal(&self) -> &Journal {
        // There is always one console.
        &self.journals[0]
    }

    /// Removes a few texts.
    async fn remove(&mut self) -> Step {
        let now = self.clock.now();
        for what in Removable::ALL {
            match self.journal().remove(what, self.rows_per_step, now).await {
                Ok(0) => {}
                Ok(texts) => {
                    self.removed.add(what, texts);
                    self.rows_per_step = (self.rows_per_step * 2).min(ROWS_PER_STEP);
                    return Step::Useful;
                }
                Err(failure) if failure.lacks_space() => return self.take_smaller_steps(&failure),
                Err(failure) => return Step::HeldUp(failure.to_string()),
            }
        }
        // A follow-up that is asked for now ends, or can be given up, in a moment.
        match self.counts().await {
            Some(counts) if counts.bytes.following_up >= WORTH_A_STEP => {
                Step::HeldUp("follow-ups are under way".to_owned())
            }
            _ => Step::Useless,
        }
    }

    /// Removing needs a little space of its own: a smaller step is worth a try.
    fn take_smaller_steps(&mut self, failure: &JournalError) -> Step {
        if self.rows_per_step > 1 {
            self.rows_per_step = (self.rows_per_step / 4).max(1);
            return Step::Useful;
        }
        self.tell_failure(failure, "nothing can be removed from the journal");
        Step::Useless
    }

    /// Says what takes the space, and what frees it.
    async fn taken(&self) -> String {
        match self.counts().await {
            Some(counts) => by_state(counts.bytes),
            None => "what takes it cannot be told".to_owned(),
        }
    }

    /// Of all consoles together; `None`: the journal does not tell.
    async fn counts(&self) -> Option<Counts> {
        let mut all = Counts::default();
        for journal in &self.journals {
            all = all.and(journal.counts().await.ok()?);
        }
        Some(all)
    }
}

impl Removed {
    fn add(&mut self, what: Removable, texts: u64) {
        metrics::counter!("journal_texts_removed_total", "kind" => what.name()).increment(texts);
        match what {
            Removable::DroppedTexts => self.dropped += texts,
            Removable::Samples => self.samples += texts,
            Removable::FinishedTexts => self.finished += texts,
            Removable::FollowUps => self.follow_ups += texts,
        }
    }

    /// Tells the log, once a minute at most.
    fn tell(&mut self, now: DateTime<Utc>) {
        let sum = self.dropped + self.samples + self.finished + self.follow_ups;
        if sum == 0 || self.told.due(now).is_none() {
            return;
        }
        warn!(
            dropped = self.dropped,
            samples = self.samples,
            finished = self.finished,
            follow_ups = self.follow_ups,
            "the journal ran short of space: texts of dropped letters, of samples of unknown kinds \
             and of finished events were removed, and follow-ups given up, so that alerts are \
             accepted"
        );
        (self.dropped, self.samples, self.finished, self.follow_ups) = (0, 0, 0, 0);
    }
}

impl Marks {
    /// Returns why there is no room.
    fn shortage(self, measured: Measured, margin: Margin) -> Option<Shortage> {
        let more = |mark: u64| match margin {
            Margin::None => 0,
            Margin::Eighth => mark / 8,
        };
        let Self { max_used, min_free } = self;
        if min_free > 0 && measured.free < min_free.saturating_add(more(min_free)) {
            let reason = format!(
                "{} MiB are free on the journal's disk, less than \
                 HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE ({} MiB)",
                measured.free >> 20,
                min_free >> 20
            );
            return Some(Shortage { reason, is_of_disk: true });
        }
        if max_used > 0 && measured.used > max_used.saturating_sub(more(max_used)) {
            let reason = format!(
                "the journal has grown to {} MiB, HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE is {} MiB",
                measured.used >> 20,
                max_used >> 20
            );
            return Some(Shortage { reason, is_of_disk: false });
        }
        None
    }
}

/// Describes what takes the space, by state, each with what frees it.
fn by_state(bytes: TextBytes) -> String {
    let states = [
        (bytes.pending, "of events that wait", "see why deliveries do not leave"),
        (
            bytes.following_up,
            "of follow-ups of delivered alerts",
            "HARFANGLAB_INCIDENTS_ENRICHMENT_TIME says how long they wait for the console",
        ),
        (
            bytes.dead,
            "of dead letters",
            "`harfanglab-incidents dead-letters drop` frees them at once, \
             HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD in time",
        ),
        (
            bytes.finished,
            "of finished events",
            "HARFANGLAB_INCIDENTS_JOURNAL_RETENTION says how long they are kept",
        ),
        (
            bytes.dropped,
            "of dropped letters",
            "HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD says how long they are kept",
        ),
    ];
    let taken: Vec<String> = states
        .into_iter()
        .filter(|(bytes, ..)| *bytes > 0)
        .map(|(bytes, what, remedy)| format!("{} {what} ({remedy})", size(bytes)))
        .collect();
    if taken.is_empty() {
        return "no texts are left in it".to_owned();
    }
    format!("its texts are {}", taken.join(", "))
}

fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn below_a_mark_there_is_no_room_until_there_is_an_eighth_more() {
        let marks = Marks { max_used: 80 * MIB, min_free: 80 * MIB };
        let short = |used: u64, free: u64, margin| {
            marks.shortage(Measured { used: used * MIB, free: free * MIB }, margin).is_some()
        };
        let (ample, was_short) = (Margin::None, Margin::Eighth);
        assert!(!short(80, 80, ample), "at the marks");
        assert!(short(81, 80, ample) && short(80, 79, ample));
        assert!(short(71, 500, was_short) && !short(70, 500, was_short));
        assert!(short(0, 89, was_short) && !short(0, 90, was_short));
        let off = Marks { max_used: 0, min_free: 0 };
        assert!(off.shortage(Measured { used: u64::MAX, free: 0 }, ample).is_none());
    }

    #[test]
    fn what_takes_the_space_is_named_by_state_with_what_frees_it() {
        let bytes = TextBytes {
            pending: 5 * MIB,
            following_up: 7 * MIB,
            dead: 90 * MIB,
            finished: 100,
            dropped: 0,
        };
        let told = by_state(bytes);
        for part in [
            "5 MiB of events that wait",
            "7 MiB of follow-ups of delivered alerts (HARFANGLAB_INCIDENTS_ENRICHMENT_TIME says",
            "90 MiB of dead letters (`harfanglab-incidents dead-letters drop`",
            "HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD",
            "1 KiB of finished events (HARFANGLAB_INCIDENTS_JOURNAL_RETENTION says",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("dropped letters"), "{told}");
    }
}
