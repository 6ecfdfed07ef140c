//! Turns one claimed alert into what is sent of it: looks up, waits where it is worth it, converts.

use std::{sync::Arc, time::Duration};

use super::{
    enrich::{Found, filled},
    prepare::{Delivered, MATCH_TOLERANCE, Preparer},
    refused_rules::LeftOutRules,
    turn::Turn,
    waiting::{Deadline, Settled},
};
use crate::{
    alert::{Alert, IncidentIdentity, MergedSightings, intelligence::Intelligence},
    convert::{Conversion, Known, attach_raw, convert_alert},
    intake::{
        dialect::{self, Dialect},
        is_believed,
    },
    journal::{
        Adoption, AlertName, CaseObjects, CaseStanding, Event, FollowUp, JournalError,
        MissingEnrichment, Outcome,
    },
    opencti::Feature,
};

/// Time for which a version waits for an older one that came by another road.
const WAIT_FOR_OLDER: Duration = Duration::from_secs(1);
/// Longest beginning of the platform's words that is kept with each event that left without its rule.
const MAX_REASON_CHARS: usize = 200;

/// An alert with what the console says of it, under the key by which it is known from now on.
struct Seen {
    alert: Alert,
    key: String,
    identity: Option<IncidentIdentity>,
}

impl Preparer {
    /// The conversion of an alert, and what goes on being asked for once it is delivered.
    pub(super) async fn prepare_alert(
        &self,
        event: &Event,
        pushed: Alert,
        turn: Turn,
    ) -> Result<(Conversion, Option<FollowUp>, Delivered), Outcome> {
        self.let_through(event, &pushed)?;
        let mut missing = MissingEnrichment::default();
        let mut deadline = self.deadline(event);
        // Boxed: it holds whole alerts across its look-ups.
        let seeing = Box::pin(self.seen_on_console(event, pushed, &mut deadline, &mut missing));
        let mut seen = seeing.await?;
        if seen.identity.is_none() && event.dialect == Dialect::NativeAlert {
            seen.identity = self
                .journal
                .adopt_unmatched(event, MATCH_TOLERANCE)
                .await
                .map_err(|failure| self.journal_failed(event, &failure))?;
        }
        let details = deadline.ask(self.enricher.agent(&seen.alert.agent)).await;
        // An agent that the console has forgotten stays unknown; only a failure is worth a return.
        missing.host = matches!(details, Found::Failed(_));
        if let Settled::Known(details) = self.settled(event, details, None)? {
            seen.alert.agent = filled(seen.alert.agent, details);
        }
        let intelligence =
            self.intelligence(event, &seen.alert, &mut deadline, &mut missing).await?;
        let follow_up = self.follow_up(event, missing)?;
        let Seen { alert, key, identity } = seen;
        let settings = self.convert_settings();
        let convert = |known: &Known| {
            let conversion = convert_alert(&alert, intelligence.as_ref(), known, &settings);
            attach_raw(conversion, &event.body, &settings)
        };
        let mut conversion = self.convert_as_fixed(event, &key, identity, turn, convert).await?;
        let refused = self.refused_rules_of(&conversion).await;
        let refused = refused.map_err(|failure| self.journal_failed(event, &failure))?;
        let remark = leave_out_refused_rules(&refused, &mut conversion);
        if let Some(sighted) = &conversion.sighted {
            let merged_sightings = self
                .journal
                .note_sighting(&key, sighted)
                .await
                .map_err(|failure| self.journal_failed(event, &failure))?;
            if merged_sightings == MergedSightings::Real {
                let identity = Some(conversion.identity.clone());
                let known = Known::received(event.received_at);
                conversion = convert(&Known { identity, merged_sightings, ..known });
                leave_out_refused_rules(&refused, &mut conversion);
            }
        }
        if self.platform.as_ref().is_some_and(|it| !it.has(Feature::CustomProperties)) {
            conversion.remove_custom_properties();
        }
        for seen in conversion.indicators().cloned().collect::<Vec<_>>() {
            let valid_from = self.valid_from.of(&seen, &self.journal).await;
            let valid_from = valid_from.map_err(|failure| self.journal_failed(event, &failure))?;
            conversion.date_indicator(&seen.id, valid_from);
        }
        let false_positive = conversion.sighted.clone().filter(|sighted| sighted.is_false_positive);
        let delivered = Delivered {
            case_objects: self.case_objects(&alert, &conversion).into_iter().collect(),
            remembered: None,
            false_positive: false_positive.map(|sighted| (key, sighted)),
            remark,
        };
        Ok((conversion, follow_up, delivered))
    }

    /// Returns what the case of the alert's threat refers to, unless threats are not imported.
    fn case_objects(&self, alert: &Alert, conversion: &Conversion) -> Option<CaseObjects> {
        let threat_key = alert.threat_key.clone().filter(|_| self.threats)?;
        let object_ids = conversion.case_references().map(str::to_owned).collect();
        Some(CaseObjects { threat_key, object_ids, standing: CaseStanding::Waiting })
    }

    /// Returns the rules whose text OpenCTI refused, unless the conversion has no indicator.
    async fn refused_rules_of(
        &self,
        conversion: &Conversion,
    ) -> Result<LeftOutRules, Arc<JournalError>> {
        if conversion.indicators().next().is_none() {
            return Ok(LeftOutRules::default());
        }
        self.left_out_rules().await
    }

    /// Returns the rules that the platform refused, by the ids of their indicators.
    pub(super) async fn left_out_rules(&self) -> Result<LeftOutRules, Arc<JournalError>> {
        if self.platform.is_none() {
            return Ok(LeftOutRules::default());
        }
        self.refused_rules.left_out(&self.journal, self.clock.now()).await
    }

    async fn seen_on_console(
        &self,
        event: &Event,
        mut pushed: Alert,
        deadline: &mut Deadline<'_>,
        missing: &mut MissingEnrichment,
    ) -> Result<Seen, Outcome> {
        if self.needs_confirmation(event) {
            // Whoever posts can also claim an id of the console.
            pushed.api_id = None;
        }
        let mut seen =
            Seen { alert: pushed, key: event.key.clone(), identity: event.identity.clone() };
        let looking = self.enricher.alert_on_console(event.dialect, &seen.alert);
        let found = deadline.ask(looking).await;
        self.confirmed(event, &found)?;
        match self.settled(event, found, Some(self.enrichment.first_wait))? {
            Settled::Complete => {}
            Settled::Incomplete => missing.page = true,
            Settled::Known(shown) if event.dialect == Dialect::EcsAlert => {
                if let Some(key) = dialect::key_of_identified(&shown) {
                    seen.identity = self.identify(event, &shown, &key).await?;
                    seen.key = key;
                }
                self.let_through(event, &shown)?;
                seen.alert = shown;
            }
            // It lost its host on the way, and with it maybe more.
            Settled::Known(shown)
                if seen.alert.agent.hostname.is_none() && shown.agent.hostname.is_some() =>
            {
                seen.alert = in_version_of(&seen.alert, shown);
                self.let_through(event, &seen.alert)?;
            }
            // The push says how the alert was in this version; the console adds its page.
            Settled::Known(shown) => seen.alert.api_id = shown.api_id,
        }
        Ok(seen)
    }

    async fn intelligence(
        &self,
        event: &Event,
        alert: &Alert,
        deadline: &mut Deadline<'_>,
        missing: &mut MissingEnrichment,
    ) -> Result<Option<Intelligence>, Outcome> {
        let found = deadline.ask(self.enricher.intelligence(alert)).await;
        match self.settled(event, found, None)? {
            Settled::Known(intelligence) => Ok(Some(intelligence)),
            Settled::Complete => Ok(None),
            Settled::Incomplete => {
                missing.rule = true;
                Ok(None)
            }
        }
    }

    /// Says that an ECS event is the alert that the console shows. In the journal the alert takes
    /// over the incident under which the event may have been delivered.
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
            updated_at: dialect::updated_at(shown)
                .filter(|date| is_believed(*date, self.clock.now())),
        };
        match self.journal.identify(event.claim, &name).await {
            Ok(Adoption::Identified(identity)) => Ok(identity),
            Ok(Adoption::AlreadyThere) => Err(Outcome::Superseded),
            Ok(Adoption::OlderUnderWay) => {
                let reason = "waits for an older version of the alert".to_owned();
                Err(self.later(WAIT_FOR_OLDER, reason))
            }
            Err(failure) => Err(self.journal_failed(event, &failure)),
        }
    }
}

/// Returns the alert as the console shows it, in the version that was pushed.
fn in_version_of(pushed: &Alert, shown: Alert) -> Alert {
    Alert {
        status: pushed.status.clone().or(shown.status),
        level: pushed.level.clone().or(shown.level),
        threat_key: pushed.threat_key.clone().or(shown.threat_key),
        ..shown
    }
}

/// Removes the indicators of rules whose text OpenCTI refused, for every sink alike: where it goes
/// by file or S3, it goes to the same OpenCTI. Returns what the history of the event says of it.
fn leave_out_refused_rules(refused: &LeftOutRules, conversion: &mut Conversion) -> Option<String> {
    let indicators: Vec<_> = conversion.indicators().map(|it| it.id.clone()).collect();
    let mut said = Vec::new();
    for (id, rule) in indicators.iter().filter_map(|id| Some((id, refused.get(id)?))) {
        let words = format!(
            "left without the indicator and sighting of the rule {}, which OpenCTI refused on {}: {}",
            rule.name,
            rule.refused_at.format("%Y-%m-%d %H:%M:%S UTC"),
            rule.reason.chars().take(MAX_REASON_CHARS).collect::<String>()
        );
        conversion.leave_out_rule(id, words.clone());
        said.push(words);
    }
    (!said.is_empty()).then(|| said.join("; "))
}
