//! Warnings about settings that are right: certificates that are not checked, secrets that
//! are weak, shared or readable by others, a start date in the future.

use std::{
    collections::{BTreeSet, HashSet},
    path::PathBuf,
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    effective::{MASK, Source},
    exposure::Exposure,
    option::{CONSOLES, OptionSpec},
    options::{
        certificates::TlsVerification, consoles::ConsoleSettings,
        harfanglab::HARFANGLAB_INCIDENTS_SSL_VERIFY,
        import::HARFANGLAB_INCIDENTS_IMPORT_START_DATE, opencti::OPENCTI_SSL_VERIFY,
        syslog::HARFANGLAB_INCIDENTS_SYSLOG_TOKEN, webhook::HARFANGLAB_INCIDENTS_WEBHOOK_SECRET,
    },
    parse::PEM_START,
    reader::Reader,
    settings::Settings,
};

/// Secrets that are shorter, in bytes, can be guessed.
const SECRET_MIN: usize = 16;

/// Warns of everything.
pub(super) fn of(reader: &mut Reader<'_>, settings: &Settings) {
    if settings.opencti.as_ref().is_some_and(|opencti| opencti.tls == TlsVerification::Off) {
        reader.warnings.push(unchecked(OPENCTI_SSL_VERIFY.variable, "OpenCTI"));
    }
    for console in &settings.consoles {
        let named = |option: &OptionSpec| {
            if settings.has_several_consoles() {
                format!("{CONSOLES}.{}.{}", console.name, option.key)
            } else {
                option.variable.to_owned()
            }
        };
        warn_of_console(reader, console, named);
    }
    warn_of_shared_secrets(reader, &settings.consoles);
    if let Some(syslog) = &settings.syslog {
        let name = HARFANGLAB_INCIDENTS_SYSLOG_TOKEN.variable;
        warn_of_short_secrets(reader, name, &syslog.tokens);
    }
    warn_of_exposed_files(reader, settings);
}

/// Part of a secret, such as the password of a URL, is masked as all of one is.
fn holds_secret(value: &str) -> bool {
    value.contains(MASK)
}

/// Warns of each file with a secret, or with a key, that others may read.
fn warn_of_exposed_files(reader: &mut Reader<'_>, settings: &Settings) {
    let of_consoles = reader.effective.consoles().iter().flat_map(|console| &console.values);
    let values = reader.effective.values().iter().chain(of_consoles);
    let mut files: BTreeSet<PathBuf> = values
        .filter_map(|value| match &value.source {
            Source::SecretFile(path) => Some(path.clone()),
            Source::ConfigFile(path) if value.value.as_deref().is_some_and(holds_secret) => {
                Some(path.clone())
            }
            _ => None,
        })
        .collect();
    let webhook = settings.endpoint.tls.as_ref();
    let syslog = settings.syslog.as_ref().and_then(|syslog| syslog.tls.as_ref());
    files.extend(webhook.into_iter().chain(syslog).map(|tls| tls.key.clone()));
    let broker = settings.mq.ssl_key.as_ref().map(ExposeSecret::expose_secret);
    files.extend(broker.filter(|key| !key.starts_with(PEM_START)).map(PathBuf::from));
    for file in files {
        if let Some(exposure) = Exposure::of(&file) {
            reader.warnings.push(format!("{} holds secrets and {exposure}", file.display()));
        }
    }
}

fn unchecked(name: &str, whose: &str) -> String {
    format!(
        "{name} is off: the certificate of {whose} is not checked; better give the path of its \
         certificate authority"
    )
}

fn warn_of_console(
    reader: &mut Reader<'_>,
    console: &ConsoleSettings,
    named: impl Fn(&OptionSpec) -> String,
) {
    if console.harfanglab.tls == TlsVerification::Off {
        let name = named(&HARFANGLAB_INCIDENTS_SSL_VERIFY);
        reader.warnings.push(unchecked(&name, "the HarfangLab console"));
    }
    let name = named(&HARFANGLAB_INCIDENTS_WEBHOOK_SECRET);
    warn_of_short_secrets(reader, &name, &console.webhook.secrets);
    let now = reader.now();
    let start = console.import.start.at(now);
    if start > now {
        reader.warnings.push(format!(
            "{} is in the future ({}): until then the sweep finds nothing",
            named(&HARFANGLAB_INCIDENTS_IMPORT_START_DATE),
            start.to_rfc3339()
        ));
    }
}

fn warn_of_short_secrets(reader: &mut Reader<'_>, name: &str, secrets: &[SecretString]) {
    let is_short = |secret: &&SecretString| secret.expose_secret().len() < SECRET_MIN;
    let short = secrets.iter().filter(is_short).count();
    if short > 0 {
        reader.warnings.push(format!(
            "{name} has {short} secret(s) shorter than 16 bytes, which can be guessed; `openssl rand \
             -hex 32` makes a good one"
        ));
    }
}

/// A secret says which console a delivery is from only if no other has it.
fn warn_of_shared_secrets(reader: &mut Reader<'_>, consoles: &[ConsoleSettings]) {
    let mut seen: HashSet<&str> = HashSet::new();
    for console in consoles {
        let own: HashSet<&str> =
            console.webhook.secrets.iter().map(ExposeSecret::expose_secret).collect();
        if own.iter().any(|secret| seen.contains(secret)) {
            reader.warnings.push(format!(
                "{CONSOLES}.{}.webhook_secret is another console's, too: whoever may post for one \
                 of them may post for both",
                console.name
            ));
        }
        seen.extend(own);
    }
}
