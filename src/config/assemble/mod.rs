//! Options → [`Settings`], with the rules that tie several options together.
//!
//! Every option is read before any result is used, so that all faults are found in one pass. A
//! function whose reader noted a fault answers `FaultNoted`.

mod certificates;
mod consoles;
mod ours;
mod platform;
mod sending;
mod syslog;
mod warnings;
mod webhook;

use chrono::{DateTime, Utc};
use url::Url;

pub(super) use self::ours::import;
pub use self::{
    platform::opencti_token,
    syslog::syslog_tokens,
    webhook::{STANDARD_WEBHOOKS_KEY, standard_webhooks_key, webhook_secrets},
};
use super::{
    console::{ConsoleSettings, ONLY_CONSOLE},
    options::{
        self, CONNECTOR_NAME, CONNECTOR_SEND_TO_DIRECTORY, CONNECTOR_SEND_TO_QUEUE,
        CONNECTOR_SEND_TO_S3, HARFANGLAB_INCIDENTS_LISTEN, HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS,
        HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN, HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN,
        HARFANGLAB_INCIDENTS_SYSLOG_LISTEN, HARFANGLAB_INCIDENTS_URL, OptionSpec, Standing,
    },
    parse,
    reader::{FaultNoted, Read, Reader},
    settings::{ImportSettings, Settings, SyslogSettings},
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
    let consoles = consoles::consoles(reader, now);
    let first = first_console(reader, now, &consoles);
    let syslog = syslog::syslog(reader);
    check_whose_syslog_is(reader, &syslog, &consoles);
    let journal = ours::journal(reader);
    let pipeline = ours::pipeline(reader);
    let management_listen =
        reader.required(&HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN, parse::listen_address);
    let management_hosts = reader.list(&HARFANGLAB_INCIDENTS_MANAGEMENT_HOSTS, parse::host_name);
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
    let ConsoleSettings { harfanglab, import, webhook, elastic_pull, enrichment, .. } = first?;
    let settings = Settings {
        opencti: opencti?,
        connector: connector?,
        mq: mq?,
        consoles: consoles?,
        harfanglab,
        import,
        webhook,
        elastic_pull,
        syslog: syslog?,
        journal: journal?,
        pipeline: pipeline?,
        enrichment,
        management_listen: management_listen?,
        management_hosts: management_hosts?,
        management_token: management_token?,
        connector_metrics: connector_metrics?,
    };
    warnings::of(reader, &settings, now);
    Ok(settings)
}

/// The one console of the service's own options; of several, the first.
fn first_console(
    reader: &mut Reader<'_>,
    now: DateTime<Utc>,
    several: &Read<Vec<ConsoleSettings>>,
) -> Read<ConsoleSettings> {
    match several {
        Ok(several) if several.is_empty() => {}
        Ok(several) => return several.first().cloned().ok_or(FaultNoted),
        Err(noted) => return Err(*noted),
    }
    let harfanglab = ours::harfanglab(reader);
    let import = ours::import(reader, now);
    let webhook = webhook::webhook(reader);
    let elastic_pull = ours::elastic_pull(reader);
    let enrichment = ours::enrichment(reader);
    Ok(ConsoleSettings {
        name: ONLY_CONSOLE.to_owned(),
        author: String::new(),
        harfanglab: harfanglab?,
        import: import?,
        webhook: webhook?,
        elastic_pull: elastic_pull?,
        enrichment: enrichment?,
    })
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

/// A message of syslog does not say which console it is from.
fn check_whose_syslog_is(
    reader: &mut Reader<'_>,
    syslog: &Read<Option<SyslogSettings>>,
    consoles: &Read<Vec<ConsoleSettings>>,
) {
    if matches!((syslog, consoles), (Ok(Some(_)), Ok(consoles)) if consoles.len() > 1) {
        reader.fault(
            &HARFANGLAB_INCIDENTS_SYSLOG_LISTEN,
            format!("is given, but `{}:` lists several, and no message says whose it is", options::CONSOLES),
            "leave it out and take pushes by the webhook or `elastic_pull:`, or give the console that \
             speaks syslog a service of its own",
        );
    }
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
