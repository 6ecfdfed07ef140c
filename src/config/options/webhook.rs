//! The endpoint that HarfangLab posts to, what a console's deliveries prove there, and reading its secrets
//! again.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use strum::{VariantArray, VariantNames};

use super::{
    certificates::{EndpointTls, endpoint_tls},
    secrets::{secret_item, secrets_of},
};
use crate::config::{
    declare::{choices, names_of, settings},
    fault::Fault,
    option::{choice, length, list, secrets, size, text, whole},
    parse::{self, Refusal},
    reader::{Read, Reader},
};

settings! { ENDPOINT "The endpoint that HarfangLab posts to":
    /// The endpoint: one for all consoles.
    #[derive(Debug, Clone)]
    pub struct EndpointSettings {
        /// Its address and port.
        listen: SocketAddr = HARFANGLAB_INCIDENTS_LISTEN:
            text("an address and port such as 127.0.0.1:8080 or 0.0.0.0:8080")
                .default("127.0.0.1:8080").row("the endpoint");
        /// Connections at once, idle ones too. Above it the one is closed that has been open longest without
        /// a verified delivery; when there is none, a new one waits until another closes. Stay below the
        /// number of files that the process may open (1024 on most systems).
        max_connections: usize = HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS: whole(1, 100_000)
            .default("768");
        /// Connections at once from one address (of IPv6: one /64). Above it the address's own unverified
        /// ones are closed, and a new one is refused when there is none. Does not hold for trusted proxies.
        max_connections_per_address: usize = HARFANGLAB_INCIDENTS_WEBHOOK_MAX_CONNECTIONS_PER_ADDRESS:
            whole(1, 100_000).default("128");
        /// PEM file with the endpoint's certificate and its chain, for those without a proxy; read again
        /// when it changes. Left out: plain HTTP.
        also HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT:
            text("the path of a PEM file with the endpoint's certificate and what it was issued by");
        /// PEM file with its key, unencrypted.
        also HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY:
            text("the path of a PEM file with the certificate's key, unencrypted");
        /// PEM file with authorities; clients must then show a certificate that one of them issued, or one
        /// that is in the file. Left out: clients need none.
        also HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA:
            text("the path of a PEM file with the authorities that issue client certificates");
        /// `…_WEBHOOK_TLS_…`; `None`: plain HTTP, for a proxy in front.
        tls: Option<EndpointTls> = from tls;
    }
}

settings! { WEBHOOK "The deliveries of a console":
    /// The deliveries of one console.
    #[derive(Debug, Clone)]
    pub struct WebhookSettings {
        /// The path of the endpoint.
        also HARFANGLAB_INCIDENTS_WEBHOOK_PATH:
            text("a path that begins with /, of letters, digits and -._~/ only")
                .default("/webhooks/harfanglab").own().row("its path");
        /// `…_WEBHOOK_PATH`; of one of several consoles `/webhooks/<name>` by default.
        path: String = from path;
        /// One or more, all valid, so that they can be changed without a gap. Left out: the endpoint is
        /// closed, and alerts come by syslog, by the Elastic connector's queue or by the sweep. `openssl rand
        /// -hex 32` makes a good one; one shorter than 16 bytes is warned of and taken. The file is read
        /// again when it changes and at SIGHUP.
        secrets: Vec<SecretString> = HARFANGLAB_INCIDENTS_WEBHOOK_SECRET:
            secrets("one or more secrets, better of 16 bytes or more, separated by commas").own()
                .row_with("none: closed", "its secrets"), by secret_item;
        /// `…_WEBHOOK_SECRET_FILE`: where `secrets` were read from, and are read again when it changes;
        /// `None` when they were given another way.
        secret_file: Option<PathBuf> = file of HARFANGLAB_INCIDENTS_WEBHOOK_SECRET;
        /// The proofs of a delivery, some of: header (the secret is in a header), hmac (HMAC-SHA256 of
        /// the body), standard-webhooks (Standard Webhooks 1.0.0; each secret is `whsec_` followed by
        /// base64). Any one of these that verifies lets a delivery in.
        schemes: Vec<WebhookScheme> = HARFANGLAB_INCIDENTS_WEBHOOK_AUTH:
            list("some of header, hmac, standard-webhooks").default("header").inherited();
        check check_signing_keys(schemes, secrets);
        /// The header of the secret.
        header: String = HARFANGLAB_INCIDENTS_WEBHOOK_HEADER: text("the name of an HTTP header")
            .default("Authorization").inherited(), by parse::header_of_proof;
        /// The header of the HMAC. Left out: the one above.
        hmac_header: Option<String> = HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_HEADER:
            text("the name of an HTTP header").inherited(), by parse::header_of_proof;
        /// hex or base64.
        hmac_encoding: HmacEncoding = HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_ENCODING:
            choice(names_of::<HmacEncoding>()).default("hex").inherited();
        /// The text that may stand before the HMAC in its header.
        hmac_prefix: String = HARFANGLAB_INCIDENTS_WEBHOOK_HMAC_PREFIX:
            text("what stands before the signature in its header").default("sha256=").inherited();
        /// The longest time that a signed timestamp may be from now.
        tolerance: Duration = HARFANGLAB_INCIDENTS_WEBHOOK_TOLERANCE: length("PT1S", "P1D")
            .default("PT5M").inherited();
        /// Bytes, or with KiB, MiB, GiB; above it 413. A body sent with Content-Encoding: gzip keeps to it
        /// as sent and decompressed.
        max_body_bytes: usize = HARFANGLAB_INCIDENTS_WEBHOOK_MAX_BODY: size(1 << 10, 1 << 30,
            "a size from 1KiB to 1GiB: bytes, or a number followed by KiB, MiB or GiB")
            .default("10MiB").inherited();
        /// Requests at once; above it 429.
        max_in_flight: usize = HARFANGLAB_INCIDENTS_WEBHOOK_MAX_IN_FLIGHT: whole(1, 100_000)
            .default("512").inherited();
        /// Senders who may post at all, and their failed attempts.
        access: AccessSettings = from AccessSettings::read;
    }
}

settings! { ACCESS "":
    /// Senders who may post to the endpoint, whatever secret they have.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AccessSettings {
        /// Addresses and networks (`192.0.2.10,2001:db8::/32`) that deliveries may come from. Connections of
        /// others are closed at once, and requests of others through a trusted proxy get 403. Left out: from
        /// anywhere.
        allowed_networks: Vec<IpNet> = HARFANGLAB_INCIDENTS_WEBHOOK_ALLOWED_NETWORKS:
            list("addresses or networks such as 192.0.2.10, 2001:db8::/32").inherited()
                .row_with("from anywhere", "who may post");
        /// Addresses and networks of the proxies in front. X-Forwarded-For is believed from these only, so a
        /// proxy named here must add to or replace what its client sent. Left out: every client is who
        /// connects.
        trusted_proxies: Vec<IpNet> = HARFANGLAB_INCIDENTS_WEBHOOK_TRUSTED_PROXIES:
            list("addresses or networks such as 127.0.0.1, 10.0.0.0/8");
        /// Deliveries a minute that one address (of IPv6: one /64) may fail to have verified; above it 429.
        /// Behind a proxy that is not named above, all clients count as one, unless it is on this machine
        /// and sets X-Forwarded-For.
        max_failures_per_minute: u32 = HARFANGLAB_INCIDENTS_WEBHOOK_MAX_FAILURES: whole(1, 1_000_000)
            .note("failed attempts a minute").default("30").inherited();
    }
}

/// A proof of where a delivery comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum WebhookScheme {
    /// A static secret in a header, compared verbatim.
    Header,
    /// HMAC-SHA256 over the raw body.
    Hmac,
    /// Standard Webhooks 1.0.0.
    StandardWebhooks,
}

/// The notation of an HMAC in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum HmacEncoding {
    /// Hexadecimal, either case.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

choices!(WebhookScheme, HmacEncoding);

/// The form of a secret for `standard-webhooks`.
pub const STANDARD_WEBHOOKS_KEY: &str = "with `standard-webhooks` each secret is `whsec_` followed \
    by base64; make one with: echo \"whsec_$(openssl rand -base64 32)\"";

/// `standard-webhooks` takes no secret that is not a key.
fn check_signing_keys(
    reader: &mut Reader<'_>,
    (schemes, secrets): (&Read<Vec<WebhookScheme>>, &Read<Vec<SecretString>>),
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

/// Returns the key that a secret for `standard-webhooks` holds: `whsec_` and base64, or the base64 alone.
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

fn tls(reader: &mut Reader<'_>) -> Read<Option<EndpointTls>> {
    endpoint_tls(
        reader,
        [
            &HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CERT,
            &HARFANGLAB_INCIDENTS_WEBHOOK_TLS_KEY,
            &HARFANGLAB_INCIDENTS_WEBHOOK_TLS_CLIENT_CA,
        ],
    )
}

fn path(reader: &mut Reader<'_>) -> Read<String> {
    match reader.console_name().map(|name| format!("/webhooks/{name}")) {
        Some(default) => {
            reader.or_default(&HARFANGLAB_INCIDENTS_WEBHOOK_PATH, &default, plain_path)
        }
        None => reader.required(&HARFANGLAB_INCIDENTS_WEBHOOK_PATH, plain_path),
    }
}

fn plain_path(text: &str) -> Result<String, Refusal> {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-._~/".contains(character);
    if text.starts_with('/') && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("is not a plain path".to_owned())
    }
}
