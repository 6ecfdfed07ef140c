//! A static secret in one header, as HarfangLab's Elastic connector sends it (default header
//! `Authorization`, the value compared verbatim).

use actix_web::http::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{NotVerified, only_value};
use crate::config::WebhookSettings;

pub(super) struct StaticHeader {
    header: String,
    secrets: Vec<SecretString>,
}

impl StaticHeader {
    pub(super) fn new(settings: &WebhookSettings) -> Self {
        Self { header: settings.header.clone(), secrets: settings.secrets.clone() }
    }

    pub(super) fn verify(&self, headers: &HeaderMap) -> Result<(), NotVerified> {
        let value = only_value(headers, &self.header)?;
        if is_one_of(&self.secrets, value) { Ok(()) } else { Err(NotVerified::Mismatch) }
    }
}

/// Whether `presented` is one of `secrets`, found out in constant time. Digests have one length, so
/// that not even a secret's length can be measured, and all are compared whatever the first one says.
pub(super) fn is_one_of(secrets: &[SecretString], presented: &[u8]) -> bool {
    let presented = Sha256::digest(presented);
    let matched = secrets.iter().fold(Choice::from(0), |matched, secret| {
        let expected = Sha256::digest(secret.expose_secret().as_bytes());
        matched | presented.as_slice().ct_eq(expected.as_slice())
    });
    bool::from(matched)
}
