//! Options that name certificates and keys: `true`, `false`, a path, or PEM text.

use std::{fs::File, path::PathBuf};

use secrecy::SecretString;

use crate::config::{
    declare::Value,
    option::OptionSpec,
    parse::{self, PEM_START, Refusal},
    reader::{FaultNoted, Read, Reader},
};

/// Check of a remote server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsVerification {
    /// By the system's certificate authorities.
    System,
    /// By these certificate authorities (PEM file) and the system's.
    CaFile(PathBuf),
    /// By these certificate authorities (PEM text) and the system's.
    CaPem(String),
    /// Not at all.
    Off,
}

impl Value for TlsVerification {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        match parse::boolean(text) {
            Ok(true) => Ok(Self::System),
            Ok(false) => Ok(Self::Off),
            Err(_) => readable_file(text)
                .map(Self::CaFile)
                .map_err(|refusal| format!("is neither true nor false, and as a path {refusal}")),
        }
    }
}

/// A listener's own TLS. Paths of PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTls {
    /// `…_TLS_CERT`: the certificate and what it was issued by.
    pub certificate: PathBuf,
    /// `…_TLS_KEY`: its key, unencrypted.
    pub key: PathBuf,
    /// `…_TLS_CLIENT_CA`: authorities one of which must have issued the client's
    /// certificate; `None`: clients need none.
    pub client_authorities: Option<PathBuf>,
}

/// Reads certificate, key and authorities of a listener; the options in this order.
pub(super) fn endpoint_tls(
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

/// Parses PEM text, or the path of a file with authorities.
pub(super) fn authorities(text: &str) -> Result<TlsVerification, Refusal> {
    if text.starts_with(PEM_START) {
        Ok(TlsVerification::CaPem(text.to_owned()))
    } else {
        readable_file(text).map(TlsVerification::CaFile)
    }
}

/// Parses PEM text, or the path of a file that can be read.
pub(super) fn pem_or_path(text: &str) -> Result<String, Refusal> {
    if !text.starts_with(PEM_START) {
        readable_file(text)?;
    }
    Ok(text.to_owned())
}

/// As [`pem_or_path`], of a key.
pub(super) fn secret_pem_or_path(text: &str) -> Result<SecretString, Refusal> {
    pem_or_path(text).map(SecretString::from)
}

/// Parses the path of a file that can be read.
fn readable_file(text: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text);
    let is_file = File::open(&path).and_then(|file| file.metadata()).map(|data| data.is_file());
    match is_file {
        Ok(true) => Ok(path),
        Ok(false) => Err("is not a file".to_owned()),
        Err(error) => Err(format!("cannot be read ({error})")),
    }
}
