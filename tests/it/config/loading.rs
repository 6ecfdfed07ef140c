//! The loader from outside: environment and `config.yml` in, settings or faults out.

use std::{collections::BTreeMap, path::Path, time::Duration};

use harfanglab_incidents::config::{
    Approval, IncidentNaming, Loaded, Marking, QueueProtocol, Settings, Source, StartDate,
    TlsVerification, WebhookScheme, load, locate, reference,
};
use secrecy::ExposeSecret;

use crate::support::configuration::{PEER_ENVIRONMENT, environment, load_with, now, write_private};

#[test]
fn the_environment_of_the_python_connector_is_enough_and_keeps_its_meaning() {
    let Loaded { settings, warnings, .. } = load_with(&[]).unwrap();
    let opencti = settings.opencti.unwrap();
    assert_eq!(opencti.url.as_str(), "http://opencti:8080/");
    assert_eq!(opencti.tls, TlsVerification::System, "certificates are checked by default");
    assert_eq!(settings.connector.name, "HarfangLab EDR");
    assert_eq!(settings.connector.scope, ["harfanglab", "edr"]);
    assert_eq!(settings.connector.duration_period, Duration::from_mins(10));
    assert!(settings.connector.run_and_terminate);
    assert_eq!(settings.consoles[0].harfanglab.url.as_str(), "https://edr.example.org:8443/");
    assert_eq!(settings.consoles[0].harfanglab.tls, TlsVerification::Off);
    let import = settings.consoles[0].import.clone();
    assert!(import.threats);
    assert_eq!(import.filter.statuses, ["new", "investigating"]);
    assert_eq!(import.filter.types, ["yara", "sigma", "ioc"]);
    assert_eq!(import.marking, Marking::Clear);
    assert_eq!(import.score, Some(50));
    assert_eq!(import.start, StartDate::Ago(chrono::Duration::days(30)));
    // What the Python connector knows nothing of.
    assert_eq!(import.naming, None);
    assert_eq!(import.filter.maturities, ["stable"]);
    assert!(settings.consoles[0].webhook.secrets.is_empty(), "the endpoint stays closed");
    assert_eq!(settings.journal.url, "sqlite:harfanglab-incidents.db");
    assert_eq!(settings.consoles[0].webhook.max_body_bytes, 10 << 20);
    assert!(warnings.iter().any(|warning| warning.contains("SSL_VERIFY is off")), "{warnings:?}");
}

#[test]
fn a_journal_in_a_file_takes_no_parameter_that_could_make_it_forget() {
    let load = |url: &str| load_with(&[("HARFANGLAB_INCIDENTS_JOURNAL_URL", url)]);
    for parameter in [
        "mode=memory",
        "mode=ro",
        "vfs=memdb",
        "cache=shared",
        "immutable=1",
        "mode=rwc&vfs=unix-none",
        "mode=rwc&mode=memory",
        "mode=%6demory",
        "synchronous=off",
    ] {
        let text = load(&format!("sqlite:journal.db?{parameter}")).unwrap_err().to_string();
        let named = parameter.trim_start_matches("mode=rwc&");
        assert!(text.contains(&format!("has the parameter {named}, with which")), "{text}");
        assert!(text.contains("write sqlite:journal.db (and"), "{text}");
    }
    for nothing in ["sqlite::memory:", "sqlite:", "sqlite://", "sqlite:?mode=rwc"] {
        load(nothing).unwrap_err();
    }
    for file in
        ["sqlite:journal.db", "sqlite:///var/lib/journal.db?mode=rwc", "sqlite:a%3Fmode=memory"]
    {
        assert_eq!(load(file).unwrap().settings.journal.url, file);
    }
}

#[test]
fn all_faults_are_told_at_once_with_both_names_and_what_to_do() {
    let faults = load_with(&[
        ("OPENCTI_URL", ""),
        ("OPENCTI_TOKEN", "ChangeMe"),
        ("CONNECTOR_DURATION_PERIOD", "5 minutes"),
        ("CONNECTOR_RUN_AND_TERMINATE", "maybe"),
        ("HARFANGLAB_INCIDENTS_ALERT_STATUSES", "new,investigatin,open"),
        ("HARFANGLAB_INCIDENTS_DEFAULT_SCORE", "150"),
        ("HARFANGLAB_INCIDENTS_DEFAULT_MARKING", "TLP:PURPLE"),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_AUTH", "header,hmca"),
        ("HARFANGLAB_INCIDENTS_WEBHOOK_PATH", "hooks"),
        ("HARFANGLAB_INCIDENTS_JOURNAL_URL", "mysql://journal:pg-password@db/journal"),
        ("HARFANGLAB_INCIDENTS_LISTEN", "127.0.0.1:9090"),
        ("HARFANGLAB_INCIDENTS_SSL_VERIFY", "/no/such/authority.pem"),
        ("CONNECTOR_SEND_TO_DIRECTORY", "true"),
        ("MQ_PORT", "tcp://10.0.0.1:5672"),
    ])
    .unwrap_err();
    let text = faults.to_string();
    for part in [
        "OPENCTI_URL (opencti.url in config.yml) is missing: set it to the base URL",
        "OPENCTI_TOKEN (opencti.token in config.yml) is a secret that is not shown (environment), \
         which is still the placeholder ChangeMe: expected the API token",
        "\"5 minutes\" (environment), which is not an ISO-8601 duration",
        "\"maybe\" (environment), which is neither true nor false",
        "\"investigatin\" (environment), which is not one of new, investigating, ",
        "(did you mean investigating?)",
        "\"open\" (environment)",
        "\"150\" (environment), which is not a whole number from 0 to 100",
        "TLP:PURPLE",
        "(did you mean hmac?)",
        "(harfanglab_incidents.webhook_path in config.yml) is \"hooks\"",
        "is not a journal that this version knows",
        "/no/such/authority.pem",
        "CONNECTOR_SEND_TO_DIRECTORY_PATH (connector.send_to_directory_path in config.yml) is",
        "MQ_PORT",
        "is 127.0.0.1:9090, as is HARFANGLAB_INCIDENTS_LISTEN: give the two different ports",
        "config reference",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert_eq!(faults.as_slice().len(), 15, "{text}");
    assert!(!text.contains("pg-password"), "{text}");
}

#[test]
fn options_that_would_send_data_elsewhere_are_refused_and_idle_ones_accepted() {
    let faults = load_with(&[
        ("CONNECTOR_TYPE", "INTERNAL_ENRICHMENT"),
        ("CONNECTOR_QUEUE_PROTOCOL", "kafka"),
        ("CONNECTOR_SEND_TO_S3_FOLDER", "a/../b"),
        ("S3_ENDPOINT", "https://minio:9000/"),
        ("CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL", "high"),
    ])
    .unwrap_err();
    assert_eq!(faults.as_slice().len(), 5, "{faults}");
    // The API takes no drafts: all would be imported as if nobody had to look at it.
    let faults =
        load_with(&[("QUEUE_PROTOCOL", "api"), ("CONNECTOR_VALIDATE_BEFORE_IMPORT", "true")])
            .unwrap_err();
    assert!(faults.to_string().contains("takes no draft"), "{faults}");

    let loaded = load_with(&[
        ("CONNECTOR_TYPE", "EXTERNAL_IMPORT"),
        ("CONNECTOR_QUEUE_PROTOCOL", "AMQP"),
        ("CONNECTOR_SEND_TO_S3", "no"),
        ("CONNECTOR_EXPOSE_METRICS", "true"),
        ("CONNECTOR_METRICS_NAMESPACE", "soc"),
        ("CONNECTOR_METRICS_SUBSYSTEM", "edr"),
        ("CONNECTOR_LISTEN_PROTOCOL", "API"),
        ("CONNECTOR_LIVE_STREAM_ID", "live"),
        ("S3_SECRET_KEY", "s3-secret"),
        ("CONNECTOR_CONFIDENCE_LEVEL", "80"),
    ])
    .unwrap();
    let metrics = loaded.settings.connector_metrics.unwrap();
    assert_eq!((metrics.port, &*metrics.prefix), (9095, "soc_edr_"));
    let dashes = load_with(&[("CONNECTOR_METRICS_NAMESPACE", "my-soc")]).unwrap_err();
    assert!(dashes.to_string().contains("underscores"), "{dashes}");
    assert!(
        load_with(&[("CONNECTOR_SEND_TO_QUEUE", "false"), ("CONNECTOR_SEND_TO_DIRECTORY", "off")])
            .unwrap_err()
            .to_string()
            .contains("nothing would be delivered")
    );
}

#[test]
fn the_sending_modes_of_other_connectors_are_taken_with_their_names_and_defaults() {
    let sending = load_with(&[("CONNECTOR_SEND_TO_S3", "true"), ("QUEUE_PROTOCOL", "API")]);
    let sending = sending.unwrap().settings.connector.sending;
    assert_eq!(sending.protocol, QueueProtocol::Api);
    let s3 = sending.s3.unwrap();
    assert_eq!((s3.folder.as_str(), s3.retention_days, s3.bucket), ("connectors", 7, None));

    let settings = load_with(&[
        ("CONNECTOR_QUEUE_PROTOCOL", "amqp"),
        ("QUEUE_PROTOCOL", "api"),
        ("CONNECTOR_SEND_TO_QUEUE", "false"),
        ("CONNECTOR_SEND_TO_S3", "true"),
        ("CONNECTOR_SEND_TO_S3_FOLDER", "."),
        ("S3_ENDPOINT", "minio"),
        ("S3_PORT", "9000"),
        ("CONNECTOR_VALIDATE_BEFORE_IMPORT", "yes"),
        ("CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT", "true"),
    ]);
    let sending = settings.unwrap().settings.connector.sending;
    assert_eq!(sending.protocol, QueueProtocol::Amqp, "the newer name counts");
    assert_eq!(sending.approval, Approval::ByDraft);
    assert_eq!(sending.service_account_confidence, Some(50));
    let s3 = sending.s3.unwrap();
    assert_eq!(
        (s3.folder.as_str(), s3.endpoint.as_deref(), s3.port),
        ("", Some("minio"), Some(9000))
    );
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults_and_sources_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = write_private(
        directory.path(),
        "config.yml",
        "opencti:\n  url: https://file.example.org/base\n  token: file-token\n  colour: red\n\
         connector:\n  id: 0042\n  name: From the file\nother:\n  a: b\n\
         harfanglab_incidents:\n  url: https://edr.example.org\n  token: Token file-console-token\n\
         \x20 alert_types: [Sigma, yara]\n  webhook_auth: standard-webhooks\n  incident_name:\n",
    );
    let environment = environment(&[
        ("CONNECTOR_NAME", "From the environment"),
        ("CONNECTOR_SCOPE", " , "),
        ("PATH", "/usr/bin"),
        ("HARFANGLAB_INCIDENTS_SERVICE_HOST", "10.0.0.1"),
        ("HARFANGLAB_INCIDENTS_PORT", "tcp://10.0.0.1:8080"),
    ]);
    let loaded = load(&environment, Some(&file), now()).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.connector.name, "From the environment");
    assert_eq!(settings.connector.id, "0042", "spelt as in the file");
    assert_eq!(settings.connector.scope, ["harfanglab"], "empty is default");
    assert_eq!(settings.consoles[0].import.filter.types, ["sigma", "yara"]);
    assert_eq!(settings.consoles[0].webhook.schemes, [WebhookScheme::StandardWebhooks]);
    assert_eq!(settings.consoles[0].harfanglab.token.expose_secret(), "file-console-token");

    let source = |variable| loaded.effective.get(variable).map(|value| value.source.clone());
    assert_eq!(source("CONNECTOR_NAME"), Some(Source::Environment));
    assert_eq!(source("CONNECTOR_ID"), Some(Source::ConfigFile(file)));
    assert_eq!(source("CONNECTOR_SCOPE"), Some(Source::Default));
    let warnings = loaded.warnings.join("\n");
    assert!(warnings.contains("opencti.colour is not known"), "{warnings}");
    assert!(warnings.contains("section other is not known"), "{warnings}");
}

#[test]
fn the_map_of_statuses_is_read_in_pairs_and_each_faulty_pair_is_told() {
    let variable = "HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES";
    let loaded = load_with(&[(variable, "new = In triage, Closed=0c7b2b5e")]).unwrap();
    let workflow = loaded.settings.consoles[0].import.workflow.clone();
    assert_eq!((workflow.len(), workflow["new"].as_str()), (2, "In triage"));
    assert_eq!(workflow["closed"], "0c7b2b5e");
    let faults = load_with(&[(variable, "new, open=NEW, closed=")]).unwrap_err().to_string();
    assert_eq!(faults.matches(variable).count(), 3, "{faults}");
}

#[test]
fn unknown_names_of_ours_are_faults_that_suggest_the_nearest_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = write_private(
        directory.path(),
        "config.yml",
        "harfanglab_incidents:\n  allert_types: yara\n  nonsense: 1\nharfanglab_incident:\n  a: b\n",
    );
    let mut environment = environment(&PEER_ENVIRONMENT);
    environment.insert("HARFANGLAB_INCIDENTS_WEBHOOK_SECERT".into(), "s3cret-s3cret-s3cret".into());
    environment.insert("HARFANGLAB_INCIDENTS_URL_FILE".into(), "/run/url".into());
    let text = load(&environment, Some(&file), now()).unwrap_err().to_string();
    for part in [
        "harfanglab_incidents.allert_types is not known: did you mean alert_types?",
        "harfanglab_incidents.nonsense is not known: remove it",
        "section harfanglab_incident is not known: did you mean harfanglab_incidents?",
        "WEBHOOK_SECERT is not known: did you mean HARFANGLAB_INCIDENTS_WEBHOOK_SECRET?",
        "HARFANGLAB_INCIDENTS_URL_FILE is not known",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault_and_quotes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let broken = write_private(directory.path(), "config.yml", "opencti:\n  token: abc: s3cret\n");
    for path in [broken, directory.path().join("absent.yml")] {
        let faults = load(&BTreeMap::new(), Some(&path), now()).unwrap_err();
        let text = faults.to_string();
        assert_eq!(faults.as_slice().len(), 1, "{text}");
        assert!(text.contains(path.to_str().unwrap()) && !text.contains("s3cret"), "{text}");
    }
}

#[test]
fn the_reference_loads_once_its_placeholders_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let untouched = write_private(directory.path(), "untouched.yml", &reference());
    let faults = load(&BTreeMap::new(), Some(&untouched), now()).unwrap_err();
    assert_eq!(faults.as_slice().len(), 3, "both tokens and the id: {faults}");

    let filled = reference().replace("ChangeMe", "0123456789-token");
    let filled = write_private(directory.path(), "config.yml", &filled);
    let loaded = load(&BTreeMap::new(), Some(&filled), now()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.settings.connector.queue_threshold_mb.to_string(), "500");

    // What `config` prints is itself a configuration with the same values.
    let printed = write_private(directory.path(), "printed.yml", &loaded.effective.to_string());
    let again = load(&BTreeMap::new(), Some(&printed), now()).unwrap();
    let values = |loaded: &Loaded| {
        let values = loaded.effective.values().iter();
        values.map(|value| (value.variable, value.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&loaded), values(&again));
}

#[test]
fn the_file_is_where_the_command_line_says_else_the_environment_else_beside_us() {
    let directory = tempfile::tempdir().unwrap();
    let named = environment(&[("HARFANGLAB_INCIDENTS_CONFIG", "/etc/hi.yml")]);
    let flag = Path::new("/flag.yml");
    let here = directory.path();
    assert_eq!(locate(Some(flag), &named, here).as_deref(), Some(flag));
    assert_eq!(locate(None, &named, here).as_deref(), Some(Path::new("/etc/hi.yml")));
    assert_eq!(locate(None, &BTreeMap::new(), here), None);
    let usual = write_private(here, "config.yml", "");
    assert_eq!(locate(None, &BTreeMap::new(), here), Some(usual));
}

#[test]
fn a_service_without_platform_gets_the_defaults() {
    let console = load_with(&[]).unwrap().settings.consoles[0].harfanglab.clone();
    let url = console.url.clone();
    let settings = Settings::embedded("sqlite:/tmp/demo.db".into(), "/tmp/bundles".into(), console);
    assert!(settings.opencti.is_none() && !settings.connector.send_to_queue);
    assert_eq!(settings.consoles[0].harfanglab.url, url);
    assert_eq!(settings.journal.url, "sqlite:/tmp/demo.db");
    let directory = settings.connector.directory.unwrap();
    assert_eq!((directory.path, directory.retention_days), ("/tmp/bundles".into(), 0));
    assert_eq!(settings.consoles[0].import.naming, None::<IncidentNaming>);
    assert_eq!((settings.endpoint.listen.port(), settings.management.listen.port()), (0, 0));
}
