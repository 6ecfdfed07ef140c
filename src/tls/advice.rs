//! Advice on a failed TLS connection to a server: the one place that knows `rustls`' errors.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError};

use super::self_signed::SelfSigned;

/// A server that we connect to, in an operator's words. Each text follows a colon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its name, such as `the broker`.
    pub(crate) name: &'static str,
    /// The option that takes the file of authorities.
    pub(crate) authorities: &'static str,
    /// Turns the check off; empty where that is not advised.
    pub(crate) unchecked: &'static str,
    /// The remedies that differ by how it is reached.
    pub(crate) remedies: Remedies,
}

/// Remedies for a failed connection to a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Remedies {
    /// Those of a server that is reached at the URL in this option.
    OfUrl(&'static str),
    /// Its own.
    Own {
        /// The certificate names another host.
        other_host: &'static str,
        /// It does not accept our certificate or misses it.
        client_certificate: &'static str,
        /// It does not speak TLS, or not as we do.
        no_tls: &'static str,
    },
}

impl Peer {
    fn other_host(&self) -> String {
        match self.remedies {
            Remedies::OfUrl(url) => format!("name the host in {url} as the certificate does"),
            Remedies::Own { other_host, .. } => other_host.to_owned(),
        }
    }

    fn client_certificate(&self) -> String {
        match self.remedies {
            Remedies::OfUrl(_) => format!(
                "{} or a proxy in front of it demands a client certificate, and this program shows none: \
                 let it in by its address",
                self.name
            ),
            Remedies::Own { client_certificate, .. } => client_certificate.to_owned(),
        }
    }

    fn no_tls(&self) -> String {
        match self.remedies {
            Remedies::OfUrl(url) => format!(
                "it does not speak TLS as we do: check the port in {url} and whether it begins with \
                 http:// or https://"
            ),
            Remedies::Own { no_tls, .. } => no_tls.to_owned(),
        }
    }
}

/// Finds the failure of TLS among the causes of an error.
pub(crate) fn failure_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref() {
            return Some(failure);
        }
        // An I/O error passes over the error that it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// Tells the operator what to do about a failed connection to `peer`.
pub(crate) fn remedy(failure: &rustls::Error, peer: &Peer) -> String {
    let Peer { name, authorities, unchecked, .. } = peer;
    match failure {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!("{name}'s certificate is made out for another host: {}", peer.other_host()),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => format!("{name}'s certificate has expired: renew it there"),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => format!(
            "{name}'s certificate is not valid yet: check the clocks of this machine and of that one"
        ),
        rustls::Error::InvalidCertificate(CertificateError::Other(refusal))
            if refusal.0.is::<SelfSigned>() =>
        {
            format!(
                "{name} shows a self-signed certificate that is not trusted: set {authorities} to a \
                 file with that certificate itself{unchecked}"
            )
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(refusal))
            if refusal.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) =>
        {
            format!(
                "{name} shows a certificate that is marked as an authority's, probably a self-signed \
                 certificate: make it one of a server (`openssl req -x509 -addext \
                 basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:HOST …`) and set \
                 {authorities} to a file with it{unchecked}"
            )
        }
        rustls::Error::InvalidCertificate(_) => format!(
            "{name}'s certificate is not trusted: set {authorities} to a file with the certificate \
             of the authority that issued it, or with a self-signed certificate itself{unchecked}"
        ),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown,
        ) => peer.client_certificate(),
        _ => peer.no_tls(),
    }
}
