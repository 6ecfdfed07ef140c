//! Turns one claimed threat into the messages of its case.

use chrono::TimeDelta;

use super::{
    enrich::Found,
    prepare::{Delivered, Preparer},
    turn::Turn,
    waiting::{Deadline, Settled},
};
use crate::{
    alert::Threat,
    convert::{Conversion, Known, MOST_CASE_OBJECTS, convert_threat},
    journal::{CaseObjects, CaseStanding, Event, JournalError, Outcome},
};

/// For how long after its arrival a threat waits for its alerts, and the wait between two looks.
/// An alert that is delivered later makes its case leave once more: the journal sees to that.
const ALERTS_IN_TIME: TimeDelta = TimeDelta::minutes(1);
const WAIT_FOR_ALERTS: std::time::Duration = std::time::Duration::from_secs(2);
/// Rules of one threat that the console is asked about: it shows the top ones first.
const MOST_RULES: usize = 50;

impl Preparer {
    /// The messages of a threat's case, and what to write down once they are delivered.
    pub(super) async fn prepare_threat(
        &self,
        event: &Event,
        pushed: Threat,
    ) -> Result<(Vec<Conversion>, Delivered), Outcome> {
        let failed = |failure: JournalError| self.journal_failed(event, &failure);
        if self.clock.now() - event.received_at < ALERTS_IN_TIME
            && self.journal.has_unfinished_alerts(&pushed.id).await.map_err(failed)?
        {
            // The tries are for a console that fails.
            self.journal.refund_attempt(event.claim).await.map_err(failed)?;
            let reason = "waits for the alerts of the threat, which its case refers to";
            return Err(self.later(WAIT_FOR_ALERTS, reason.to_owned()));
        }
        let mut deadline = self.deadline(event);
        let found = deadline.ask(self.enricher.threat(&pushed.id)).await;
        self.confirmed(event, &found)?;
        let mut threat = match self.settled(event, found, None)? {
            Settled::Known(shown) => shown,
            Settled::Complete | Settled::Incomplete => pushed,
        };
        self.add_rule_tags(event, &mut threat, &mut deadline).await?;
        let note_name = format!("note:{}", threat.id);
        let note_id = self.journal.remembered(&note_name).await.map_err(failed)?;
        let object_ids = self.journal.new_case_objects(&threat.id).await.map_err(failed)?;
        // Not indicators that are not on the platform; the case is complete without them.
        let left_out = self.left_out_rules().await;
        let left_out = left_out.map_err(|failure| self.journal_failed(event, &failure))?;
        let (not_there, referred): (Vec<String>, Vec<String>) =
            object_ids.into_iter().partition(|id| left_out.contains_key(id));
        // A threat without anything new to refer to is a case all the same.
        let mut parts: Vec<&[String]> = referred.chunks(MOST_CASE_OBJECTS).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let settings = self.convert_settings();
        let mut conversions = Vec::with_capacity(parts.len());
        for part in parts {
            let convert = |known: &Known| {
                let known = Known { note_id: note_id.clone(), ..known.clone() };
                convert_threat(&threat, part, &known, &settings)
            };
            let identity = event.identity.clone();
            let fixed =
                self.convert_as_fixed(event, &event.key, identity, Turn::default(), convert);
            conversions.push(fixed.await?);
        }
        let note_id = conversions.first().and_then(|conversion| conversion.note_id.clone());
        let delivered = Delivered {
            case_objects: [(referred, CaseStanding::Sent), (not_there, CaseStanding::LeftOut)]
                .into_iter()
                .filter(|(object_ids, _standing)| !object_ids.is_empty())
                .map(|(object_ids, standing)| CaseObjects {
                    threat_key: threat.id.clone(),
                    object_ids,
                    standing,
                })
                .collect(),
            remembered: note_id.map(|id| (note_name, id)),
            false_positive: None,
            remark: None,
        };
        Ok((conversions, delivered))
    }

    /// Threats name their rules, whose techniques only the rules themselves tell.
    async fn add_rule_tags(
        &self,
        event: &Event,
        threat: &mut Threat,
        deadline: &mut Deadline<'_>,
    ) -> Result<(), Outcome> {
        for rule in threat.rules.iter_mut().take(MOST_RULES) {
            let found = deadline.ask(self.enricher.rule_tags(rule)).await;
            // A console that is out of order is waited for once, not once a rule.
            let is_failure = matches!(found, Found::Failed(_));
            if let Settled::Known(tags) = self.settled(event, found, None)? {
                rule.tags.extend(tags);
            }
            if is_failure {
                break;
            }
        }
        Ok(())
    }
}
