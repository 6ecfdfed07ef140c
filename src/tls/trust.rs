//! Certificates that are trusted, and the checks of those that others show.
//!
//! A file of authorities may also hold a server's or client's own certificate, self-signed or issued by
//! somebody. It is pinned: trusted byte for byte, within its validity, for its purpose, and as a server's for
//! the hosts that it names. Only one that is marked as an authority's vouches for other certificates; if it is
//! self-signed, it is pinned as well.
//!
//! `webpki` alone refuses a certificate that is marked as an authority's where a server's is due, as
//! `openssl req -x509` makes one by default; and of one that is not marked it trusts whatever it has signed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tracing::warn;
use x509_parser::{
    certificate::X509Certificate, extensions::ExtendedKeyUsage, prelude::FromDer, time::ASN1Time,
    x509::X509Version,
};

use super::{
    pem::{Pem, PemError},
    self_signed::SelfSigned,
};

/// Authorities, and pinned certificates: each of these is trusted as itself and vouches for no other.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    authorities: RootCertStore,
    pinned: Vec<CertificateDer<'static>>,
}

impl Trusted {
    pub(crate) fn nobody() -> Self {
        Self { authorities: RootCertStore::empty(), pinned: Vec::new() }
    }

    /// Adds the authorities of the system, as far as they can be read.
    pub(crate) fn add_system(&mut self) {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            warn!(%error, "certificate authorities of the system cannot be read");
        }
        self.authorities.add_parsable_certificates(found.certs);
    }

    /// Adds every certificate in `pem`: an authority's as an authority, any other as pinned, and that of a
    /// self-signed authority as both.
    pub(crate) fn add(&mut self, pem: &Pem) -> Result<(), PemError> {
        for certificate in pem.certificates()? {
            let shown = parse(&certificate);
            // What cannot be read here is left to `webpki`, which tells what is wrong with it.
            let is_authority = shown.as_ref().is_none_or(is_authority);
            if !is_authority || shown.as_ref().is_some_and(is_self_signed) {
                self.pinned.push(certificate.clone());
            }
            if is_authority {
                self.authorities
                    .add(certificate)
                    .map_err(|error| PemError::Certificate { place: pem.place(), error })?;
            }
        }
        Ok(())
    }

    /// Returns the same with every certificate in `pem`.
    pub(crate) fn with(&self, pem: &Pem) -> Result<Self, PemError> {
        let mut trusted = self.clone();
        trusted.add(pem)?;
        Ok(trusted)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.pinned.is_empty()
    }

    /// Returns the check of a server's certificate.
    ///
    /// # Errors
    /// Fails when an authority cannot be used.
    pub(crate) fn server_check(self) -> Result<Arc<ServerCheck>, VerifierBuilderError> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let known = Some(ArcSwap::from_pointee(self.known_servers()?));
        Ok(Arc::new(ServerCheck { known, algorithms }))
    }

    fn known_servers(self) -> Result<Known<WebPkiServerVerifier>, VerifierBuilderError> {
        let authorities = if self.authorities.is_empty() {
            None
        } else {
            let (authorities, provider) = (Arc::new(self.authorities), ring::default_provider());
            let provider = Arc::new(provider);
            Some(WebPkiServerVerifier::builder_with_provider(authorities, provider).build()?)
        };
        Ok(Known { authorities, pinned: self.pinned })
    }

    /// Returns the check of a client's certificate, which must be shown.
    ///
    /// # Errors
    /// Fails when an authority cannot be used.
    pub(super) fn client_check(self) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let mut hints = self.authorities.subjects();
        // Clients choose by the issuer; that of a self-signed certificate is its subject.
        let pinned = self.pinned.iter().filter_map(parse);
        hints.extend(pinned.map(|shown| DistinguishedName::from(shown.issuer().as_raw().to_vec())));
        hints.sort_by(|one, other| one.as_ref().cmp(other.as_ref()));
        hints.dedup_by(|one, other| one.as_ref() == other.as_ref());
        let authorities = if self.authorities.is_empty() {
            None
        } else {
            let authorities = Arc::new(self.authorities);
            Some(WebPkiClientVerifier::builder_with_provider(authorities, provider).build()?)
        };
        let known = Known { authorities, pinned: self.pinned };
        Ok(Arc::new(ClientCheck { known, hints, algorithms }))
    }
}

/// Takes any certificate of any host. Signatures are verified all the same, so that the connection at least
/// ends at whoever holds the key that was shown.
pub(crate) fn any_server() -> Arc<ServerCheck> {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    Arc::new(ServerCheck { known: None, algorithms })
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_rest, shown)| shown)
}

/// Compares names only: whoever shows the certificate proves its key in the handshake.
fn is_self_signed(shown: &X509Certificate<'_>) -> bool {
    shown.subject().as_raw() == shown.issuer().as_raw()
}

/// Applies OpenSSL's rule: marked as an authority's; without a mark, allowed to sign certificates, or
/// self-signed and older than these marks.
fn is_authority(shown: &X509Certificate<'_>) -> bool {
    match (shown.basic_constraints(), shown.key_usage()) {
        (Ok(Some(basic)), _) => basic.value.ca,
        (Ok(None), Ok(Some(usage))) => usage.value.key_cert_sign(),
        (Ok(None), Ok(None)) => shown.version() != X509Version::V3 && is_self_signed(shown),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Checks of one role, by authorities of `V` and by pinned certificates.
#[derive(Debug)]
struct Known<V: ?Sized> {
    authorities: Option<Arc<V>>,
    pinned: Vec<CertificateDer<'static>>,
}

impl<V: ?Sized> Known<V> {
    /// Checks validity and purpose of a certificate that is pinned; `None`: it is not.
    fn pinned(
        &self,
        certificate: &CertificateDer<'_>,
        now: UnixTime,
        serves: fn(&ExtendedKeyUsage<'_>) -> bool,
    ) -> Option<Result<(), Error>> {
        let pinned = self.pinned.iter().find(|pinned| *pinned == certificate)?;
        Some(fits(pinned, now, serves).map_err(Error::InvalidCertificate))
    }

    fn by_authorities<T>(
        &self,
        certificate: &CertificateDer<'_>,
        check: impl FnOnce(&V) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let unknown = || Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        let checked = self.authorities.as_deref().map_or_else(unknown, check);
        checked.map_err(|error| match error {
            Error::InvalidCertificate(refusal)
                if is_of_issuer(&refusal)
                    && parse(certificate).as_ref().is_some_and(is_self_signed) =>
            {
                let refusal = CertificateError::Other(OtherError(Arc::new(SelfSigned)));
                Error::InvalidCertificate(refusal)
            }
            error => error,
        })
    }
}

/// True when nobody was found who issued the certificate. An authority of the same name with another key
/// brings a bad signature, or one of a kind that its key cannot make.
fn is_of_issuer(refusal: &CertificateError) -> bool {
    matches!(
        refusal,
        CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            | CertificateError::Other(_)
    )
}

fn fits(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
    serves: fn(&ExtendedKeyUsage<'_>) -> bool,
) -> Result<(), CertificateError> {
    let shown = parse(certificate).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).ok();
    let now = now.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    let now = now.ok_or(CertificateError::BadEncoding)?;
    let validity = shown.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet);
    }
    if now > validity.not_after {
        return Err(CertificateError::Expired);
    }
    match shown.extended_key_usage() {
        Ok(usage) if usage.as_ref().is_none_or(|usage| serves(usage.value)) => Ok(()),
        Ok(_) => Err(CertificateError::InvalidPurpose),
        Err(_) => Err(CertificateError::BadEncoding),
    }
}

/// The check of a server's certificate; `known: None` takes any.
#[derive(Debug)]
pub(crate) struct ServerCheck {
    known: Option<ArcSwap<Known<WebPkiServerVerifier>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCheck {
    /// Trusts `trusted` from now on, and nobody else.
    ///
    /// # Errors
    /// Fails when an authority cannot be used; those before stay trusted.
    pub(crate) fn renew(&self, trusted: Trusted) -> Result<(), VerifierBuilderError> {
        let renewed = trusted.known_servers()?;
        if let Some(known) = &self.known {
            known.store(Arc::new(renewed));
        }
        Ok(())
    }
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        let known = known.load();
        if let Some(fits) = known.pinned(certificate, now, |usage| usage.server_auth) {
            fits?;
            verify_server_name(&ParsedCertificate::try_from(certificate)?, host)?;
            return Ok(ServerCertVerified::assertion());
        }
        known.by_authorities(certificate, |authorities| {
            authorities.verify_server_cert(certificate, intermediates, host, ocsp_response, now)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The check of a client's certificate.
#[derive(Debug)]
struct ClientCheck {
    known: Known<dyn ClientCertVerifier>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ClientCheck {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(fits) = self.known.pinned(certificate, now, |usage| usage.client_auth) {
            fits?;
            // What it must not have, such as a critical extension that nobody understands.
            ParsedCertificate::try_from(certificate)?;
            return Ok(ClientCertVerified::assertion());
        }
        self.known.by_authorities(certificate, |authorities| {
            authorities.verify_client_cert(certificate, intermediates, now)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
        ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
    };

    use super::*;

    const HOST: &str = "server.example";

    /// A certificate for [`HOST`], valid in 2026; all have the same name.
    fn params(is_ca: IsCa) -> CertificateParams {
        let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, HOST);
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 12, 31);
        params.is_ca = is_ca;
        params
    }

    fn marked_as_authority() -> CertificateParams {
        params(IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn self_signed(params: &CertificateParams) -> Certificate {
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    fn trusting(certificate: &str) -> Trusted {
        let mut trusted = Trusted::nobody();
        trusted.add(&Pem::text("CA", certificate)).unwrap();
        trusted
    }

    /// Checks `shown` as a server's, in this year.
    fn server(trusted: &str, shown: &Certificate, host: &str, year: i32) -> Result<(), Error> {
        let check = trusting(trusted).server_check().unwrap();
        let host = ServerName::try_from(host.to_owned()).unwrap();
        let seconds = date_time_ymd(year, 6, 1).unix_timestamp();
        let now = Duration::from_secs(seconds.try_into().unwrap());
        let now = UnixTime::since_unix_epoch(now);
        check.verify_server_cert(shown.der(), &[], &host, &[], now).map(drop)
    }

    fn client(trusted: &str, shown: &Certificate) -> Result<(), Error> {
        let check = trusting(trusted).client_check().unwrap();
        assert_eq!(check.root_hint_subjects().len(), 1);
        let seconds = date_time_ymd(2026, 6, 1).unix_timestamp();
        let now = Duration::from_secs(seconds.try_into().unwrap());
        check.verify_client_cert(shown.der(), &[], UnixTime::since_unix_epoch(now)).map(drop)
    }

    fn refusal(checked: Result<(), Error>) -> CertificateError {
        match checked.unwrap_err() {
            Error::InvalidCertificate(refusal) => refusal,
            other => panic!("{other}"),
        }
    }

    fn is_self_signed(refusal: &CertificateError) -> bool {
        matches!(refusal, CertificateError::Other(other) if other.0.is::<SelfSigned>())
    }

    #[test]
    fn a_self_signed_certificate_is_trusted_as_itself_for_its_host_and_its_time() {
        for params in [marked_as_authority, || params(IsCa::NoCa), || params(IsCa::ExplicitNoCa)] {
            let (own, other) = (self_signed(&params()), self_signed(&params()));
            server(&own.pem(), &own, HOST, 2026).unwrap();
            client(&own.pem(), &own).unwrap();
            assert!(is_self_signed(&refusal(server(&other.pem(), &own, HOST, 2026))));
            assert!(is_self_signed(&refusal(client(&other.pem(), &own))));
            let elsewhere = refusal(server(&own.pem(), &own, "other.example", 2026));
            assert!(
                matches!(elsewhere, CertificateError::NotValidForNameContext { .. }),
                "{elsewhere}"
            );
            let early = refusal(server(&own.pem(), &own, HOST, 2025));
            assert_eq!(early, CertificateError::NotValidYet);
            let late = refusal(server(&own.pem(), &own, HOST, 2027));
            assert_eq!(late, CertificateError::Expired);
        }
    }

    #[test]
    fn a_self_signed_certificate_of_a_server_is_no_clients_and_vouches_for_nobody() {
        let mut of_server = params(IsCa::ExplicitNoCa);
        of_server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let own = self_signed(&of_server);
        server(&own.pem(), &own, HOST, 2026).unwrap();
        assert_eq!(refusal(client(&own.pem(), &own)), CertificateError::InvalidPurpose);

        for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
            let vouches = is_ca != IsCa::NoCa;
            let key = KeyPair::generate().unwrap();
            let issuer = CertifiedIssuer::self_signed(params(is_ca), key).unwrap();
            let mut leaf = params(IsCa::NoCa);
            leaf.distinguished_name.push(DnType::CommonName, "issued");
            let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
            let checked = server(&issuer.pem(), &leaf, HOST, 2026);
            assert_eq!(checked.is_ok(), vouches, "{checked:?}");
        }
    }

    #[test]
    fn an_issued_certificate_is_trusted_as_itself_and_vouches_for_others_only_as_an_authority() {
        let key = || KeyPair::generate().unwrap();
        let named = |name: &str, is_ca: IsCa| {
            let mut params = params(is_ca);
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let top = CertifiedIssuer::self_signed(marked_as_authority(), key()).unwrap();
        let leaf = CertifiedIssuer::signed_by(named("leaf", IsCa::NoCa), key(), &top).unwrap();
        let signed = named("signed", IsCa::NoCa).signed_by(&key(), &leaf).unwrap();
        let own: &Certificate = leaf.as_ref();
        for trusted in [own.pem(), top.pem() + &own.pem()] {
            server(&trusted, own, HOST, 2026).unwrap();
            client(&trusted, own).unwrap();
            let unknown = CertificateError::UnknownIssuer;
            assert_eq!(refusal(server(&trusted, &signed, HOST, 2026)), unknown);
            assert_eq!(refusal(client(&trusted, &signed)), unknown);
        }
        let elsewhere = refusal(server(&own.pem(), own, "other.example", 2026));
        assert!(
            matches!(elsewhere, CertificateError::NotValidForNameContext { .. }),
            "{elsewhere}"
        );

        let below = named("below", IsCa::Ca(BasicConstraints::Unconstrained));
        let below = CertifiedIssuer::signed_by(below, key(), &top).unwrap();
        let issued = named("issued", IsCa::NoCa).signed_by(&key(), &below).unwrap();
        server(&below.pem(), &issued, HOST, 2026).unwrap();
    }
}
