//! Rules whose text OpenCTI refused: found in the errors of works, and left out of what is prepared.
//! Alerts of one rule that are under way when its first refusal becomes known each bring it once; the
//! later ones leave without it.
//!
//! Does not live here: keeping them (`journal`), taking a rule out of a bundle (`convert`).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use moka::{future::Cache, policy::EvictionPolicy};
use tracing::warn;

use crate::{
    journal::{EventId, Journal, JournalError, RefusedRule, RuleRefusal, WorkPart},
    opencti::{OpenCti, WorkError, WorkId},
};

/// Other works that are read to find out whether they refused an indicator.
const WORKS_READ: usize = 5;

/// Rules that are left out, by the ids of their indicators.
pub(super) type LeftOutRules = Arc<HashMap<String, RefusedRule>>;

/// The refused rules of the journal, read once a second for all consoles: another replica, the leader's
/// reading of works, a reset or a command may have changed them.
#[derive(Debug)]
pub struct RefusedRules(Cache<i64, LeftOutRules>);

impl Default for RefusedRules {
    fn default() -> Self {
        // The second that goes on, and the one before for those that still wait for it.
        Self(Cache::builder().max_capacity(2).eviction_policy(EvictionPolicy::lru()).build())
    }
}

impl RefusedRules {
    /// Returns the rules that are left out at `now`.
    pub(super) async fn left_out(
        &self,
        journal: &Journal,
        now: DateTime<Utc>,
    ) -> Result<LeftOutRules, Arc<JournalError>> {
        let reading = async {
            let rules = journal.left_out_rules(now).await?;
            let rules = rules.into_iter().map(|rule| (rule.indicator.clone(), rule));
            Ok(Arc::new(rules.collect::<HashMap<_, _>>()))
        };
        self.0.try_get_with(now.timestamp(), reading).await
    }
}

/// Errors of a work that was read, with what left in it.
#[derive(Clone, Copy)]
pub(super) struct ReadWork<'a> {
    pub(super) id: &'a str,
    /// Set when the import was started over since: the reset asks for its rules again.
    pub(super) was_reset: bool,
    pub(super) errors: &'a [WorkError],
    pub(super) parts: &'a [WorkPart],
}

/// Reads refused rules out of the errors of works.
pub(super) struct RefusedRuleReader<'a> {
    pub(super) journal: &'a Journal,
    pub(super) platform: &'a OpenCti,
    pub(super) now: DateTime<Utc>,
}

impl RefusedRuleReader<'_> {
    /// Keeps the rules that were refused in a work. Returns the objects of it that were refused only
    /// because something that they refer to was refused for good: they would be refused again.
    pub(super) async fn read(&self, work: ReadWork<'_>) -> Result<HashSet<String>, JournalError> {
        if !work.was_reset {
            for error in work.errors.iter().filter(|error| error.is_refused_pattern()) {
                if let Some(indicator) = indicator_of(error, &work) {
                    self.keep(&indicator, error, work.id, work.parts).await?;
                }
            }
        }
        if !work.errors.iter().any(WorkError::is_missing_reference) {
            return Ok(HashSet::new());
        }
        let rules = self.journal.left_out_rules(self.now).await?;
        let mut refused: HashSet<String> = rules.into_iter().map(|rule| rule.indicator).collect();
        for indicator in sent_elsewhere(&work, &refused) {
            if self.was_refused_elsewhere(&indicator, &work).await? {
                refused.insert(indicator);
            }
        }
        Ok(consequences(work.errors, &refused))
    }

    async fn keep(
        &self,
        indicator: &str,
        error: &WorkError,
        work: &str,
        parts: &[WorkPart],
    ) -> Result<(), JournalError> {
        let sent_it = |part: &&WorkPart| part.objects.iter().any(|object| object == indicator);
        let event: Option<EventId> = parts.iter().find(sent_it).map(|part| part.event);
        let refusal = RuleRefusal {
            indicator: indicator.to_owned(),
            name: error.name.clone().unwrap_or_default(),
            reason: error.reason.clone(),
            work: work.to_owned(),
            event,
            refused_at: error.at.map_or(self.now, |at| at.min(self.now)),
        };
        if let Some(rule) = self.journal.refuse_rule(&refusal).await? {
            metrics::counter!("rules_refused_by_opencti_total").increment(1);
            warn!(
                rule = rule.name,
                indicator,
                reason = rule.reason,
                left_out_until = %rule.left_out_until(),
                "OpenCTI refuses the text of a rule: its alerts leave without indicator and sighting until \
                 that date, until the text or OpenCTI's version changes, or until a reset or \
                 `dead-letters retry --rule` asks for it again"
            );
        }
        Ok(())
    }

    /// Returns whether an indicator that this work did not send, because it was queued by another one,
    /// was refused there. What left before has been imported or refused before.
    async fn was_refused_elsewhere(
        &self,
        indicator: &str,
        work: &ReadWork<'_>,
    ) -> Result<bool, JournalError> {
        for other in self.journal.works_with(indicator, work.id, WORKS_READ).await? {
            // What cannot be read now is read in its own turn.
            let Ok(Some(report)) = self.platform.read_work(&WorkId::remembered(&*other)).await
            else {
                continue;
            };
            let is_it = |error: &&WorkError| {
                error.object.as_deref() == Some(indicator) && error.is_refused_pattern()
            };
            if let Some(error) = report.errors.iter().find(is_it) {
                if !work.was_reset {
                    let parts = self.journal.parts_of_work(&other).await?;
                    self.keep(indicator, error, &other, &parts).await?;
                }
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the indicator that an error is about. OpenCTI does not repeat one whose text is too long:
/// then it is the only one of the work, or the only one that something else in it misses.
fn indicator_of(error: &WorkError, work: &ReadWork<'_>) -> Option<String> {
    if let Some(object) = &error.object {
        return Some(object.clone());
    }
    let sent = work.parts.iter().flat_map(|part| &part.objects);
    let sent: BTreeSet<&String> = sent.filter(|id| is_indicator(id)).collect();
    let named: HashSet<&String> =
        work.errors.iter().filter_map(|error| error.object.as_ref()).collect();
    let missed: HashSet<&String> = missing(work.errors).flat_map(|it| &it.refers_to).collect();
    let only = |ids: &mut dyn Iterator<Item = &&String>| {
        let first = ids.next().map(|id| (*id).clone());
        first.filter(|_| ids.next().is_none())
    };
    only(&mut sent.iter().filter(|id| missed.contains(**id) && !named.contains(**id)))
        .or_else(|| only(&mut sent.iter()))
}

/// Returns the indicators that something in the work misses, that the work did not send, and of which
/// nothing is known.
fn sent_elsewhere(work: &ReadWork<'_>, refused: &HashSet<String>) -> BTreeSet<String> {
    let sent: HashSet<&String> = work.parts.iter().flat_map(|part| &part.objects).collect();
    let missed = missing(work.errors).flat_map(|error| &error.refers_to);
    let of_others =
        missed.filter(|id| is_indicator(id) && !sent.contains(id) && !refused.contains(*id));
    of_others.cloned().collect()
}

fn is_indicator(id: &str) -> bool {
    id.starts_with("indicator--")
}

fn missing(errors: &[WorkError]) -> impl Iterator<Item = &WorkError> {
    errors.iter().filter(|error| error.is_missing_reference())
}

/// Returns whether the object refers to less when it leaves once more: a case, which leaves without the
/// indicators of refused rules.
fn leaves_without_it(id: &str) -> bool {
    id.starts_with("case-incident--")
}

/// Returns the objects that miss something which was refused for good, in this work or as one of
/// `refused`; and what misses those in turn. The order of the errors does not matter.
fn consequences(errors: &[WorkError], refused: &HashSet<String>) -> HashSet<String> {
    let for_good = errors.iter().filter(|error| error.is_final());
    let mut lost: HashSet<&String> =
        refused.iter().chain(for_good.filter_map(|error| error.object.as_ref())).collect();
    let mut consequences = HashSet::new();
    loop {
        let before = consequences.len();
        for error in missing(errors) {
            if let Some(object) = &error.object
                && !leaves_without_it(object)
                && error.refers_to.iter().any(|id| lost.contains(id))
            {
                consequences.insert(object.clone());
                lost.insert(object);
            }
        }
        if consequences.len() == before {
            return consequences;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: &str = "MISSING_REFERENCE_ERROR: Element(s) not found";
    const BAD_RULE: &str = "FUNCTIONAL_ERROR: Indicator of type sigma is not correctly formatted.";

    fn error(object: Option<&str>, refers_to: &[&str], reason: &str) -> WorkError {
        WorkError {
            object: object.map(str::to_owned),
            name: None,
            refers_to: refers_to.iter().map(|id| (*id).to_owned()).collect(),
            reason: reason.to_owned(),
            at: None,
        }
    }

    fn found(errors: &[WorkError], refused: &[&str]) -> Vec<String> {
        let refused = refused.iter().map(|id| (*id).to_owned()).collect();
        let mut found: Vec<String> = consequences(errors, &refused).into_iter().collect();
        found.sort();
        found
    }

    #[test]
    fn what_misses_something_refused_for_good_is_its_consequence_in_whatever_order_they_come() {
        let mut errors = vec![
            error(Some("note--1"), &["sighting--1"], MISSING),
            error(Some("sighting--1"), &["indicator--1", "identity--1"], MISSING),
            error(Some("relationship--1"), &["indicator--1", "incident--1"], MISSING),
            error(Some("relationship--2"), &["file--1", "incident--1"], MISSING),
            error(Some("relationship--3"), &["url--1", "incident--1"], MISSING),
            error(Some("indicator--1"), &["identity--author"], BAD_RULE),
            error(Some("case-incident--1"), &["indicator--1", "incident--1"], MISSING),
            error(Some("file--1"), &[], "LOCK_ERROR"),
            error(Some("url--1"), &[], "DATABASE_ERROR: nobody has seen this yet"),
        ];
        let expected = ["note--1", "relationship--1", "sighting--1"];
        let why = "the file and the URL may be there next time, and the case leaves without the indicator";
        assert_eq!(found(&errors, &[]), expected, "{why}");
        errors.reverse();
        assert_eq!(found(&errors, &[]), expected);
        errors.retain(|error| error.object.as_deref() != Some("indicator--1"));
        assert!(found(&errors, &[]).is_empty(), "nobody knows of a refusal");
        assert_eq!(found(&errors, &["indicator--1"]), expected, "another work tells");
    }

    #[test]
    fn a_refused_text_that_is_too_long_to_be_repeated_is_the_one_that_something_misses() {
        let part = |objects: &[&str]| WorkPart {
            event: 1,
            objects: objects.iter().map(|id| (*id).to_owned()).collect(),
        };
        let of = |errors: &[WorkError], parts: &[WorkPart]| {
            let work = ReadWork { id: "work_1", was_reset: false, errors, parts };
            indicator_of(&errors[0], &work)
        };
        let unnamed = error(None, &[], BAD_RULE);
        let two = [part(&["incident--1", "indicator--1"]), part(&["indicator--2"])];
        assert_eq!(of(std::slice::from_ref(&unnamed), &two[..1]).as_deref(), Some("indicator--1"));
        assert_eq!(of(std::slice::from_ref(&unnamed), &two), None, "one of two");
        let missing = error(Some("sighting--1"), &["indicator--2"], MISSING);
        assert_eq!(of(&[unnamed, missing], &two).as_deref(), Some("indicator--2"));
        assert!(error(None, &[], BAD_RULE).is_refused_pattern());
        assert!(!error(Some("url--1"), &[], BAD_RULE).is_refused_pattern());
        let observable = "FUNCTIONAL_ERROR: Observable is not correctly formatted";
        assert!(!error(None, &[], observable).is_refused_pattern());
    }
}
