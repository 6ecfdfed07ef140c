//! The typed settings every other room takes. Plain data: where a value came from and what is
//! wrong with it is the loader's business.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use super::{console::ConsoleSettings, sending::SendingSettings};
use crate::alert::element::MaxValues;

/// Everything the service can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `opencti:`; `None` only for `demo`, which has no platform.
    pub opencti: Option<OpenCtiSettings>,
    /// `connector:`.
    pub connector: ConnectorSettings,
    /// `mq:`: overrides of the broker connection that registration answers.
    pub mq: MqOverrides,
    /// `consoles:`; empty where one console is configured by the fields below, which with several
    /// are those of the first.
    pub consoles: Vec<ConsoleSettings>,
    /// The console's REST API.
    pub harfanglab: HarfangLabSettings,
    /// What is imported and how it is named, marked and scored.
    pub import: ImportSettings,
    /// The endpoint that HarfangLab posts to.
    pub webhook: WebhookSettings,
    /// `…_SYSLOG_…`; `None`: nothing is listened to.
    pub syslog: Option<SyslogSettings>,
    /// `…_ELASTIC_PULL`: whether the queue of the console's Elastic connector is read.
    pub elastic_pull: bool,
    /// The durable store.
    pub journal: JournalSettings,
    /// Concurrency and retries between journal and OpenCTI.
    pub pipeline: PipelineSettings,
    /// How long the console is asked for what a notification does not say.
    pub enrichment: EnrichmentSettings,
    /// `HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN`: status page, health and metrics; loopback
    /// by default.
    pub management_listen: SocketAddr,
    /// `HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS`: names under which it answers beside addresses and names
    /// of this network, in small letters without a dot at their end.
    pub management_hosts: Vec<String>,
    /// `HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN`: what the status page asks for before it shows texts of
    /// alerts or changes anything; `None`: it does neither.
    pub management_token: Option<SecretString>,
    /// `CONNECTOR_EXPOSE_METRICS`: metrics under the names of Python connectors; `None`: off.
    pub connector_metrics: Option<ConnectorMetricsSettings>,
}

/// `CONNECTOR_METRICS_…`: where Python connectors serve their metrics, and what they call them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorMetricsSettings {
    /// `CONNECTOR_METRICS_PORT`, on every address; 0: one that is free.
    pub port: u16,
    /// What every name begins with: `CONNECTOR_METRICS_NAMESPACE` and `…_SUBSYSTEM`, each that is
    /// set with an underscore behind it.
    pub prefix: String,
}

/// How the certificate of a remote server is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsVerification {
    /// By the system's certificate authorities.
    System,
    /// By these certificate authorities (PEM file) and the system's.
    CaFile(PathBuf),
    /// By these certificate authorities (PEM text) and the system's.
    CaPem(String),
    /// Not at all.
    Off,
}

/// `opencti:` / `OPENCTI_*`.
#[derive(Debug, Clone)]
pub struct OpenCtiSettings {
    /// `OPENCTI_URL`, with any base path, without `/graphql`.
    pub url: Url,
    /// `OPENCTI_TOKEN`.
    pub token: SecretString,
    /// `OPENCTI_TOKEN_FILE`, where the token came from one; it is read again when it changes.
    pub token_file: Option<PathBuf>,
    /// `OPENCTI_SSL_VERIFY`: ours is on by default, the peer's was off.
    pub tls: TlsVerification,
    /// `OPENCTI_CUSTOM_HEADERS`, as `name:value;name2:value2`.
    pub custom_headers: Vec<(String, SecretString)>,
}

/// `connector:` / `CONNECTOR_*`.
#[derive(Debug, Clone)]
pub struct ConnectorSettings {
    /// `CONNECTOR_ID`.
    pub id: String,
    /// `CONNECTOR_NAME`: also the author of every object.
    pub name: String,
    /// `CONNECTOR_SCOPE`, split on commas and trimmed.
    pub scope: Vec<String>,
    /// `CONNECTOR_LOG_LEVEL` as a tracing level name (`error`, `warn`, `info`, `debug`, `trace`).
    pub log_level: String,
    /// `OPENCTI_JSON_LOGGING`.
    pub json_logging: bool,
    /// `CONNECTOR_DURATION_PERIOD`: time between two sweeps. Zero: one sweep, then stop, as
    /// `run_and_terminate`.
    pub duration_period: Duration,
    /// `CONNECTOR_RUN_AND_TERMINATE`.
    pub run_and_terminate: bool,
    /// `CONNECTOR_QUEUE_THRESHOLD` in megabytes (10^6 bytes).
    pub queue_threshold_mb: f64,
    /// `CONNECTOR_SEND_TO_QUEUE`.
    pub send_to_queue: bool,
    /// `CONNECTOR_SEND_TO_DIRECTORY…`; `None` when off.
    pub directory: Option<DirectorySettings>,
    /// How bundles reach OpenCTI besides its plain queue.
    pub sending: SendingSettings,
}

impl ConnectorSettings {
    /// Whether the service sweeps once, delivers what it found, and ends.
    pub fn runs_once(&self) -> bool {
        self.run_and_terminate || self.duration_period.is_zero()
    }
}

/// `CONNECTOR_SEND_TO_DIRECTORY_PATH`, `…_RETENTION` and `HARFANGLAB_INCIDENTS_DIRECTORY_MODE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySettings {
    /// Where the files go.
    pub path: PathBuf,
    /// Files of ours older than this many days are removed; zero keeps them.
    pub retention_days: u32,
    /// The mode of the files, as the system counts it: `0o640` for `0640`.
    pub mode: u32,
}

/// `mq:` / `MQ_*`: each field overrides what registration answers.
#[derive(Debug, Clone, Default)]
pub struct MqOverrides {
    /// `MQ_HOST`.
    pub host: Option<String>,
    /// `MQ_PORT`.
    pub port: Option<u16>,
    /// `MQ_VHOST`.
    pub vhost: Option<String>,
    /// `MQ_USE_SSL`.
    pub use_ssl: Option<bool>,
    /// `MQ_USER`.
    pub user: Option<String>,
    /// `MQ_PASS`.
    pub pass: Option<SecretString>,
    /// `MQ_USE_SSL_CA`: PEM text or path.
    pub ssl_ca: Option<String>,
    /// `MQ_USE_SSL_CERT`: PEM text or path.
    pub ssl_cert: Option<String>,
    /// `MQ_USE_SSL_KEY`: PEM text or path.
    pub ssl_key: Option<SecretString>,
    /// `MQ_USE_SSL_PASSPHRASE`: opens the key when it is encrypted.
    pub ssl_passphrase: Option<SecretString>,
    /// `MQ_USE_SSL_REJECT_UNAUTHORIZED`.
    pub verification: BrokerVerification,
}

/// Whether the broker's certificate is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BrokerVerification {
    /// Authority and host name must be right.
    #[default]
    On,
    /// Any certificate is taken.
    Off,
}

/// The console: `HARFANGLAB_INCIDENTS_URL`, `…_TOKEN`, `…_SSL_VERIFY` and our limits.
#[derive(Debug, Clone)]
pub struct HarfangLabSettings {
    /// Base URL, port and base path kept, no trailing slash needed.
    pub url: Url,
    /// API token, without any `Token ` prefix.
    pub token: SecretString,
    /// Certificate check.
    pub tls: TlsVerification,
    /// Most requests a second (`…_API_RATE`).
    pub requests_per_second: u32,
    /// Most requests at once (`…_API_CONCURRENCY`).
    pub concurrency: usize,
    /// Longest a single request may take (`…_API_TIMEOUT`).
    pub request_timeout: Duration,
    /// Most values that are built of an alert, a threat or an answer's item (`…_MAX_VALUES`).
    pub max_values: MaxValues,
}

/// What is imported, and with which name, marking and score.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// `…_IMPORT_THREATS`.
    pub threats: bool,
    /// The operator's filter, applied once, after the journal.
    pub filter: AlertFilter,
    /// `…_DEFAULT_MARKING`.
    pub marking: Marking,
    /// `…_DEFAULT_SCORE`, 0–100.
    pub score: Option<u8>,
    /// `…_IMPORT_START_DATE`: where the first sweep begins.
    pub start: StartDate,
    /// `…_INCIDENT_NAME`; `None`: the journal's remembered choice, else title.
    pub naming: Option<IncidentNaming>,
    /// `…_ACCOUNT_IDENTITY`.
    pub accounts: AccountIdentity,
    /// `…_ATTACH_RAW`.
    pub raw: RawAttachment,
    /// `…_CUSTOM_PROPERTIES`.
    pub custom_properties: CustomProperties,
    /// `…_WORKFLOW_STATUSES`: HarfangLab status → id or name of a status of OpenCTI's workflow of
    /// incidents.
    pub workflow: BTreeMap<String, String>,
    /// `…_SWEEP_OVERLAP`: how far before its cursor a sweep begins.
    pub overlap: Duration,
}

/// A date at which an import begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartDate {
    /// This one.
    At(DateTime<Utc>),
    /// So long before the sweep that asks.
    Ago(TimeDelta),
}

impl StartDate {
    /// Returns the date as a sweep at `now` takes it.
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(date) => date,
            Self::Ago(length) => now.checked_sub_signed(length).unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

/// Levels of an alert, from the least to the most severe.
pub const ALERT_LEVELS: [&str; 5] = ["informational", "low", "medium", "high", "critical"];

/// Which alerts are imported. An empty list lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// `…_ALERT_STATUSES` in lower case; empty: every one.
    pub statuses: Vec<String>,
    /// `…_ALERT_TYPES` in lower case; empty: every one.
    pub types: Vec<String>,
    /// `…_ALERT_MATURITIES` in lower case; an alert that names no maturity passes.
    pub maturities: Vec<String>,
    /// `…_ALERT_MIN_LEVEL`, one of [`ALERT_LEVELS`]; an alert of no known level passes.
    pub min_level: Option<String>,
}

/// A TLP marking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marking {
    /// `TLP:CLEAR` (also read from `TLP:WHITE`).
    Clear,
    /// `TLP:GREEN`.
    Green,
    /// `TLP:AMBER`.
    Amber,
    /// `TLP:AMBER+STRICT`.
    AmberStrict,
    /// `TLP:RED`.
    Red,
}

/// How incidents are named (`…_INCIDENT_NAME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentNaming {
    /// `<rule or IOC> on <host>`.
    Title,
    /// `<whole message> on <host>`, as the Python connector did.
    Message,
}

/// What identifies a user account (`…_ACCOUNT_IDENTITY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountIdentity {
    /// Its login alone, as the Python connector and others send it.
    Login,
    /// Login, SID and type.
    Sid,
}

/// Whether the alert's own text goes along (`…_ATTACH_RAW`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawAttachment {
    /// No.
    None,
    /// As a note on the incident.
    Note,
}

/// Says until when incidents carry properties of our own for custom fields (`…_CUSTOM_PROPERTIES`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomProperties {
    /// Until a custom field refuses one.
    Auto,
    /// Never.
    Off,
}

/// The endpoint.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// `…_LISTEN`.
    pub listen: SocketAddr,
    /// `…_WEBHOOK_PATH`.
    pub path: String,
    /// `…_WEBHOOK_AUTH`: any one of these that verifies lets a delivery in.
    pub schemes: Vec<WebhookScheme>,
    /// `…_WEBHOOK_SECRET`: several are valid at once; none keeps the endpoint closed.
    pub secrets: Vec<SecretString>,
    /// `…_WEBHOOK_HEADER`: header of the static secret, and of the HMAC unless `hmac_header` is set.
    pub header: String,
    /// `…_WEBHOOK_HMAC_HEADER`.
    pub hmac_header: Option<String>,
    /// `…_WEBHOOK_HMAC_ENCODING`.
    pub hmac_encoding: HmacEncoding,
    /// `…_WEBHOOK_HMAC_PREFIX`: removed from the header's value when it is there.
    pub hmac_prefix: String,
    /// `…_WEBHOOK_TOLERANCE`: how old or how far ahead a signed timestamp may be.
    pub tolerance: Duration,
    /// `…_WEBHOOK_MAX_BODY`: bytes.
    pub max_body_bytes: usize,
    /// `…_WEBHOOK_MAX_IN_FLIGHT`: requests at once; above it 429.
    pub max_in_flight: usize,
    /// `…_WEBHOOK_MAX_CONNECTIONS`: connections at once.
    pub max_connections: usize,
    /// `…_WEBHOOK_MAX_CONNECTIONS_PER_ADDRESS`: of these, from one address that is no trusted proxy.
    pub max_connections_per_address: usize,
    /// `…_WEBHOOK_SECRET_FILE`: where `secrets` were read from, and are read again when it changes;
    /// `None` when they were given another way.
    pub secret_file: Option<PathBuf>,
    /// Who may post at all, and how often in vain.
    pub access: AccessSettings,
    /// `…_WEBHOOK_TLS_…`; `None`: plain HTTP, for a proxy in front.
    pub tls: Option<EndpointTls>,
}

/// Who may post to the endpoint, whatever secret he has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// `…_WEBHOOK_ALLOWED_NETWORKS`: where deliveries may come from; empty: from anywhere.
    pub allowed_networks: Vec<IpNet>,
    /// `…_WEBHOOK_TRUSTED_PROXIES`: whose word is taken for whom a request came from.
    pub trusted_proxies: Vec<IpNet>,
    /// `…_WEBHOOK_MAX_FAILURES`: deliveries a minute that one address may fail to have verified.
    pub max_failures_per_minute: u32,
}

/// Where HarfangLab's syslog connector speaks to us.
#[derive(Debug, Clone)]
pub struct SyslogSettings {
    /// `…_SYSLOG_LISTEN`.
    pub listen: SocketAddr,
    /// `…_SYSLOG_TOKEN`: what the structured data has to hold, several are valid at once; none: it
    /// is not looked at.
    pub tokens: Vec<SecretString>,
    /// `…_SYSLOG_TOKEN_FILE`: where `tokens` were read from, and are read again when it changes.
    pub token_file: Option<PathBuf>,
    /// `…_SYSLOG_TOKEN_ID`: the element of the structured data that holds the token.
    pub token_id: String,
    /// `…_SYSLOG_TOKEN_NAME`: the parameter in it.
    pub token_name: String,
    /// `…_SYSLOG_ALLOWED_NETWORKS`: where messages may come from; empty: from anywhere.
    pub allowed_networks: Vec<IpNet>,
    /// `…_SYSLOG_TLS_…`; `None`: plain TCP.
    pub tls: Option<EndpointTls>,
    /// `…_SYSLOG_MAX_FRAME`: bytes of one message with its header.
    pub max_frame_bytes: usize,
    /// `…_SYSLOG_MAX_CONNECTIONS`: connections at once.
    pub max_connections: usize,
    /// `…_SYSLOG_MAX_CONNECTIONS_PER_ADDRESS`: of these, from one address.
    pub max_connections_per_address: usize,
    /// `…_SYSLOG_IDLE_TIMEOUT`: how long a connection may be silent.
    pub idle_timeout: Duration,
}

/// A listener's own TLS. Paths of PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTls {
    /// `…_TLS_CERT`: the certificate and what it was issued by.
    pub certificate: PathBuf,
    /// `…_TLS_KEY`: its key, unencrypted.
    pub key: PathBuf,
    /// `…_TLS_CLIENT_CA`: authorities one of which must have issued the client's
    /// certificate; `None`: clients need none.
    pub client_authorities: Option<PathBuf>,
}

/// How a delivery proves where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookScheme {
    /// A static secret in a header, compared verbatim.
    Header,
    /// HMAC-SHA256 over the raw body.
    Hmac,
    /// Standard Webhooks 1.0.0.
    StandardWebhooks,
}

/// How an HMAC is written in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacEncoding {
    /// Hexadecimal, either case.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// The durable store.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// `…_JOURNAL_URL`: `sqlite:<path>`, or `postgres://…` without its password.
    pub url: String,
    /// `…_JOURNAL_PASSWORD`, or that of the URL.
    pub password: Option<SecretString>,
    /// `…_JOURNAL_CONNECTIONS`: connections to PostgreSQL at most.
    pub connections: u32,
    /// `…_JOURNAL_QUEUE`: deliveries that may wait for a commit at once; above it 503.
    pub queue: usize,
    /// `…_JOURNAL_RETENTION`: how long texts of finished events are kept; zero: for ever.
    pub retention: Duration,
    /// `…_JOURNAL_RETENTION_DEAD`: how long dead letters are kept; zero: for ever.
    pub retention_dead: Duration,
    /// `…_JOURNAL_SAMPLES`: notifications of an unknown kind that are kept a shape and day.
    pub samples: usize,
    /// `…_JOURNAL_SAMPLE_SHAPES`: shapes of which samples are kept a day.
    pub sample_shapes: usize,
    /// `…_JOURNAL_MAX_SIZE`: bytes in use above which nothing is accepted; zero: no bound.
    pub max_size_bytes: u64,
    /// `…_JOURNAL_MIN_FREE`: free bytes of its disk below which nothing is accepted; zero: no bound.
    pub min_free_bytes: u64,
}

/// Between journal and OpenCTI.
#[derive(Debug, Clone)]
pub struct PipelineSettings {
    /// `…_CONCURRENCY`: alerts enriched and converted at once.
    pub concurrency: usize,
    /// `…_BATCH`: events claimed, and delivered as one work, at once.
    pub batch: usize,
    /// `…_LEASE`: after this long an unfinished claim is given to another worker.
    pub lease: Duration,
    /// `…_RETRY_MAX`: longest wait between two tries of one event.
    pub retry_max: Duration,
    /// `…_RESEND_AFTER`: how long what many alerts share is not sent again; zero: always sent.
    pub resend_after: Duration,
}

/// Asking the console for what a notification does not say.
#[derive(Debug, Clone)]
pub struct EnrichmentSettings {
    /// `…_ENRICHMENT_WAIT`: how long an alert that the console does not show yet is held back,
    /// once, before it leaves with what is known.
    pub first_wait: Duration,
    /// `…_ENRICHMENT_TIME`: how long the console goes on being asked afterwards; then the sweep
    /// completes the alert.
    pub time: Duration,
    /// `…_WEBHOOK_CONFIRM`: whether a pushed alert is only imported once the console shows it.
    pub confirm: bool,
}
