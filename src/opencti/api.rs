//! The sink that leads to OpenCTI without RabbitMQ (`CONNECTOR_QUEUE_PROTOCOL=api`): whole bundles
//! are given to OpenCTI's API, which puts them on the connector's queue, where the platform's worker
//! splits them and announces their objects itself.
//!
//! A delivery is one work, closed at the end; nothing is announced to it, because the worker does
//! that. A platform older than 6.5.7 cannot be told the work and makes one of its own for each push.
//! The platform answers every kind of bad bundle, and a connector that it does not know, with the
//! same words; so on these the connector registers again, and tries once more, before a bundle
//! counts as refused.
//!
//! Does not live here: what is sent together (`api_load`), retries (`pipeline`).

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    api_load::{self, Load},
    client::OpenCti,
    error::OpenCtiError,
    operations::{STIX_BUNDLE_PUSH, STIX_BUNDLE_PUSH_WORK},
    platform::Feature,
    registration::Connector,
    sink::{Delivery, DeliveryError, Sink},
    work::{CONTINUED, WorkId, WorkOutcome},
    works::{NotOpened, Works},
};
use crate::{
    clock::Clock,
    journal::{Journal, WorkPart},
};

/// Largest request by default: OpenCTI takes bodies of 50 MB by its own default. In bytes.
pub const DEFAULT_MAX_BODY_BYTES: usize = 45_000_000;

/// Gives bundles to OpenCTI's API.
pub struct ApiSink {
    connector: Arc<Connector>,
    max_body_bytes: usize,
    works: Works,
}

#[derive(Deserialize)]
struct Pushed {
    #[serde(rename = "stixBundlePush")]
    taken: Option<bool>,
}

impl OpenCti {
    /// Gives a bundle to the platform, as part of `work` where it can be told. The platform has put
    /// it on the queue when it answers.
    pub(super) async fn push_bundle(
        &self,
        connector_id: &str,
        bundle: &str,
        work: Option<&WorkId>,
    ) -> Result<(), OpenCtiError> {
        let variables = json!({"connectorId": connector_id, "bundle": bundle});
        if let Some(work) = work.filter(|_| self.has(Feature::BundlePushWork)) {
            let mut variables = variables.clone();
            variables["work_id"] = json!(work.as_str());
            match self.call::<Pushed>(&STIX_BUNDLE_PUSH_WORK, variables).await {
                Err(error) if error.names_unknown_field() => self.refuse(Feature::BundlePushWork),
                answer => return taken(&answer?),
            }
        }
        taken(&self.call::<Pushed>(&STIX_BUNDLE_PUSH, variables).await?)
    }
}

fn taken(answer: &Pushed) -> Result<(), OpenCtiError> {
    if answer.taken == Some(true) {
        return Ok(());
    }
    Err(OpenCtiError::Other {
        operation: STIX_BUNDLE_PUSH.name,
        code: "no".to_owned(),
        message: "the bundle was not put on the queue".to_owned(),
    })
}

impl OpenCtiError {
    /// Returns whether the platform says that the bundle is not one it can take: also its words for a
    /// connector that it does not know.
    fn is_invalid_bundle(&self) -> bool {
        matches!(self, Self::Other { message, .. } if message.contains("Invalid bundle"))
    }
}

/// The outcome of a delivery so far.
struct Progress {
    work: Option<WorkId>,
    results: Vec<Result<(), DeliveryError>>,
    /// Pushes that the platform holds, or may hold.
    may_have_arrived: usize,
    /// The reason for which nothing more is sent.
    trouble: Option<String>,
    registered_again: bool,
}

impl ApiSink {
    /// For this connector; a request is at most `max_body_bytes` long. Nothing is sent yet.
    pub fn new(connector: Arc<Connector>, max_body_bytes: usize) -> Self {
        let works = Works::new(Arc::clone(&connector));
        Self { connector, max_body_bytes, works }
    }

    /// Notes every work in `journal`.
    #[must_use]
    pub fn noting_works(mut self, journal: Journal, clock: Clock) -> Self {
        self.works.note_in(journal, clock);
        self
    }

    /// Registers if need be and opens the work; a connector that was deleted in OpenCTI is
    /// registered again at once. `None` where the platform cannot be told a work.
    async fn open(&self, delivery: &Delivery) -> Result<Option<WorkId>, String> {
        let registering = async || self.connector.registration().await.map_err(|e| e.to_string());
        let registration = registering().await?;
        if !self.connector.platform().has(Feature::BundlePushWork) {
            return Ok(None);
        }
        let parts = parts(delivery);
        let opened = match self.works.open(&delivery.title, &parts).await {
            Err(NotOpened::ConnectorUnknown) => {
                self.connector.forget(&registration);
                registering().await?;
                self.works.open(&delivery.title, &parts).await
            }
            opened => opened,
        };
        opened.map(Some).map_err(|reason| match reason {
            NotOpened::ConnectorUnknown => OpenCtiError::ConnectorUnknown.to_string(),
            NotOpened::Unavailable(reason) => reason,
        })
    }

    /// Pushes a load; one that is refused, or of which not all may leave any more, is pushed again
    /// bundle by bundle, so that one bundle does not take others with it.
    async fn push(&self, load: &Load, delivery: &Delivery, progress: &mut Progress) {
        let outcome = self.push_once(load, delivery, progress).await;
        let is_of_one =
            matches!(outcome, Err(DeliveryError::Refused(_) | DeliveryError::LeaseLost));
        if load.members.len() > 1 && is_of_one {
            for single in api_load::apart(load, &delivery.bundles, self.max_body_bytes) {
                let outcome = match &progress.trouble {
                    Some(reason) => Err(DeliveryError::Unavailable(reason.clone())),
                    None => self.push_once(&single, delivery, progress).await,
                };
                progress.results[single.members[0]] = outcome;
            }
            return;
        }
        for &member in &load.members {
            progress.results[member].clone_from(&outcome);
        }
    }

    async fn push_once(
        &self,
        load: &Load,
        delivery: &Delivery,
        progress: &mut Progress,
    ) -> Result<(), DeliveryError> {
        let connector_id = &self.connector.settings().id;
        let text = load.text();
        loop {
            if !load.members.iter().all(|member| delivery.may_leave(*member)) {
                return Err(DeliveryError::LeaseLost);
            }
            let work = progress.work.as_ref();
            let pushed = self.connector.platform().push_bundle(connector_id, &text, work).await;
            let error = match pushed {
                Ok(()) => {
                    progress.may_have_arrived += 1;
                    metrics::counter!("api_bundles_total").increment(1);
                    metrics::counter!("api_objects_total").increment(load.objects() as u64);
                    return Ok(());
                }
                Err(error) => error,
            };
            let may_be_unknown =
                error.is_invalid_bundle() || matches!(error, OpenCtiError::ConnectorUnknown);
            if may_be_unknown && !progress.registered_again {
                progress.registered_again = true;
                if let Err(error) = self.register_again().await {
                    progress.trouble = Some(error.to_string());
                    return Err(DeliveryError::Unavailable(error.to_string()));
                }
                continue;
            }
            if error.is_invalid_bundle() || matches!(error, OpenCtiError::TooLarge { .. }) {
                return Err(DeliveryError::Refused(error.to_string()));
            }
            if matches!(error, OpenCtiError::Unreachable { .. }) {
                // The answer may be what was lost.
                progress.may_have_arrived += 1;
            }
            progress.trouble = Some(error.to_string());
            return Err(DeliveryError::Unavailable(error.to_string()));
        }
    }

    async fn register_again(&self) -> Result<(), OpenCtiError> {
        let registration = self.connector.registration().await?;
        self.connector.forget(&registration);
        self.connector.registration().await.map(drop)
    }

    /// Closes the work, or deletes it when nothing came of it. A failure here does not undo what
    /// the platform has.
    async fn close(&self, delivery: &Delivery, progress: &Progress) {
        let Some(work) = &progress.work else { return };
        let knows_works = self.connector.platform().has(Feature::BundlePushWork);
        match &progress.trouble {
            _ if progress.may_have_arrived == 0 || !knows_works => self.works.delete(work).await,
            None => self.works.close(work, &delivery.summary, WorkOutcome::Published).await,
            Some(reason) => {
                let message = format!("interrupted, the rest {CONTINUED}: {reason}");
                self.works.close(work, &message, WorkOutcome::Interrupted).await;
            }
        }
    }
}

/// Returns what leaves of each sender.
fn parts(delivery: &Delivery) -> Vec<WorkPart> {
    let id = |object: &Map<String, Value>| object.get("id")?.as_str().map(str::to_owned);
    let bundles = delivery.senders.iter().zip(&delivery.bundles);
    bundles
        .map(|(&event, bundle)| WorkPart {
            event,
            objects: bundle.objects.iter().filter_map(id).collect(),
        })
        .collect()
}

#[async_trait]
impl Sink for ApiSink {
    fn name(&self) -> &'static str {
        "api"
    }

    fn opens_works(&self) -> bool {
        true
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        let bundles = &delivery.bundles;
        let packed = api_load::pack(bundles, self.max_body_bytes);
        let mut results = vec![Ok(()); bundles.len()];
        for (position, refusal) in packed.refused {
            results[position] = Err(refusal);
        }
        if packed.loads.is_empty() {
            return results;
        }
        let (work, trouble) = match self.open(delivery).await {
            Ok(work) => (work, None),
            Err(reason) => (None, Some(reason)),
        };
        let mut progress =
            Progress { work, results, may_have_arrived: 0, trouble, registered_again: false };
        for load in &packed.loads {
            if let Some(reason) = &progress.trouble {
                for &member in &load.members {
                    progress.results[member] = Err(DeliveryError::Unavailable(reason.clone()));
                }
            } else {
                self.push(load, delivery, &mut progress).await;
            }
        }
        self.close(delivery, &progress).await;
        progress.results
    }
}
