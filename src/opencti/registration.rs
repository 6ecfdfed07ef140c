//! Registration: telling the platform that this connector exists, and learning from its answer
//! where the queue is.
//!
//! [`Connector`] registers when that is first needed, so that OpenCTI may be down when we start,
//! and again when somebody found the registration stale (queue or connector deleted in OpenCTI,
//! broker moved). It never unregisters: that would delete the queue with what waits in it.
//!
//! Does not live here: the connection to the broker (`broker`), the heartbeat (`heartbeat`).

use std::sync::Arc;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use super::{
    client::OpenCti,
    error::OpenCtiError,
    hidden::secret,
    operations::{REGISTER_CONNECTOR, REGISTER_CONNECTOR_S3},
    platform::Feature,
};
use crate::config::{ConnectorSettings, MqOverrides};

/// The platform's answer at registration.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The user that the token belongs to: everything is imported with this user's rights.
    /// `applicant_id` of every message.
    pub connector_user_id: Option<String>,
    /// The state that the platform keeps for us; `None` for a new connector and after a reset.
    pub state: Option<Value>,
    /// The way to the broker.
    pub connection: BrokerConnection,
    /// Exchange that bundles are published to.
    pub push_exchange: String,
    /// Routing key that leads to our queue.
    pub push_routing: String,
    /// The way to the platform's S3 server; asked for only by who sends there.
    pub s3: Option<S3Connection>,
}

/// The way to the platform's S3 server.
#[derive(Debug, Clone, Deserialize)]
pub struct S3Connection {
    /// Host name or address.
    pub endpoint: String,
    /// Port.
    pub port: u16,
    /// True where the connection is encrypted.
    pub use_ssl: bool,
    /// The platform's bucket.
    pub bucket_name: String,
    /// Its region.
    pub bucket_region: String,
    /// Access key.
    #[serde(deserialize_with = "secret")]
    pub access_key: SecretString,
    /// Its secret key.
    #[serde(deserialize_with = "secret")]
    pub secret_key: SecretString,
}

/// The way to RabbitMQ.
#[derive(Debug, Clone, Deserialize)]
pub struct BrokerConnection {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Virtual host.
    pub vhost: String,
    /// True where the connection is encrypted.
    pub use_ssl: bool,
    /// User.
    pub user: String,
    /// Password.
    #[serde(deserialize_with = "secret")]
    pub pass: SecretString,
}

impl BrokerConnection {
    /// With the operator's `MQ_*` in place of what the platform answers, field by field.
    #[must_use]
    pub fn with_overrides(self, overrides: &MqOverrides) -> Self {
        Self {
            host: overrides.host.clone().unwrap_or(self.host),
            port: overrides.port.unwrap_or(self.port),
            vhost: overrides.vhost.clone().unwrap_or(self.vhost),
            use_ssl: overrides.use_ssl.unwrap_or(self.use_ssl),
            user: overrides.user.clone().unwrap_or(self.user),
            pass: overrides.pass.clone().unwrap_or(self.pass),
        }
    }
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "registerConnector")]
    connector: Registered,
}

#[derive(Deserialize)]
struct Registered {
    connector_state: Option<String>,
    connector_user_id: Option<String>,
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    connection: BrokerConnection,
    push_exchange: String,
    push_routing: String,
    #[serde(default)]
    s3: Option<S3Connection>,
}

impl OpenCti {
    /// Registers the connector. Harmless when it is registered already; the platform makes its
    /// queue again when it is gone.
    pub async fn register(
        &self,
        connector: &ConnectorSettings,
    ) -> Result<Registration, OpenCtiError> {
        self.version().await?;
        let answer = loop {
            let resolves = self.has(Feature::EnrichmentResolution);
            // Its answer holds keys: not for who has no use for them.
            let asks_s3 = connector.sending.s3.is_some() && self.has(Feature::S3Connection);
            let operation = if asks_s3 { &REGISTER_CONNECTOR_S3 } else { &REGISTER_CONNECTOR };
            let variables = input(connector, resolves.then_some("none"));
            match self.call::<Data>(operation, variables).await {
                Err(error) if error.names_unknown_field() && asks_s3 && names_s3(&error) => {
                    self.refuse(Feature::S3Connection);
                }
                Err(error) if error.names_unknown_field() && resolves => {
                    self.refuse(Feature::EnrichmentResolution);
                }
                answer => break answer,
            }
        };
        let Registered { connector_state, connector_user_id, config } = answer?.connector;
        Ok(Registration {
            connector_user_id,
            state: parse_state(connector_state.as_deref()),
            connection: config.connection,
            push_exchange: config.push_exchange,
            push_routing: config.push_routing,
            s3: config.s3,
        })
    }
}

/// Returns whether it is the S3 server that the platform knows nothing of.
fn names_s3(error: &OpenCtiError) -> bool {
    matches!(error, OpenCtiError::Validation { message, .. }
        if message.contains("s3") || message.contains("S3"))
}

/// Fields that every platform knows, and `enrichment_resolution` where it is known: left out
/// otherwise, because an unknown field is refused even when it is null.
fn input(connector: &ConnectorSettings, enrichment_resolution: Option<&str>) -> Value {
    let mut input = json!({
        "id": connector.id,
        "name": connector.name,
        "type": CONNECTOR_TYPE,
        "scope": connector.scope,
        "auto": false,
        "only_contextual": false,
        "playbook_compatible": false,
    });
    if let Some(resolution) = enrichment_resolution {
        input["enrichment_resolution"] = json!(resolution);
    }
    json!({ "input": input })
}

/// The kind of connector this is. `CONNECTOR_TYPE` cannot change it.
pub(super) const CONNECTOR_TYPE: &str = "EXTERNAL_IMPORT";

/// The state as the platform keeps it: absent, empty, the text `null`, or JSON. Text that is not
/// JSON is taken for none: somebody else wrote it.
pub(super) fn parse_state(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(text?).ok().filter(|state: &Value| !state.is_null())
}

/// Our connector on the platform, registered when needed.
#[derive(Debug)]
pub struct Connector {
    platform: OpenCti,
    settings: ConnectorSettings,
    /// Held while registering, so that many waiting deliveries register once.
    registering: Mutex<()>,
    current: watch::Sender<Option<Arc<Registration>>>,
}

impl Connector {
    /// A connector that is not registered yet.
    pub fn new(platform: OpenCti, settings: ConnectorSettings) -> Self {
        Self { platform, settings, registering: Mutex::new(()), current: watch::Sender::new(None) }
    }

    /// The platform that it belongs to.
    pub fn platform(&self) -> &OpenCti {
        &self.platform
    }

    /// Its settings.
    pub fn settings(&self) -> &ConnectorSettings {
        &self.settings
    }

    /// The registration in force; registers when there is none.
    pub async fn registration(&self) -> Result<Arc<Registration>, OpenCtiError> {
        let _only_one = self.registering.lock().await;
        let current = self.current.borrow().clone();
        if let Some(registration) = current {
            return Ok(registration);
        }
        let registration = Arc::new(self.platform.register(&self.settings).await?);
        tracing::info!(connector_id = %self.settings.id, "registered with OpenCTI");
        self.current.send_replace(Some(registration.clone()));
        Ok(registration)
    }

    /// Drops `stale`, so that the next one who needs a registration makes a new one. Does nothing
    /// when somebody else replaced it meanwhile.
    pub fn forget(&self, stale: &Arc<Registration>) {
        self.current.send_if_modified(|current| {
            let is_current = current.as_ref().is_some_and(|current| Arc::ptr_eq(current, stale));
            if is_current {
                *current = None;
            }
            is_current
        });
    }

    /// Follows the registrations as they come and go.
    pub fn registrations(&self) -> watch::Receiver<Option<Arc<Registration>>> {
        self.current.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn overrides_replace_the_answered_connection_field_by_field_and_hide_the_password() {
        let answered: BrokerConnection = serde_json::from_value(json!({
            "host": "rabbitmq", "port": 5672, "vhost": "/", "use_ssl": false,
            "user": "opencti", "pass": "from-the-platform",
        }))
        .unwrap();
        let overrides = MqOverrides {
            host: Some("broker.example".to_owned()),
            pass: Some(SecretString::from("from-the-operator")),
            ..MqOverrides::default()
        };
        let connection = answered.with_overrides(&overrides);
        assert_eq!((connection.host.as_str(), connection.port), ("broker.example", 5672));
        assert_eq!(connection.pass.expose_secret(), "from-the-operator");
        assert!(!format!("{connection:?}").contains("from-the-"), "{connection:?}");
    }

    #[test]
    fn a_state_is_read_leniently() {
        for text in [None, Some(""), Some("null"), Some("not json")] {
            assert_eq!(parse_state(text), None, "{text:?}");
        }
        assert_eq!(parse_state(Some("{\"a\": 1}")), Some(json!({"a": 1})));
    }
}
