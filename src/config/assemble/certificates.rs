//! Options that say how certificates are checked: `true`, `false`, a path, or PEM text.

use std::{fs::File, path::PathBuf};

use crate::config::{
    TlsVerification,
    options::{HTTPS_CA_CERTIFICATES, OPENCTI_SSL_VERIFY, OptionSpec},
    parse::{self, PEM_START, Refusal},
    reader::{Read, Reader},
};

/// `…_SSL_VERIFY`: `true`, `false`, or the path of a PEM file.
pub(super) fn verification(reader: &mut Reader<'_>, option: &OptionSpec) -> Read<TlsVerification> {
    reader.required(option, |text| match parse::boolean(text) {
        Ok(true) => Ok(TlsVerification::System),
        Ok(false) => Ok(TlsVerification::Off),
        Err(_) => readable_file(text)
            .map(TlsVerification::CaFile)
            .map_err(|refusal| format!("is neither true nor false, and as a path {refusal}")),
    })
}

/// How OpenCTI's certificate is checked. `HTTPS_CA_CERTIFICATES` turns the check on, as it does in
/// the Python connectors; the path of a file in `OPENCTI_SSL_VERIFY` is more precise and wins.
pub(super) fn opencti(reader: &mut Reader<'_>) -> Read<TlsVerification> {
    let verification = verification(reader, &OPENCTI_SSL_VERIFY);
    let authorities = reader.optional(&HTTPS_CA_CERTIFICATES, |text| {
        if text.starts_with(PEM_START) {
            Ok(TlsVerification::CaPem(text.to_owned()))
        } else {
            readable_file(text).map(TlsVerification::CaFile)
        }
    });
    match (verification?, authorities?) {
        (verification @ TlsVerification::CaFile(_), Some(_)) => {
            let ignored = "HTTPS_CA_CERTIFICATES is not read: OPENCTI_SSL_VERIFY names a file";
            reader.warnings.push(ignored.to_owned());
            Ok(verification)
        }
        (_, Some(authorities)) => Ok(authorities),
        (verification, None) => Ok(verification),
    }
}

/// PEM text, or the path of a file that can be read.
pub(super) fn pem_or_path(text: &str) -> Result<String, Refusal> {
    if !text.starts_with(PEM_START) {
        readable_file(text)?;
    }
    Ok(text.to_owned())
}

/// The path of a file that can be read.
pub(super) fn readable_file(text: &str) -> Result<PathBuf, Refusal> {
    let path = PathBuf::from(text);
    let is_file = File::open(&path).and_then(|file| file.metadata()).map(|data| data.is_file());
    match is_file {
        Ok(true) => Ok(path),
        Ok(false) => Err("is not a file".to_owned()),
        Err(error) => Err(format!("cannot be read ({error})")),
    }
}
