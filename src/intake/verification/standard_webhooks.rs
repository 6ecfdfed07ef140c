//! Standard Webhooks 1.0.0: HMAC-SHA256 over `id.timestamp.body`, several signatures in one
//! header, a tolerance on the timestamp.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretSlice};

use super::{NotVerified, UnusableSecret, hmac_header::signed_by, only_value};
use crate::config::{WebhookSettings, standard_webhooks_key};

/// Signatures looked at in one header: more than any rotation needs, few enough to bound the work.
const SIGNATURES_MAX: usize = 16;

/// The header with the signatures.
pub(super) const SIGNATURE: &str = "webhook-signature";

pub(super) struct StandardWebhooks {
    keys: Vec<SecretSlice<u8>>,
    tolerance: Duration,
}

impl StandardWebhooks {
    pub(super) fn new(settings: &WebhookSettings) -> Result<Self, UnusableSecret> {
        let keys: Option<_> = settings.secrets.iter().map(standard_webhooks_key).collect();
        Ok(Self { keys: keys.ok_or(UnusableSecret)?, tolerance: settings.tolerance })
    }

    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), NotVerified> {
        let id = only_value(headers, "webhook-id")?;
        let timestamp = only_value(headers, "webhook-timestamp")?;
        let signatures = only_value(headers, SIGNATURE)?;
        let seconds: i64 = std::str::from_utf8(timestamp)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(NotVerified::Malformed)?;
        let signatures = std::str::from_utf8(signatures).map_err(|_| NotVerified::Malformed)?;
        let fits = signatures
            .split_ascii_whitespace()
            .take(SIGNATURES_MAX)
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .fold(false, |fits, signature| {
                self.keys.iter().fold(fits, |fits, key| {
                    let signed = [id, b".", timestamp, b".", body];
                    signed_by(key.expose_secret(), &signed, &signature) | fits
                })
            });
        if !fits {
            return Err(NotVerified::Mismatch);
        }
        if now.timestamp().abs_diff(seconds) > self.tolerance.as_secs() {
            return Err(NotVerified::Stale);
        }
        Ok(())
    }
}
