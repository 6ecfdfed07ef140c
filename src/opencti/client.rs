//! The client of a platform: each call is made as the service account if there is to be one, and counted.
//!
//! It does not retry: a failed delivery waits in the journal, a failed heartbeat has its next turn.
//! Does not live here: a single call (`graphql`), what is asked (`operations` and the files that use them).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    error::OpenCtiError,
    graphql::{About, GraphQl},
    operations::{HEALTH_CHECK, Operation},
    platform::{Feature, Version},
    service_account::{self, AccountStanding, ServiceAccount},
};
use crate::{config::OpenCtiSettings, outbound::ServerTrust};

/// A client of one OpenCTI platform. Cheap to clone; clones share connections and what is known
/// about the platform.
#[derive(Debug, Clone)]
pub struct OpenCti(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    graphql: GraphQl,
    account: Option<Account>,
}

/// The account that requests are sent as, with its token as it is sent, once there is one.
#[derive(Debug)]
struct Account {
    wanted: ServiceAccount,
    authorization: tokio::sync::Mutex<Option<HeaderValue>>,
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
        let graphql = GraphQl::new(settings)?;
        Ok(Self(Arc::new(Inner { graphql, account })))
    }

    /// From now on requests carry the token of these settings.
    ///
    /// # Errors
    /// [`OpenCtiError::Header`] when it cannot be sent; the one before stays.
    pub fn replace_token(&self, settings: &OpenCtiSettings) -> Result<(), OpenCtiError> {
        self.0.graphql.replace_token(settings)
    }

    /// The platform's version; also the check of address and token. `None` when the platform
    /// answers something that is not a version.
    pub async fn version(&self) -> Result<Option<Version>, OpenCtiError> {
        let data: About = self.call(&HEALTH_CHECK, json!({})).await?;
        Ok(self.0.graphql.learn(data))
    }

    /// The servers that the client trusts.
    pub fn trust(&self) -> &ServerTrust {
        self.0.graphql.trust()
    }

    /// The error of a caller that waits no longer for an answer of this platform.
    pub fn no_answer_within(&self, wait: Duration) -> OpenCtiError {
        OpenCtiError::no_answer_within(self.0.graphql.host(), wait)
    }

    /// Returns whether the platform has a feature, as far as is known.
    pub fn has(&self, feature: Feature) -> bool {
        self.0.graphql.has(feature)
    }

    /// Returns the version that the platform answered last; `None` before it answered one.
    pub fn known_version(&self) -> Option<Version> {
        self.0.graphql.with_features(|features| features.version())
    }

    /// Remembers that the platform refused a feature.
    pub(super) fn refuse(&self, feature: Feature) {
        tracing::warn!(
            ?feature,
            "OpenCTI refused a feature that its version should have; going on without it"
        );
        self.0.graphql.with_features(|features| features.refuse(feature));
    }

    /// Sends incidents without properties of our own from now on.
    pub fn leave_out_custom_properties(&self) {
        if self.has(Feature::CustomProperties) {
            tracing::warn!(
                "a custom field of OpenCTI refused a property x_harfanglab_… of an incident: incidents go \
                 without these properties until the service restarts; give the field the values that \
                 HarfangLab uses as its options, or set HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES=off"
            );
            self.0.graphql.with_features(|features| features.refuse(Feature::CustomProperties));
        }
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
            return self.0.graphql.send(operation, variables, None).await;
        };
        let used = self.authorization(account).await?;
        match self.0.graphql.send(operation, variables.clone(), Some(used.clone())).await {
            // Somebody revoked it, or another of us made a new one.
            Err(OpenCtiError::BadToken) => {
                let mut current = account.authorization.lock().await;
                if current.as_ref() == Some(&used) {
                    *current = None;
                }
                drop(current);
                let renewed = self.authorization(account).await?;
                self.0.graphql.send(operation, variables, Some(renewed)).await
            }
            answer => answer,
        }
    }

    /// Looks what is there of an account, with the configured (the administrator's) token, and changes
    /// nothing. The platform's version must be known.
    ///
    /// # Errors
    /// Fails also when the account is missing and could not be made.
    pub async fn look_for_account(
        &self,
        account: &ServiceAccount,
    ) -> Result<AccountStanding, OpenCtiError> {
        service_account::look(&self.0.graphql, account).await
    }

    /// Returns the service account's token as it is sent; makes it when there is none.
    async fn authorization(&self, account: &Account) -> Result<HeaderValue, OpenCtiError> {
        let mut current = account.authorization.lock().await;
        if let Some(known) = &*current {
            return Ok(known.clone());
        }
        // Which kind of token the platform knows hangs on its version.
        self.0.graphql.learn_version().await?;
        let token = service_account::token(&self.0.graphql, &account.wanted).await?;
        let value = format!("Bearer {}", token.expose_secret());
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| OpenCtiError::Header("the service account's token".to_owned()))?;
        value.set_sensitive(true);
        *current = Some(value.clone());
        Ok(value)
    }
}
