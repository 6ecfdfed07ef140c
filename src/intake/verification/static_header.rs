//! A static secret in one header, as HarfangLab's Elastic connector sends it (default header
//! `Authorization`): the value verbatim, or behind `Bearer `.

use actix_web::http::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{NotVerified, only_value};
use crate::config::WebhookSettings;

const BEARER: &[u8] = b"Bearer ";
/// Bytes of the shortest secret that nobody guesses.
const STRONG_BYTES: usize = 16;

pub(super) struct StaticHeader {
    header: String,
    secrets: Vec<SecretString>,
}

impl StaticHeader {
    pub(super) fn new(settings: &WebhookSettings) -> Self {
        Self { header: settings.header.clone(), secrets: settings.secrets.clone() }
    }

    pub(super) fn verify(&self, headers: &HeaderMap) -> Result<Strength, NotVerified> {
        let value = only_value(headers, &self.header)?;
        let verbatim = is_one_of(&self.secrets, value);
        let token = without_bearer(value).and_then(|token| is_one_of(&self.secrets, token));
        verbatim.or(token).ok_or(NotVerified::Mismatch)
    }
}

fn without_bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
}

/// The strength of a secret against guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// Not within any time, however often somebody tries.
    Strong,
    /// By somebody who may try often enough.
    Weak,
}

/// Finds out whether `presented` is one of `secrets`, in constant time, and how strong it is. Digests have
/// one length, so that not even a secret's length can be measured, and all are compared whatever the
/// first one says.
pub(super) fn is_one_of(secrets: &[SecretString], presented: &[u8]) -> Option<Strength> {
    let strength = if presented.len() < STRONG_BYTES { Strength::Weak } else { Strength::Strong };
    let presented = Sha256::digest(presented);
    let matched = secrets.iter().fold(Choice::from(0), |matched, secret| {
        let expected = Sha256::digest(secret.expose_secret().as_bytes());
        matched | presented.as_slice().ct_eq(expected.as_slice())
    });
    bool::from(matched).then_some(strength)
}
