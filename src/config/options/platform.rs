//! The options that every OpenCTI connector knows: `opencti`, `connector`, `mq` and `s3`, with the
//! names and meanings of the Python connectors (pycti 6.4 to 7.x).
//!
//! Those that we do not honour are listed too: what would change where data goes is refused rather
//! than overlooked, what only concerns other kinds of connector is accepted and does nothing.

use super::{OptionSpec, environment_only, idle, list, options, plain, secret};

const NO_SERVICE_ACCOUNT: &str = "this version creates no service account: create the user and \
    its token in OpenCTI and set this to false";
const NO_API_QUEUE: &str = "this version sends through RabbitMQ only: set this to amqp";
const NO_S3: &str = "this version does not send to S3: set this to false, or send to a directory \
    with CONNECTOR_SEND_TO_DIRECTORY=true";
const NO_VALIDATION: &str = "this version does not make drafts: set this to false";
const METRICS_ELSEWHERE: &str = "metrics are always at /metrics of the management address \
    (HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN); the CONNECTOR_METRICS_… variables have no effect";

options! { PLATFORM:
    OPENCTI_URL => plain("opencti", "url",
        "the base URL of OpenCTI, such as https://opencti.example.org, without /graphql");
    OPENCTI_TOKEN => secret("opencti", "token", "the API token of the connector's user");
    OPENCTI_SSL_VERIFY => plain("opencti", "ssl_verify",
        "true, false, or the path of a PEM file with OpenCTI's certificate authority")
        .default("true");
    HTTPS_CA_CERTIFICATES => environment_only(
        "the path of a PEM file, or PEM text that begins with -----BEGIN CERTIFICATE-----");
    OPENCTI_JSON_LOGGING => plain("opencti", "json_logging", "true or false").default("true");
    OPENCTI_CUSTOM_HEADERS => secret("opencti", "custom_headers",
        "HTTP headers as name:value;name2:value2");

    CONNECTOR_ID => plain("connector", "id", "an id that no other connector has: a UUIDv4");
    CONNECTOR_TYPE => plain("connector", "type", "EXTERNAL_IMPORT").default("EXTERNAL_IMPORT")
        .only_default("this is an external import: set it to EXTERNAL_IMPORT or leave it out");
    CONNECTOR_NAME => plain("connector", "name", "a name of at least two characters")
        .default("HarfangLab Incidents");
    CONNECTOR_SCOPE => list("connector", "scope", "words separated by commas")
        .default("harfanglab");
    CONNECTOR_LOG_LEVEL => plain("connector", "log_level",
        "one of debug, info, warning, error")
        .default("info");
    CONNECTOR_DURATION_PERIOD => plain("connector", "duration_period",
        "an ISO-8601 duration such as PT5M, or 0 to run once")
        .default("PT5M");
    CONNECTOR_RUN_AND_TERMINATE => plain("connector", "run_and_terminate", "true or false")
        .default("false");
    CONNECTOR_QUEUE_THRESHOLD => plain("connector", "queue_threshold",
        "a number of megabytes above zero")
        .default("500");
    CONNECTOR_SEND_TO_QUEUE => plain("connector", "send_to_queue", "true or false")
        .default("true");
    CONNECTOR_SEND_TO_DIRECTORY => plain("connector", "send_to_directory", "true or false")
        .default("false");
    CONNECTOR_SEND_TO_DIRECTORY_PATH => plain("connector", "send_to_directory_path",
        "the path of a folder");
    CONNECTOR_SEND_TO_DIRECTORY_RETENTION => plain("connector", "send_to_directory_retention",
        "a whole number of days, 0 to keep the files for ever")
        .default("7");

    CONNECTOR_QUEUE_PROTOCOL => plain("connector", "queue_protocol", "amqp").default("amqp")
        .only_default(NO_API_QUEUE);
    QUEUE_PROTOCOL => environment_only("amqp").default("amqp")
        .only_default(NO_API_QUEUE);
    CONNECTOR_SEND_TO_S3 => plain("connector", "send_to_s3", "false").default("false")
        .only_default(NO_S3);
    CONNECTOR_VALIDATE_BEFORE_IMPORT => plain("connector", "validate_before_import", "false")
        .default("false").only_default(NO_VALIDATION);
    CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT =>
        plain("connector", "auto_create_service_account", "false")
        .default("false").only_default(NO_SERVICE_ACCOUNT);
    CONNECTOR_EXPOSE_METRICS => plain("connector", "expose_metrics", "true or false")
        .default("false").discouraged(METRICS_ELSEWHERE);

    CONNECTOR_METRICS_PORT => idle("connector", "metrics_port");
    CONNECTOR_METRICS_NAMESPACE => idle("connector", "metrics_namespace");
    CONNECTOR_METRICS_SUBSYSTEM => idle("connector", "metrics_subsystem");
    CONNECTOR_SEND_TO_S3_BUCKET => idle("connector", "send_to_s3_bucket");
    CONNECTOR_SEND_TO_S3_FOLDER => idle("connector", "send_to_s3_folder");
    CONNECTOR_SEND_TO_S3_RETENTION => idle("connector", "send_to_s3_retention");
    CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL =>
        idle("connector", "auto_create_service_account_confidence_level");
    CONNECTOR_CONFIDENCE_LEVEL => idle("connector", "confidence_level");
    CONNECTOR_AUTO => idle("connector", "auto");
    CONNECTOR_ONLY_CONTEXTUAL => idle("connector", "only_contextual");
    CONNECTOR_AUTO_UPDATE => idle("connector", "auto_update");
    CONNECTOR_ENRICHMENT_RESOLUTION => idle("connector", "enrichment_resolution");
    CONNECTOR_XTM_ONE_INTENT => idle("connector", "xtm_one_intent");
    CONNECTOR_LISTEN_PROTOCOL => idle("connector", "listen_protocol");
    CONNECTOR_LISTEN_PROTOCOL_API_PORT => idle("connector", "listen_protocol_api_port");
    CONNECTOR_LISTEN_PROTOCOL_API_PATH => idle("connector", "listen_protocol_api_path");
    CONNECTOR_LISTEN_PROTOCOL_API_SSL => idle("connector", "listen_protocol_api_ssl");
    CONNECTOR_LISTEN_PROTOCOL_API_URI => idle("connector", "listen_protocol_api_uri");
    LISTEN_PROTOCOL_API_SSL_KEY => idle("connector", "listen_protocol_api_ssl_key");
    LISTEN_PROTOCOL_API_SSL_CERT => idle("connector", "listen_protocol_api_ssl_cert");
    LISTEN_PROTOCOL_API_SSL_PASSPHRASE =>
        idle("connector", "listen_protocol_api_ssl_passphrase");
    CONNECTOR_LIVE_STREAM_ID => idle("connector", "live_stream_id");
    CONNECTOR_LIVE_STREAM_LISTEN_DELETE => idle("connector", "live_stream_listen_delete");
    CONNECTOR_LIVE_STREAM_NO_DEPENDENCIES => idle("connector", "live_stream_no_dependencies");
    CONNECTOR_LIVE_STREAM_WITH_INFERENCES => idle("connector", "live_stream_with_inferences");
    CONNECTOR_LIVE_STREAM_RECOVER_ISO_DATE => idle("connector", "live_stream_recover_iso_date");
    CONNECTOR_LIVE_STREAM_START_TIMESTAMP => idle("connector", "live_stream_start_timestamp");

    MQ_HOST => plain("mq", "host", "the host name of RabbitMQ");
    MQ_PORT => plain("mq", "port", "a port from 1 to 65535");
    MQ_VHOST => plain("mq", "vhost", "the name of a virtual host");
    MQ_USE_SSL => plain("mq", "use_ssl", "true or false");
    MQ_USER => plain("mq", "user", "a user of RabbitMQ");
    MQ_PASS => secret("mq", "pass", "the password of MQ_USER");
    MQ_USE_SSL_CA => plain("mq", "use_ssl_ca",
        "the path of a PEM file, or PEM text that begins with -----BEGIN");
    MQ_USE_SSL_CERT => plain("mq", "use_ssl_cert",
        "the path of a PEM file, or PEM text that begins with -----BEGIN");
    MQ_USE_SSL_KEY => secret("mq", "use_ssl_key",
        "the path of a PEM file, or PEM text that begins with -----BEGIN");
    MQ_USE_SSL_PASSPHRASE => secret("mq", "use_ssl_passphrase", "the passphrase of MQ_USE_SSL_KEY");
    MQ_USE_SSL_REJECT_UNAUTHORIZED => plain("mq", "use_ssl_reject_unauthorized", "true or false")
        .default("true");

    S3_ENDPOINT => idle("s3", "endpoint");
    S3_PORT => idle("s3", "port");
    S3_ACCESS_KEY => idle("s3", "access_key");
    S3_SECRET_KEY => idle("s3", "secret_key");
    S3_USE_SSL => idle("s3", "use_ssl");
    S3_BUCKET_REGION => idle("s3", "bucket_region");
}
