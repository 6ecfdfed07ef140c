//! A private certificate authority, made for each test.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An authority that issues certificates for this machine.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key for `127.0.0.1`.
    pub(crate) fn issue(&self) -> (String, String) {
        self.issue_for("127.0.0.1")
    }

    /// Certificate and key for this host.
    pub(crate) fn issue_for(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        // Not the authority's own name: a certificate of that name would count as self-signed.
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// The mark of a self-signed certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// As `openssl req -x509` makes it by default.
    Authority,
    Server,
}

/// A self-signed certificate for this host and its key. Those of one host have the same name.
pub(crate) fn self_signed(host: &str, mark: Mark) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, host);
    params.is_ca = match mark {
        Mark::Authority => IsCa::Ca(BasicConstraints::Unconstrained),
        Mark::Server => IsCa::ExplicitNoCa,
    };
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}
