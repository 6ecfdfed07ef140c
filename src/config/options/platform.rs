//! The options that every OpenCTI connector knows: `opencti`, `connector`, `mq` and `s3`, with the
//! names and meanings of the Python connectors (pycti 6.4 to 7.x).
//!
//! Those that we do not honour are listed too: what would change where data goes is refused rather
//! than overlooked, what only concerns other kinds of connector is accepted and does nothing.

use super::{OptionSpec, Shape, environment_only, idle, list, options, plain, secret, shaped};

options! { PLATFORM:
    OPENCTI_URL => shaped("opencti", "url",
        Shape::Url("the base URL of OpenCTI, such as https://opencti.example.org, without /graphql"));
    OPENCTI_TOKEN => secret("opencti", "token", "the API token of the connector's user");
    OPENCTI_SSL_VERIFY => plain("opencti", "ssl_verify",
        "true, false, or the path of a PEM file with OpenCTI's certificate authority")
        .default("true");
    HTTPS_CA_CERTIFICATES => environment_only(Shape::Words(
        "the path of a PEM file, or PEM text that begins with -----BEGIN CERTIFICATE-----"));
    OPENCTI_JSON_LOGGING => shaped("opencti", "json_logging", Shape::Switch).default("true");
    OPENCTI_CUSTOM_HEADERS => secret("opencti", "custom_headers",
        "HTTP headers as name:value;name2:value2");

    CONNECTOR_ID => plain("connector", "id", "an id that no other connector has: a UUIDv4");
    CONNECTOR_TYPE => plain("connector", "type", "EXTERNAL_IMPORT").default("EXTERNAL_IMPORT")
        .only_default("this is an external import: set it to EXTERNAL_IMPORT or leave it out");
    CONNECTOR_NAME => plain("connector", "name", "a name of at least two characters")
        .default("HarfangLab Incidents");
    CONNECTOR_SCOPE => list("connector", "scope", "words separated by commas")
        .default("harfanglab");
    CONNECTOR_LOG_LEVEL => shaped("connector", "log_level",
        Shape::Choice(&["trace", "debug", "info", "warning", "error"]))
        .default("info");
    CONNECTOR_DURATION_PERIOD => shaped("connector", "duration_period",
        Shape::Length("PT0S", "P365D")).note("0 runs once")
        .default("PT5M");
    CONNECTOR_RUN_AND_TERMINATE => shaped("connector", "run_and_terminate", Shape::Switch)
        .default("false");
    CONNECTOR_QUEUE_THRESHOLD => shaped("connector", "queue_threshold",
        Shape::Positive).note("megabytes")
        .default("500");
    CONNECTOR_SEND_TO_QUEUE => shaped("connector", "send_to_queue", Shape::Switch)
        .default("true");
    CONNECTOR_SEND_TO_DIRECTORY => shaped("connector", "send_to_directory", Shape::Switch)
        .default("false");
    CONNECTOR_SEND_TO_DIRECTORY_PATH => plain("connector", "send_to_directory_path",
        "the path of a folder");
    CONNECTOR_SEND_TO_DIRECTORY_RETENTION => shaped("connector", "send_to_directory_retention",
        Shape::Whole(0, 36_500)).note("days, 0 to keep the files for ever")
        .default("7");

    CONNECTOR_QUEUE_PROTOCOL => shaped("connector", "queue_protocol",
        Shape::Choice(&["amqp", "api"]))
        .default("amqp");
    QUEUE_PROTOCOL => environment_only(Shape::Choice(&["amqp", "api"]));
    CONNECTOR_SEND_TO_S3 => shaped("connector", "send_to_s3", Shape::Switch).default("false");
    CONNECTOR_SEND_TO_S3_BUCKET => plain("connector", "send_to_s3_bucket", "the name of a bucket");
    CONNECTOR_SEND_TO_S3_FOLDER => plain("connector", "send_to_s3_folder",
        "a folder such as connectors, or a dot for the bucket's root")
        .default("connectors");
    CONNECTOR_SEND_TO_S3_RETENTION => shaped("connector", "send_to_s3_retention",
        Shape::Whole(0, 36_500)).note("days, 0 to keep the objects for ever")
        .default("7");
    CONNECTOR_VALIDATE_BEFORE_IMPORT => shaped("connector", "validate_before_import", Shape::Switch)
        .default("false");
    CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT =>
        shaped("connector", "auto_create_service_account", Shape::Switch).default("false");
    CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL =>
        shaped("connector", "auto_create_service_account_confidence_level", Shape::Whole(0, 100))
        .default("50");
    CONNECTOR_EXPOSE_METRICS => shaped("connector", "expose_metrics", Shape::Switch)
        .default("false");
    CONNECTOR_METRICS_PORT => shaped("connector", "metrics_port", Shape::Whole(0, 65_535))
        .default("9095");
    CONNECTOR_METRICS_NAMESPACE => plain("connector", "metrics_namespace",
        "letters, digits and underscores");
    CONNECTOR_METRICS_SUBSYSTEM => plain("connector", "metrics_subsystem",
        "letters, digits and underscores");

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
    MQ_PORT => shaped("mq", "port", Shape::Whole(1, 65_535));
    MQ_VHOST => plain("mq", "vhost", "the name of a virtual host");
    MQ_USE_SSL => shaped("mq", "use_ssl", Shape::Switch);
    MQ_USER => plain("mq", "user", "a user of RabbitMQ");
    MQ_PASS => secret("mq", "pass", "the password of MQ_USER");
    MQ_USE_SSL_CA => plain("mq", "use_ssl_ca",
        "the path of a PEM file, or PEM text that begins with -----BEGIN");
    MQ_USE_SSL_CERT => plain("mq", "use_ssl_cert",
        "the path of a PEM file, or PEM text that begins with -----BEGIN");
    MQ_USE_SSL_KEY => secret("mq", "use_ssl_key",
        "the path of a PEM file, or PEM text that begins with -----BEGIN");
    MQ_USE_SSL_PASSPHRASE => secret("mq", "use_ssl_passphrase", "the passphrase of MQ_USE_SSL_KEY");
    MQ_USE_SSL_REJECT_UNAUTHORIZED => shaped("mq", "use_ssl_reject_unauthorized", Shape::Switch)
        .default("true");

    S3_ENDPOINT => plain("s3", "endpoint", "the host name of an S3 server");
    S3_PORT => shaped("s3", "port", Shape::Whole(1, 65_535));
    S3_USE_SSL => shaped("s3", "use_ssl", Shape::Switch);
    S3_BUCKET_REGION => plain("s3", "bucket_region", "the name of a region, such as us-east-1");
    S3_ACCESS_KEY => secret("s3", "access_key", "an access key");
    S3_SECRET_KEY => secret("s3", "secret_key", "the secret key of S3_ACCESS_KEY");
}
