//! `consoles:` in `config.yml`: what is a console's own, what it inherits, and what is refused.

use std::{path::Path, time::Duration};

use harfanglab_incidents::config::{ConsoleSettings, Faults, Loaded, Marking, StartDate, load};
use secrecy::ExposeSecret;

use crate::support::configuration::{PEER_ENVIRONMENT, environment, now, write_private};

/// Loads a `config.yml` with the peer's environment, without what names its one console.
fn load_file(directory: &Path, text: &str, changes: &[(&str, &str)]) -> Result<Loaded, Faults> {
    let mut all = environment(&PEER_ENVIRONMENT);
    all.remove("HARFANGLAB_INCIDENTS_URL");
    all.remove("HARFANGLAB_INCIDENTS_TOKEN");
    all.extend(environment(changes));
    load(&all, Some(&write_private(directory, "config.yml", text)), now())
}

fn secrets(console: &ConsoleSettings) -> Vec<&str> {
    console.webhook.secrets.iter().map(ExposeSecret::expose_secret).collect()
}

#[test]
fn a_console_has_what_is_its_own_and_inherits_the_rest_from_environment_and_file() {
    let directory = tempfile::tempdir().unwrap();
    let token = write_private(directory.path(), "token", "token-of-paris\n");
    let secret = write_private(directory.path(), "secret", "secret-of-paris-0123456789\n");
    let text = format!(
        "harfanglab_incidents:\n  api_rate: 7\n  ssl_verify: true\nconsoles:\n\
         - name: paris\n  url: https://paris.example\n  token_file: {}\n  \
         webhook_secret_file: {}\n  author: EDR Paris\n  default_marking: TLP:RED\n  \
         alert_types: [sigma, ioc]\n  alert_statuses: all\n  import_start_date: P1D\n  \
         enrichment_wait: PT5S\n  default_score: 80\n  ssl_verify: true\n\
         - name: lyon\n  url: https://lyon.example:8443/edr/\n  token: Token token-of-lyon\n  \
         webhook_path: /hooks/l\n  webhook_secret: [secret-of-lyon-0123456789, another-0123456789]\n  \
         api_rate: 3\n",
        token.display(),
        secret.display()
    );
    let Loaded { settings, effective, warnings } = load_file(directory.path(), &text, &[]).unwrap();
    let [paris, lyon] = settings.consoles.clone().try_into().unwrap();
    assert_eq!((paris.name.as_str(), paris.author.as_str()), ("paris", "EDR Paris"));
    assert_eq!((lyon.name.as_str(), lyon.author.as_str()), ("lyon", "HarfangLab EDR"));
    assert_eq!(paris.harfanglab.token.expose_secret(), "token-of-paris");
    assert_eq!(lyon.harfanglab.token.expose_secret(), "token-of-lyon");
    assert_eq!(lyon.harfanglab.url.as_str(), "https://lyon.example:8443/edr/");
    assert_eq!(secrets(&paris), ["secret-of-paris-0123456789"]);
    assert_eq!(secrets(&lyon), ["secret-of-lyon-0123456789", "another-0123456789"]);
    assert_eq!(paris.webhook.secret_file.as_deref(), Some(secret.as_path()), "it is read again");
    assert_eq!(lyon.webhook.secret_file, None);
    assert_eq!(
        (paris.webhook.path.as_str(), lyon.webhook.path.as_str()),
        ("/webhooks/paris", "/hooks/l")
    );
    // Its own, else the environment's, else the section's, else the default.
    assert_eq!((paris.import.marking, lyon.import.marking), (Marking::Red, Marking::Clear));
    assert_eq!((paris.import.score, lyon.import.score), (Some(80), Some(50)));
    assert_eq!(paris.import.start, StartDate::Ago(chrono::Duration::days(1)));
    assert_eq!(lyon.import.start, StartDate::Ago(chrono::Duration::days(30)));
    assert_eq!(paris.import.filter.types, ["sigma", "ioc"]);
    assert_eq!(lyon.import.filter.types, ["yara", "sigma", "ioc"]);
    assert!(paris.import.filter.statuses.is_empty() && paris.import.threats);
    let rates = (paris.harfanglab.requests_per_second, lyon.harfanglab.requests_per_second);
    assert_eq!(rates, (7, 3));
    assert_eq!(paris.enrichment.first_wait, Duration::from_secs(5));
    assert_eq!(lyon.enrichment.first_wait, Duration::from_secs(1));
    let off = warnings.iter().filter(|warning| warning.contains("SSL_VERIFY is off")).count();
    let of_lyon =
        warnings.iter().any(|warning| warning.starts_with("consoles.lyon.ssl_verify is off"));
    assert!(off == 0 && of_lyon, "{warnings:?}");

    let shown = effective.to_string();
    for line in [
        "consoles:\n- name: paris  # file ",
        "  author: \"HarfangLab EDR\"  # default",
        "  token: \"********\"  # secret file ",
        "  webhook_path: /webhooks/paris  # default",
        "  default_score: 50  # environment, HARFANGLAB_INCIDENTS_DEFAULT_SCORE",
        "  # alert_min_level is not set",
    ] {
        assert!(shown.contains(line), "`{line}` is not in:\n{shown}");
    }
    for secret in ["token-of", "secret-of", "another-0"] {
        assert!(!shown.contains(secret) && !format!("{settings:?}").contains(secret), "{secret}");
    }
}

#[test]
fn all_faults_of_all_consoles_are_told_at_once_with_console_and_key() {
    let directory = tempfile::tempdir().unwrap();
    let text = "consoles:\n\
         - name: paris\n  url: https://paris.example/\n  token: s3cret-of-paris\n  \
         token_file: /no/such/file\n  alert_typs: sigma\n  listen: 127.0.0.1:1\n\
         - name: Paris 2\n  url: not-an-address\n  token_file: /no/such/file\n\
         - url: https://PARIS.example\n  webhook_path: /webhooks/paris\n  default_score: 101\n\
         - name: paris\n  url: https://rome.example\n  token: t0ken\n  webhook_path: rome\n  \
         author: x\n";
    let changes = [
        ("HARFANGLAB_INCIDENTS_TOKEN", "token-of-nobody-in-particular"),
        ("HARFANGLAB_INCIDENTS_ALERT_STATUSES", "opened"),
    ];
    let faults = load_file(directory.path(), text, &changes).unwrap_err();
    let told = faults.to_string();
    for part in [
        "consoles.paris.token in config.yml is given twice, itself and as a file",
        "config.yml: consoles.paris.alert_typs is not known: did you mean alert_types?",
        "config.yml: consoles.paris.listen is one for the whole service: set \
         harfanglab_incidents.listen instead",
        "consoles.Paris 2.name in config.yml is \"Paris 2\"",
        "consoles.Paris 2.url in config.yml is \"not-an-address\"",
        "consoles.Paris 2.token in config.yml names the file /no/such/file",
        "consoles.3.name in config.yml is missing",
        "consoles.3.token in config.yml is missing: set it to an API token",
        "consoles.3.url in config.yml is \"https://PARIS.example\", as another console's is",
        "consoles.3.webhook_path in config.yml is \"/webhooks/paris\", as another console's is",
        "consoles.3.default_score in config.yml is \"101\"",
        "consoles.paris.name in config.yml is \"paris\", as another console's is",
        "consoles.paris.webhook_path in config.yml is \"rome\"",
        "consoles.paris.author in config.yml is \"x\"",
        "HARFANGLAB_INCIDENTS_TOKEN (harfanglab_incidents.token in config.yml) is given \
         (environment), but `consoles:` lists the consoles",
        "HARFANGLAB_INCIDENTS_ALERT_STATUSES (harfanglab_incidents.alert_statuses in config.yml) \
         is \"opened\" (environment)",
    ] {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
    assert_eq!(faults.as_slice().len(), 16, "each once:\n{told}");
    assert!(!told.contains("s3cret") && !told.contains("nobody-in-particular"), "{told}");
}

#[test]
fn what_consoles_share_by_mistake_is_told_and_no_list_means_one_console() {
    let directory = tempfile::tempdir().unwrap();
    let text = "consoles:\n\
         - {name: a, url: https://a.example, token: t0, webhook_secret: the-same-secret-0123}\n\
         - {name: b, url: https://b.example, token: t0, webhook_secret: the-same-secret-0123}\n";
    let warnings = load_file(directory.path(), text, &[]).unwrap().warnings;
    let shared =
        warnings.iter().any(|words| words.contains("consoles.b.webhook_secret is another"));
    assert!(shared, "{warnings:?}");
    for text in ["consoles: []\n", "consoles:\n", "opencti:\n"] {
        let url = ("HARFANGLAB_INCIDENTS_URL", "https://one.example");
        let one = [url, ("HARFANGLAB_INCIDENTS_TOKEN", "t0")];
        let settings = load_file(directory.path(), text, &one).unwrap().settings;
        let consoles = &settings.consoles;
        assert!(consoles.len() == 1 && !settings.has_several_consoles());
        assert_eq!(consoles[0].name, "harfanglab");
        assert_eq!(consoles[0].webhook.path, "/webhooks/harfanglab");
    }
    let misspelt = load_file(directory.path(), "console:\n  name: a\n", &[]).unwrap_err();
    assert!(misspelt.to_string().contains("did you mean consoles?"), "{misspelt}");
}

#[test]
fn the_elastic_queue_is_each_consoles_own_and_syslog_is_for_one_console_alone() {
    let directory = tempfile::tempdir().unwrap();
    let two = "harfanglab_incidents: {elastic_pull: true}\nconsoles:\n\
         - {name: a, url: https://a.example, token: t0, elastic_pull: false}\n\
         - {name: b, url: https://b.example, token: t0}\n";
    let consoles = load_file(directory.path(), two, &[]).unwrap().settings.consoles;
    assert_eq!(consoles.iter().map(|it| it.elastic_pull).collect::<Vec<_>>(), [false, true]);

    let syslog = [
        ("HARFANGLAB_INCIDENTS_SYSLOG_LISTEN", "127.0.0.1:0"),
        ("HARFANGLAB_INCIDENTS_SYSLOG_TOKEN", "a-token-of-syslog-0123"),
    ];
    let told = load_file(directory.path(), two, &syslog).unwrap_err().to_string();
    let reason = "`consoles:` lists several, and no message says whose it is";
    assert!(told.contains(reason) && told.contains("SYSLOG_LISTEN"), "{told}");
    let one = "consoles: [{name: a, url: https://a.example, token: t0}]\n";
    assert!(load_file(directory.path(), one, &syslog).unwrap().settings.syslog.is_some());
}
