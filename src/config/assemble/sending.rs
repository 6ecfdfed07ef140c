//! `connector:` and `s3:`: the sending modes besides the plain queue.

use super::ours::whole;
use crate::config::{
    effective::Source,
    options::{
        CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT,
        CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL, CONNECTOR_QUEUE_PROTOCOL,
        CONNECTOR_SEND_TO_S3, CONNECTOR_SEND_TO_S3_BUCKET, CONNECTOR_SEND_TO_S3_FOLDER,
        CONNECTOR_SEND_TO_S3_RETENTION, CONNECTOR_VALIDATE_BEFORE_IMPORT, OptionSpec,
        QUEUE_PROTOCOL, S3_ACCESS_KEY, S3_BUCKET_REGION, S3_ENDPOINT, S3_PORT, S3_SECRET_KEY,
        S3_USE_SSL,
    },
    parse::{self, Refusal},
    reader::{FaultNoted, Read, Reader},
    sending::{Approval, QueueProtocol, S3Settings, SendingSettings},
};

pub(super) fn sending(reader: &mut Reader<'_>) -> Read<SendingSettings> {
    let protocol = protocol(reader);
    let s3 = s3(reader);
    let approval = reader.required(&CONNECTOR_VALIDATE_BEFORE_IMPORT, approval);
    let wants_account = reader.required(&CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT, parse::boolean);
    let confidence = whole(reader, &CONNECTOR_AUTO_CREATE_SERVICE_ACCOUNT_CONFIDENCE_LEVEL);
    let (protocol, approval, confidence) = (protocol?, approval?, confidence?);
    let service_account_confidence = wants_account?.then_some(confidence);
    if approval.is_needed() && protocol == QueueProtocol::Api {
        reader.fault(
            &CONNECTOR_VALIDATE_BEFORE_IMPORT,
            "is true while CONNECTOR_QUEUE_PROTOCOL is api: OpenCTI's API takes no draft with a \
             bundle, so that everything would be imported without validation",
            "set CONNECTOR_QUEUE_PROTOCOL to amqp, or this to false",
        );
        return Err(FaultNoted);
    }
    Ok(SendingSettings { protocol, s3: s3?, approval, service_account_confidence })
}

/// The older name counts only where the newer one is not given.
fn protocol(reader: &mut Reader<'_>) -> Read<QueueProtocol> {
    let newer = reader.required(&CONNECTOR_QUEUE_PROTOCOL, queue_protocol);
    let older = reader.optional(&QUEUE_PROTOCOL, queue_protocol);
    let (newer, older) = (newer?, older?);
    Ok(if is_set(reader, &CONNECTOR_QUEUE_PROTOCOL) { newer } else { older.unwrap_or(newer) })
}

fn s3(reader: &mut Reader<'_>) -> Read<Option<S3Settings>> {
    let text = |text: &str| Ok(text.to_owned());
    let is_on = reader.required(&CONNECTOR_SEND_TO_S3, parse::boolean);
    let bucket = reader.optional(&CONNECTOR_SEND_TO_S3_BUCKET, text);
    let folder = reader.required(&CONNECTOR_SEND_TO_S3_FOLDER, folder);
    let retention_days = whole(reader, &CONNECTOR_SEND_TO_S3_RETENTION);
    let endpoint = reader.optional(&S3_ENDPOINT, host);
    let port = reader.optional(&S3_PORT, |text| S3_PORT.whole(text));
    let use_ssl = reader.optional(&S3_USE_SSL, parse::boolean);
    let region = reader.optional(&S3_BUCKET_REGION, text);
    let access_key = reader.optional_secret(&S3_ACCESS_KEY);
    let secret_key = reader.optional_secret(&S3_SECRET_KEY);
    let settings = S3Settings {
        bucket: bucket?,
        folder: folder?,
        retention_days: retention_days?,
        endpoint: endpoint?,
        port: port?,
        use_ssl: use_ssl?,
        region: region?,
        access_key: access_key?,
        secret_key: secret_key?,
    };
    Ok(is_on?.then_some(settings))
}

fn queue_protocol(text: &str) -> Result<QueueProtocol, Refusal> {
    let protocols = [QueueProtocol::Amqp, QueueProtocol::Api];
    CONNECTOR_QUEUE_PROTOCOL.choice(text).map(|position| protocols[position])
}

fn approval(text: &str) -> Result<Approval, Refusal> {
    Ok(if parse::boolean(text)? { Approval::ByDraft } else { Approval::NotNeeded })
}

/// Slashes at the ends mean nothing; `.` is the root.
fn folder(text: &str) -> Result<String, Refusal> {
    let folder = text.trim().trim_matches('/');
    if folder == "." {
        return Ok(String::new());
    }
    // A URL would resolve them and lead to another place.
    if folder.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err("has an empty part or one of dots".to_owned());
    }
    Ok(folder.to_owned())
}

fn host(text: &str) -> Result<String, Refusal> {
    if text.contains(['/', '@', '?', '#']) || url::Host::parse(text).is_err() {
        return Err("is not a host name; S3_USE_SSL and S3_PORT say the rest".to_owned());
    }
    Ok(text.to_owned())
}

/// True when somebody gave the option, also if it is what it would be by default.
fn is_set(reader: &Reader<'_>, option: &OptionSpec) -> bool {
    let value = reader.effective.get(option.variable);
    value.is_some_and(|value| value.value.is_some() && value.source != Source::Default)
}
