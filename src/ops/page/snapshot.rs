//! Contents of the status page, gathered at one moment.
//!
//! Does not live here: markup (`view`, `letters`, `job`), who may see it (`gate`).

use std::collections::BTreeMap;

use actix_web::web;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Asked,
    words::{counted, long},
};
use crate::{
    health::{Part, Place, SinkPlace, Trouble},
    journal::{
        Activity, Counts, DeadLetter, DeadLetterFilter, DeadLetterGroup, EventId, Journal,
        JournalError, ListedRefusal, RefusedRule, answer_in_time,
    },
    label::ConsoleLabel,
    ops::{
        Management,
        health::{self, JournalProbe},
    },
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
    /// The counts of the journal; `Err`: nothing is accepted, because of that.
    pub(super) counts: Result<Counts, String>,
    pub(super) troubles: BTreeMap<Place, Trouble>,
    /// Of each way out.
    pub(super) sinks: BTreeMap<SinkPlace, Trouble>,
    /// The part that needs the journal; `Err`: why it cannot be read.
    pub(super) journal: Result<FromJournal, String>,
}

/// The part that the journal tells.
pub(super) struct FromJournal {
    pub(super) activity: Activity,
    /// The last one of each console, in their order.
    pub(super) sweeps: Vec<Of<Option<SweepRecord>>>,
    pub(super) letters: Vec<Of<Listed>>,
    /// They are those with the same reason as this one.
    pub(super) letters_like: Option<EventId>,
    pub(super) refusals: Vec<Of<ListedRefusal>>,
    /// Rules whose text OpenCTI refused and that are left out now.
    pub(super) refused_rules: Vec<RefusedRule>,
}

/// A line of the list of letters.
pub(super) enum Listed {
    One(DeadLetter),
    /// Several of the same reason.
    Alike(DeadLetterGroup),
}

impl Listed {
    /// Returns the number of letters that it stands for, and the id of one of them.
    fn order(&self) -> (std::cmp::Reverse<u64>, EventId) {
        match self {
            Self::One(letter) => (std::cmp::Reverse(1), letter.id),
            Self::Alike(group) => (std::cmp::Reverse(group.letters), group.example),
        }
    }
}

/// Something of a console.
pub(super) struct Of<T> {
    pub(super) console: ConsoleLabel,
    pub(super) it: T,
}

/// The state in the colours of a traffic light.
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
    /// The reasons for it, a sentence each.
    pub(super) because: Vec<String>,
}

impl Snapshot {
    /// Looks at everything, and at the letters that were asked for.
    pub(super) async fn take(
        management: &web::Data<Management>,
        probe: &JournalProbe,
        asked: &Asked,
    ) -> Self {
        let now = management.clock.now();
        let reading = answer_in_time(read(management, now, asked));
        let (probed, read) = tokio::join!(health::probe(management, probe), reading);
        let counts = probed.map(|probed| probed.all());
        let journal = match read {
            Ok(read) => read.map_err(|failure| failure.to_string()),
            // The probe tells whether the journal is well.
            Err(too_late) => Err(format!("the lists {too_late}")),
        };
        let (troubles, sinks) = (management.health.troubles(), management.health.sink_troubles());
        Self { now, counts, troubles, sinks, journal }
    }

    /// The trouble that is there now.
    pub(super) fn trouble(&self, place: &Place) -> Option<&Trouble> {
        self.troubles.get(place).filter(|trouble| trouble.until.is_none())
    }

    /// Returns whether it works, in words.
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
        let behind: Vec<String> = self
            .troubles
            .keys()
            .filter(|place| self.trouble(place).is_some())
            .map(|place| match place.console.name() {
                Some(console) => format!("{console}: {}", consequence(place.part)),
                None => consequence(place.part).to_owned(),
            })
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

/// Returns the age of the oldest event that has not found its end.
pub(super) fn waited(counts: &Counts, now: DateTime<Utc>) -> Option<TimeDelta> {
    let oldest = counts.oldest_pending_ms.and_then(DateTime::from_timestamp_millis)?;
    Some((now - oldest).max(TimeDelta::zero()))
}

/// Describes what it means that `part` has a trouble.
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
        Part::Clock => {
            "This replica's clock is wrong, or the database's: retries and reports go by wrong times."
        }
    }
}

async fn read(
    management: &Management,
    now: DateTime<Utc>,
    asked: &Asked,
) -> Result<FromJournal, JournalError> {
    let mut read = FromJournal {
        activity: Activity::default(),
        sweeps: Vec::new(),
        letters: Vec::new(),
        letters_like: asked.like,
        refusals: Vec::new(),
        refused_rules: Vec::new(),
    };
    for console in &management.consoles {
        let (journal, label) = (&console.journal, &console.label);
        let activity = journal.activity(now).await?;
        read.activity =
            if read.sweeps.is_empty() { activity } else { read.activity.and(&activity) };
        let sweep = SweepRecord::last(journal).await?;
        read.sweeps.push(Of { console: label.clone(), it: sweep });
        let letters = letters(journal, asked).await?;
        read.letters.extend(letters.into_iter().map(|it| Of { console: label.clone(), it }));
        let refusals = journal.refusals(REFUSALS).await?;
        read.refusals.extend(refusals.into_iter().map(|it| Of { console: label.clone(), it }));
    }
    if let Some(console) = management.consoles.first() {
        // All consoles share them.
        read.refused_rules = console.journal.left_out_rules(now).await?;
        read.refused_rules.truncate(REFUSALS);
    }
    read.letters.sort_by_key(|listed| listed.it.order());
    read.letters.truncate(LETTERS + 1);
    read.refusals.sort_by_key(|refused| std::cmp::Reverse(refused.it.refusal.refused_at));
    read.refusals.truncate(REFUSALS);
    Ok(read)
}

/// A line a reason, or each letter where that was asked for; one more than is shown tells whether
/// there are more.
async fn letters(journal: &Journal, asked: &Asked) -> Result<Vec<Listed>, JournalError> {
    let filter = DeadLetterFilter { like: asked.like, ..DeadLetterFilter::default() };
    if asked.after > 0 || asked.like.is_some() {
        let letters = journal.dead_letters(&filter, asked.after, LETTERS + 1).await?;
        return Ok(letters.into_iter().map(Listed::One).collect());
    }
    let groups = journal.dead_letter_groups(&filter, LETTERS + 1).await?;
    let (alone, alike): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.letters == 1);
    let mut listed: Vec<Listed> = alike.into_iter().map(Listed::Alike).collect();
    if !alone.is_empty() {
        let ids = alone.iter().map(|group| group.example).collect();
        let filter = DeadLetterFilter { ids, ..DeadLetterFilter::default() };
        let letters = journal.dead_letters(&filter, 0, alone.len()).await?;
        listed.extend(letters.into_iter().map(Listed::One));
    }
    Ok(listed)
}
