//! Secrets and certificates in the configuration: where they may come from, and that nothing shows
//! them.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    thread,
};

use harfanglab_incidents::config::{TlsVerification, load};
use secrecy::ExposeSecret;

use crate::support::configuration::{PEER_ENVIRONMENT, environment, load_with, now, write_private};

#[test]
fn secrets_are_read_from_files_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let token = write_private(directory.path(), "token", "token-in-a-file\n");
    let yml = write_private(
        directory.path(),
        "config.yml",
        &format!("harfanglab_incidents:\n  webhook_secret_file: {}\n", token.display()),
    );
    let named = token.to_str().unwrap();
    let mut all = environment(&PEER_ENVIRONMENT);
    all.extend(environment(&[
        ("OPENCTI_TOKEN", ""),
        ("OPENCTI_TOKEN_FILE", named),
        ("OPENCTI_CUSTOM_HEADERS", "X-Proxy: proxy-secret ; X-Other:b:c;"),
        ("MQ_PASS", "  mq-secret "),
    ]));
    let loaded = load(&all, Some(&yml), now()).unwrap();
    let settings = &loaded.settings;
    let opencti = settings.opencti.as_ref().unwrap();
    assert_eq!(opencti.token.expose_secret(), "token-in-a-file");
    assert_eq!(opencti.custom_headers[0].1.expose_secret(), "proxy-secret");
    assert_eq!(opencti.custom_headers[1].1.expose_secret(), "b:c");
    assert_eq!(settings.consoles[0].webhook.secrets[0].expose_secret(), "token-in-a-file");
    assert_eq!(settings.mq.pass.as_ref().unwrap().expose_secret(), "  mq-secret ");
    assert!(loaded.warnings.iter().any(|warning| warning.contains("shorter than 16 bytes")));

    let shown = format!("{loaded:?} {:#?} {}", settings, loaded.effective);
    for secret in ["token-in-a-file", "proxy-secret", "mq-secret", "console-token"] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
    assert!(shown.contains(named), "the file is named");
}

#[test]
fn a_file_of_a_secret_may_be_a_pipe_and_not_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let load_from = |path: &str| load_with(&[("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET_FILE", path)]);
    thread::scope(|scope| {
        scope.spawn(|| fs::write(&pipe, "a-secret-of-more-than-16-bytes\n").unwrap());
        let settings = load_from(pipe.to_str().unwrap()).unwrap().settings;
        let secrets = settings.consoles[0].webhook.secrets.clone();
        assert_eq!(secrets[0].expose_secret(), "a-secret-of-more-than-16-bytes");
    });
    let long = write_private(directory.path(), "long", &"x".repeat((64 << 10) + 1));
    let faults = load_from(long.to_str().unwrap()).unwrap_err().to_string();
    assert!(faults.contains("it has more than 65536 bytes"), "{faults}");
    assert!(faults.contains("holds only the value"), "{faults}");
}

#[test]
fn a_secret_that_is_no_key_for_standard_webhooks_is_told_beside_every_other_fault() {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let with = |schemes: &str, secrets: &str| {
        load_with(&[
            ("HARFANGLAB_INCIDENTS_WEBHOOK_AUTH", schemes),
            ("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET", secrets),
            ("HARFANGLAB_INCIDENTS_WEBHOOK_TOLERANCE", "soon"),
        ])
    };
    for secret in ["a-s3cret-that-is-no-base64", "whsec_", "whsec_s3cret!"] {
        let secrets = format!("{key},{secret}");
        let faults = with("header,standard-webhooks", &secrets).unwrap_err();
        let text = faults.to_string();
        assert_eq!(faults.as_slice().len(), 2, "{text}");
        for part in
            ["WEBHOOK_SECRET (harfanglab_incidents.webhook_secret", "`whsec_`", "WEBHOOK_TOLERANCE"]
        {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        assert!(!text.contains("s3cret!") && !text.contains("a-s3cret"), "{text}");
        assert_eq!(with("header,hmac", &secrets).unwrap_err().as_slice().len(), 1);
    }
    let without_prefix = &key["whsec_".len()..];
    for good in [key, without_prefix] {
        assert_eq!(
            with("standard-webhooks", good).unwrap_err().as_slice().len(),
            1,
            "the tolerance"
        );
    }
}

#[test]
fn a_header_that_http_sets_itself_is_refused_for_a_secret_and_for_a_signature() {
    for option in
        ["HARFANGLAB_INCIDENTS_WEBHOOK_HEADER", "HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_HEADER"]
    {
        for header in ["Host", "content-length", "Transfer-Encoding", "Connection"] {
            let faults = load_with(&[(option, header)]).unwrap_err().to_string();
            assert!(faults.contains(option) && faults.contains("proves nothing"), "{faults}");
        }
        assert!(load_with(&[(option, "X-Webhook-Token")]).is_ok());
    }
}

#[test]
fn a_file_with_a_secret_that_others_may_read_is_named_once_and_one_of_our_own_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let secret = write_private(directory.path(), "secret", "a-secret-of-more-than-16-bytes");
    let key = write_private(directory.path(), "key.pem", "a key");
    let certificate = write_private(directory.path(), "cert.pem", "a certificate");
    let named = secret.to_str().unwrap();
    let yml = write_private(
        directory.path(),
        "config.yml",
        &format!(
            "opencti:\n  token: a-token\nharfanglab_incidents:\n  webhook_secret_file: {named}\n  \
             token_file: {named}\n  webhook_tls_key: {}\n  webhook_tls_cert: {}\n",
            key.display(),
            certificate.display()
        ),
    );
    let variables = ["OPENCTI_TOKEN", "HARFANGLAB_INCIDENTS_TOKEN"].map(|name| (name, ""));
    let mut all = environment(&PEER_ENVIRONMENT);
    all.extend(environment(&variables));
    let exposed = || -> Vec<String> {
        let warnings = load(&all, Some(&yml), now()).unwrap().warnings;
        warnings.into_iter().filter(|warning| warning.contains("holds secrets")).collect()
    };
    set_mode(&certificate, 0o644);
    for path in [&secret, &key, &yml] {
        set_mode(path, 0o640);
    }
    assert_eq!(exposed(), [] as [String; 0], "our own group may read it");
    for path in [&secret, &key, &yml] {
        set_mode(path, 0o644);
        let told = exposed();
        let place = path.to_str().unwrap();
        assert!(told.len() == 1 && told[0].starts_with(place), "{place}: {told:?}");
        assert!(told[0].contains("every user of this machine (mode 0644)"), "{told:?}");
        set_mode(path, 0o600);
    }
    // A file of settings alone is nobody's secret.
    set_mode(&yml, 0o644);
    let text = fs::read_to_string(&yml).unwrap().replace("token: a-token", "url: http://a.example");
    fs::write(&yml, text).unwrap();
    all.extend(environment(&[("OPENCTI_TOKEN", "a-token")]));
    let warnings = load(&all, Some(&yml), now()).unwrap().warnings;
    assert!(!warnings.iter().any(|warning| warning.contains("holds secrets")), "{warnings:?}");
}

#[test]
fn a_secret_that_cannot_be_had_is_a_fault_that_does_not_show_it() {
    let directory = tempfile::tempdir().unwrap();
    let token = write_private(directory.path(), "token", "token-in-a-file\n");
    let empty = write_private(directory.path(), "empty", "\n");
    let named = token.to_str().unwrap();
    let twice = load_with(&[("OPENCTI_TOKEN_FILE", named)]).unwrap_err().to_string();
    assert!(twice.contains("OPENCTI_TOKEN") && twice.contains("given twice"), "{twice}");
    for path in [empty.to_str().unwrap(), "/no/such/file"] {
        let changes = [("OPENCTI_TOKEN", ""), ("OPENCTI_TOKEN_FILE", path)];
        let text = load_with(&changes).unwrap_err().to_string();
        assert!(text.contains(path) && !text.contains("is missing"), "{text}");
    }
    let text = load_with(&[
        ("OPENCTI_URL", "https://admin:url-password@opencti.example.org"),
        ("OPENCTI_TOKEN", "two\nlines-of-token"),
    ])
    .unwrap_err()
    .to_string();
    assert!(!text.contains("url-password") && !text.contains("lines-of-token"), "{text}");
}

#[test]
fn certificate_authorities_are_taken_as_a_path_or_as_text() {
    let directory = tempfile::tempdir().unwrap();
    let authority = write_private(directory.path(), "ca.pem", "-----BEGIN CERTIFICATE-----\n");
    let path = authority.to_str().unwrap();
    let tls = |changes: &[(&str, &str)]| load_with(changes).unwrap().settings.opencti.unwrap().tls;
    let file = TlsVerification::CaFile(authority.clone());
    assert_eq!(tls(&[("OPENCTI_SSL_VERIFY", path)]), file);
    assert_eq!(tls(&[("HTTPS_CA_CERTIFICATES", path)]), file);
    assert_eq!(tls(&[("HTTPS_CA_CERTIFICATES", path), ("OPENCTI_SSL_VERIFY", "false")]), file);
    let text = "-----BEGIN CERTIFICATE-----\nMIIB";
    let loaded = load_with(&[("HTTPS_CA_CERTIFICATES", text)]).unwrap();
    assert_eq!(loaded.settings.opencti.unwrap().tls, TlsVerification::CaPem(text.to_owned()));
    assert!(!loaded.effective.to_string().contains("MIIB"));
}

#[test]
fn the_password_of_a_postgresql_journal_is_a_secret_wherever_it_stands() {
    let url = "postgres://journal:pg%20password@db.example/journal?sslmode=verify-full";
    let loaded = load_with(&[("HARFANGLAB_INCIDENTS_JOURNAL_URL", url)]).unwrap();
    let journal = &loaded.settings.journal;
    assert_eq!(journal.url, "postgres://journal@db.example/journal?sslmode=verify-full");
    assert_eq!(journal.password.as_ref().unwrap().expose_secret(), "pg password");
    let shown = format!("{loaded:?} {}", loaded.effective);
    assert!(shown.contains("postgres://journal:********@db.example/journal"), "{shown}");
    assert!(!shown.contains("password@"), "{shown}");

    let apart = [
        ("HARFANGLAB_INCIDENTS_JOURNAL_URL", "postgresql://journal@[::1]:5433/journal"),
        ("HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD", "pg-password"),
    ];
    let loaded = load_with(&apart).unwrap();
    let journal = &loaded.settings.journal;
    assert_eq!(journal.password.as_ref().unwrap().expose_secret(), "pg-password");
    assert!(!format!("{loaded:?} {}", loaded.effective).contains("pg-password"));

    for (wrong, why) in [
        ("postgres:///journal", "names no host"),
        ("postgres://db/journal?password=pg-password", "where it is no secret"),
    ] {
        let text = load_with(&[("HARFANGLAB_INCIDENTS_JOURNAL_URL", wrong)]).unwrap_err();
        assert!(text.to_string().contains(why), "{text}");
        assert!(!text.to_string().contains("pg-password"), "{text}");
    }
}
