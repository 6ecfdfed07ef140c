//! The GraphQL client: one POST a call, with the token and the configured headers.
//!
//! It does not retry: a failed delivery waits in the journal, a failed heartbeat has its next turn.
//! Does not live here: what is asked (`operations` and the files that use them).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;

use super::{
    error::OpenCtiError,
    operations::{HEALTH_CHECK, Operation},
    platform::{Feature, Features, Version},
    service_account::{self, ServiceAccount},
};
use crate::{config::OpenCtiSettings, outbound};

/// Longest a single call may take. The calls we make are small; a platform that needs longer is
/// as good as down.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Longest answer that is read. Ours are a few hundred bytes, a connector's state included.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// A client of one OpenCTI platform. Cheap to clone; clones share connections and what is known
/// about the platform.
#[derive(Debug, Clone)]
pub struct OpenCti(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    endpoint: Url,
    headers: ArcSwap<HeaderMap>,
    account: Option<Account>,
    features: Mutex<Features>,
}

/// The account that requests are sent as, with its token as it is sent, once there is one.
#[derive(Debug)]
struct Account {
    wanted: ServiceAccount,
    authorization: tokio::sync::Mutex<Option<HeaderValue>>,
}

#[derive(Deserialize)]
struct About {
    about: Option<AppInfo>,
}

#[derive(Deserialize)]
struct AppInfo {
    version: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Value,
    #[serde(default)]
    errors: Vec<Value>,
}

impl OpenCti {
    /// A client for the platform that the settings name. Nothing is sent yet.
    pub fn new(settings: &OpenCtiSettings) -> Result<Self, OpenCtiError> {
        Self::build(settings, None)
    }

    /// As [`OpenCti::new`], with a service account that is made by the settings' token, which must
    /// be an administrator's, when first needed; all that follows is sent with its token.
    pub fn with_service_account(
        settings: &OpenCtiSettings,
        wanted: ServiceAccount,
    ) -> Result<Self, OpenCtiError> {
        let authorization = tokio::sync::Mutex::default();
        Self::build(settings, Some(Account { wanted, authorization }))
    }

    fn build(settings: &OpenCtiSettings, account: Option<Account>) -> Result<Self, OpenCtiError> {
        Ok(Self(Arc::new(Inner {
            account,
            http: outbound::client(&settings.tls, CALL_TIMEOUT)?,
            endpoint: endpoint(&settings.url),
            headers: ArcSwap::from_pointee(headers(settings)?),
            features: Mutex::new(Features::of(None)),
        })))
    }

    /// From now on requests carry the token of these settings.
    ///
    /// # Errors
    /// [`OpenCtiError::Header`] when it cannot be sent; the one before stays.
    pub fn replace_token(&self, settings: &OpenCtiSettings) -> Result<(), OpenCtiError> {
        self.0.headers.store(Arc::new(headers(settings)?));
        Ok(())
    }

    /// The platform's version; also the check of address and token. `None` when the platform
    /// answers something that is not a version.
    pub async fn version(&self) -> Result<Option<Version>, OpenCtiError> {
        let data: About = self.call(&HEALTH_CHECK, json!({})).await?;
        Ok(self.learn(data))
    }

    fn learn(&self, data: About) -> Option<Version> {
        let version = data.about.and_then(|about| about.version.parse().ok());
        self.with_features(|features| features.update(version));
        version
    }

    /// The error of a caller that waits no longer for an answer of this platform.
    pub fn no_answer_within(&self, wait: Duration) -> OpenCtiError {
        let reason = format!("no answer within {} s", wait.as_secs());
        OpenCtiError::Unreachable { host: self.host(), reason }
    }

    /// Whether the platform has a feature, as far as is known.
    pub fn has(&self, feature: Feature) -> bool {
        self.with_features(|features| features.has(feature))
    }

    /// Returns the version that the platform answered last; `None` before it answered one.
    pub fn known_version(&self) -> Option<Version> {
        self.with_features(|features| features.version())
    }

    /// Remembers that the platform refused a feature.
    pub(super) fn refuse(&self, feature: Feature) {
        tracing::warn!(
            ?feature,
            "OpenCTI refused a feature that its version should have; going on without it"
        );
        self.with_features(|features| features.refuse(feature));
    }

    /// Sends incidents without properties of our own from now on.
    pub fn leave_out_custom_properties(&self) {
        if self.has(Feature::CustomProperties) {
            tracing::warn!(
                "a custom field of OpenCTI refused a property x_harfanglab_… of an incident: incidents go \
                 without these properties until the service restarts; give the field the values that \
                 HarfangLab uses as its options, or set HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES=off"
            );
            self.with_features(|features| features.refuse(Feature::CustomProperties));
        }
    }

    fn with_features<R>(&self, work: impl FnOnce(&mut Features) -> R) -> R {
        // A panic while it was held cannot have left it half-written.
        work(&mut self.0.features.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends an operation, as the service account if there is to be one, and reads its `data`.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        variables: Value,
    ) -> Result<T, OpenCtiError> {
        let began = Instant::now();
        let answer = self.ask(operation, variables).await;
        metrics::histogram!("opencti_request_seconds").record(began.elapsed());
        let outcome = answer.as_ref().map_or_else(OpenCtiError::outcome, |_data| "ok");
        metrics::counter!("opencti_requests_total", "outcome" => outcome).increment(1);
        answer
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        variables: Value,
    ) -> Result<T, OpenCtiError> {
        let Some(account) = &self.0.account else {
            return self.send(operation, variables, None).await;
        };
        let used = self.authorization(account).await?;
        match self.send(operation, variables.clone(), Some(used.clone())).await {
            // Somebody revoked it, or another of us made a new one.
            Err(OpenCtiError::BadToken) => {
                let mut current = account.authorization.lock().await;
                if current.as_ref() == Some(&used) {
                    *current = None;
                }
                drop(current);
                let renewed = self.authorization(account).await?;
                self.send(operation, variables, Some(renewed)).await
            }
            answer => answer,
        }
    }

    /// Sends an operation with the configured token, whoever we are else.
    pub(super) async fn administrate<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        variables: Value,
    ) -> Result<T, OpenCtiError> {
        self.send(operation, variables, None).await
    }

    /// The service account's token as it is sent; makes it when there is none.
    async fn authorization(&self, account: &Account) -> Result<HeaderValue, OpenCtiError> {
        let mut current = account.authorization.lock().await;
        if let Some(known) = &*current {
            return Ok(known.clone());
        }
        // Which kind of token the platform knows hangs on its version.
        let data: About = self.administrate(&HEALTH_CHECK, json!({})).await?;
        self.learn(data);
        let token = service_account::token(self, &account.wanted).await?;
        let value = format!("Bearer {}", token.expose_secret());
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| OpenCtiError::Header("the service account's token".to_owned()))?;
        value.set_sensitive(true);
        *current = Some(value.clone());
        Ok(value)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        variables: Value,
        authorization: Option<HeaderValue>,
    ) -> Result<T, OpenCtiError> {
        let mut headers = (**self.0.headers.load()).clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let unreachable = |error| OpenCtiError::unreachable(&self.host(), error);
        let response = self
            .0
            .http
            .post(self.0.endpoint.clone())
            .headers(headers)
            .json(&json!({"query": operation.document, "variables": variables}))
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let body = read(response).await.map_err(unreachable)?;
        // Errors that GraphQL itself found may come with a status of their own.
        let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
            let text = String::from_utf8_lossy(&body);
            return Err(OpenCtiError::from_status(operation.name, status, &text));
        };
        if let Some(error) = answer.errors.first() {
            return Err(OpenCtiError::from_graphql(operation.name, error));
        }
        if answer.data.is_null() {
            let text = String::from_utf8_lossy(&body);
            return Err(OpenCtiError::from_status(operation.name, status, &text));
        }
        serde_json::from_value(answer.data).map_err(|error| OpenCtiError::Other {
            operation: operation.name,
            code: "in an unexpected form".to_owned(),
            message: error.to_string(),
        })
    }

    /// Host and port, for messages.
    fn host(&self) -> String {
        let host = self.0.endpoint.host_str().unwrap_or_default();
        match self.0.endpoint.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

/// Reads an answer up to the limit; what is cut off there is no JSON any more and fails as such.
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            body.truncate(MAX_ANSWER_BYTES);
            break;
        }
    }
    Ok(body)
}

/// The platform may sit under a base path, which is kept. Credentials in the address are not: the
/// token takes their place in the request, and they would show wherever the address is printed.
fn endpoint(url: &Url) -> Url {
    let mut endpoint = url.clone();
    // Fails only for addresses without a host, which cannot carry credentials.
    let _ = endpoint.set_username("");
    let _ = endpoint.set_password(None);
    endpoint.set_path(&format!("{}/graphql", url.path().trim_end_matches('/')));
    endpoint
}

/// Token first, then the configured headers, which may overwrite it.
fn headers(settings: &OpenCtiSettings) -> Result<HeaderMap, OpenCtiError> {
    let secret = |name: &str, value: &str| {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| OpenCtiError::Header(format!("the value of {name}")))?;
        value.set_sensitive(true);
        Ok::<_, OpenCtiError>(value)
    };
    let bearer = SecretString::from(format!("Bearer {}", settings.token.expose_secret()));
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, secret("OPENCTI_TOKEN", bearer.expose_secret())?);
    for (name, value) in &settings.custom_headers {
        let header = name
            .parse::<HeaderName>()
            .map_err(|_| OpenCtiError::Header(format!("the name {name:?}")))?;
        headers.insert(header, secret(name, value.expose_secret())?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_keeps_a_base_path_and_never_doubles_a_slash() {
        for (url, expected) in [
            ("https://opencti.example", "https://opencti.example/graphql"),
            ("https://opencti.example/", "https://opencti.example/graphql"),
            ("http://opencti:8080/base/", "http://opencti:8080/base/graphql"),
            ("http://user:pass@opencti", "http://opencti/graphql"),
        ] {
            assert_eq!(endpoint(&url.parse().unwrap()).as_str(), expected);
        }
    }
}
