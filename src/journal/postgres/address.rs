//! The address of a PostgreSQL journal: which parameters of libpq's are understood, how closely the
//! server is looked at, and whether the files that are named hold what they should.
//!
//! Refuses what is not understood: a misspelt `sslmode` would otherwise mean a server
//! that nobody checks. `sslmode` means what it does in PostgreSQL's manual ("SSL Support"), with two
//! differences: authorities of the system count beside those of `sslrootcert`, and `allow`, which
//! encrypts only when it must, is not there.
//!
//! Does not live here: connecting (`open`), what is said when that fails (`refusal`).

use std::{path::Path, str::FromStr as _};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::refusal::unusable;
use crate::{
    journal::error::JournalError,
    tls::{Passphrase, Pem},
};

/// Parameters that may stand behind the `?` of an address, beside `options[…]`.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "options",
];

/// Returns how the server at `url` is connected to.
///
/// # Errors
/// [`JournalError::Address`] when a parameter is not known, contradicts another one, or names a file
/// that does not hold what it should.
pub(super) fn options(
    url: &str,
    password: Option<&SecretString>,
) -> Result<PgConnectOptions, JournalError> {
    let parsed = Url::parse(url).map_err(|error| refused(&format!("is no URL: {error}")))?;
    let pairs: Vec<(String, String)> = parsed.query_pairs().into_owned().collect();
    only_known(&pairs)?;
    let named = |name: &str| pairs.iter().rfind(|(known, _)| known == name).map(|(_, text)| text);
    let options = PgConnectOptions::from_str(url).map_err(|error| unusable(&error))?;
    let mode = mode(&options, named("sslmode"), named("sslrootcert").map(String::as_str))?;
    if let Some(file) = named("sslrootcert") {
        certificates("sslrootcert", file)?;
    }
    match (named("sslcert"), named("sslkey")) {
        (Some(certificate), Some(key)) => {
            certificates("sslcert", certificate)?;
            let key = Pem::file("sslkey", Path::new(key));
            key.and_then(|pem| pem.private_key(Passphrase::NotTaken))
                .map_err(|fault| refused(&fault.to_string()))?;
        }
        (None, None) => {}
        _ => return Err(refused("sslcert and sslkey belong together: name both")),
    }
    let options = options.ssl_mode(mode).application_name("harfanglab-incidents");
    // The journal has no such numbers, and a pooler may refuse to be told of their digits.
    let options = options.extra_float_digits(None);
    Ok(match password {
        Some(password) => options.password(password.expose_secret()),
        None => options,
    })
}

/// Says how the server is checked, in words for a log.
pub(super) fn trust(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::VerifyFull => "encrypted, authority and host of its certificate checked",
        PgSslMode::VerifyCa => "encrypted, authority of its certificate checked",
        _ => "encrypted, its certificate not checked",
    }
}

/// Makes sure that the file, which the driver reads at each connection, holds certificates.
fn certificates(parameter: &str, file: &str) -> Result<(), JournalError> {
    let certificates = Pem::file(parameter, Path::new(file)).and_then(|pem| pem.certificates());
    certificates.map(drop).map_err(|fault| refused(&fault.to_string()))
}

fn refused(fault: &str) -> JournalError {
    JournalError::Address(fault.to_owned())
}

/// The value of an unknown parameter is never repeated: it may be a secret.
fn only_known(pairs: &[(String, String)]) -> Result<(), JournalError> {
    let is_known = |name: &str| {
        PARAMETERS.contains(&name) || name.starts_with("options[") && name.ends_with(']')
    };
    match pairs.iter().find(|(name, _)| !is_known(name)) {
        None => Ok(()),
        Some((name, _)) if name == "password" || name == "sslpassword" => Err(refused(&format!(
            "{name} among its parameters is no secret there: give the password as \
             HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD, and the key of a certificate without one"
        ))),
        Some((name, _)) => Err(refused(&format!(
            "the parameter {name} is not known; known are {} and options[…]: correct it or take it \
             away",
            PARAMETERS.join(", ")
        ))),
    }
}

/// As libpq has it, `require` with an authority checks for that authority.
fn mode(
    options: &PgConnectOptions,
    named: Option<&String>,
    authority: Option<&str>,
) -> Result<PgSslMode, JournalError> {
    match (options.get_ssl_mode(), authority) {
        (PgSslMode::Allow, _) => Err(refused(
            "sslmode=allow is not possible: set verify-full, verify-ca or require to have the \
             connection encrypted, prefer to have it so where the server can, or disable",
        )),
        (PgSslMode::Require, Some(_)) => Ok(PgSslMode::VerifyCa),
        (PgSslMode::Disable | PgSslMode::Prefer, Some(_)) => Err(refused(&format!(
            "sslrootcert is not looked at with {}: add sslmode=verify-full",
            named.map_or_else(|| "no sslmode".to_owned(), |mode| format!("sslmode={mode}"))
        ))),
        (mode, _) => Ok(mode),
    }
}
