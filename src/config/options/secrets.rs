//! Secrets that come from a file, and are read again when it changes.

use std::path::Path;

use secrecy::SecretString;

use crate::config::{
    fault::{self, Fault},
    option::OptionSpec,
    parse::{self, Refusal},
    raw,
};

/// Parses one of several secrets.
pub(super) fn secret_item(item: &str) -> Result<SecretString, Refusal> {
    parse::token(item).map(SecretString::from)
}

/// Reads the secrets of an option again from its file.
pub(super) fn secrets_of(option: &OptionSpec, path: &Path) -> Result<Vec<SecretString>, Fault> {
    let raw = raw::secret_file(option, &fault::subject(option), path.to_owned())?;
    let parsed: Result<Vec<SecretString>, Refusal> =
        raw.items.iter().map(|item| secret_item(item)).collect();
    let problem = match parsed {
        Ok(secrets) if !secrets.is_empty() => return Ok(secrets),
        Ok(_none) => format!("names the file {}, which holds no secret", path.display()),
        Err(refusal) => format!("has a secret in the file {}, which {refusal}", path.display()),
    };
    Err(Fault::of(option, problem, format!("expected {}", option.expects())))
}
