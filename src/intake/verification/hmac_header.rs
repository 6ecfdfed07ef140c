//! HMAC-SHA256 over the raw body in one header, for those whose proxy signs what HarfangLab sends.
//! It says nothing of when a delivery was signed: what is replayed is recognised as a duplicate.

use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{NotVerified, only_value};
use crate::config::{HmacEncoding, WebhookSettings};

pub(super) struct HmacHeader {
    header: String,
    prefix: String,
    encoding: HmacEncoding,
    secrets: Vec<SecretString>,
}

impl HmacHeader {
    pub(super) fn new(settings: &WebhookSettings) -> Self {
        Self {
            header: settings.hmac_header.clone().unwrap_or_else(|| settings.header.clone()),
            prefix: settings.hmac_prefix.clone(),
            encoding: settings.hmac_encoding,
            secrets: settings.secrets.clone(),
        }
    }

    /// The signature as sent, if it can be one.
    pub(super) fn signature(&self, headers: &HeaderMap) -> Result<Vec<u8>, NotVerified> {
        let value = only_value(headers, &self.header)?;
        let text = std::str::from_utf8(value).map_err(|_| NotVerified::Malformed)?.trim();
        let encoded = text.strip_prefix(self.prefix.as_str()).unwrap_or(text);
        match self.encoding {
            HmacEncoding::Hex => hex::decode(encoded).ok(),
            HmacEncoding::Base64 => STANDARD.decode(encoded).ok(),
        }
        .ok_or(NotVerified::Malformed)
    }

    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), NotVerified> {
        let signature = self.signature(headers)?;
        let fits = self.secrets.iter().fold(false, |fits, secret| {
            signed_by(secret.expose_secret().as_bytes(), &[body], &signature) | fits
        });
        if fits { Ok(()) } else { Err(NotVerified::Mismatch) }
    }
}

/// Returns whether `signature` is the whole HMAC-SHA256 of `parts` under `key`, compared in constant time.
pub(super) fn signed_by(key: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(signature).is_ok()
}
