//! Sightings of false positives: the last look at them before they leave; and on platforms before 7,
//! which take the flag from the bundle that makes the sighting and never change it by bundle
//! afterwards, setting it on the sighting itself once that can be read back.
//!
//! The platform merges sightings, so what counts is the newest delivery for indicator and system, as
//! it does from 7 on; what that says of all merged alerts together is the conversion's.
//!
//! Does not live here: asking OpenCTI (`opencti`), keeping what is to be done (`journal`), when this
//! runs (`deliver`, `afterwards`).

use std::{borrow::Borrow, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tracing::{info, warn};

use super::prepare::Ready;
use crate::{
    alert::MergedSightings,
    clock::Clock,
    journal::{DueFlag, Journal, JournalError, SightingFlag},
    opencti::{DeliveryError, Feature, Negative, OpenCti, OpenCtiError},
    stix::Bundle,
};

/// Time after which a delivered sighting is looked for first: a bundle is imported within some ten seconds.
const FIRST_LOOK: TimeDelta = TimeDelta::seconds(20);
/// Time after which a sighting is looked for again for which OpenCTI could not be asked.
const AFTER_AN_OUTAGE: TimeDelta = TimeDelta::seconds(60);
/// Longest wait between two tries.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(6);
/// Tries: the last one is about two days after the first.
const MOST_TRIES: u32 = 18;
/// Flags handled in one round.
const FLAGS_A_ROUND: usize = 20;

/// The way by which OpenCTI learns that a sighting is one of a false positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NegativeSightings {
    /// By the bundle, as from 7 on.
    ByBundle,
    /// By an edit afterwards.
    ByEdit,
}

impl NegativeSightings {
    /// Takes note of the sightings in confirmed bundles.
    pub(super) async fn note<'a>(
        self,
        confirmed: impl Iterator<Item = &'a Arc<Bundle>>,
        journal: &Journal,
        now: DateTime<Utc>,
    ) {
        if self == Self::ByBundle {
            return;
        }
        let flags: Vec<SightingFlag> =
            confirmed.flat_map(|bundle| &bundle.objects).filter_map(flag).collect();
        if flags.is_empty() {
            return;
        }
        if let Err(failure) = journal.note_sightings(&flags, now + FIRST_LOOK).await {
            warn!(%failure, "the journal could not note which sightings are false positives");
        }
    }
}

fn flag(object: &Map<String, Value>) -> Option<SightingFlag> {
    if !is_sighting(object) {
        return None;
    }
    let text = |key: &str| object.get(key)?.as_str();
    let sighted_by = object.get("where_sighted_refs")?.get(0)?.as_str()?;
    Some(SightingFlag {
        sighting: text("id")?.to_owned(),
        sighting_of: text("sighting_of_ref")?.to_owned(),
        sighted_by: sighted_by.to_owned(),
        seen_at: text("first_seen")?.parse().ok()?,
        negative: is_negative(object),
    })
}

/// Looks again, just before a batch leaves, whether its false positives are still alone: an alert
/// that says otherwise may have been prepared at the same time. What leaves beside it is seen by
/// `look_again`.
pub(super) async fn take_back(batch: &mut [Ready], journal: &Journal) {
    for ready in batch {
        let Some((key, sighted)) = &ready.delivered.false_positive else { continue };
        match journal.note_sighting(key, sighted).await {
            Ok(MergedSightings::Harmless) => {}
            Ok(MergedSightings::Real) => {
                let bundles = ready.bundles.iter_mut().map(Arc::make_mut);
                let objects = bundles.flat_map(|bundle| &mut bundle.objects);
                objects.filter(|object| is_sighting(object)).for_each(|object| {
                    object.insert("x_opencti_negative".to_owned(), Value::Bool(false));
                });
            }
            Err(failure) => warn!(
                %failure,
                "the journal cannot say whether a false positive is one of other alerts, too; its \
                 sighting leaves as it was prepared"
            ),
        }
    }
}

/// Looks once more after the batch was taken: another batch, or another replica, may have sent meanwhile
/// what says otherwise, and this one took it back. Then the event leaves again. One that is noted after this look
/// leaves after it, too.
pub(super) async fn look_again(
    batch: &[impl Borrow<Ready>],
    results: &mut [Result<(), DeliveryError>],
    journal: &Journal,
) {
    for (ready, result) in batch.iter().map(Borrow::borrow).zip(results) {
        let Some((key, sighted)) = &ready.delivered.false_positive else { continue };
        let objects = ready.bundles.iter().flat_map(|bundle| &bundle.objects);
        let left_negative = objects.filter(|object| is_sighting(object)).any(is_negative);
        if result.is_err() || !left_negative {
            continue;
        }
        let reason = match journal.note_sighting(key, sighted).await {
            Ok(MergedSightings::Harmless) => continue,
            Ok(MergedSightings::Real) => {
                "another alert of the same sighting left at the same time and is no false positive"
                    .to_owned()
            }
            Err(failure) => failure.to_string(),
        };
        info!(reason, "the sighting of a false positive leaves once more");
        *result = Err(DeliveryError::Unavailable(reason));
    }
}

fn is_negative(object: &Map<String, Value>) -> bool {
    object.get("x_opencti_negative") == Some(&Value::Bool(true))
}

fn is_sighting(object: &Map<String, Value>) -> bool {
    object.get("type").and_then(Value::as_str) == Some("sighting")
}

/// Sets what is to be set.
pub(super) struct FalsePositives {
    pub(super) journal: Journal,
    pub(super) platform: OpenCti,
    pub(super) clock: Clock,
}

impl FalsePositives {
    /// Handles the flags that are due.
    pub(super) async fn round(&self) -> Result<(), JournalError> {
        for due in self.journal.flags_due(FLAGS_A_ROUND, self.clock.now()).await? {
            // After an upgrade the bundles do it.
            if self.platform.has(Feature::NegativeByBundle) {
                self.journal.flag_shown(&due.flag).await?;
                continue;
            }
            match self.set(&due.flag).await {
                Ok(true) => self.journal.flag_shown(&due.flag).await?,
                Ok(false) => self.try_again(&due, "it is not in OpenCTI yet").await?,
                // An outage is waited for and not counted; this one makes room for the others, should
                // it be the only one that is not answered for.
                Err(error) if error.is_outage() => {
                    let at = self.clock.now() + AFTER_AN_OUTAGE;
                    return self.journal.postpone_flag(&due.flag, at).await;
                }
                Err(error) => self.try_again(&due, &error.to_string()).await?,
            }
        }
        Ok(())
    }

    /// Returns whether OpenCTI shows the flag now; `false` when the sighting is not there.
    async fn set(&self, flag: &SightingFlag) -> Result<bool, OpenCtiError> {
        let between = (flag.sighting_of.as_str(), flag.sighted_by.as_str());
        let found = self.platform.find_sighting(&flag.sighting, between, flag.seen_at).await?;
        let Some(sighting) = found else {
            return Ok(false);
        };
        if sighting.is_negative() != flag.negative {
            let negative =
                if flag.negative { Negative::FalsePositive } else { Negative::NotFalsePositive };
            self.platform.set_negative(&sighting, negative).await?;
            metrics::counter!("sightings_flagged_total").increment(1);
            info!(
                sighting = flag.sighting,
                false_positive = flag.negative,
                "a sighting in OpenCTI was changed after an analyst's verdict in HarfangLab"
            );
        }
        Ok(true)
    }

    async fn try_again(&self, due: &DueFlag, reason: &str) -> Result<(), JournalError> {
        let wait = FIRST_LOOK * 2_i32.saturating_pow(due.tries.min(11));
        let at = (due.tries + 1 < MOST_TRIES).then(|| self.clock.now() + wait.min(LONGEST_WAIT));
        if at.is_none() {
            warn!(
                sighting = due.flag.sighting,
                false_positive = due.flag.negative,
                reason,
                "the verdict on a sighting could not be carried to OpenCTI; set it there by hand"
            );
        }
        self.journal.flag_again(&due.flag, at).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        alert::Sighted,
        intake::Origin,
        journal::{Claim, SqliteDatabase},
        pipeline::prepare::Delivered,
    };

    fn sighted(is_false_positive: bool) -> Sighted {
        Sighted {
            indicator_id: "indicator--1".to_owned(),
            place_id: "identity--1".to_owned(),
            first_seen: DateTime::UNIX_EPOCH,
            last_seen: DateTime::UNIX_EPOCH,
            is_false_positive,
        }
    }

    fn ready() -> Ready {
        let sighting =
            json!({ "type": "sighting", "id": "sighting--1", "x_opencti_negative": true });
        let objects = vec![sighting.as_object().unwrap().clone()];
        Ready {
            claim: Claim { event: 1, attempt: 1, fence: 1 },
            origin: Origin::Push,
            happened_at: DateTime::UNIX_EPOCH,
            received_at: DateTime::UNIX_EPOCH,
            title: "title".to_owned(),
            root_id: "incident--1".to_owned(),
            bundles: vec![Arc::new(Bundle { id: "bundle--1".to_owned(), objects })],
            follow_up: None,
            delivered: Delivered {
                false_positive: Some(("verdict".to_owned(), sighted(true))),
                ..Delivered::default()
            },
        }
    }

    #[tokio::test]
    async fn a_verdict_that_another_replica_overtook_leaves_once_more_as_what_it_is() {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("journal.db").display());
        let journal =
            Journal::new(SqliteDatabase::open(&url).await.unwrap(), "https://console.example");
        let (mut batch, mut results) = ([ready()], [Ok(())]);
        take_back(&mut batch, &journal).await;
        look_again(&batch, &mut results, &journal).await;
        assert_eq!(results, [Ok(())], "nobody says otherwise");

        // Another replica prepares and sends it after our last look and before we have sent.
        take_back(&mut batch, &journal).await;
        journal.note_sighting("real", &sighted(false)).await.unwrap();
        look_again(&batch, &mut results, &journal).await;
        assert!(matches!(results, [Err(DeliveryError::Unavailable(_))]), "{results:?}");

        results = [Ok(())];
        take_back(&mut batch, &journal).await;
        assert!(!batch[0].bundles[0].objects.iter().any(is_negative));
        look_again(&batch, &mut results, &journal).await;
        assert_eq!(results, [Ok(())], "it left as what it is");
    }
}
