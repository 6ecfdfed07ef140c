//! The listener for HarfangLab's syslog connector, and reading its tokens again.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use secrecy::SecretString;

use super::{
    certificates::{EndpointTls, endpoint_tls},
    secrets::{secret_item, secrets_of},
};
use crate::config::{
    declare::{Field, settings},
    fault::Fault,
    option::{length, list, secrets, size, text, whole},
    parse::Refusal,
    reader::{FaultNoted, Read, Reader},
};

settings! { SYSLOG "The listener for HarfangLab's syslog connector":
    /// The listener for HarfangLab's syslog connector.
    #[derive(Debug, Clone)]
    pub struct SyslogSettings {
        /// Address and port for TCP, or TLS with the two files below. Needs at least one of the token, the
        /// allowed networks and the client authorities; of what is given all must hold. Left out: closed.
        /// Not with several consoles: no message says whose it is.
        also HARFANGLAB_INCIDENTS_SYSLOG_LISTEN: text("an address and port such as 0.0.0.0:6514")
            .row_with("none: closed", "where the console's syslog connector may connect");
        /// The address of the listener (`…_SYSLOG_LISTEN`).
        listen: SocketAddr = from listen;
        /// One or more, one of which each message has in its structured data, as in
        /// `[harfanglab@32473 token="…"]`. One shorter than 16 bytes is warned of and taken. The file is read
        /// again when it changes and at SIGHUP. Left out: the structured data is not looked at.
        tokens: Vec<SecretString> = HARFANGLAB_INCIDENTS_SYSLOG_TOKEN:
            secrets("one or more tokens, better of 16 bytes or more, separated by commas")
                .row("what its structured data must hold"), by secret_item;
        /// `…_SYSLOG_TOKEN_FILE`: where `tokens` were read from, and are read again when it changes.
        token_file: Option<PathBuf> = file of HARFANGLAB_INCIDENTS_SYSLOG_TOKEN;
        /// The element of the structured data that holds the token.
        token_id: String = HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_ID:
            text("the name of an element of structured data, such as harfanglab@32473")
                .default("harfanglab@32473"), by name;
        /// The parameter in it.
        token_name: String = HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_NAME:
            text("the name of a parameter of structured data, such as token").default("token"), by name;
        /// Addresses and networks that connections may come from; others are closed at once. Left out: from
        /// anywhere.
        allowed_networks: Vec<IpNet> = HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS:
            list("addresses or networks such as 192.0.2.10, 2001:db8::/32");
        /// PEM file with the listener's certificate and its chain, read again when it changes. Left out:
        /// plain TCP, which shows alerts and token to whoever is in between.
        also HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT:
            text("the path of a PEM file with the listener's certificate and what it was issued by");
        /// PEM file with its key, unencrypted.
        also HARFANGLAB_INCIDENTS_SYSLOG_TLS_KEY:
            text("the path of a PEM file with the certificate's key, unencrypted");
        /// PEM file with authorities; clients must then show a certificate that one of them issued, or one
        /// that is in the file. Left out: clients need none.
        also HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA:
            text("the path of a PEM file with the authorities that issue client certificates");
        /// `…_SYSLOG_TLS_…`; `None`: plain TCP.
        tls: Option<EndpointTls> = from tls;
        /// Bytes of one message with its header, or with KiB, MiB; a longer one is passed over, and the sweep
        /// finds its alert.
        max_frame_bytes: usize = HARFANGLAB_INCIDENTS_SYSLOG_MAX_FRAME: size(1 << 10, 64 << 20,
            "a size from 1KiB to 64MiB: bytes, or a number followed by KiB or MiB").default("2MiB");
        /// Connections at once. Above it the one is closed that has been open longest without a verified
        /// message; when there is none, a new one waits until another closes.
        max_connections: usize = HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS: whole(1, 10_000)
            .default("64");
        /// Connections at once from one address (of IPv6: one /64). Above it the address's own unverified
        /// ones are closed, and a new one is refused when there is none.
        max_connections_per_address: usize = HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS_PER_ADDRESS:
            whole(1, 10_000).default("32");
        /// The time for which a connection may be silent. A console that is cut off while it is silent may
        /// lose its next message.
        idle_timeout: Duration = HARFANGLAB_INCIDENTS_SYSLOG_IDLE_TIMEOUT: length("PT1S", "P30D")
            .default("P1D");
    }
}

/// Longest name in structured data (RFC 5424).
const NAME_MAX: usize = 32;

/// Reads everything; `None` when nothing is listened to.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Read<Option<SyslogSettings>> {
    let settings = SyslogSettings::read(reader);
    if Option::<SocketAddr>::read(reader, &HARFANGLAB_INCIDENTS_SYSLOG_LISTEN)?.is_none() {
        warn_of_no_effect(reader);
        return Ok(None);
    }
    let settings = settings?;
    check_proof(reader, &settings)?;
    Ok(Some(settings))
}

fn listen(reader: &mut Reader<'_>) -> Read<SocketAddr> {
    Option::<SocketAddr>::read(reader, &HARFANGLAB_INCIDENTS_SYSLOG_LISTEN)?.ok_or(FaultNoted)
}

fn tls(reader: &mut Reader<'_>) -> Read<Option<EndpointTls>> {
    endpoint_tls(
        reader,
        [
            &HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT,
            &HARFANGLAB_INCIDENTS_SYSLOG_TLS_KEY,
            &HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA,
        ],
    )
}

/// Reads the tokens again from the file that `…_SYSLOG_TOKEN_FILE` named at the start.
///
/// # Errors
/// The fault that the same file would have been at the start.
pub fn syslog_tokens(path: &Path) -> Result<Vec<SecretString>, Fault> {
    secrets_of(&HARFANGLAB_INCIDENTS_SYSLOG_TOKEN, path)
}

/// Nobody is let in without any proof: whoever reached the port could make incidents.
fn check_proof(reader: &mut Reader<'_>, settings: &SyslogSettings) -> Read<()> {
    let authorities = settings.tls.as_ref().and_then(|tls| tls.client_authorities.as_ref());
    let proves = !settings.tokens.is_empty()
        || !settings.allowed_networks.is_empty()
        || authorities.is_some();
    if !proves {
        reader.fault(
            &HARFANGLAB_INCIDENTS_SYSLOG_LISTEN,
            "would let anybody in",
            "set HARFANGLAB_INCIDENTS_SYSLOG_TOKEN (`openssl rand -hex 32` makes a good one) and \
             enter it in the console as structured data, or set \
             HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA or \
             HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS",
        );
        return Err(FaultNoted);
    }
    if settings.tls.is_none() && !settings.listen.ip().is_loopback() {
        reader.warnings.push(
            "HARFANGLAB_INCIDENTS_SYSLOG_LISTEN takes plain TCP from other machines: whoever is in \
             between reads alerts and the token; better set HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT and \
             …_TLS_KEY, and choose TCP-SSL in the console"
                .to_owned(),
        );
    }
    Ok(())
}

/// Warns of what was set for a listener that is not there.
fn warn_of_no_effect(reader: &mut Reader<'_>) {
    for option in [
        &HARFANGLAB_INCIDENTS_SYSLOG_TOKEN,
        &HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS,
        &HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT,
    ] {
        let value = reader.effective.get(option.variable).and_then(|value| value.value.as_ref());
        if value.is_some() {
            reader.warnings.push(format!(
                "{} has no effect: syslog is not listened to; set {} to open it",
                option.variable, HARFANGLAB_INCIDENTS_SYSLOG_LISTEN.variable
            ));
        }
    }
}

/// Parses a name as structured data can have it.
fn name(text: &str) -> Result<String, Refusal> {
    let fits = |character: char| character.is_ascii_graphic() && !"=]\"".contains(character);
    if text.len() > NAME_MAX {
        return Err(format!("is longer than {NAME_MAX} characters"));
    }
    if text.is_empty() || !text.chars().all(fits) {
        return Err("is not a name that structured data can have".to_owned());
    }
    Ok(text.to_owned())
}
