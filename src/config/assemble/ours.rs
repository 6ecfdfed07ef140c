//! `harfanglab_incidents:`, but for its endpoint (`webhook`).

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use super::certificates;
use crate::alert::element::MaxValues;
use crate::config::{
    options::{
        HARFANGLAB_INCIDENTS_ACCOUNT_IDENTITY, HARFANGLAB_INCIDENTS_ALERT_MATURITIES,
        HARFANGLAB_INCIDENTS_ALERT_MIN_LEVEL, HARFANGLAB_INCIDENTS_ALERT_STATUSES,
        HARFANGLAB_INCIDENTS_ALERT_TYPES, HARFANGLAB_INCIDENTS_API_CONCURRENCY,
        HARFANGLAB_INCIDENTS_API_RATE, HARFANGLAB_INCIDENTS_API_TIMEOUT,
        HARFANGLAB_INCIDENTS_ATTACH_RAW, HARFANGLAB_INCIDENTS_BATCH,
        HARFANGLAB_INCIDENTS_CONCURRENCY, HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES,
        HARFANGLAB_INCIDENTS_DEFAULT_MARKING, HARFANGLAB_INCIDENTS_DEFAULT_SCORE,
        HARFANGLAB_INCIDENTS_ELASTIC_PULL, HARFANGLAB_INCIDENTS_ENRICHMENT_TIME,
        HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT, HARFANGLAB_INCIDENTS_IMPORT_START_DATE,
        HARFANGLAB_INCIDENTS_IMPORT_THREATS, HARFANGLAB_INCIDENTS_INCIDENT_NAME,
        HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS, HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE,
        HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE, HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD,
        HARFANGLAB_INCIDENTS_JOURNAL_QUEUE, HARFANGLAB_INCIDENTS_JOURNAL_RETENTION,
        HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD, HARFANGLAB_INCIDENTS_JOURNAL_SAMPLE_SHAPES,
        HARFANGLAB_INCIDENTS_JOURNAL_SAMPLES, HARFANGLAB_INCIDENTS_JOURNAL_URL,
        HARFANGLAB_INCIDENTS_LEASE, HARFANGLAB_INCIDENTS_MAX_VALUES,
        HARFANGLAB_INCIDENTS_RESEND_AFTER, HARFANGLAB_INCIDENTS_RETRY_MAX,
        HARFANGLAB_INCIDENTS_SSL_VERIFY, HARFANGLAB_INCIDENTS_SWEEP_OVERLAP,
        HARFANGLAB_INCIDENTS_TOKEN, HARFANGLAB_INCIDENTS_URL, HARFANGLAB_INCIDENTS_WEBHOOK_CONFIRM,
        HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES, OptionSpec,
    },
    parse::{self, Refusal},
    reader::{Read, Reader},
    settings::{
        ALERT_LEVELS, AccountIdentity, AlertFilter, CustomProperties, EnrichmentSettings,
        HarfangLabSettings, ImportSettings, IncidentNaming, JournalSettings, Marking,
        PipelineSettings, RawAttachment,
    },
};

pub(super) fn harfanglab(reader: &mut Reader<'_>) -> Read<HarfangLabSettings> {
    let url = reader.required(&HARFANGLAB_INCIDENTS_URL, parse::base_url);
    let token = reader.required(&HARFANGLAB_INCIDENTS_TOKEN, console_token);
    let tls = certificates::verification(reader, &HARFANGLAB_INCIDENTS_SSL_VERIFY);
    let rate = whole(reader, &HARFANGLAB_INCIDENTS_API_RATE);
    let concurrency = whole(reader, &HARFANGLAB_INCIDENTS_API_CONCURRENCY);
    let timeout = length(reader, &HARFANGLAB_INCIDENTS_API_TIMEOUT);
    let max_values = whole(reader, &HARFANGLAB_INCIDENTS_MAX_VALUES);
    Ok(HarfangLabSettings {
        url: url?,
        token: token?,
        tls: tls?,
        requests_per_second: rate?,
        concurrency: concurrency?,
        request_timeout: timeout?,
        max_values: MaxValues(max_values?),
    })
}

/// What is imported and how it is named, marked and scored.
pub(in crate::config) fn import(
    reader: &mut Reader<'_>,
    now: DateTime<Utc>,
) -> Read<ImportSettings> {
    let threats = reader.required(&HARFANGLAB_INCIDENTS_IMPORT_THREATS, parse::boolean);
    let filter = alert_filter(reader);
    let marking = reader.required(&HARFANGLAB_INCIDENTS_DEFAULT_MARKING, marking);
    let score = reader.optional(&HARFANGLAB_INCIDENTS_DEFAULT_SCORE, |text| {
        HARFANGLAB_INCIDENTS_DEFAULT_SCORE.whole(text)
    });
    let start = reader
        .required(&HARFANGLAB_INCIDENTS_IMPORT_START_DATE, |text| parse::import_start(text, now));
    let naming = reader.optional(&HARFANGLAB_INCIDENTS_INCIDENT_NAME, naming);
    let accounts = reader.required(&HARFANGLAB_INCIDENTS_ACCOUNT_IDENTITY, account_identity);
    let raw = reader.required(&HARFANGLAB_INCIDENTS_ATTACH_RAW, raw_attachment);
    let custom_properties =
        reader.required(&HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES, custom_properties);
    let workflow = reader.list(&HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES, workflow_status);
    let overlap = length(reader, &HARFANGLAB_INCIDENTS_SWEEP_OVERLAP);
    Ok(ImportSettings {
        threats: threats?,
        filter: filter?,
        marking: marking?,
        score: score?,
        start: start?,
        naming: naming?,
        accounts: accounts?,
        raw: raw?,
        custom_properties: custom_properties?,
        workflow: workflow?.into_iter().collect(),
        overlap: overlap?,
    })
}

fn alert_filter(reader: &mut Reader<'_>) -> Read<AlertFilter> {
    let statuses = some_or_all(reader, &HARFANGLAB_INCIDENTS_ALERT_STATUSES, status);
    let any_type = |item: &str| Ok(item.to_lowercase());
    let types = some_or_all(reader, &HARFANGLAB_INCIDENTS_ALERT_TYPES, any_type);
    let maturities = some_or_all(reader, &HARFANGLAB_INCIDENTS_ALERT_MATURITIES, maturity);
    let min_level = reader.optional(&HARFANGLAB_INCIDENTS_ALERT_MIN_LEVEL, |text| {
        HARFANGLAB_INCIDENTS_ALERT_MIN_LEVEL
            .choice(text)
            .map(|position| ALERT_LEVELS[position].to_owned())
    });
    Ok(AlertFilter {
        statuses: statuses?,
        types: types?,
        maturities: maturities?,
        min_level: min_level?,
    })
}

/// A list in which `all` stands for every value there is or may be; answered as an empty one.
fn some_or_all(
    reader: &mut Reader<'_>,
    option: &OptionSpec,
    parse: impl Fn(&str) -> Result<String, Refusal>,
) -> Read<Vec<String>> {
    let is_all = |item: &str| item.eq_ignore_ascii_case("all");
    let items = reader
        .list(option, |item| if is_all(item) { Ok("all".to_owned()) } else { parse(item) })?;
    Ok(if items.iter().any(|item| is_all(item)) { Vec::new() } else { items })
}

pub(super) fn journal(reader: &mut Reader<'_>) -> Read<JournalSettings> {
    let address = reader.required(&HARFANGLAB_INCIDENTS_JOURNAL_URL, journal_url);
    let password = reader.optional_secret(&HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD);
    let connections = whole(reader, &HARFANGLAB_INCIDENTS_JOURNAL_CONNECTIONS);
    let queue = whole(reader, &HARFANGLAB_INCIDENTS_JOURNAL_QUEUE);
    let retention = length(reader, &HARFANGLAB_INCIDENTS_JOURNAL_RETENTION);
    let retention_dead = length(reader, &HARFANGLAB_INCIDENTS_JOURNAL_RETENTION_DEAD);
    let samples = whole(reader, &HARFANGLAB_INCIDENTS_JOURNAL_SAMPLES);
    let sample_shapes = whole(reader, &HARFANGLAB_INCIDENTS_JOURNAL_SAMPLE_SHAPES);
    let max_size = size(reader, &HARFANGLAB_INCIDENTS_JOURNAL_MAX_SIZE);
    let min_free = size(reader, &HARFANGLAB_INCIDENTS_JOURNAL_MIN_FREE);
    let (url, password_of_url) = address?;
    Ok(JournalSettings {
        url,
        password: password?.or(password_of_url),
        connections: connections?,
        queue: queue?,
        retention: retention?,
        retention_dead: retention_dead?,
        samples: samples?,
        sample_shapes: sample_shapes?,
        max_size_bytes: max_size?,
        min_free_bytes: min_free?,
    })
}

/// Bytes, or zero for no bound.
fn size(reader: &mut Reader<'_>, option: &OptionSpec) -> Read<u64> {
    reader.required(option, |text| parse::size_bytes(text, 0, 1 << 44).map(|bytes| bytes as u64))
}

pub(super) fn pipeline(reader: &mut Reader<'_>) -> Read<PipelineSettings> {
    let concurrency = whole(reader, &HARFANGLAB_INCIDENTS_CONCURRENCY);
    let batch = whole(reader, &HARFANGLAB_INCIDENTS_BATCH);
    let lease = length(reader, &HARFANGLAB_INCIDENTS_LEASE);
    let retry_max = length(reader, &HARFANGLAB_INCIDENTS_RETRY_MAX);
    let resend_after = length(reader, &HARFANGLAB_INCIDENTS_RESEND_AFTER);
    Ok(PipelineSettings {
        concurrency: concurrency?,
        batch: batch?,
        lease: lease?,
        retry_max: retry_max?,
        resend_after: resend_after?,
    })
}

/// Whether the queue of the console's Elastic connector is read.
pub(super) fn elastic_pull(reader: &mut Reader<'_>) -> Read<bool> {
    reader.required(&HARFANGLAB_INCIDENTS_ELASTIC_PULL, parse::boolean)
}

pub(super) fn enrichment(reader: &mut Reader<'_>) -> Read<EnrichmentSettings> {
    let first_wait = length(reader, &HARFANGLAB_INCIDENTS_ENRICHMENT_WAIT);
    let time = length(reader, &HARFANGLAB_INCIDENTS_ENRICHMENT_TIME);
    let confirm = reader.required(&HARFANGLAB_INCIDENTS_WEBHOOK_CONFIRM, parse::boolean);
    Ok(EnrichmentSettings { first_wait: first_wait?, time: time?, confirm: confirm? })
}

/// A whole number within the option's bounds.
pub(super) fn whole<T: TryFrom<u64>>(reader: &mut Reader<'_>, option: &OptionSpec) -> Read<T> {
    reader.required(option, |text| option.whole(text))
}

/// A length of time within the option's bounds.
pub(super) fn length(reader: &mut Reader<'_>, option: &OptionSpec) -> Read<Duration> {
    reader.required(option, |text| option.length(text))
}

/// The console's documentation shows the token behind `Token `, and so it is often pasted.
fn console_token(text: &str) -> Result<SecretString, Refusal> {
    let token = parse::token(text)?;
    let bare = token.strip_prefix("Token ").unwrap_or(&token).trim_start();
    Ok(SecretString::from(bare.to_owned()))
}

/// Whoever knows it may read alerts and drop them, so that one that can be guessed is refused.
pub(super) fn management_token(text: &str) -> Result<SecretString, Refusal> {
    let token = parse::token(text)?;
    if token.chars().count() < 16 {
        return Err("can be guessed".to_owned());
    }
    Ok(SecretString::from(token))
}

fn status(item: &str) -> Result<String, Refusal> {
    let statuses = ["new", "investigating", "probable_false_positive", "false_positive", "closed"];
    parse::choice(item, &statuses).map(|position| statuses[position].to_owned())
}

/// `closed=CLOSED`.
fn workflow_status(item: &str) -> Result<(String, String), Refusal> {
    let (of_alert, of_incident) =
        item.split_once('=').ok_or_else(|| "has no = between its two statuses".to_owned())?;
    let of_incident = of_incident.trim();
    if of_incident.is_empty() {
        return Err("names no status of OpenCTI after the =".to_owned());
    }
    Ok((status(of_alert.trim())?, of_incident.to_owned()))
}

fn maturity(item: &str) -> Result<String, Refusal> {
    let maturities = ["stable", "testing", "experimental"];
    parse::choice(item, &maturities).map(|position| maturities[position].to_owned())
}

fn marking(text: &str) -> Result<Marking, Refusal> {
    let names = ["TLP:CLEAR", "TLP:WHITE", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"];
    let markings = [
        Marking::Clear,
        Marking::Clear,
        Marking::Green,
        Marking::Amber,
        Marking::AmberStrict,
        Marking::Red,
    ];
    parse::choice(text, &names).map(|position| markings[position])
}

fn naming(text: &str) -> Result<IncidentNaming, Refusal> {
    let namings = [IncidentNaming::Title, IncidentNaming::Message];
    HARFANGLAB_INCIDENTS_INCIDENT_NAME.choice(text).map(|position| namings[position])
}

fn account_identity(text: &str) -> Result<AccountIdentity, Refusal> {
    let identities = [AccountIdentity::Login, AccountIdentity::Sid];
    HARFANGLAB_INCIDENTS_ACCOUNT_IDENTITY.choice(text).map(|position| identities[position])
}

fn raw_attachment(text: &str) -> Result<RawAttachment, Refusal> {
    let attachments = [RawAttachment::None, RawAttachment::Note];
    HARFANGLAB_INCIDENTS_ATTACH_RAW.choice(text).map(|position| attachments[position])
}

fn custom_properties(text: &str) -> Result<CustomProperties, Refusal> {
    let choices = [CustomProperties::Auto, CustomProperties::Off];
    HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES.choice(text).map(|position| choices[position])
}

/// The journal's address, and the password that stands in it.
fn journal_url(text: &str) -> Result<(String, Option<SecretString>), Refusal> {
    match text.split_once(':') {
        Some(("sqlite", address)) => sqlite_url(address).map(|()| (text.to_owned(), None)),
        Some(("postgres" | "postgresql", _)) => postgres_url(text),
        _ => Err("is not a journal that this version knows".to_owned()),
    }
}

/// Checks what stands behind the scheme. SQLite's parameters can put the journal in memory, or open it so
/// that nothing can be written.
fn sqlite_url(address: &str) -> Result<(), Refusal> {
    let (path, parameters) = address.split_once('?').unwrap_or((address, ""));
    if path.contains(":memory:") {
        return Err("keeps nothing when the service stops".to_owned());
    }
    if path.trim_start_matches('/').is_empty() {
        return Err("names no file".to_owned());
    }
    let is_harmless = |parameter: &&str| matches!(*parameter, "" | "mode=rwc" | "mode=rw");
    parameters.split('&').find(|parameter| !is_harmless(parameter)).map_or(Ok(()), |parameter| {
        Err(format!(
            "has the parameter {parameter}, with which the journal may keep nothing: write \
             sqlite:{path} (and %3F for a question mark in a file's name)"
        ))
    })
}

fn postgres_url(text: &str) -> Result<(String, Option<SecretString>), Refusal> {
    let mut url = url::Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if url.query_pairs().any(|(name, _)| name == "password" || name == "sslpassword") {
        return Err("has a password among its parameters, where it is no secret: give it as \
                    HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD, and the key of a certificate without one"
            .to_owned());
    }
    let password = url.password().map(|password| {
        let decoded = percent_encoding::percent_decode_str(password).decode_utf8_lossy();
        SecretString::from(decoded.into_owned())
    });
    if url.host_str().is_none_or(str::is_empty)
        && !url.query_pairs().any(|(name, _)| name == "host")
    {
        return Err("names no host".to_owned());
    }
    // It has a host, so that it can be without a password, too.
    let _cannot_fail = url.set_password(None);
    Ok((url.into(), password))
}
