//! Turns one claimed event into a bundle that is ready to leave.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tracing::{debug, warn};

use super::{
    enrich::Enricher, filter, name_waits::NameWaits, refused_rules::RefusedRules, retry,
    turn::Turn, valid_from::ValidFrom,
};
use crate::{
    alert::{Alert, IncidentIdentity, Sighted, element},
    clock::Clock,
    config::{AlertFilter, EnrichmentSettings, RawAttachment},
    convert::{Conversion, ConvertSettings, Known, NetworkTraffic, RuleChecker, gate},
    intake::{
        MemoryBudget, Origin,
        dialect::{self, Dialect},
    },
    journal::{CaseObjects, Claim, Event, FollowUp, Journal, JournalError, Outcome},
    opencti::{Feature, OpenCti},
    stix::Bundle,
};

/// Longest time between an ECS event and its alert.
pub(super) const MATCH_TOLERANCE: Duration = Duration::from_mins(2);
/// Longest wait after the journal failed in mid-work.
const JOURNAL_RETRY_MAX: Duration = Duration::from_mins(1);

/// Wait for others that fix incidents of the same name.
const WAIT_FOR_NAME: Duration = Duration::from_secs(2);

/// An event that is ready to leave.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) claim: Claim,
    pub(super) origin: Origin,
    pub(super) happened_at: DateTime<Utc>,
    pub(super) received_at: DateTime<Utc>,
    pub(super) title: String,
    pub(super) root_id: String,
    /// One, but for a threat with more objects than one case message may refer to.
    pub(super) bundles: Vec<Arc<Bundle>>,
    /// Look-ups that go on once it is delivered.
    pub(super) follow_up: Option<FollowUp>,
    /// Notes to write down once it is delivered.
    pub(super) delivered: Delivered,
}

/// The facts that are looked at again before a threat or alert leaves, and written down once it is delivered.
#[derive(Debug, Clone, Default)]
pub(super) struct Delivered {
    /// Objects that a case refers to now, is to refer to, or left without.
    pub(super) case_objects: Vec<CaseObjects>,
    /// A name and a value to remember: the id of a note.
    pub(super) remembered: Option<(String, String)>,
    /// Key and sighting of an alert that is a false positive: looked at again just before it leaves.
    pub(super) false_positive: Option<(String, Sighted)>,
    /// Words on the delivery for the history of the event.
    pub(super) remark: Option<String>,
}

impl Delivered {
    pub(super) fn is_any(&self) -> bool {
        !self.case_objects.is_empty() || self.remembered.is_some()
    }
}

/// Enriches and converts.
pub struct Preparer {
    /// Keeps names, dates and matches.
    pub journal: Journal,
    /// Asks the console.
    pub enricher: Enricher,
    /// Sets for how long the console is asked.
    pub enrichment: EnrichmentSettings,
    /// The longest time that look-ups may take together before an alert first leaves.
    pub first_look_ups_max: Duration,
    /// The operator's filter.
    pub filter: AlertFilter,
    /// Set when threats are imported, so that their cases need to know their alerts' objects.
    pub threats: bool,
    /// Knows what the platform takes; without it everything is sent.
    pub platform: Option<OpenCti>,
    /// Names, marks and scores things, for a platform that takes everything.
    pub convert: ConvertSettings,
    /// From when on indicators are valid, as far as it was asked for already.
    pub valid_from: ValidFrom,
    /// Rules that are left out because OpenCTI refused their texts; one of all consoles.
    pub refused_rules: Arc<RefusedRules>,
    /// Events that wait for others that name incidents.
    pub name_waits: NameWaits,
    /// Lets one large text be read at a time, and none beside a large delivery.
    pub memory: MemoryBudget,
    /// The time.
    pub clock: Clock,
}

impl Preparer {
    /// The bundle of `event`, whose incident is fixed in its turn, or how the event ends instead.
    pub(super) async fn prepare(&self, mut event: Event, turn: Turn) -> Result<Ready, Outcome> {
        let turn_to_read =
            if event.is_unread() { Some(self.memory.turn_to_read().await) } else { None };
        if let Err(failure) = self.journal.read_text(&mut event).await {
            return Err(match failure {
                JournalError::Corrupt(reason) => Outcome::Dead { reason },
                failure => self.journal_failed(&event, &failure),
            });
        }
        let element = element::read(&event.body, self.enricher.max_values())
            .map_err(|unread| Outcome::Dead { reason: unread.to_string() })?;
        if self.convert.raw == RawAttachment::None {
            // Megabytes would wait for the console and the sinks, and nobody reads them again.
            event.body = String::new();
        }
        drop(turn_to_read);
        let (conversions, follow_up, delivered) = match event.dialect {
            Dialect::NativeThreat => {
                // Boxed: it holds whole threats across its look-ups.
                let pushed = dialect::read_threat(&element);
                drop(element);
                let preparing = Box::pin(self.prepare_threat(&event, pushed));
                let (conversions, delivered) = preparing.await?;
                (conversions, None, delivered)
            }
            Dialect::NativeAlert | Dialect::EcsAlert => {
                let pushed = dialect::read_alert(event.dialect, &element);
                drop(element);
                // Boxed: it holds whole alerts across its look-ups.
                let preparing = Box::pin(self.prepare_alert(&event, pushed, turn));
                let (conversion, follow_up, delivered) = preparing.await?;
                (vec![conversion], follow_up, delivered)
            }
        };
        conversions.iter().for_each(tell);
        let first = conversions.first().ok_or_else(|| Outcome::Dead {
            reason: "the conversion made nothing; please report this as a defect".to_owned(),
        })?;
        Ok(Ready {
            claim: event.claim,
            origin: event.origin,
            happened_at: event.happened_at,
            received_at: event.received_at,
            title: first.identity.name.clone(),
            root_id: first.root_id.clone(),
            bundles: conversions
                .into_iter()
                .map(|conversion| Arc::new(conversion.bundle))
                .collect(),
            follow_up,
            delivered,
        })
    }

    /// Returns the settings for the version that the platform answered last.
    pub(super) fn convert_settings(&self) -> ConvertSettings {
        let mut settings = self.convert.clone();
        let lacks = |feature| self.platform.as_ref().is_some_and(|it| !it.has(feature));
        if lacks(Feature::NetworkTraffic) {
            settings.network_traffic = NetworkTraffic::AddressesOnly;
        }
        if lacks(Feature::StrictRuleChecker) {
            settings.rule_checker = RuleChecker::Lenient;
        }
        if lacks(Feature::IncidentScore) {
            settings.incident_score = None;
        }
        settings
    }

    /// Converts under the name and date that the journal holds; fixes them the first time.
    pub(super) async fn convert_as_fixed(
        &self,
        event: &Event,
        key: &str,
        identity: Option<IncidentIdentity>,
        mut turn: Turn,
        convert: impl Fn(&Known) -> Conversion,
    ) -> Result<Conversion, Outcome> {
        let received_at = event.received_at;
        let was_fixed = identity.is_some();
        let conversion = convert(&Known { identity, ..Known::received(received_at) });
        if was_fixed {
            return Ok(conversion);
        }
        turn.comes().await;
        let wanted = [(key.to_owned(), conversion.identity.clone())];
        let held = match self.journal.fix_identities(&wanted).await {
            Ok(held) => {
                self.name_waits.named(event.claim.event, self.clock.now());
                held
            }
            Err(JournalError::Busy) => return Err(self.busy(event).await),
            Err(failure) => return Err(self.journal_failed(event, &failure)),
        };
        drop(turn);
        match held.into_iter().next() {
            Some(held) if held != conversion.identity => {
                Ok(convert(&Known { identity: Some(held), ..Known::received(received_at) }))
            }
            _ => Ok(conversion),
        }
    }

    /// The operator's filter. What it has let through once is kept up to date whatever becomes of it:
    /// an incident must not stay open because its alert was closed.
    pub(super) fn let_through(&self, event: &Event, alert: &Alert) -> Result<(), Outcome> {
        if event.identity.is_some() {
            return Ok(());
        }
        filter::refusal(&self.filter, alert)
            .map_or(Ok(()), |reason| Err(Outcome::Filtered { reason }))
    }

    pub(super) fn later(&self, wait: Duration, reason: String) -> Outcome {
        Outcome::Later { at: self.clock.now() + wait, reason }
    }

    /// Puts an event back whose incident others keep from being fixed. Nothing failed, so this is no try.
    async fn busy(&self, event: &Event) -> Outcome {
        self.name_waits.put_back(event.claim.event, self.clock.now());
        match self.journal.refund_attempt(event.claim).await {
            Ok(()) => self.later(WAIT_FOR_NAME, JournalError::Busy.to_string()),
            Err(failure) => self.journal_failed(event, &failure),
        }
    }

    pub(super) fn journal_failed(&self, event: &Event, failure: &JournalError) -> Outcome {
        warn!(%failure, "the journal failed in mid-work; the event is tried again");
        let wait = retry::wait(event.claim.attempt, event.claim.event, JOURNAL_RETRY_MAX);
        self.later(wait, failure.to_string())
    }
}

/// Counts what a conversion left out, and what should not have been left in.
fn tell(conversion: &Conversion) {
    for left_out in &conversion.left_out {
        metrics::counter!("values_left_out_total", "what" => left_out.what).increment(1);
        debug!(what = left_out.what, why = %left_out.why, "a value was left out");
    }
    for violation in gate::violations(&conversion.bundle) {
        // OpenCTI refuses the one object and takes the others, so the bundle still leaves.
        metrics::counter!("bundle_violations_total").increment(1);
        warn!(%violation, "a bundle holds what OpenCTI refuses; please report this as a defect");
    }
}
