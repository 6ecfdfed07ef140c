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
        // Digests have one length, so that not even the secret's length can be measured, and all
        // secrets are compared whatever the first one says.
        let presented = Sha256::digest(value);
        let matched = self.secrets.iter().fold(Choice::from(0), |matched, secret| {
            let expected = Sha256::digest(secret.expose_secret().as_bytes());
            matched | presented.as_slice().ct_eq(expected.as_slice())
        });
        if bool::from(matched) { Ok(()) } else { Err(NotVerified::Mismatch) }
    }
}
