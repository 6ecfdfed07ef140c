//! What the status page shows, gathered at one moment.
//!
//! Does not live here: markup (`view`, `letter`), who may see it (`gate`).

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::words::{counted, long};
use crate::{
    health::{Part, Trouble},
    journal::{Activity, Counts, EventId, JournalError, Letter, LetterFilter, ListedRefusal},
    ops::{Management, health},
    sweep::SweepRecord,
};

/// Letters on a page.
pub(super) const LETTERS: usize = 20;
/// Refusals that are listed.
const REFUSALS: usize = 10;
/// An event that waits longer than this is told in the first line.
const LONG_WAIT: TimeDelta = TimeDelta::minutes(15);

/// The state of the service.
pub(super) struct Snapshot {
    pub(super) now: DateTime<Utc>,
    /// How full the journal is; `Err`: nothing is accepted, because of that.
    pub(super) counts: Result<Counts, String>,
    pub(super) troubles: BTreeMap<Part, Trouble>,
    /// Of each way out.
    pub(super) sinks: BTreeMap<&'static str, Trouble>,
    /// What needs the journal; `Err`: why it cannot be read.
    pub(super) journal: Result<FromJournal, String>,
}

/// What the journal tells.
pub(super) struct FromJournal {
    pub(super) activity: Activity,
    pub(super) sweep: Option<SweepRecord>,
    pub(super) letters: Vec<Letter>,
    pub(super) refusals: Vec<ListedRefusal>,
}

/// How it goes, in the colours of a traffic light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Light {
    /// All is well.
    Green,
    /// It works, and somebody should look.
    Amber,
    /// It does not work.
    Red,
}

/// The first line.
pub(super) struct Headline {
    pub(super) light: Light,
    pub(super) words: String,
    /// What is behind it, a sentence each.
    pub(super) because: Vec<String>,
}

impl Snapshot {
    /// Looks at everything; letters after event `after`.
    pub(super) async fn take(management: &Management, after: EventId) -> Self {
        let now = management.clock.now();
        let counts = health::probe(management).await;
        let journal = read(management, now, after).await.map_err(|failure| failure.to_string());
        let (troubles, sinks) = (management.health.troubles(), management.health.sink_troubles());
        Self { now, counts, troubles, sinks, journal }
    }

    /// The trouble that `part` has now.
    pub(super) fn trouble(&self, part: Part) -> Option<&Trouble> {
        self.troubles.get(&part).filter(|trouble| trouble.until.is_none())
    }

    /// Whether it works, in words.
    pub(super) fn headline(&self) -> Headline {
        let counts = match &self.counts {
            Ok(counts) => counts,
            Err(reason) => {
                return Headline {
                    light: Light::Red,
                    words: "It does not work: nothing is accepted.".to_owned(),
                    because: vec![
                        reason.clone(),
                        "HarfangLab is asked to come back; what is in the journal is safe."
                            .to_owned(),
                    ],
                };
            }
        };
        let behind: Vec<String> = Part::ALL
            .into_iter()
            .filter(|part| self.trouble(*part).is_some())
            .map(|part| consequence(part).to_owned())
            .collect();
        let mut because = behind.clone();
        let waited = waited(counts, self.now).filter(|waited| *waited > LONG_WAIT);
        because.extend(waited.map(|waited| format!("The oldest has waited {}.", long(waited))));
        if counts.dead > 0 {
            let letters = counted(counts.dead, "dead letter");
            let need = if counts.dead == 1 { "needs" } else { "need" };
            because.push(format!("{letters} {need} a decision."));
        }
        let words = if !behind.is_empty() {
            "It works, but something is in the way."
        } else if !because.is_empty() {
            "It works, and somebody should look."
        } else {
            "It works."
        };
        let light = if because.is_empty() { Light::Green } else { Light::Amber };
        Headline { light, words: words.to_owned(), because }
    }
}

/// How long the oldest event that has not found its end has been here.
pub(super) fn waited(counts: &Counts, now: DateTime<Utc>) -> Option<TimeDelta> {
    let oldest = counts.oldest_pending_ms.and_then(DateTime::from_timestamp_millis)?;
    Some((now - oldest).max(TimeDelta::zero()))
}

/// What it means that `part` has a trouble.
fn consequence(part: Part) -> &'static str {
    match part {
        Part::Journal | Part::Room => "Nothing is accepted.",
        Part::OpenCti => {
            "OpenCTI does not answer: alerts are accepted and wait in the journal, nothing is lost."
        }
        Part::Delivery => {
            "Deliveries fail: alerts are accepted and wait in the journal, nothing is lost."
        }
        Part::Queue => "OpenCTI's workers are behind: deliveries wait for them.",
        Part::HarfangLab => {
            "The console does not answer as it should: pushes are imported with what they bring, \
             and nothing is swept."
        }
    }
}

async fn read(
    management: &Management,
    now: DateTime<Utc>,
    after: EventId,
) -> Result<FromJournal, JournalError> {
    let journal = &*management.journal;
    Ok(FromJournal {
        activity: journal.activity(now).await?,
        sweep: SweepRecord::last(journal).await?,
        // One more than is shown tells whether there are more.
        letters: journal.letters(&LetterFilter::default(), after, LETTERS + 1).await?,
        refusals: journal.refusals(REFUSALS).await?,
    })
}
