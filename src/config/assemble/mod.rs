//! Options → [`Settings`], with the rules that tie several options together.
//!
//! Every option is read before any result is used, so that all faults are found in one pass. A
//! function whose reader noted a fault answers `FaultNoted`.

mod certificates;
mod ours;
mod platform;
mod sending;
mod syslog;
mod webhook;

use chrono::{DateTime, Utc};
use url::Url;

pub(super) use self::ours::import;
pub use self::{platform::opencti_token, syslog::syslog_tokens, webhook::webhook_secrets};
use super::{
    options::{
        self, CONNECTOR_NAME, CONNECTOR_SEND_TO_DIRECTORY, CONNECTOR_SEND_TO_QUEUE,
        CONNECTOR_SEND_TO_S3, HARFANGLAB_INCIDENTS_ELASTIC_PULL, HARFANGLAB_INCIDENTS_LISTEN,
        HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN, HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN,
        HARFANGLAB_INCIDENTS_SYSLOG_LISTEN, HARFANGLAB_INCIDENTS_URL, OptionSpec, Standing,
    },
    parse,
    reader::{Read, Reader},
    settings::{ImportSettings, OpenCtiSettings, Settings, TlsVerification},
};

/// Whether there is a platform to deliver to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    /// The service delivers to OpenCTI.
    OpenCti,
    /// There is none (`demo`): `opencti:` is not read.
    None,
}

/// Reads everything.
pub(super) fn settings(
    reader: &mut Reader<'_>,
    now: DateTime<Utc>,
    platform: Platform,
) -> Read<Settings> {
    let opencti = match platform {
        Platform::OpenCti => platform::opencti(reader).map(Some),
        Platform::None => Ok(None),
    };
    let connector = platform::connector(reader);
    let mq = platform::broker(reader);
    let harfanglab = ours::harfanglab(reader);
    let import = ours::import(reader, now);
    let webhook = webhook::webhook(reader);
    let syslog = syslog::syslog(reader);
    let elastic_pull = reader.required(&HARFANGLAB_INCIDENTS_ELASTIC_PULL, parse::boolean);
    let journal = ours::journal(reader);
    let pipeline = ours::pipeline(reader);
    let enrichment = ours::enrichment(reader);
    let management_listen =
        reader.required(&HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN, parse::listen_address);
    let management_token =
        reader.optional(&HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN, ours::management_token);
    let connector_metrics = platform::connector_metrics(reader);
    for option in options::all().filter(|option| option.standing != Standing::Used) {
        reader.hold_to_default(option);
    }
    if platform == Platform::OpenCti {
        check_sinks(reader);
    }
    check_addresses(reader);
    let settings = Settings {
        opencti: opencti?,
        connector: connector?,
        mq: mq?,
        harfanglab: harfanglab?,
        import: import?,
        webhook: webhook?,
        syslog: syslog?,
        elastic_pull: elastic_pull?,
        journal: journal?,
        pipeline: pipeline?,
        enrichment: enrichment?,
        management_listen: management_listen?,
        management_token: management_token?,
        connector_metrics: connector_metrics?,
    };
    warn_of_unchecked_certificates(reader, settings.opencti.as_ref(), &settings);
    warn_of_weak_secrets(
        reader,
        &options::HARFANGLAB_INCIDENTS_WEBHOOK_SECRET,
        &settings.webhook.secrets,
    );
    if let Some(syslog) = &settings.syslog {
        let option = &options::HARFANGLAB_INCIDENTS_SYSLOG_TOKEN;
        warn_of_weak_secrets(reader, option, &syslog.tokens);
    }
    warn_of_the_future(reader, &settings.import, now);
    Ok(settings)
}

/// What `convert` needs: it runs offline, so nothing that is reached is required.
pub(super) fn conversion(
    reader: &mut Reader<'_>,
    now: DateTime<Utc>,
) -> Read<(String, ImportSettings, Option<Url>)> {
    let author = reader.required(&CONNECTOR_NAME, platform::connector_name);
    let import = import(reader, now);
    let console_url = reader.optional(&HARFANGLAB_INCIDENTS_URL, parse::base_url);
    Ok((author?, import?, console_url?))
}

// The two checks below look at the values in effect instead of at the settings, which are not
// there as soon as anything else is faulty: all faults are told at once.

fn check_sinks(reader: &mut Reader<'_>) {
    let is_off = |option: &OptionSpec| {
        let value = reader.effective.get(option.variable).and_then(|value| value.value.as_deref());
        value.is_some_and(|text| parse::boolean(text) == Ok(false))
    };
    let sinks = [&CONNECTOR_SEND_TO_QUEUE, &CONNECTOR_SEND_TO_DIRECTORY, &CONNECTOR_SEND_TO_S3];
    if sinks.into_iter().all(is_off) {
        reader.fault(
            &CONNECTOR_SEND_TO_QUEUE,
            "is off, and so are CONNECTOR_SEND_TO_DIRECTORY and CONNECTOR_SEND_TO_S3, so that \
             nothing would be delivered",
            "set one of the three to true",
        );
    }
}

fn check_addresses(reader: &mut Reader<'_>) {
    let address = |option: &OptionSpec| {
        let value = reader.effective.get(option.variable).and_then(|value| value.value.as_deref());
        value.and_then(|text| parse::listen_address(text).ok())
    };
    let listeners = [
        &HARFANGLAB_INCIDENTS_LISTEN,
        &HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN,
        &HARFANGLAB_INCIDENTS_SYSLOG_LISTEN,
    ];
    // Port 0 asks the system for a free port each.
    let addresses = listeners.map(|option| address(option).filter(|address| address.port() != 0));
    for (at, option) in listeners.iter().enumerate().skip(1) {
        let Some(shared) = addresses[at] else { continue };
        if let Some(first) = addresses[..at].iter().position(|other| *other == Some(shared)) {
            reader.fault(
                option,
                format!("is {shared}, as is {}", listeners[first].variable),
                "give the two different ports",
            );
        }
    }
}

fn warn_of_unchecked_certificates(
    reader: &mut Reader<'_>,
    opencti: Option<&OpenCtiSettings>,
    settings: &Settings,
) {
    let mut warn = |variable: &OptionSpec, tls: &TlsVerification, whose: &str| {
        if *tls == TlsVerification::Off {
            reader.warnings.push(format!(
                "{} is off: the certificate of {whose} is not checked; better give the path of \
                 its certificate authority",
                variable.variable
            ));
        }
    };
    if let Some(opencti) = opencti {
        warn(&options::OPENCTI_SSL_VERIFY, &opencti.tls, "OpenCTI");
    }
    let tls = &settings.harfanglab.tls;
    warn(&options::HARFANGLAB_INCIDENTS_SSL_VERIFY, tls, "the HarfangLab console");
}

fn warn_of_weak_secrets(
    reader: &mut Reader<'_>,
    option: &OptionSpec,
    secrets: &[secrecy::SecretString],
) {
    use secrecy::ExposeSecret as _;

    let is_short = |secret: &secrecy::SecretString| secret.expose_secret().len() < 16;
    let short = secrets.iter().filter(|secret| is_short(secret)).count();
    if short > 0 {
        reader.warnings.push(format!(
            "{} has {short} secret(s) shorter than 16 bytes, which can be guessed; `openssl rand \
             -hex 32` makes a good one",
            option.variable
        ));
    }
}

fn warn_of_the_future(reader: &mut Reader<'_>, import: &ImportSettings, now: DateTime<Utc>) {
    if import.start > now {
        reader.warnings.push(format!(
            "{} is in the future ({}): until then the sweep finds nothing",
            options::HARFANGLAB_INCIDENTS_IMPORT_START_DATE.variable,
            import.start.to_rfc3339()
        ));
    }
}
