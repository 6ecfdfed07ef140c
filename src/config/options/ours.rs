//! Our own section: the nine options of the Python connector and what we add. Each says whether one of
//! several consoles may have its own.

use super::{
    Kind, OUR_SECTION, OptionSpec, Shape, environment_only, list, options, plain, secret, shaped,
};
use crate::config::settings::ALERT_LEVELS;

options! { OURS:
    HARFANGLAB_INCIDENTS_CONFIG => environment_only(Shape::Words("the path of config.yml"));
    HARFANGLAB_INCIDENTS_URL => shaped(OUR_SECTION, "url",
        Shape::Url("the base URL of the HarfangLab console, such as https://edr.example.org"))
        .own();
    HARFANGLAB_INCIDENTS_TOKEN => secret(OUR_SECTION, "token",
        "an API token of the HarfangLab console")
        .own();
    HARFANGLAB_INCIDENTS_SSL_VERIFY => plain(OUR_SECTION, "ssl_verify",
        "true, false, or the path of a PEM file with the console's certificate authority")
        .default("true").inherited();
    HARFANGLAB_INCIDENTS_IMPORT_THREATS => shaped(OUR_SECTION, "import_threats", Shape::Switch)
        .default("false").inherited();
    HARFANGLAB_INCIDENTS_ALERT_STATUSES => list(OUR_SECTION, "alert_statuses",
        "all, or some of new, investigating, probable_false_positive, false_positive, closed")
        .inherited();
    HARFANGLAB_INCIDENTS_ALERT_TYPES => list(OUR_SECTION, "alert_types",
        "all, or alert types such as yara,sigma,ioc")
        .inherited();
    HARFANGLAB_INCIDENTS_ALERT_MIN_LEVEL => shaped(OUR_SECTION, "alert_min_level",
        Shape::Choice(&ALERT_LEVELS))
        .inherited();
    HARFANGLAB_INCIDENTS_DEFAULT_MARKING => shaped(OUR_SECTION, "default_marking",
        Shape::Choice(&["TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"]))
        .default("TLP:CLEAR").inherited();
    HARFANGLAB_INCIDENTS_DEFAULT_SCORE => shaped(OUR_SECTION, "default_score", Shape::Whole(0, 100))
        .inherited();
    HARFANGLAB_INCIDENTS_IMPORT_START_DATE => plain(OUR_SECTION, "import_start_date",
        "a date such as 2026-01-31 or 2026-01-31T08:00:00Z, or how long ago, such as P30D")
        .default("1970-01-01").inherited();

    HARFANGLAB_INCIDENTS_LISTEN => plain(OUR_SECTION, "listen",
        "an address and port such as 127.0.0.1:8080 or 0.0.0.0:8080")
        .default("127.0.0.1:8080");
    HARFANGLAB_INCIDENTS_WEBHOOK_PATH => plain(OUR_SECTION, "webhook_path",
        "a path that begins with /, of letters, digits and -._~/ only")
        .default("/webhooks/harfanglab").own();
    HARFANGLAB_INCIDENTS_WEBHOOK_AUTH => list(OUR_SECTION, "webhook_auth",
        "some of header, hmac, standard-webhooks")
        .default("header").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_SECRET =>
        OptionSpec::new(Kind::SecretList, OUR_SECTION, "webhook_secret",
        Shape::Words("one or more secrets, better of 16 bytes or more, separated by commas"))
        .own();
    HARFANGLAB_INCIDENTS_WEBHOOK_HEADER => plain(OUR_SECTION, "webhook_header",
        "the name of an HTTP header")
        .default("Authorization").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_HEADER => plain(OUR_SECTION, "webhook_hmac_header",
        "the name of an HTTP header")
        .inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_ENCODING => shaped(OUR_SECTION, "webhook_hmac_encoding",
        Shape::Choice(&["hex", "base64"]))
        .default("hex").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_PREFIX => plain(OUR_SECTION, "webhook_hmac_prefix",
        "what stands before the signature in its header")
        .default("sha256=").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_TOLERANCE => shaped(OUR_SECTION, "webhook_tolerance",
        Shape::Length("PT1S", "P1D"))
        .default("PT5M").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_BODY => plain(OUR_SECTION, "webhook_max_body",
        "a size from 1KiB to 1GiB: bytes, or a number followed by KiB, MiB or GiB")
        .default("10MiB").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_IN_FLIGHT => shaped(OUR_SECTION, "webhook_max_in_flight",
        Shape::Whole(1, 100_000))
        .default("512").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS => shaped(OUR_SECTION, "webhook_max_connections",
        Shape::Whole(1, 100_000))
        .default("768");
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS_PER_ADDRESS => shaped(OUR_SECTION,
        "webhook_max_connections_per_address", Shape::Whole(1, 100_000))
        .default("128");

    HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS => list(OUR_SECTION, "webhook_allowed_networks",
        "addresses or networks such as 192.0.2.10, 2001:db8::/32")
        .inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES => list(OUR_SECTION, "webhook_trusted_proxies",
        "addresses or networks such as 127.0.0.1, 10.0.0.0/8");
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_FAILURES => shaped(OUR_SECTION, "webhook_max_failures",
        Shape::Whole(1, 1_000_000)).note("failed attempts a minute")
        .default("30").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT => plain(OUR_SECTION, "webhook_tls_cert",
        "the path of a PEM file with the endpoint's certificate and what it was issued by");
    HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY => plain(OUR_SECTION, "webhook_tls_key",
        "the path of a PEM file with the certificate's key, unencrypted");
    HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA => plain(OUR_SECTION, "webhook_tls_client_ca",
        "the path of a PEM file with the authorities that issue client certificates");

    HARFANGLAB_INCIDENTS_SYSLOG_LISTEN => plain(OUR_SECTION, "syslog_listen",
        "an address and port such as 0.0.0.0:6514");
    HARFANGLAB_INCIDENTS_SYSLOG_TOKEN =>
        OptionSpec::new(Kind::SecretList, OUR_SECTION, "syslog_token",
        Shape::Words("one or more tokens, better of 16 bytes or more, separated by commas"));
    HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_ID => plain(OUR_SECTION, "syslog_token_id",
        "the name of an element of structured data, such as harfanglab@32473")
        .default("harfanglab@32473");
    HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_NAME => plain(OUR_SECTION, "syslog_token_name",
        "the name of a parameter of structured data, such as token")
        .default("token");
    HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS => list(OUR_SECTION, "syslog_allowed_networks",
        "addresses or networks such as 192.0.2.10, 2001:db8::/32");
    HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT => plain(OUR_SECTION, "syslog_tls_cert",
        "the path of a PEM file with the listener's certificate and what it was issued by");
    HARFANGLAB_INCIDENTS_SYSLOG_TLS_KEY => plain(OUR_SECTION, "syslog_tls_key",
        "the path of a PEM file with the certificate's key, unencrypted");
    HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA => plain(OUR_SECTION, "syslog_tls_client_ca",
        "the path of a PEM file with the authorities that issue client certificates");
    HARFANGLAB_INCIDENTS_SYSLOG_MAX_FRAME => plain(OUR_SECTION, "syslog_max_frame",
        "a size from 1KiB to 64MiB: bytes, or a number followed by KiB or MiB")
        .default("2MiB");
    HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS => shaped(OUR_SECTION, "syslog_max_connections",
        Shape::Whole(1, 10_000))
        .default("64");
    HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS_PER_ADDRESS => shaped(OUR_SECTION,
        "syslog_max_connections_per_address", Shape::Whole(1, 10_000))
        .default("32");
    HARFANGLAB_INCIDENTS_SYSLOG_IDLE_TIMEOUT => shaped(OUR_SECTION, "syslog_idle_timeout",
        Shape::Length("PT1S", "P30D"))
        .default("P1D");

    HARFANGLAB_INCIDENTS_ELASTIC_PULL => shaped(OUR_SECTION, "elastic_pull", Shape::Switch)
        .default("false").inherited();

    HARFANGLAB_INCIDENTS_JOURNAL_URL => plain(OUR_SECTION, "journal_url",
        "sqlite: followed by the path of a file, or the postgres:// URL of a database")
        .default("sqlite:harfanglab-incidents.db");
    HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD => secret(OUR_SECTION, "journal_password",
        "the password of the user in HARFANGLAB_INCIDENTS_JOURNAL_URL");
    HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS => shaped(OUR_SECTION, "journal_connections",
        Shape::Whole(2, 100))
        .default("8");
    HARFANGLAB_INCIDENTS_JOURNAL_QUEUE => shaped(OUR_SECTION, "journal_queue",
        Shape::Whole(1, 1_000_000))
        .default("4096");
    HARFANGLAB_INCIDENTS_JOURNAL_RETENTION => shaped(OUR_SECTION, "journal_retention",
        Shape::Length("PT0S", "P3650D")).note("0 keeps them")
        .default("P30D");
    HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD => shaped(OUR_SECTION, "journal_retention_dead",
        Shape::Length("PT0S", "P3650D")).note("0 keeps them")
        .default("P180D");
    HARFANGLAB_INCIDENTS_JOURNAL_SAMPLES => shaped(OUR_SECTION, "journal_samples",
        Shape::Whole(0, 1_000)).note("notifications a shape and day")
        .default("100");
    HARFANGLAB_INCIDENTS_JOURNAL_SAMPLE_SHAPES => shaped(OUR_SECTION, "journal_sample_shapes",
        Shape::Whole(1, 1_000)).note("shapes a day")
        .default("50");
    HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE => plain(OUR_SECTION, "journal_max_size",
        "a size up to 16384GiB: bytes, or a number followed by KiB, MiB or GiB; or 0")
        .default("20GiB");
    HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE => plain(OUR_SECTION, "journal_min_free",
        "a size up to 16384GiB: bytes, or a number followed by KiB, MiB or GiB; or 0")
        .default("256MiB");
    HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN => plain(OUR_SECTION, "management_listen",
        "an address and port such as 127.0.0.1:9090")
        .default("127.0.0.1:9090");
    HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS => list(OUR_SECTION, "management_hosts",
        "host names without a port, such as incidents.example.org");
    HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN => secret(OUR_SECTION, "management_token",
        "a token of at least 16 characters, such as `openssl rand -hex 32` makes");

    HARFANGLAB_INCIDENTS_INCIDENT_NAME => shaped(OUR_SECTION, "incident_name",
        Shape::Choice(&["title", "message"]))
        .inherited();
    HARFANGLAB_INCIDENTS_ACCOUNT_IDENTITY => shaped(OUR_SECTION, "account_identity",
        Shape::Choice(&["login", "sid"]))
        .default("login").inherited();
    HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES => list(OUR_SECTION, "workflow_statuses",
        "pairs of a HarfangLab status and a status of OpenCTI's workflow of incidents, such as \
         new=NEW, closed=CLOSED")
        .inherited();
    HARFANGLAB_INCIDENTS_ATTACH_RAW => shaped(OUR_SECTION, "attach_raw",
        Shape::Choice(&["none", "note"]))
        .default("none").inherited();
    HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES => shaped(OUR_SECTION, "custom_properties",
        Shape::Choice(&["auto", "off"]))
        .default("auto").inherited();
    HARFANGLAB_INCIDENTS_ALERT_MATURITIES => list(OUR_SECTION, "alert_maturities",
        "all, or some of stable, testing, experimental")
        .default("stable").inherited();
    HARFANGLAB_INCIDENTS_SWEEP_OVERLAP => shaped(OUR_SECTION, "sweep_overlap",
        Shape::Length("PT0S", "P30D"))
        .default("PT15M").inherited();
    HARFANGLAB_INCIDENTS_API_RATE => shaped(OUR_SECTION, "api_rate",
        Shape::Whole(1, 10_000)).note("requests a second")
        .default("20").inherited();
    HARFANGLAB_INCIDENTS_API_CONCURRENCY => shaped(OUR_SECTION, "api_concurrency",
        Shape::Whole(1, 1_000))
        .default("8").inherited();
    HARFANGLAB_INCIDENTS_API_TIMEOUT => shaped(OUR_SECTION, "api_timeout",
        Shape::Length("PT1S", "PT1H"))
        .default("PT30S").inherited();
    HARFANGLAB_INCIDENTS_MAX_VALUES => shaped(OUR_SECTION, "max_values",
        Shape::Whole(1_000, 100_000))
        .default("10000").inherited();

    HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT => shaped(OUR_SECTION, "enrichment_wait",
        Shape::Length("PT0S", "PT10M"))
        .default("PT1S").inherited();
    HARFANGLAB_INCIDENTS_ENRICHMENT_TIME => shaped(OUR_SECTION, "enrichment_time",
        Shape::Length("PT0S", "P1D"))
        .default("PT10M").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_CONFIRM => shaped(OUR_SECTION, "webhook_confirm", Shape::Switch)
        .default("false").inherited();

    HARFANGLAB_INCIDENTS_CONCURRENCY => shaped(OUR_SECTION, "concurrency", Shape::Whole(1, 1_000))
        .default("16");
    HARFANGLAB_INCIDENTS_BATCH => shaped(OUR_SECTION, "batch", Shape::Whole(1, 10_000))
        .default("100");
    HARFANGLAB_INCIDENTS_LEASE => shaped(OUR_SECTION, "lease", Shape::Length("PT1S", "P1D"))
        .default("PT5M");
    HARFANGLAB_INCIDENTS_RETRY_MAX => shaped(OUR_SECTION, "retry_max", Shape::Length("PT1S", "P1D"))
        .default("PT10M");
    HARFANGLAB_INCIDENTS_RESEND_AFTER => shaped(OUR_SECTION, "resend_after",
        Shape::Length("PT0S", "P1D"))
        .default("PT1H");
    HARFANGLAB_INCIDENTS_DIRECTORY_MODE => plain(OUR_SECTION, "directory_mode",
        "an octal file mode from 0600 to 0666, such as 0640")
        .default("0640");
}
