//! `opencti:`, `connector:` and `mq:`, and reading the token again.

use std::path::Path;

use secrecy::SecretString;
use url::Url;

use super::{
    certificates,
    ours::{length, whole},
    sending,
    webhook::secret_file,
};
use crate::config::{
    fault::{self, Fault},
    given,
    options::{
        CONNECTOR_DURATION_PERIOD, CONNECTOR_EXPOSE_METRICS, CONNECTOR_ID, CONNECTOR_LOG_LEVEL,
        CONNECTOR_METRICS_NAMESPACE, CONNECTOR_METRICS_PORT, CONNECTOR_METRICS_SUBSYSTEM,
        CONNECTOR_NAME, CONNECTOR_QUEUE_THRESHOLD, CONNECTOR_RUN_AND_TERMINATE, CONNECTOR_SCOPE,
        CONNECTOR_SEND_TO_DIRECTORY, CONNECTOR_SEND_TO_DIRECTORY_PATH,
        CONNECTOR_SEND_TO_DIRECTORY_RETENTION, CONNECTOR_SEND_TO_QUEUE,
        HARFANGLAB_INCIDENTS_DIRECTORY_MODE, MQ_HOST, MQ_PASS, MQ_PORT, MQ_USE_SSL, MQ_USE_SSL_CA,
        MQ_USE_SSL_CERT, MQ_USE_SSL_KEY, MQ_USE_SSL_PASSPHRASE, MQ_USE_SSL_REJECT_UNAUTHORIZED,
        MQ_USER, MQ_VHOST, OPENCTI_CUSTOM_HEADERS, OPENCTI_JSON_LOGGING, OPENCTI_TOKEN,
        OPENCTI_URL,
    },
    parse::{self, Refusal},
    reader::{FaultNoted, Read, Reader},
    settings::{
        BrokerVerification, ConnectorMetricsSettings, ConnectorSettings, DirectorySettings,
        MqOverrides, OpenCtiSettings,
    },
};

const UNVERIFIED: &str = "MQ_USE_SSL_REJECT_UNAUTHORIZED=false: RabbitMQ's certificate is NOT \
    checked, so anybody on the way can pass for it and read its password and every alert; set \
    MQ_USE_SSL_CA to its certificate authority and leave this out";

/// Reads the token again from the file that it came from.
///
/// # Errors
/// The fault that the same file would have been at the start.
pub fn opencti_token(path: &Path) -> Result<SecretString, Fault> {
    let given =
        given::secret_file(&OPENCTI_TOKEN, &fault::subject(&OPENCTI_TOKEN), path.to_owned())?;
    parse::token(&given.text).map(SecretString::from).map_err(|refusal| {
        let problem = format!("names the file {}, whose value {refusal}", path.display());
        Fault::of(&OPENCTI_TOKEN, problem, format!("expected {}", OPENCTI_TOKEN.expects()))
    })
}

pub(super) fn opencti(reader: &mut Reader<'_>) -> Read<OpenCtiSettings> {
    let url = reader.required(&OPENCTI_URL, platform_url);
    let token = reader.required(&OPENCTI_TOKEN, |text| parse::token(text).map(SecretString::from));
    let tls = certificates::opencti(reader);
    let custom_headers = reader.optional(&OPENCTI_CUSTOM_HEADERS, parse::custom_headers);
    let custom_headers = custom_headers?.unwrap_or_default();
    Ok(OpenCtiSettings {
        url: url?,
        token: token?,
        token_file: secret_file(reader, &OPENCTI_TOKEN),
        tls: tls?,
        custom_headers: custom_headers
            .into_iter()
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect(),
    })
}

pub(super) fn connector(reader: &mut Reader<'_>) -> Read<ConnectorSettings> {
    let id = reader.required(&CONNECTOR_ID, parse::token);
    let name = reader.required(&CONNECTOR_NAME, connector_name);
    let scope = reader.list(&CONNECTOR_SCOPE, |item| Ok(item.to_owned()));
    let log_level = reader.required(&CONNECTOR_LOG_LEVEL, log_level);
    let json_logging = reader.required(&OPENCTI_JSON_LOGGING, parse::boolean);
    let duration_period = length(reader, &CONNECTOR_DURATION_PERIOD);
    let run_and_terminate = reader.required(&CONNECTOR_RUN_AND_TERMINATE, parse::boolean);
    let queue_threshold_mb = reader.required(&CONNECTOR_QUEUE_THRESHOLD, parse::positive);
    let send_to_queue = reader.required(&CONNECTOR_SEND_TO_QUEUE, parse::boolean);
    let directory = directory(reader);
    let sending = sending::sending(reader);
    Ok(ConnectorSettings {
        id: id?,
        name: name?,
        scope: scope?,
        log_level: log_level?,
        json_logging: json_logging?,
        duration_period: duration_period?,
        run_and_terminate: run_and_terminate?,
        queue_threshold_mb: queue_threshold_mb?,
        send_to_queue: send_to_queue?,
        directory: directory?,
        sending: sending?,
    })
}

pub(super) fn broker(reader: &mut Reader<'_>) -> Read<MqOverrides> {
    let text = |text: &str| Ok(text.to_owned());
    let host = reader.optional(&MQ_HOST, text);
    let port = reader.optional(&MQ_PORT, |text| MQ_PORT.whole(text));
    let vhost = reader.optional(&MQ_VHOST, text);
    let use_ssl = reader.optional(&MQ_USE_SSL, parse::boolean);
    let user = reader.optional(&MQ_USER, text);
    let pass = reader.optional_secret(&MQ_PASS);
    let ssl_ca = reader.optional(&MQ_USE_SSL_CA, certificates::pem_or_path);
    let ssl_cert = reader.optional(&MQ_USE_SSL_CERT, certificates::pem_or_path);
    let ssl_key = reader.optional(&MQ_USE_SSL_KEY, certificates::pem_or_path);
    let ssl_passphrase = reader.optional_secret(&MQ_USE_SSL_PASSPHRASE);
    let verification = reader.required(&MQ_USE_SSL_REJECT_UNAUTHORIZED, |text| {
        let is_on = parse::boolean(text)?;
        Ok(if is_on { BrokerVerification::On } else { BrokerVerification::Off })
    });
    if matches!(verification, Ok(BrokerVerification::Off)) {
        reader.warnings.push(UNVERIFIED.to_owned());
    }
    Ok(MqOverrides {
        host: host?,
        port: port?,
        vhost: vhost?,
        use_ssl: use_ssl?,
        user: user?,
        pass: pass?,
        ssl_ca: ssl_ca?,
        ssl_cert: ssl_cert?,
        ssl_key: ssl_key?.map(SecretString::from),
        ssl_passphrase: ssl_passphrase?,
        verification: verification?,
    })
}

pub(super) fn connector_metrics(reader: &mut Reader<'_>) -> Read<Option<ConnectorMetricsSettings>> {
    let is_on = reader.required(&CONNECTOR_EXPOSE_METRICS, parse::boolean);
    let port = whole(reader, &CONNECTOR_METRICS_PORT);
    let namespace = reader.optional(&CONNECTOR_METRICS_NAMESPACE, metric_name);
    let subsystem = reader.optional(&CONNECTOR_METRICS_SUBSYSTEM, metric_name);
    let (is_on, port, parts) = (is_on?, port?, [namespace?, subsystem?]);
    // An empty one at the end puts an underscore behind the last.
    let parts: Vec<String> = parts.into_iter().flatten().chain([String::new()]).collect();
    let prefix = parts.join("_");
    Ok(is_on.then_some(ConnectorMetricsSettings { port, prefix }))
}

/// What Prometheus takes as the beginning of a name.
fn metric_name(text: &str) -> Result<String, Refusal> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if !text.chars().all(is_part) || text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Err("is no part of a metric's name: it may hold letters, digits and underscores, \
                    and not begin with a digit"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// OpenCTI refuses connectors whose name is blank or a single character.
pub(super) fn connector_name(text: &str) -> Result<String, Refusal> {
    if text.chars().count() < 2 {
        return Err("is shorter than two characters, which OpenCTI refuses".to_owned());
    }
    Ok(text.to_owned())
}

fn platform_url(text: &str) -> Result<Url, Refusal> {
    let url = parse::base_url(text)?;
    if url.path().trim_end_matches('/').ends_with("/graphql") {
        return Err("ends in /graphql, which is added to it".to_owned());
    }
    Ok(url)
}

fn log_level(text: &str) -> Result<String, Refusal> {
    let levels = ["trace", "debug", "info", "warn", "warning", "error"];
    let names = ["trace", "debug", "info", "warn", "warn", "error"];
    parse::choice(text, &levels).map(|position| names[position].to_owned())
}

fn directory(reader: &mut Reader<'_>) -> Read<Option<DirectorySettings>> {
    let is_on = reader.required(&CONNECTOR_SEND_TO_DIRECTORY, parse::boolean);
    let path = reader.optional(&CONNECTOR_SEND_TO_DIRECTORY_PATH, |text| Ok(text.into()));
    let retention = whole(reader, &CONNECTOR_SEND_TO_DIRECTORY_RETENTION);
    let mode = reader.required(&HARFANGLAB_INCIDENTS_DIRECTORY_MODE, parse::file_mode);
    let (is_on, path, retention_days, mode) = (is_on?, path?, retention?, mode?);
    if !is_on {
        return Ok(None);
    }
    let Some(path) = path else {
        reader.fault(
            &CONNECTOR_SEND_TO_DIRECTORY_PATH,
            "is missing while CONNECTOR_SEND_TO_DIRECTORY is true",
            "set it to the path of the folder that the bundles go to",
        );
        return Err(FaultNoted);
    };
    Ok(Some(DirectorySettings { path, retention_days, mode }))
}
