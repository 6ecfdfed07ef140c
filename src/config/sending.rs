//! How bundles reach OpenCTI besides its plain queue: by its API, by way of S3, as drafts. Plain
//! data, a part of the connector's settings.

use secrecy::SecretString;

/// The sending modes of `CONNECTOR_*` and `S3_*`.
#[derive(Debug, Clone, Default)]
pub struct SendingSettings {
    /// `CONNECTOR_QUEUE_PROTOCOL`, or the older `QUEUE_PROTOCOL`.
    pub protocol: QueueProtocol,
    /// `CONNECTOR_SEND_TO_S3…`; `None` when off.
    pub s3: Option<S3Settings>,
    /// `CONNECTOR_VALIDATE_BEFORE_IMPORT`.
    pub approval: Approval,
    /// `CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT`: the highest confidence, 0–100, of the account's
    /// imports (`…_CONFIDENCE_LEVEL`); `None`: the token's own user is used.
    pub service_account_confidence: Option<u8>,
}

/// How bundles reach the connector's queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueProtocol {
    /// Published to RabbitMQ.
    #[default]
    Amqp,
    /// Given to OpenCTI's API, which puts them on the queue: for who cannot reach RabbitMQ.
    Api,
}

/// Whether a person looks at what comes before it is part of the knowledge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Approval {
    /// It is imported at once.
    #[default]
    NotNeeded,
    /// It waits in a draft until somebody approves it.
    ByDraft,
}

impl Approval {
    /// As other connectors write it into the files that they send.
    pub fn is_needed(self) -> bool {
        self == Self::ByDraft
    }
}

/// Where objects go in S3. Each of the `S3_*` overrides what registration answers.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// `CONNECTOR_SEND_TO_S3_BUCKET`.
    pub bucket: Option<String>,
    /// `CONNECTOR_SEND_TO_S3_FOLDER`, without a slash at its ends; empty: the bucket's root.
    pub folder: String,
    /// `CONNECTOR_SEND_TO_S3_RETENTION`: objects of ours older than this many days are removed;
    /// zero keeps them.
    pub retention_days: u32,
    /// `S3_ENDPOINT`: host name or address.
    pub endpoint: Option<String>,
    /// `S3_PORT`.
    pub port: Option<u16>,
    /// `S3_USE_SSL`.
    pub use_ssl: Option<bool>,
    /// `S3_BUCKET_REGION`.
    pub region: Option<String>,
    /// `S3_ACCESS_KEY`.
    pub access_key: Option<SecretString>,
    /// `S3_SECRET_KEY`.
    pub secret_key: Option<SecretString>,
}
