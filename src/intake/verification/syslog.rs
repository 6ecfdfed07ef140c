//! Proofs of a message of syslog: the token in its structured data, the client's certificate, the
//! network it comes from. All that is configured must hold; one of them must be configured.

use std::{borrow::Cow, net::IpAddr};

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use secrecy::SecretString;

use super::{
    Proof,
    static_header::{Strength, is_one_of},
};
use crate::{
    config::SyslogSettings,
    intake::{Origin, syslog::Message},
};

/// Verifies messages of syslog.
pub struct SyslogVerifier {
    token: Option<Token>,
    networks: Vec<IpNet>,
    certificate: ClientCertificate,
}

struct Token {
    id: String,
    name: String,
    secrets: Vec<SecretString>,
}

/// The certificate of a client, shown or not, by the configured authorities. The TLS handshake
/// checks it: without a good one there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// It does, or has to.
    Checked,
    /// It does not, or need not.
    None,
}

/// The sender of a message.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// Its address.
    pub address: IpAddr,
    /// The certificate that it showed in the handshake.
    pub certificate: ClientCertificate,
}

/// The reason for which a message was not verified. Told to the log; the sender is told nothing in syslog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// Its sender is in none of the networks.
    #[error("{0} is in none of HARFANGLAB_INCIDENTS_SYSLOG_ALLOWED_NETWORKS")]
    Elsewhere(IpAddr),
    /// Its sender showed no certificate.
    #[error("the client showed no certificate of HARFANGLAB_INCIDENTS_SYSLOG_TLS_CLIENT_CA")]
    NoCertificate,
    /// There is no token.
    #[error("there is no token in the structured data; enter [{id} {name}=\"…\"] in the console")]
    Missing {
        /// The element it should be in.
        id: String,
        /// The parameter it should be.
        name: String,
    },
    /// There are several, of which two readers might pick different ones.
    #[error("there are several tokens in the structured data")]
    Several,
    /// The token is another.
    #[error("the token in the structured data is none of HARFANGLAB_INCIDENTS_SYSLOG_TOKEN")]
    Mismatch,
}

impl NotProven {
    /// Name in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Elsewhere(_) => "network",
            Self::NoCertificate => "certificate",
            Self::Missing { .. } => "missing",
            Self::Several => "malformed",
            Self::Mismatch => "mismatch",
        }
    }
}

impl SyslogVerifier {
    /// The verifier these settings ask for; `None` when they name nothing that could prove a
    /// message: nothing is listened to then.
    pub fn new(settings: &SyslogSettings) -> Option<Self> {
        let token = (!settings.tokens.is_empty()).then(|| Token {
            id: settings.token_id.clone(),
            name: settings.token_name.clone(),
            secrets: settings.tokens.clone(),
        });
        let authorities = settings.tls.as_ref().and_then(|tls| tls.client_authorities.as_ref());
        let certificate = match authorities {
            Some(_) => ClientCertificate::Checked,
            None => ClientCertificate::None,
        };
        let networks = settings.allowed_networks.clone();
        let proves = token.is_some() || authorities.is_some() || !networks.is_empty();
        proves.then_some(Self { token, networks, certificate })
    }

    /// Returns whether anything from there may be read at all.
    ///
    /// # Errors
    /// [`NotProven::Elsewhere`].
    pub fn admit(&self, address: IpAddr) -> Result<(), NotProven> {
        let address = address.to_canonical();
        let is_admitted = self.networks.is_empty()
            || self.networks.iter().any(|network| network.contains(&address));
        if is_admitted { Ok(()) } else { Err(NotProven::Elsewhere(address)) }
    }

    /// Verifies one message, before anybody looks at what it says. Answers how strong the proof is, too.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn verify(
        &self,
        sender: Sender,
        message: &Message<'_>,
        now: DateTime<Utc>,
    ) -> Result<(Proof, Strength), NotProven> {
        self.admit(sender.address)?;
        if self.certificate == ClientCertificate::Checked && sender.certificate != self.certificate
        {
            return Err(NotProven::NoCertificate);
        }
        let strength = match &self.token {
            Some(token) => token.verify(message)?,
            None => Strength::Strong,
        };
        Ok((Proof { origin: Origin::Push, received_at: now }, strength))
    }
}

impl Token {
    fn verify(&self, message: &Message<'_>) -> Result<Strength, NotProven> {
        let mut presented: Option<Cow<'_, [u8]>> = None;
        let mut count = 0_usize;
        message.each_value(&self.id, &self.name, |value| {
            count += 1;
            presented = Some(value);
        });
        match presented {
            None => Err(NotProven::Missing { id: self.id.clone(), name: self.name.clone() }),
            Some(_) if count > 1 => Err(NotProven::Several),
            Some(token) => is_one_of(&self.secrets, &token).ok_or(NotProven::Mismatch),
        }
    }
}
