//! Turns one claimed event into a bundle that is ready to leave.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::{debug, warn};

use super::{
    enrich::{Enricher, Found},
    filter, retry,
};
use crate::{
    alert::{Alert, IncidentIdentity},
    clock::Clock,
    config::AlertFilter,
    convert::{
        Conversion, ConvertSettings, Known, MOST_CASE_REFERENCES, attach_raw, convert_alert,
        convert_threat, gate,
    },
    intake::dialect::{self, Dialect},
    journal::{Adoption, AlertName, Claim, Event, Journal, JournalError, Outcome},
    stix::Bundle,
};

/// How far apart an ECS event and its alert may be in time.
const MATCH_TOLERANCE: Duration = Duration::from_mins(2);
/// Tries for which a threat waits for its alerts, and the wait between two.
const TRIES_BEFORE_ALERTS: u32 = 30;
const WAIT_FOR_ALERTS: Duration = Duration::from_secs(2);
/// Longest wait after the journal failed in mid-work.
const JOURNAL_RETRY_MAX: Duration = Duration::from_mins(1);

/// An event that is ready to leave.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) claim: Claim,
    pub(super) received_at: DateTime<Utc>,
    pub(super) title: String,
    pub(super) root_id: String,
    /// One, but for a threat with more incidents than one case message may refer to.
    pub(super) bundles: Vec<Bundle>,
}

/// Enriches and converts.
pub struct Preparer {
    /// Keeps names, dates and matches.
    pub journal: Arc<dyn Journal>,
    /// Asks the console.
    pub enricher: Enricher,
    /// The operator's filter.
    pub filter: AlertFilter,
    /// How things are named, marked and scored.
    pub convert: ConvertSettings,
    /// The time.
    pub clock: Clock,
}

impl Preparer {
    /// The bundle of `event`, or how the event ends instead.
    pub(super) async fn prepare(&self, event: Event) -> Result<Ready, Outcome> {
        let element: Value = serde_json::from_str(&event.body)
            .map_err(|error| Outcome::Dead { reason: format!("the text is not JSON: {error}") })?;
        let conversions = match event.dialect {
            Dialect::NativeThreat => self.prepare_threat(&event, &element).await?,
            Dialect::NativeAlert | Dialect::EcsAlert => {
                // Boxed: it holds whole alerts across its look-ups.
                vec![Box::pin(self.prepare_alert(&event, &element)).await?]
            }
        };
        conversions.iter().for_each(tell);
        let first = conversions.first().ok_or_else(|| Outcome::Dead {
            reason: "the conversion made nothing; please report this as a defect".to_owned(),
        })?;
        Ok(Ready {
            claim: event.claim,
            received_at: event.received_at,
            title: first.identity.name.clone(),
            root_id: first.root_id.clone(),
            bundles: conversions.into_iter().map(|conversion| conversion.bundle).collect(),
        })
    }

    async fn prepare_alert(&self, event: &Event, element: &Value) -> Result<Conversion, Outcome> {
        let attempt = event.claim.attempt;
        let pushed = dialect::read_alert(event.dialect, element);
        self.let_through(&pushed)?;
        let mut key = event.key.clone();
        let mut identity = event.identity.clone();
        let alert = match self.enricher.alert_on_console(event.dialect, &pushed, attempt).await {
            Found::AskAgain(wait, reason) => return Err(self.later(wait, reason)),
            Found::No => pushed,
            Found::Yes(shown) if event.dialect == Dialect::EcsAlert => {
                if let Some(found) = dialect::key_of_identified(&shown) {
                    identity = self.identify(event, &shown, &found).await?.or(identity);
                    key = found;
                }
                self.let_through(&shown)?;
                shown
            }
            // The push says how the alert was in this version; the console adds its page.
            Found::Yes(shown) => Alert { api_id: shown.api_id, ..pushed },
        };
        if identity.is_none() && event.dialect == Dialect::NativeAlert {
            identity = self
                .journal
                .adopt_unmatched(event, MATCH_TOLERANCE)
                .await
                .map_err(|failure| self.journal_failed(event, &failure))?;
        }
        let intelligence = match self.enricher.intelligence(&alert, attempt).await {
            Found::AskAgain(wait, reason) => return Err(self.later(wait, reason)),
            Found::Yes(intelligence) => Some(intelligence),
            Found::No => None,
        };
        self.convert_as_fixed(event, &key, identity, |known| {
            let conversion = convert_alert(&alert, intelligence.as_ref(), known, &self.convert);
            attach_raw(conversion, element, &self.convert)
        })
        .await
    }

    async fn prepare_threat(
        &self,
        event: &Event,
        element: &Value,
    ) -> Result<Vec<Conversion>, Outcome> {
        let pushed = dialect::read_threat(element);
        let failed = |failure: JournalError| self.journal_failed(event, &failure);
        if event.claim.attempt < TRIES_BEFORE_ALERTS
            && self.journal.has_unfinished_alerts(&pushed.id).await.map_err(failed)?
        {
            let reason = "waits for the alerts of the threat, which its case refers to";
            return Err(self.later(WAIT_FOR_ALERTS, reason.to_owned()));
        }
        let threat = match self.enricher.threat(&pushed.id, event.claim.attempt).await {
            Found::AskAgain(wait, reason) => return Err(self.later(wait, reason)),
            Found::Yes(shown) => shown,
            Found::No => pushed,
        };
        let incidents = self.journal.incidents_of_threat(&threat.id).await.map_err(failed)?;
        // A threat without delivered alerts is a case all the same.
        let mut parts: Vec<&[String]> = incidents.chunks(MOST_CASE_REFERENCES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let mut conversions = Vec::with_capacity(parts.len());
        for part in parts {
            let convert = |known: &Known| convert_threat(&threat, part, known, &self.convert);
            let identity = event.identity.clone();
            conversions.push(self.convert_as_fixed(event, &event.key, identity, convert).await?);
        }
        Ok(conversions)
    }

    /// Converts under the name and date that the journal holds; fixes them the first time.
    async fn convert_as_fixed(
        &self,
        event: &Event,
        key: &str,
        identity: Option<IncidentIdentity>,
        convert: impl Fn(&Known) -> Conversion,
    ) -> Result<Conversion, Outcome> {
        let received_at = event.received_at;
        let was_fixed = identity.is_some();
        let conversion = convert(&Known { received_at, identity });
        if was_fixed {
            return Ok(conversion);
        }
        let wanted = [(key.to_owned(), conversion.identity.clone())];
        let held = self
            .journal
            .fix_identities(&wanted)
            .await
            .map_err(|failure| self.journal_failed(event, &failure))?;
        match held.into_iter().next() {
            Some(held) if held != conversion.identity => {
                Ok(convert(&Known { received_at, identity: Some(held) }))
            }
            _ => Ok(conversion),
        }
    }

    /// Says that an ECS event is the alert that the console shows.
    async fn identify(
        &self,
        event: &Event,
        shown: &Alert,
        key: &str,
    ) -> Result<Option<IncidentIdentity>, Outcome> {
        let name = AlertName {
            key: key.to_owned(),
            version: dialect::version(shown),
            threat_key: shown.threat_key.clone(),
        };
        match self.journal.identify(event.claim, &name).await {
            Ok(Adoption::Identified(identity)) => Ok(identity),
            Ok(Adoption::AlreadyThere) => Err(Outcome::Superseded),
            Err(failure) => Err(self.journal_failed(event, &failure)),
        }
    }

    fn let_through(&self, alert: &Alert) -> Result<(), Outcome> {
        filter::refusal(&self.filter, alert)
            .map_or(Ok(()), |reason| Err(Outcome::Filtered { reason }))
    }

    fn later(&self, wait: Duration, reason: String) -> Outcome {
        Outcome::Later { at: self.clock.now() + wait, reason }
    }

    fn journal_failed(&self, event: &Event, failure: &JournalError) -> Outcome {
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
