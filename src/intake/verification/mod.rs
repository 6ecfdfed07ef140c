//! Verification: the first thing done with the raw bytes of a delivery, before anything reads them.
//!
//! Lives here: the [`Verifier`] and its schemes, one file each, and the [`Proof`] without which no
//! notification can be made. A new scheme is one file and one line in [`Verifier::new`]. All
//! comparisons of secrets run in constant time. With no secret there is no verifier, and without a
//! verifier the endpoint is not opened.

mod hmac_header;
mod standard_webhooks;
mod static_header;
mod syslog;

use actix_web::http::header::HeaderMap;
use chrono::{DateTime, Utc};

use self::{
    hmac_header::HmacHeader, standard_webhooks::StandardWebhooks, static_header::StaticHeader,
};
pub use self::{
    static_header::Strength,
    syslog::{ClientCertificate, NotProven, Sender, SyslogVerifier},
};
use super::Origin;
use crate::config::{STANDARD_WEBHOOKS_KEY, WebhookScheme, WebhookSettings};

/// Shows that what it accompanies came from whom it should have come from.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    origin: Origin,
    received_at: DateTime<Utc>,
}

impl Proof {
    /// For an item that our own client read from the console's API over its authenticated
    /// connection.
    pub fn answered_by_console(received_at: DateTime<Utc>) -> Self {
        Self { origin: Origin::Sweep, received_at }
    }

    /// For an event that our own client took from the queue of the console's Elastic connector, over
    /// the same connection.
    pub fn taken_from_queue(received_at: DateTime<Utc>) -> Self {
        Self { origin: Origin::Pull, received_at }
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    pub(super) fn received_at(&self) -> DateTime<Utc> {
        self.received_at
    }
}

/// The reason for which a delivery was not verified. Told to the log, never to the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// The header that carries the proof is absent, or there more than once.
    #[error("the header with the secret or signature is missing")]
    Missing,
    /// The header cannot be read.
    #[error("the header with the secret or signature cannot be read")]
    Malformed,
    /// The proof does not fit any secret.
    #[error("the secret or signature fits none of the configured secrets")]
    Mismatch,
    /// The signed timestamp is outside the tolerance.
    #[error("the signed timestamp is too far from now: a replay, or a clock that is wrong")]
    Stale,
}

impl NotVerified {
    /// Name in metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::Stale => "stale",
        }
    }
}

/// The proof in the headers of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// It is verified, whatever its body is.
    Proven(Strength),
    /// Nothing, without the body.
    Signed,
}

enum Scheme {
    Static(StaticHeader),
    Hmac(HmacHeader),
    Standard(StandardWebhooks),
}

/// Verifies deliveries by the configured schemes: any one that verifies is enough.
pub struct Verifier {
    schemes: Vec<Scheme>,
}

/// A secret that cannot be used by a configured scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("HARFANGLAB_INCIDENTS_WEBHOOK_SECRET: {STANDARD_WEBHOOKS_KEY}")]
pub struct UnusableSecret;

impl Verifier {
    /// The verifier these settings ask for; `None` when there is no secret: the endpoint stays
    /// closed.
    ///
    /// # Errors
    /// [`UnusableSecret`] when a secret does not have the form its scheme needs.
    pub fn new(settings: &WebhookSettings) -> Result<Option<Self>, UnusableSecret> {
        if settings.secrets.is_empty() || settings.schemes.is_empty() {
            return Ok(None);
        }
        let mut schemes = Vec::new();
        for scheme in &settings.schemes {
            schemes.push(match scheme {
                WebhookScheme::Header => Scheme::Static(StaticHeader::new(settings)),
                WebhookScheme::Hmac => Scheme::Hmac(HmacHeader::new(settings)),
                WebhookScheme::StandardWebhooks => {
                    Scheme::Standard(StandardWebhooks::new(settings)?)
                }
            });
        }
        Ok(Some(Self { schemes }))
    }

    /// Says what the headers alone prove: a stranger without a proof, or with a wrong static secret, must
    /// not cost the memory and time of a body.
    ///
    /// # Errors
    /// [`NotVerified`]: no body could make this delivery verified.
    pub fn glance(&self, headers: &HeaderMap) -> Result<Glance, NotVerified> {
        self.first_that_fits(|scheme| match scheme {
            Scheme::Static(scheme) => scheme.verify(headers).map(Glance::Proven),
            Scheme::Hmac(scheme) => scheme.signature(headers).map(|_signature| Glance::Signed),
            Scheme::Standard(_) => {
                only_value(headers, standard_webhooks::SIGNATURE).map(|_| Glance::Signed)
            }
        })
    }

    /// Verifies a delivery on its raw body.
    ///
    /// # Errors
    /// [`NotVerified`]: why the last scheme that found its header refused it, else
    /// [`NotVerified::Missing`].
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Proof, NotVerified> {
        self.first_that_fits(|scheme| match scheme {
            Scheme::Static(scheme) => scheme.verify(headers).map(|_strength| ()),
            Scheme::Hmac(scheme) => scheme.verify(headers, body),
            Scheme::Standard(scheme) => scheme.verify(headers, body, now),
        })?;
        Ok(Proof { origin: Origin::Push, received_at: now })
    }

    fn first_that_fits<T>(
        &self,
        check: impl Fn(&Scheme) -> Result<T, NotVerified>,
    ) -> Result<T, NotVerified> {
        let mut refusal = NotVerified::Missing;
        for scheme in &self.schemes {
            match check(scheme) {
                Ok(fits) => return Ok(fits),
                Err(NotVerified::Missing) => {}
                Err(reason) => refusal = reason,
            }
        }
        Err(refusal)
    }
}

/// The header's only value. A header sent twice is refused: two readers might pick different ones.
fn only_value<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a [u8], NotVerified> {
    let mut values = headers.get_all(name);
    let value = values.next().ok_or(NotVerified::Missing)?;
    if values.next().is_some() {
        return Err(NotVerified::Malformed);
    }
    Ok(value.as_bytes())
}
