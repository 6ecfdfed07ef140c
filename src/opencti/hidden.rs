//! Texts in OpenCTI's answers that must not be shown: passwords, keys, tokens.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

/// Reads a text that must not be shown.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}
