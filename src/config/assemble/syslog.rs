//! `harfanglab_incidents:`: the listener for HarfangLab's syslog connector.

use std::path::Path;

use secrecy::SecretString;

use super::{
    ours::{length, whole},
    webhook::{network, secret, secret_file, secrets_of, tls},
};
use crate::config::{
    fault::Fault,
    options::{
        HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS, HARFANGLAB_INCIDENTS_SYSLOG_IDLE_TIMEOUT,
        HARFANGLAB_INCIDENTS_SYSLOG_LISTEN, HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS,
        HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS_PER_ADDRESS,
        HARFANGLAB_INCIDENTS_SYSLOG_MAX_FRAME, HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT,
        HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA, HARFANGLAB_INCIDENTS_SYSLOG_TLS_KEY,
        HARFANGLAB_INCIDENTS_SYSLOG_TOKEN, HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_ID,
        HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_NAME,
    },
    parse::{self, Refusal},
    reader::{FaultNoted, Read, Reader},
    settings::SyslogSettings,
};

/// Longest name in structured data (RFC 5424).
const NAME_MAX: usize = 32;

pub(super) fn syslog(reader: &mut Reader<'_>) -> Read<Option<SyslogSettings>> {
    let listen = reader.optional(&HARFANGLAB_INCIDENTS_SYSLOG_LISTEN, parse::listen_address);
    let tokens = reader.list(&HARFANGLAB_INCIDENTS_SYSLOG_TOKEN, secret);
    let token_id = reader.required(&HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_ID, name);
    let token_name = reader.required(&HARFANGLAB_INCIDENTS_SYSLOG_TOKEN_NAME, name);
    let networks = reader.list(&HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS, network);
    let tls = tls(
        reader,
        [
            &HARFANGLAB_INCIDENTS_SYSLOG_TLS_CERT,
            &HARFANGLAB_INCIDENTS_SYSLOG_TLS_KEY,
            &HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA,
        ],
    );
    let max_frame = reader.required(&HARFANGLAB_INCIDENTS_SYSLOG_MAX_FRAME, |text| {
        parse::size_bytes(text, 1 << 10, 64 << 20)
    });
    let max_connections = whole(reader, &HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS);
    let per_address = whole(reader, &HARFANGLAB_INCIDENTS_SYSLOG_MAX_CONNECTIONS_PER_ADDRESS);
    let idle = length(reader, &HARFANGLAB_INCIDENTS_SYSLOG_IDLE_TIMEOUT);
    let (listen, tokens, networks, tls) = (listen?, tokens?, networks?, tls?);
    let Some(listen) = listen else {
        warn_of_no_effect(reader);
        return Ok(None);
    };
    let settings = SyslogSettings {
        listen,
        tokens,
        token_file: secret_file(reader, &HARFANGLAB_INCIDENTS_SYSLOG_TOKEN),
        token_id: token_id?,
        token_name: token_name?,
        allowed_networks: networks,
        tls,
        max_frame_bytes: max_frame?,
        max_connections: max_connections?,
        max_connections_per_address: per_address?,
        idle_timeout: idle?,
    };
    check_proof(reader, &settings)?;
    Ok(Some(settings))
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

/// What was set for a listener that is not there.
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

/// A name as structured data can have it.
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
