//! The sink that puts objects into S3, one a bundle, with the content and the names of files in a
//! folder. `Ok` when the server has answered that it stored the object.
//!
//! The address of S3 is told by OpenCTI at registration, unless the settings do. Old objects are removed only
//! when they are ours by name, and only now and then: looking for them costs more than a delivery.
//!
//! Does not live here: the requests (`s3_bucket`), what stands in an object (`transfer`).

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use super::{
    registration::{Connector, Registration},
    s3_bucket::{S3Bucket, S3Error},
    sink::{Delivery, DeliveryError, Sink},
    transfer::{self, Carrier, FileNames},
};
use crate::{
    clock::Clock,
    config::{ConnectorSettings, S3Settings},
    outbound::ServerTrust,
    stix::Bundle,
};

/// Objects put at the same time.
const AT_ONCE: usize = 8;

/// Time between two looks for old objects.
const CLEAN_EVERY: TimeDelta = TimeDelta::hours(1);

/// Time between two registrations that are asked for because S3 refuses: the platform may tell other
/// keys by now, but each registration anew costs the queue what it knew.
const ASK_EVERY: TimeDelta = TimeDelta::hours(1);

/// Puts bundles into S3.
pub struct S3Sink {
    connector: Arc<Connector>,
    settings: S3Settings,
    trust: ServerTrust,
    clock: Clock,
    names: FileNames,
    cleaned: Mutex<Option<DateTime<Utc>>>,
    asked: Mutex<Option<DateTime<Utc>>>,
    current: Mutex<Option<(Arc<Registration>, Arc<S3Bucket>)>>,
}

impl S3Sink {
    /// For this connector, on a server that `trust` covers. Nothing is sent yet.
    pub fn new(
        connector: Arc<Connector>,
        settings: S3Settings,
        trust: ServerTrust,
        clock: Clock,
    ) -> Self {
        let names = FileNames::new(&connector.settings().name, clock.clone());
        let (cleaned, asked, current) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { connector, settings, trust, clock, names, cleaned, asked, current }
    }

    /// The bucket of the registration in force.
    async fn bucket(&self) -> Result<(Arc<Registration>, Arc<S3Bucket>), DeliveryError> {
        let unavailable = |reason: String| DeliveryError::Unavailable(reason);
        let registration =
            self.connector.registration().await.map_err(|error| unavailable(error.to_string()))?;
        let mut current = self.current.lock();
        if let Some((of, bucket)) = &*current
            && Arc::ptr_eq(of, &registration)
        {
            return Ok((registration, Arc::clone(bucket)));
        }
        let told = registration.s3.as_ref();
        let bucket = S3Bucket::new(&self.settings, told, &self.trust, self.clock.clone())
            .map_err(|error| unavailable(error.to_string()))?;
        let bucket = Arc::new(bucket);
        *current = Some((Arc::clone(&registration), Arc::clone(&bucket)));
        Ok((registration, bucket))
    }

    fn content(&self, bundle: &Bundle, registration: &Registration) -> Vec<u8> {
        let settings: &ConnectorSettings = self.connector.settings();
        let applicant = registration.connector_user_id.as_deref();
        transfer::content(Carrier::S3, settings, bundle, applicant).to_string().into_bytes()
    }

    /// The key under which something of this name lies.
    fn key(&self, name: &str) -> String {
        match self.settings.folder.as_str() {
            "" => name.to_owned(),
            folder => format!("{folder}/{name}"),
        }
    }

    /// Removes old objects of ours, if it is time. That it fails stops no delivery.
    async fn clean(&self, bucket: &S3Bucket) {
        let now = self.clock.now();
        {
            let mut cleaned = self.cleaned.lock();
            if self.settings.retention_days == 0
                || cleaned.is_some_and(|last| now - last < CLEAN_EVERY)
            {
                return;
            }
            *cleaned = Some(now);
        }
        let limit = now - TimeDelta::days(i64::from(self.settings.retention_days));
        if let Err(error) = self.remove_older(bucket, limit).await {
            tracing::warn!(%error, "old objects were not removed from S3");
        }
    }

    /// Lets the platform tell again where S3 is and who we are there, now and then.
    fn ask_again(&self, registration: &Arc<Registration>) {
        let now = self.clock.now();
        let mut asked = self.asked.lock();
        if asked.is_none_or(|last| now - last >= ASK_EVERY) {
            *asked = Some(now);
            self.connector.forget(registration);
        }
    }

    async fn remove_older(&self, bucket: &S3Bucket, limit: DateTime<Utc>) -> Result<(), S3Error> {
        let folder = self.key("");
        for object in bucket.list(&self.key(self.names.prefix())).await? {
            let name = object.key.strip_prefix(&folder).unwrap_or_default();
            if object.changed < limit && self.names.is_ours(name) {
                bucket.remove(&object.key).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for S3Sink {
    fn name(&self) -> &'static str {
        "s3"
    }

    async fn deliver(&self, delivery: &Delivery) -> Vec<Result<(), DeliveryError>> {
        let (registration, bucket) = match self.bucket().await {
            Ok(found) => found,
            Err(error) => return vec![Err(error); delivery.bundles.len()],
        };
        // Whoever does not answer one request is asked no other.
        let unreachable = &OnceLock::<String>::new();
        let puts: Vec<_> = delivery
            .bundles
            .iter()
            .enumerate()
            .map(|(position, bundle)| {
                let (key, content) =
                    (self.key(&self.names.next()), self.content(bundle, &registration));
                let bucket = Arc::clone(&bucket);
                async move {
                    if !delivery.may_leave(position) {
                        return Err(DeliveryError::LeaseLost);
                    }
                    if let Some(reason) = unreachable.get() {
                        return Err(DeliveryError::Unavailable(reason.clone()));
                    }
                    let put = bucket.put(&key, content).await;
                    if let Err(error @ S3Error::Unreachable { .. }) = &put {
                        let _first = unreachable.set(error.to_string());
                    }
                    Ok(put)
                }
            })
            .collect();
        let results: Vec<_> = stream::iter(puts).buffered(AT_ONCE).collect().await;
        let is_told = |result: &Result<Result<(), S3Error>, DeliveryError>| match result {
            Ok(Err(S3Error::Answer { status, .. })) => status.is_client_error(),
            _ => false,
        };
        if registration.s3.is_some() && results.iter().any(is_told) {
            self.ask_again(&registration);
        }
        if unreachable.get().is_none() {
            self.clean(&bucket).await;
        }
        results
            .into_iter()
            .map(|result| {
                result?.map_err(|error| match error {
                    S3Error::TooLarge { .. } => DeliveryError::Refused(error.to_string()),
                    error => DeliveryError::Unavailable(error.to_string()),
                })
            })
            .collect()
    }
}
