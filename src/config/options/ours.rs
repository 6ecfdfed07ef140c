//! Our own section: the nine options of the Python connector and what we add. Each says whether one of
//! several consoles may have its own.

use super::{Kind, OUR_SECTION, OptionSpec, environment_only, list, options, plain, secret};

options! { OURS:
    HARFANGLAB_INCIDENTS_CONFIG => environment_only("the path of config.yml");
    HARFANGLAB_INCIDENTS_URL => plain(OUR_SECTION, "url",
        "the base URL of the HarfangLab console, such as https://edr.example.org")
        .own();
    HARFANGLAB_INCIDENTS_TOKEN => secret(OUR_SECTION, "token",
        "an API token of the HarfangLab console")
        .own();
    HARFANGLAB_INCIDENTS_SSL_VERIFY => plain(OUR_SECTION, "ssl_verify",
        "true, false, or the path of a PEM file with the console's certificate authority")
        .default("true").inherited();
    HARFANGLAB_INCIDENTS_IMPORT_THREATS => plain(OUR_SECTION, "import_threats", "true or false")
        .default("false").inherited();
    HARFANGLAB_INCIDENTS_ALERT_STATUSES => list(OUR_SECTION, "alert_statuses",
        "all, or some of new, investigating, probable_false_positive, false_positive, closed")
        .inherited();
    HARFANGLAB_INCIDENTS_ALERT_TYPES => list(OUR_SECTION, "alert_types",
        "all, or alert types such as yara,sigma,ioc")
        .inherited();
    HARFANGLAB_INCIDENTS_ALERT_MIN_LEVEL => plain(OUR_SECTION, "alert_min_level",
        "one of informational, low, medium, high, critical")
        .inherited();
    HARFANGLAB_INCIDENTS_DEFAULT_MARKING => plain(OUR_SECTION, "default_marking",
        "one of TLP:CLEAR, TLP:GREEN, TLP:AMBER, TLP:AMBER+STRICT, TLP:RED")
        .default("TLP:CLEAR").inherited();
    HARFANGLAB_INCIDENTS_DEFAULT_SCORE => plain(OUR_SECTION, "default_score",
        "a whole number from 0 to 100")
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
        "one or more secrets, better of 16 bytes or more, separated by commas")
        .own();
    HARFANGLAB_INCIDENTS_WEBHOOK_HEADER => plain(OUR_SECTION, "webhook_header",
        "the name of an HTTP header")
        .default("Authorization").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_HEADER => plain(OUR_SECTION, "webhook_hmac_header",
        "the name of an HTTP header")
        .inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_ENCODING => plain(OUR_SECTION, "webhook_hmac_encoding",
        "hex or base64")
        .default("hex").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_PREFIX => plain(OUR_SECTION, "webhook_hmac_prefix",
        "what stands before the signature in its header")
        .default("sha256=").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_TOLERANCE => plain(OUR_SECTION, "webhook_tolerance",
        "an ISO-8601 duration from PT1S to P1D")
        .default("PT5M").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_BODY => plain(OUR_SECTION, "webhook_max_body",
        "a size from 1KiB to 1GiB: bytes, or a number followed by KiB, MiB or GiB")
        .default("10MiB").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_IN_FLIGHT => plain(OUR_SECTION, "webhook_max_in_flight",
        "a whole number from 1 to 100000")
        .default("512").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS => plain(OUR_SECTION, "webhook_max_connections",
        "a whole number from 1 to 100000")
        .default("768");

    HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS => list(OUR_SECTION, "webhook_allowed_networks",
        "addresses or networks such as 192.0.2.10, 2001:db8::/32")
        .inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES => list(OUR_SECTION, "webhook_trusted_proxies",
        "addresses or networks such as 127.0.0.1, 10.0.0.0/8");
    HARFANGLAB_INCIDENTS_WEBHOOK_MAX_FAILURES => plain(OUR_SECTION, "webhook_max_failures",
        "a whole number from 1 to 1000000: failed attempts a minute")
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
        "one or more tokens, better of 16 bytes or more, separated by commas");
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
    HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS => plain(OUR_SECTION, "syslog_max_connections",
        "a whole number from 1 to 10000")
        .default("64");
    HARFANGLAB_INCIDENTS_SYSLOG_IDLE_TIMEOUT => plain(OUR_SECTION, "syslog_idle_timeout",
        "an ISO-8601 duration from PT1S to P30D")
        .default("P1D");

    HARFANGLAB_INCIDENTS_ELASTIC_PULL => plain(OUR_SECTION, "elastic_pull", "true or false")
        .default("false").inherited();

    HARFANGLAB_INCIDENTS_JOURNAL_URL => plain(OUR_SECTION, "journal_url",
        "sqlite: followed by the path of a file, or the postgres:// URL of a database")
        .default("sqlite:harfanglab-incidents.db");
    HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD => secret(OUR_SECTION, "journal_password",
        "the password of the user in HARFANGLAB_INCIDENTS_JOURNAL_URL");
    HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS => plain(OUR_SECTION, "journal_connections",
        "a whole number from 2 to 100")
        .default("8");
    HARFANGLAB_INCIDENTS_JOURNAL_QUEUE => plain(OUR_SECTION, "journal_queue",
        "a whole number from 1 to 1000000")
        .default("4096");
    HARFANGLAB_INCIDENTS_JOURNAL_RETENTION => plain(OUR_SECTION, "journal_retention",
        "an ISO-8601 duration up to P3650D, or 0")
        .default("P30D");
    HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD => plain(OUR_SECTION, "journal_retention_dead",
        "an ISO-8601 duration up to P3650D, or 0")
        .default("P180D");
    HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE => plain(OUR_SECTION, "journal_max_size",
        "a size up to 16384GiB: bytes, or a number followed by KiB, MiB or GiB; or 0")
        .default("20GiB");
    HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE => plain(OUR_SECTION, "journal_min_free",
        "a size up to 16384GiB: bytes, or a number followed by KiB, MiB or GiB; or 0")
        .default("256MiB");
    HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN => plain(OUR_SECTION, "management_listen",
        "an address and port such as 127.0.0.1:9090")
        .default("127.0.0.1:9090");
    HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN => secret(OUR_SECTION, "management_token",
        "a token of at least 16 characters, such as `openssl rand -hex 32` makes");

    HARFANGLAB_INCIDENTS_INCIDENT_NAME => plain(OUR_SECTION, "incident_name",
        "title or message")
        .inherited();
    HARFANGLAB_INCIDENTS_ACCOUNT_IDENTITY => plain(OUR_SECTION, "account_identity",
        "login or sid")
        .default("login").inherited();
    HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES => list(OUR_SECTION, "workflow_statuses",
        "pairs of a HarfangLab status and a status of OpenCTI's workflow of incidents, such as \
         new=NEW, closed=CLOSED")
        .inherited();
    HARFANGLAB_INCIDENTS_ATTACH_RAW => plain(OUR_SECTION, "attach_raw",
        "none or note")
        .default("none").inherited();
    HARFANGLAB_INCIDENTS_ALERT_MATURITIES => list(OUR_SECTION, "alert_maturities",
        "all, or some of stable, testing, experimental")
        .default("stable").inherited();
    HARFANGLAB_INCIDENTS_SWEEP_OVERLAP => plain(OUR_SECTION, "sweep_overlap",
        "an ISO-8601 duration from PT0S to P30D")
        .default("PT15M").inherited();
    HARFANGLAB_INCIDENTS_API_RATE => plain(OUR_SECTION, "api_rate",
        "a whole number from 1 to 10000: requests a second")
        .default("20").inherited();
    HARFANGLAB_INCIDENTS_API_CONCURRENCY => plain(OUR_SECTION, "api_concurrency",
        "a whole number from 1 to 1000")
        .default("8").inherited();
    HARFANGLAB_INCIDENTS_API_TIMEOUT => plain(OUR_SECTION, "api_timeout",
        "an ISO-8601 duration from PT1S to PT1H")
        .default("PT30S").inherited();

    HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT => plain(OUR_SECTION, "enrichment_wait",
        "an ISO-8601 duration from PT0S to PT10M")
        .default("PT1S").inherited();
    HARFANGLAB_INCIDENTS_ENRICHMENT_TIME => plain(OUR_SECTION, "enrichment_time",
        "an ISO-8601 duration from PT0S to P1D")
        .default("PT10M").inherited();
    HARFANGLAB_INCIDENTS_WEBHOOK_CONFIRM => plain(OUR_SECTION, "webhook_confirm", "true or false")
        .default("false").inherited();

    HARFANGLAB_INCIDENTS_CONCURRENCY => plain(OUR_SECTION, "concurrency",
        "a whole number from 1 to 1000")
        .default("16");
    HARFANGLAB_INCIDENTS_BATCH => plain(OUR_SECTION, "batch",
        "a whole number from 1 to 10000")
        .default("100");
    HARFANGLAB_INCIDENTS_LEASE => plain(OUR_SECTION, "lease",
        "an ISO-8601 duration from PT1S to P1D")
        .default("PT5M");
    HARFANGLAB_INCIDENTS_RETRY_MAX => plain(OUR_SECTION, "retry_max",
        "an ISO-8601 duration from PT1S to P1D")
        .default("PT10M");
    HARFANGLAB_INCIDENTS_RESEND_AFTER => plain(OUR_SECTION, "resend_after",
        "an ISO-8601 duration from PT0S to P1D")
        .default("PT1H");
}
