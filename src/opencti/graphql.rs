//! One GraphQL call: a POST with the token and the configured headers, and what its answer means.
//!
//! Does not live here: the account that calls are made as (`client`), what is asked (`operations`).

use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use url::Url;

use super::{
    error::OpenCtiError,
    operations::{HEALTH_CHECK, Operation},
    platform::{Feature, Features, Version},
};
use crate::{
    config::OpenCtiSettings,
    outbound::{self, ServerTrust},
};

/// Longest a single call may take. The calls we make are small; a platform that needs longer is
/// as good as down.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Longest answer that is read. Ours are a few hundred bytes, a connector's state included.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// The way to a platform, and what is known about it.
#[derive(Debug)]
pub(super) struct GraphQl {
    http: reqwest::Client,
    trust: ServerTrust,
    endpoint: Url,
    headers: ArcSwap<HeaderMap>,
    features: Mutex<Features>,
}

#[derive(Deserialize)]
pub(super) struct About {
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

impl GraphQl {
    /// Calls the platform that the settings name. Nothing is sent yet.
    pub(super) fn new(settings: &OpenCtiSettings) -> Result<Self, OpenCtiError> {
        let trust = ServerTrust::new(&settings.tls)?;
        Ok(Self {
            http: outbound::client(&trust, CALL_TIMEOUT)?,
            trust,
            endpoint: endpoint(&settings.url),
            headers: ArcSwap::from_pointee(headers(settings)?),
            features: Mutex::new(Features::of(None)),
        })
    }

    /// Sends the token of these settings from now on.
    pub(super) fn replace_token(&self, settings: &OpenCtiSettings) -> Result<(), OpenCtiError> {
        self.headers.store(std::sync::Arc::new(headers(settings)?));
        Ok(())
    }

    /// The servers that the client trusts.
    pub(super) fn trust(&self) -> &ServerTrust {
        &self.trust
    }

    /// Remembers the version in an answer to [`HEALTH_CHECK`].
    pub(super) fn learn(&self, data: About) -> Option<Version> {
        let version = data.about.and_then(|about| about.version.parse().ok());
        self.with_features(|features| features.update(version));
        version
    }

    /// Returns whether the platform has a feature, as far as is known.
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.with_features(|features| features.has(feature))
    }

    pub(super) fn with_features<R>(&self, work: impl FnOnce(&mut Features) -> R) -> R {
        work(&mut self.features.lock())
    }

    /// Asks for the version, with the configured token.
    pub(super) async fn learn_version(&self) -> Result<(), OpenCtiError> {
        self.learn(self.send(&HEALTH_CHECK, json!({}), None).await?);
        Ok(())
    }

    /// Sends an operation with this `Authorization`, else with the configured token, and reads its `data`.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        operation: &Operation,
        variables: Value,
        authorization: Option<HeaderValue>,
    ) -> Result<T, OpenCtiError> {
        let mut headers = (**self.headers.load()).clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let unreachable = |error| OpenCtiError::unreachable(&self.host(), error);
        let response = self
            .http
            .post(self.endpoint.clone())
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

    /// Returns host and port, for messages.
    pub(super) fn host(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or_default();
        match self.endpoint.port() {
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
