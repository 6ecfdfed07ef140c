//! `harfanglab_incidents:`: the endpoint that HarfangLab posts to, and reading its secrets again.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use super::{
    certificates::readable_file,
    ours::{length, whole},
};
use crate::config::{
    effective::Source,
    fault::{self, Fault},
    given,
    options::{
        HARFANGLAB_INCIDENTS_LISTEN, HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS,
        HARFANGLAB_INCIDENTS_WEBHOOK_AUTH, HARFANGLAB_INCIDENTS_WEBHOOK_HEADER,
        HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_ENCODING, HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_HEADER,
        HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_PREFIX, HARFANGLAB_INCIDENTS_WEBHOOK_MAX_BODY,
        HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS,
        HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS_PER_ADDRESS,
        HARFANGLAB_INCIDENTS_WEBHOOK_MAX_FAILURES, HARFANGLAB_INCIDENTS_WEBHOOK_MAX_IN_FLIGHT,
        HARFANGLAB_INCIDENTS_WEBHOOK_PATH, HARFANGLAB_INCIDENTS_WEBHOOK_SECRET,
        HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT, HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA,
        HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY, HARFANGLAB_INCIDENTS_WEBHOOK_TOLERANCE,
        HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES, OptionSpec,
    },
    parse::{self, Refusal},
    reader::{FaultNoted, Read, Reader},
    settings::{AccessSettings, EndpointTls, HmacEncoding, WebhookScheme, WebhookSettings},
};

pub(super) fn webhook(reader: &mut Reader<'_>) -> Read<WebhookSettings> {
    let listen = reader.required(&HARFANGLAB_INCIDENTS_LISTEN, parse::listen_address);
    let path = match reader.console_name().map(|name| format!("/webhooks/{name}")) {
        Some(default) => reader.or_default(&HARFANGLAB_INCIDENTS_WEBHOOK_PATH, &default, path),
        None => reader.required(&HARFANGLAB_INCIDENTS_WEBHOOK_PATH, path),
    };
    let schemes = reader.list(&HARFANGLAB_INCIDENTS_WEBHOOK_AUTH, scheme);
    let secrets = reader.list(&HARFANGLAB_INCIDENTS_WEBHOOK_SECRET, secret);
    check_signing_keys(reader, &schemes, &secrets);
    let header = reader.required(&HARFANGLAB_INCIDENTS_WEBHOOK_HEADER, parse::header_of_proof);
    let hmac_header =
        reader.optional(&HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_HEADER, parse::header_of_proof);
    let hmac_encoding = reader.required(&HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_ENCODING, encoding);
    let hmac_prefix =
        reader.required(&HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_PREFIX, |text| Ok(text.to_owned()));
    let tolerance = length(reader, &HARFANGLAB_INCIDENTS_WEBHOOK_TOLERANCE);
    let max_body = reader.required(&HARFANGLAB_INCIDENTS_WEBHOOK_MAX_BODY, |text| {
        parse::size_bytes(text, 1 << 10, 1 << 30)
    });
    let max_in_flight = whole(reader, &HARFANGLAB_INCIDENTS_WEBHOOK_MAX_IN_FLIGHT);
    let max_connections = whole(reader, &HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS);
    let per_address = whole(reader, &HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS_PER_ADDRESS);
    let access = access(reader);
    let tls = tls(
        reader,
        [
            &HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT,
            &HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY,
            &HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA,
        ],
    );
    Ok(WebhookSettings {
        listen: listen?,
        path: path?,
        schemes: schemes?,
        secrets: secrets?,
        header: header?,
        hmac_header: hmac_header?,
        hmac_encoding: hmac_encoding?,
        hmac_prefix: hmac_prefix?,
        tolerance: tolerance?,
        max_body_bytes: max_body?,
        max_in_flight: max_in_flight?,
        max_connections: max_connections?,
        max_connections_per_address: per_address?,
        secret_file: secret_file(reader, &HARFANGLAB_INCIDENTS_WEBHOOK_SECRET),
        access: access?,
        tls: tls?,
    })
}

/// `standard-webhooks` takes no secret that is not a key.
fn check_signing_keys(
    reader: &mut Reader<'_>,
    schemes: &Read<Vec<WebhookScheme>>,
    secrets: &Read<Vec<SecretString>>,
) {
    if let (Ok(schemes), Ok(secrets)) = (schemes, secrets)
        && schemes.contains(&WebhookScheme::StandardWebhooks)
        && secrets.iter().any(|secret| standard_webhooks_key(secret).is_none())
    {
        reader.fault(
            &HARFANGLAB_INCIDENTS_WEBHOOK_SECRET,
            "holds a secret that is no key for `standard-webhooks`",
            STANDARD_WEBHOOKS_KEY,
        );
    }
}

/// The form of a secret for `standard-webhooks`.
pub const STANDARD_WEBHOOKS_KEY: &str = "with `standard-webhooks` each secret is `whsec_` followed \
    by base64; make one with: echo \"whsec_$(openssl rand -base64 32)\"";

/// The key that a secret for `standard-webhooks` holds: `whsec_` and base64, or the base64 alone.
pub fn standard_webhooks_key(secret: &SecretString) -> Option<SecretSlice<u8>> {
    let text = secret.expose_secret().trim();
    let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok()?;
    (!key.is_empty()).then(|| SecretSlice::from(key))
}

/// Reads the endpoint's secrets again from the file that `…_WEBHOOK_SECRET_FILE` named at the start.
///
/// # Errors
/// The fault that the same file would have been at the start.
pub fn webhook_secrets(path: &Path) -> Result<Vec<SecretString>, Fault> {
    secrets_of(&HARFANGLAB_INCIDENTS_WEBHOOK_SECRET, path)
}

/// Reads the secrets of an option again from its file.
pub(super) fn secrets_of(option: &OptionSpec, path: &Path) -> Result<Vec<SecretString>, Fault> {
    let given = given::secret_file(option, &fault::subject(option), path.to_owned())?;
    let understood: Result<Vec<SecretString>, Refusal> =
        given.items.iter().map(|item| secret(item)).collect();
    match understood {
        Ok(secrets) if !secrets.is_empty() => Ok(secrets),
        Ok(_none) => Err(Fault::of(
            option,
            format!("names the file {}, which holds no secret", path.display()),
            format!("expected {}", option.expects()),
        )),
        Err(refusal) => Err(Fault::of(
            option,
            format!("has a secret in the file {}, which {refusal}", path.display()),
            format!("expected {}", option.expects()),
        )),
    }
}

pub(super) fn secret(item: &str) -> Result<SecretString, Refusal> {
    parse::token(item).map(SecretString::from)
}

/// The file that an option's secrets came from.
pub(super) fn secret_file(reader: &Reader<'_>, option: &OptionSpec) -> Option<PathBuf> {
    match reader.source(option)? {
        Source::SecretFile(path) => Some(path.clone()),
        _ => None,
    }
}

fn access(reader: &mut Reader<'_>) -> Read<AccessSettings> {
    let allowed = reader.list(&HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS, network);
    let proxies = reader.list(&HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES, network);
    let failures = whole(reader, &HARFANGLAB_INCIDENTS_WEBHOOK_MAX_FAILURES);
    Ok(AccessSettings {
        allowed_networks: allowed?,
        trusted_proxies: proxies?,
        max_failures_per_minute: failures?,
    })
}

/// Certificate, key and authorities of a listener; the options in this order.
pub(super) fn tls(
    reader: &mut Reader<'_>,
    [certificate_option, key_option, authorities_option]: [&OptionSpec; 3],
) -> Read<Option<EndpointTls>> {
    let certificate = reader.optional(certificate_option, readable_file);
    let key = reader.optional(key_option, readable_file);
    let authorities = reader.optional(authorities_option, readable_file);
    let (given, absent) = match (certificate?, key?, authorities?) {
        (Some(certificate), Some(key), client_authorities) => {
            return Ok(Some(EndpointTls { certificate, key, client_authorities }));
        }
        (None, None, None) => return Ok(None),
        (Some(_), None, _) => (certificate_option, key_option),
        (None, Some(_), _) => (key_option, certificate_option),
        (None, None, Some(_)) => (authorities_option, certificate_option),
    };
    let remedy = format!("set {} too, or leave both out", absent.variable);
    reader.fault(given, format!("is given without {}", absent.variable), remedy);
    Err(FaultNoted)
}

fn scheme(item: &str) -> Result<WebhookScheme, Refusal> {
    let schemes = [WebhookScheme::Header, WebhookScheme::Hmac, WebhookScheme::StandardWebhooks];
    parse::choice(item, &["header", "hmac", "standard-webhooks"]).map(|position| schemes[position])
}

fn encoding(text: &str) -> Result<HmacEncoding, Refusal> {
    let encodings = [HmacEncoding::Hex, HmacEncoding::Base64];
    HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_ENCODING.choice(text).map(|position| encodings[position])
}

fn path(text: &str) -> Result<String, Refusal> {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-._~/".contains(character);
    if text.starts_with('/') && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("is not a plain path".to_owned())
    }
}

/// A network, or an address as the network of itself alone.
pub(super) fn network(item: &str) -> Result<IpNet, Refusal> {
    item.parse::<IpNet>()
        .or_else(|_| {
            item.parse::<std::net::IpAddr>().map(|address| IpNet::from(address.to_canonical()))
        })
        .map(|network| network.trunc())
        .map_err(|_| "is neither an address nor a network".to_owned())
}
